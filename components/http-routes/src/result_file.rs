//! `result.json`, written piece by piece: it may be far larger than this component's memory. What is
//! in it, and in which order, is the contract's.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use interview_session::stored::to_json;
use interview_session::time::{EpochMs, Rfc3339};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::interview::gateway::finalization::{self, ResultWriter};
use crate::bindings::interview::gateway::session_state::Log;
use crate::finalize::untranscribed;
use crate::log_pages::{Entry, EventPages, LogPages};
use crate::logs;
use crate::merged_view::MergedView;
use crate::state::Session;

/// Bytes that are given to the blob store at a time.
const PIECE: usize = 256 << 10;

/// What was written.
pub struct Written {
    pub result_key: String,
    pub event_count: usize,
    pub finalized_at: EpochMs,
    pub received_chunks: u64,
}

/// Writes what there is of the session now; `is_there` is asked once more before the file gets its place.
pub async fn write(
    id: &SessionId,
    session: &Session,
    metadata: Map<String, Value>,
    is_there: impl Fn() -> Result<(), ApiError>,
) -> Result<Written, ApiError> {
    let view = session.view(id);
    let finalized_at = crate::now();
    let mut file = File::begin(id).await?;
    file.field("session_id", id.as_str());
    file.field("finalized_at", &Rfc3339(finalized_at));
    file.field("state", &view.state);
    let mut events = EventPages::new(id)?;
    file.name("events");
    let event_count = file.entries(|| events.next()).await?;
    file.field("ingest", &view.ingest);
    file.field("ingest_by_stream", &view.ingest_by_stream);
    file.field("capture_by_stream", &view.capture_by_stream);
    file.field("asr", &view.asr);
    file.field("asr_by_stream", &view.asr_by_stream);
    file.name("utterances_raw");
    file.log(id, StreamRole::Mixed, Log::Utterances).await?;
    file.name("utterances_raw_by_stream");
    file.logs(id, Log::Utterances).await?;
    file.name("utterances_merged_by_stream");
    file.logs(id, Log::Merged).await?;
    // This gateway's own.
    file.field("untranscribed_by_stream", &untranscribed(session)?);
    file.field("metadata", &metadata);
    is_there()?;
    let result_key = file.finish().await?;
    Ok(Written {
        result_key,
        event_count,
        finalized_at,
        received_chunks: session.received_chunks(),
    })
}

/// A JSON object on its way into the blob store.
struct File<'a> {
    id: &'a SessionId,
    writer: ResultWriter,
    piece: String,
    is_first: bool,
}

impl<'a> File<'a> {
    async fn begin(id: &'a SessionId) -> Result<Self, ApiError> {
        let writer = finalization::begin_result(id.as_str().into()).await;
        Ok(Self {
            id,
            writer: writer.map_err(|error| not_written(id, &error))?,
            piece: String::from("{"),
            is_first: true,
        })
    }

    /// A field of little size.
    fn field(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.name(name);
        self.piece.push_str(&to_json(value));
    }

    /// The name of a field whose value comes next.
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.piece.push(',');
        }
        self.piece.push_str(&to_json(name));
        self.piece.push(':');
    }

    /// A log of each role, by role.
    async fn logs(&mut self, id: &SessionId, log: Log) -> Result<(), ApiError> {
        self.piece.push('{');
        self.is_first = true;
        for role in StreamRole::ALL {
            self.name(role.as_str());
            self.log(id, role, log).await?;
        }
        self.piece.push('}');
        Ok(())
    }

    async fn log(&mut self, id: &SessionId, role: StreamRole, log: Log) -> Result<(), ApiError> {
        if log == Log::Merged && logs::is_out_of_order(id, role)? {
            let mut made = MergedView::new(id, role)?;
            self.entries(|| made.next()).await?;
        } else {
            let mut pages = LogPages::new(id, role, log);
            self.entries(|| pages.next()).await?;
        }
        Ok(())
    }

    /// A list of what `next` gives. Gives how many there were.
    async fn entries(
        &mut self,
        mut next: impl FnMut() -> Result<Option<Entry>, ApiError>,
    ) -> Result<usize, ApiError> {
        let mut count = 0;
        self.piece.push('[');
        while let Some(entry) = next()? {
            if count > 0 {
                self.piece.push(',');
            }
            self.piece.push_str(entry.get());
            count += 1;
            self.give_on(PIECE).await?;
        }
        self.piece.push(']');
        Ok(count)
    }

    async fn finish(mut self) -> Result<String, ApiError> {
        self.piece.push('}');
        self.give_on(1).await?;
        let written = self.writer.finish().await;
        written.map_err(|error| not_written(self.id, &error))
    }

    /// Gives on what there is, if it is so much.
    async fn give_on(&mut self, bytes: usize) -> Result<(), ApiError> {
        if self.piece.len() < bytes {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        let written = self.writer.write(piece).await;
        written.map_err(|error| not_written(self.id, &error))
    }
}

fn not_written(id: &SessionId, error: &finalization::Error) -> ApiError {
    eprintln!("session={id} result.json could not be written: {error:?}");
    ApiError::new(
        503,
        match error {
            finalization::Error::Full(_) => {
                "result.json could not be written: the gateway has no space left for it: finalize again once its \
                 operator has made room"
            }
            finalization::Error::Unavailable(_) | finalization::Error::Refused(_) => {
                "result.json could not be written: finalize again"
            }
        },
    )
}
