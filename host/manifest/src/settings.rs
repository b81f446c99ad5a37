//! The trigger's own table, `[application.trigger.websocket]`.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::error::Problem;

/// The directory of the blobs, below the state directory, when the manifest names none.
const DEFAULT_BLOB_DIRECTORY: &str = "blobs";

const KEY: &str = "application.trigger.websocket";

/// `[application.trigger.websocket]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerSettings {
    /// The variable that decides about the ASR simulator: while it is empty, the host runs its own.
    pub asr_simulator_unless: Option<String>,
    /// The variable that holds the app's keys: while it is empty, the host serves this machine only.
    pub loopback_unless: Option<String>,
    /// The path that says whether the app is well: it is answered also when the app has as many other
    /// requests as it takes.
    pub health: Option<String>,
    /// Where blobs are kept.
    pub blob_store: BlobSettings,
}

/// `[application.trigger.websocket.blob_store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobSettings {
    /// `type = "directory"`.
    Directory {
        /// `path`; `blobs` without it. Relative to the state directory unless absolute.
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

impl TriggerSettings {
    pub(crate) fn parse(table: &Map<String, Value>) -> Result<Self, Problem> {
        let mut settings = Self::default();
        for (name, value) in table {
            let key = format!("{KEY}.{name}");
            match name.as_str() {
                "asr_simulator_unless" => {
                    settings.asr_simulator_unless = Some(text(value, &key)?.to_owned());
                }
                "loopback_unless" => {
                    settings.loopback_unless = Some(text(value, &key)?.to_owned());
                }
                "health" => {
                    let path = text(value, &key)?;
                    if !path.starts_with('/') {
                        return Err(Problem::new(key, "write a path, such as \"/health\""));
                    }
                    settings.health = Some(path.to_owned());
                }
                "blob_store" => {
                    let table = value
                        .as_object()
                        .ok_or_else(|| Problem::new(&key, "write a table: type = \"directory\""))?;
                    settings.blob_store = BlobSettings::parse(table, &key)?;
                }
                _ => {
                    return Err(Problem::new(
                        key,
                        "unknown setting; known are asr_simulator_unless, loopback_unless, health and blob_store",
                    ));
                }
            }
        }
        Ok(settings)
    }
}

impl BlobSettings {
    fn parse(table: &Map<String, Value>, key: &str) -> Result<Self, Problem> {
        let mut path = PathBuf::from(DEFAULT_BLOB_DIRECTORY);
        let kind = table
            .get("type")
            .ok_or_else(|| Problem::new(format!("{key}.type"), "missing; write \"directory\""))?;
        match text(kind, &format!("{key}.type"))? {
            "directory" => {}
            other => {
                let message = format!("\"{other}\" is not in this version; write \"directory\"");
                return Err(Problem::new(format!("{key}.type"), message));
            }
        }
        for (name, value) in table {
            let key = format!("{key}.{name}");
            match name.as_str() {
                "type" => {}
                "path" => path = PathBuf::from(text(value, &key)?),
                _ => {
                    return Err(Problem::new(
                        key,
                        "unknown setting; known are type and path",
                    ));
                }
            }
        }
        Ok(Self::Directory { path })
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, Problem> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Problem::new(key, "write a text in quotes")),
    }
}
