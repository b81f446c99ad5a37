//! Documents in the key-value store: how they are read back and written.
//!
//! A stored document is this crate's own; one that does not parse is damage, never a client's fault.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// A stored document is not what was written. Nothing was changed; the operator has to look.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("stored {what} is damaged: {why}")]
pub struct Damaged {
    /// Which document.
    pub what: &'static str,
    /// Where it fails.
    pub why: String,
}

/// Reads a stored document. `what` names it in the error.
pub fn read<T: DeserializeOwned>(what: &'static str, document: &str) -> Result<T, Damaged> {
    serde_json::from_str(document).map_err(|error| Damaged {
        what,
        why: error.to_string(),
    })
}

/// JSON text of a document, a frame or an answer of this crate.
///
/// Serialising fails only for maps whose keys are no strings and for types that refuse to; no type
/// of this crate is either, so the empty text is never seen.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
