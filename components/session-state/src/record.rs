//! How this component's own records are read and written, and what it says of those that are not
//! what it wrote.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::interview::gateway::session_state::Error;

/// A record; none if it was never written.
pub fn read<T: DeserializeOwned>(what: &str, stored: Option<&str>) -> Result<Option<T>, Error> {
    stored
        .map(|text| serde_json::from_str(text).map_err(|error| damaged(what, error)))
        .transpose()
}

/// A record; one that was never written has its default.
pub fn read_or_default<T: DeserializeOwned + Default>(
    what: &str,
    stored: Option<&str>,
) -> Result<T, Error> {
    Ok(read(what, stored)?.unwrap_or_default())
}

pub fn write(record: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(record).map_err(|error| damaged("record", error))
}

pub fn damaged(what: &str, why: impl std::fmt::Display) -> Error {
    Error::Damaged(format!("{what}: {why}"))
}
