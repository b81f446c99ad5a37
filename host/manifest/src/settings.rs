//! The trigger's own table, `[application.trigger.websocket]`.

use std::path::PathBuf;

/// The directory of the blobs, below the state directory, when the manifest names none.
pub const DEFAULT_BLOB_DIRECTORY: &str = "blobs";

/// `[application.trigger.websocket]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerSettings {
    /// The variable that decides about the ASR simulator: while it is empty, the host runs its own.
    pub asr_simulator_unless: Option<String>,
    /// Where blobs are kept.
    pub blob_store: BlobSettings,
}

/// `[application.trigger.websocket.blob_store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobSettings {
    /// `type = "directory"`.
    Directory {
        /// Relative to the state directory unless absolute.
        path: PathBuf,
    },
}

impl Default for BlobSettings {
    fn default() -> Self {
        Self::Directory {
            path: PathBuf::from(DEFAULT_BLOB_DIRECTORY),
        }
    }
}
