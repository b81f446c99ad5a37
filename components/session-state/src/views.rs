//! Everything that is shown of a session, in one read.

use interview_session::role::StreamRole;
use interview_session::speakers::SpeakerState;

pub use crate::bindings::exports::interview::gateway::session_state::SessionView;
use crate::bindings::exports::interview::gateway::session_state::{
    Error, StreamRecords, StreamView,
};
use crate::finalization::Marks;
use crate::layout::Keys;
use crate::log_record::LogRecord;
use crate::record::read_or_default;
use crate::sessions::Created;
use crate::store::Store;
use crate::{live, shared};

/// How much of a session is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Whole,
    /// Without clusters and bindings, which can be large.
    Listed,
}

/// What the lane of a stream needs for every batch.
pub fn load_stream(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
) -> Result<StreamRecords, Error> {
    let wanted = [
        keys.created(),
        keys.ingest(role),
        keys.bridge(role),
        keys.windows(role),
        keys.clients(role),
        keys.listening(),
    ];
    let [created, ingest, bridge, windows, clients, listening] = store.get_many(wanted)?;
    Ok(StreamRecords {
        created_at: Created::read(created.as_deref())?.map(|created| created.at),
        ingest,
        bridge: bridge.filter(|text| !text.is_empty()),
        windows: windows.filter(|text| !text.is_empty()),
        clients,
        listening: live::listening(listening.as_deref())?,
    })
}

/// All of a session, as it was at one moment.
pub fn read(
    store: &impl Store,
    keys: &Keys,
    detail: Detail,
) -> Result<(Option<Created>, SessionView), Error> {
    let mut wanted = vec![
        keys.created(),
        keys.config(),
        keys.speakers(),
        keys.finalization(),
    ];
    for role in StreamRole::ALL {
        wanted.extend(keys.records(role));
    }
    let mut found = store.get_list(&wanted)?.into_iter();
    let mut next = || found.next().flatten().filter(|text| !text.is_empty());

    let created = Created::read(next().as_deref())?;
    let (config, speakers, marks) = (next(), next(), next());
    let (mut document, document_at) =
        shared::document(created, config.as_deref(), speakers.as_deref())?;
    if detail == Detail::Listed {
        document.speakers = SpeakerState::default();
    }
    let (marks, marks_at) = shared::value_of::<Marks>("finalization", created, marks.as_deref())?;
    let view = SessionView {
        created_at: created.map(|created| created.at),
        updated_at: document_at.max(marks_at),
        session: document.to_document(),
        finalization: marks.into(),
        mixed: stream(&mut next)?,
        teacher: stream(&mut next)?,
        students: stream(&mut next)?,
    };
    Ok((created, view))
}

/// How long its documents are together.
pub fn bytes(view: &SessionView) -> usize {
    let of_stream = |stream: &StreamView| -> usize {
        let documents = [
            &stream.ingest,
            &stream.bridge,
            &stream.windows,
            &stream.clients,
            &stream.figures,
            &stream.capture,
        ];
        documents.into_iter().flatten().map(String::len).sum()
    };
    let streams = [&view.mixed, &view.teacher, &view.students];
    view.session.len() + streams.into_iter().map(of_stream).sum::<usize>()
}

fn stream(next: &mut impl FnMut() -> Option<String>) -> Result<StreamView, Error> {
    let [ingest, bridge, windows, clients, figures, capture, log] = std::array::from_fn(|_| next());
    let log: LogRecord = read_or_default("log", log.as_deref())?;
    Ok(StreamView {
        ingest,
        bridge,
        windows,
        clients,
        figures,
        capture,
        life: log.life,
        utterances: log.utterances,
        merged: log.merged,
        events: log.events,
        out_of_order: log.out_of_order,
        identified: log.next,
    })
}
