//! `result.json`, written piece by piece: it may be far larger than this component's memory. What is
//! in it, and in which order, is the contract's. All of it is of one moment: the records are read at once, and
//! the logs as long as they were then.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::{MAX_UNIDENTIFIED, Untranscribed, WrittenResult};
use interview_session::role::{ByRole, StreamRole};
use interview_session::stored::to_json;
use interview_session::time::{EpochMs, Rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use session_reader::{Entry, EventPages, Extent, LogPages, MergedPages, Session, Unread};

use crate::bindings::interview::gateway::finalization::{self, ResultWriter};
use session_reader::bindings::interview::gateway::session_state::Log;

/// Bytes that are given to the blob store at a time.
const PIECE: usize = 256 << 10;

/// What the file says besides what there is of the session.
pub struct Heading<'a> {
    /// When the session was as the file shows it; of one that is completed, when it was asked for.
    pub finalized_at: EpochMs,
    /// Only of one that is completed.
    pub completed_at: Option<EpochMs>,
    pub metadata: &'a Map<String, Value>,
}

/// Writes the session; `is_there` is asked once more before the file gets its place. None: it is not, and the
/// file is as it was.
pub async fn write(
    id: &SessionId,
    session: &Session,
    heading: &Heading<'_>,
    is_there: impl Fn() -> Result<bool, ApiError>,
) -> Result<Option<WrittenResult>, Unread> {
    let view = session.view(id);
    let extents = session.extents();
    let untranscribed_by_stream = ByRole::try_new(|role| untranscribed(session, role))?;
    let mut file = File::begin(id, extents.clone()).await?;
    file.field("session_id", id.as_str());
    file.field("finalized_at", &Rfc3339(heading.finalized_at));
    // This gateway's own, as the two further below.
    if let Some(at) = heading.completed_at {
        file.field("completed_at", &Rfc3339(at));
    }
    file.field("state", &view.state);
    let mut events = EventPages::new(id, &extents)?;
    file.name("events");
    let event_count = file.entries(|| events.next_entry()).await?;
    file.field("ingest", &view.ingest);
    file.field("ingest_by_stream", &view.ingest_by_stream);
    file.field("capture_by_stream", &view.capture_by_stream);
    file.field("asr", &view.asr);
    file.field("asr_by_stream", &view.asr_by_stream);
    file.name("utterances_raw");
    file.utterances(StreamRole::Mixed).await?;
    file.name("utterances_raw_by_stream");
    file.begin_roles();
    for role in StreamRole::ALL {
        file.name(role.as_str());
        file.utterances(role).await?;
    }
    file.end_roles();
    file.name("utterances_merged_by_stream");
    file.begin_roles();
    for role in StreamRole::ALL {
        file.name(role.as_str());
        let mut merged = MergedPages::new(id, role, *extents.get(role));
        file.entries(|| merged.next_entry()).await?;
    }
    file.end_roles();
    file.field("untranscribed_by_stream", &untranscribed_by_stream);
    file.name("unidentified_by_stream");
    file.begin_roles();
    let mut unidentified_by_stream = ByRole::new(|_| Vec::new());
    for role in StreamRole::ALL {
        file.name(role.as_str());
        let first = unidentified_by_stream.get_mut(role);
        let mut ids = unidentified(id, role, *extents.get(role));
        file.entries(|| {
            let Some(utterance_id) = ids.next()? else {
                return Ok(None);
            };
            let entry = to_raw_value(&utterance_id).map_err(ApiError::damaged)?;
            if first.len() < MAX_UNIDENTIFIED {
                first.push(utterance_id);
            }
            Ok(Some(entry))
        })
        .await?;
    }
    file.end_roles();
    file.field("metadata", heading.metadata);
    if !is_there()? {
        return Ok(None);
    }
    Ok(Some(WrittenResult {
        result_key: file.finish().await?,
        event_count,
        finalized_at: heading.finalized_at,
        untranscribed_by_stream,
        unidentified_by_stream,
    }))
}

fn untranscribed(session: &Session, role: StreamRole) -> Result<Vec<Untranscribed>, ApiError> {
    let seconds = session.untranscribed(role)?.into_iter();
    let ranges = seconds.map(|seconds| Untranscribed {
        first_seq: seconds.first,
        last_seq: seconds.last,
    });
    Ok(ranges.collect())
}

/// Utterances without a speaker event, by their ids. Only the students' are looked up, oldest first.
struct Unidentified<'a>(Option<LogPages<'a>>);

fn unidentified(id: &SessionId, role: StreamRole, extent: Extent) -> Unidentified<'_> {
    let is_looked_up = role == StreamRole::Students;
    Unidentified(
        is_looked_up
            .then(|| LogPages::new(id, role, Log::Utterances, extent).skip_to(extent.identified)),
    )
}

impl Unidentified<'_> {
    fn next(&mut self) -> Result<Option<String>, Unread> {
        #[derive(Deserialize)]
        struct Named {
            utterance_id: String,
        }
        let Some(utterances) = &mut self.0 else {
            return Ok(None);
        };
        let Some(utterance) = utterances.next_entry()? else {
            return Ok(None);
        };
        let named: Named = serde_json::from_str(utterance.get())
            .map_err(|error| ApiError::damaged(format!("a stored log entry: {error}")))?;
        Ok(Some(named.utterance_id))
    }
}

/// A JSON object on its way into the blob store.
struct File<'a> {
    id: &'a SessionId,
    extents: ByRole<Extent>,
    writer: ResultWriter,
    piece: String,
    is_first: bool,
}

impl<'a> File<'a> {
    async fn begin(id: &'a SessionId, extents: ByRole<Extent>) -> Result<Self, ApiError> {
        let writer = finalization::begin_result(id.as_str().into()).await;
        Ok(Self {
            id,
            extents,
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

    /// An object with a field for each role.
    fn begin_roles(&mut self) {
        self.piece.push('{');
        self.is_first = true;
    }

    fn end_roles(&mut self) {
        self.piece.push('}');
    }

    async fn utterances(&mut self, role: StreamRole) -> Result<(), Unread> {
        let extent = *self.extents.get(role);
        let mut pages = LogPages::new(self.id, role, Log::Utterances, extent);
        self.entries(|| pages.next_entry()).await?;
        Ok(())
    }

    /// A list of what `next` gives. Gives how many there were.
    async fn entries(
        &mut self,
        mut next: impl FnMut() -> Result<Option<Entry>, Unread>,
    ) -> Result<usize, Unread> {
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
