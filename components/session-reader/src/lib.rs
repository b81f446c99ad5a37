//! What both entries read of a session: all its records as one view, as they were at one moment, and its logs
//! as long as they were then, page by page. It writes nothing and asks no lane.

mod merged;
mod pages;
pub mod roles;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;

use interview_session::asr::AsrSettings;
use interview_session::error::ApiError;
use interview_session::time::EpochMs;
use interview_settings::Asr;
use serde_json::value::RawValue;

pub use merged::MergedPages;
pub use pages::{EventPages, LogPages, Source};
pub use session::{Extent, Session, captures, ingest, is_connected, last_said, phase_of};

use bindings::interview::gateway::session_state::Error;

/// The interfaces of the leaves that are read here.
#[allow(missing_docs, unsafe_code)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/session-reader",
        generate_all,
    });
}

/// What of the operator's settings a session shows.
pub fn asr_settings(asr: &Asr) -> AsrSettings {
    AsrSettings {
        enabled: asr.is_on(),
        provider: asr.provider.clone(),
        model: asr.model.clone(),
        realtime: asr.realtime,
        window_seconds: asr.window_seconds,
        hop_seconds: asr.hop_seconds,
    }
}

/// An entry of a log, as JSON text.
pub type Entry = Box<RawValue>;

/// Why a log cannot be read on.
#[derive(Debug)]
pub enum Unread {
    /// It was emptied, by a reset or a deletion, after its length had been read: read both again.
    Emptied,
    /// For whoever asked.
    Failed(ApiError),
}

impl From<ApiError> for Unread {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unread> for ApiError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Emptied => unavailable(Error::Contended),
            Unread::Failed(error) => error,
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Emptied => f.write_str("the log was emptied meanwhile"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// What a caller can do about a store that fails.
pub fn unavailable(error: Error) -> ApiError {
    match error {
        Error::Unavailable(why) => {
            eprintln!("the session store: {why}");
            ApiError::new(503, "the session store is unavailable: try again")
        }
        Error::Contended => ApiError::new(503, "the session is being changed by others: try again"),
        Error::Damaged(why) => ApiError::damaged(why),
    }
}

/// An entry as it is stored.
fn entry(text: String) -> Result<Entry, Unread> {
    RawValue::from_string(text).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> Unread {
    Unread::Failed(ApiError::damaged(format!("a stored log entry: {error}")))
}

/// The host's clock.
fn now() -> EpochMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    EpochMs(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}
