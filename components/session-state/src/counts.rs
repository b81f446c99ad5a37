//! How long the logs of a stream are, as stored.

use serde::{Deserialize, Serialize};

/// Entries of the logs that the stream's lane writes.
#[derive(Default, Serialize, Deserialize)]
pub struct LogCounts {
    pub utterances: u32,
    pub merged: u32,
}

/// Entries of the event log.
#[derive(Default, Serialize, Deserialize)]
pub struct EventCounts {
    pub events: u32,
    /// The students' utterance that is identified next; not used for the other roles.
    #[serde(default)]
    pub next: u32,
}
