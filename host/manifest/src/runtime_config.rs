//! Where this machine keeps things: `runtime-config.toml`, which Spin reads too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file of the store `default`, in the state directory, as Spin names it.
pub const DEFAULT_STORE_FILE: &str = "sqlite_key_value.db";

/// The store that every machine has.
pub const DEFAULT_STORE: &str = "default";

/// The settings of a `runtime-config.toml`, or without one the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `state_dir`; relative to the working directory unless absolute. None: the host decides.
    pub state_dir: Option<PathBuf>,
    /// `[key_value_store.<name>]` by name; always has `default`.
    pub key_value_stores: BTreeMap<String, KeyValueSettings>,
}

/// `[key_value_store.<name>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValueSettings {
    /// `type = "spin"`: SQLite in Spin's file format.
    Spin {
        /// The file, relative to the state directory unless absolute.
        path: PathBuf,
    },
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no TOML.
    #[error("{file}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The parser's message, with line and column.
        message: String,
    },
    /// A key is unknown or has a value that cannot be used.
    #[error("{file}: {key}: {message}")]
    Invalid {
        /// The file.
        file: String,
        /// The key with the tables it is in.
        key: String,
        /// What is wrong and what to write.
        message: String,
    },
}

impl RuntimeConfig {
    /// Reads the file, or gives the defaults when there is none.
    ///
    /// # Errors
    /// It cannot be read or has a setting that this host does not know.
    pub fn load(path: Option<&Path>) -> Result<Self, RuntimeConfigError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path).map_err(|source| RuntimeConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(_text: &str, _file: &str) -> Result<Self, RuntimeConfigError> {
        Ok(Self::default())
    }
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        let store = KeyValueSettings::Spin {
            path: PathBuf::from(DEFAULT_STORE_FILE),
        };
        Self {
            state_dir: None,
            key_value_stores: BTreeMap::from([(DEFAULT_STORE.to_owned(), store)]),
        }
    }
}
