//! What one batch of a stream's lane has to write. It starts as nothing.

use crate::bindings::interview::gateway::session_state::StreamChanges;

pub fn no_changes() -> StreamChanges {
    StreamChanges {
        creates_session: false,
        ingest: None,
        bridge: None,
        windows: None,
        clients: None,
        figures: None,
        capture: None,
        utterances: Vec::new(),
        merged: Vec::new(),
        events: Vec::new(),
    }
}

/// Whether there is nothing to write; a session is not made by that alone.
pub fn changes_nothing(changes: &StreamChanges) -> bool {
    changes_no_session(changes) && changes.clients.is_none()
}

/// Whether a client that came or went is all that changed: that does not make a session.
pub fn changes_no_session(changes: &StreamChanges) -> bool {
    let StreamChanges {
        creates_session: _,
        ingest,
        bridge,
        windows,
        clients: _,
        figures,
        capture,
        utterances,
        merged,
        events,
    } = changes;
    let records = [ingest, bridge, windows, figures, capture];
    records.iter().all(|record| record.is_none())
        && utterances.is_empty()
        && merged.is_empty()
        && events.is_empty()
}
