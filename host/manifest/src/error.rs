//! Why an application cannot be run.

use std::path::PathBuf;

/// The manifest or the locked app is not usable. Every message names the file, the key and what to
/// write instead.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("{}: cannot be read ({source}); name the application's spin.toml", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not TOML or JSON of the expected shape.
    #[error("{file}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The parser's message, with line and column.
        message: String,
    },
    /// A key has a value that cannot be used.
    #[error("{file}: {key}: {message}")]
    Invalid {
        /// The file.
        file: String,
        /// The key with the tables it is in, such as `component.web.source`.
        key: String,
        /// What is wrong and what to write.
        message: String,
    },
}

/// What is wrong with a key, before it is known in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) key: String,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }

    pub(crate) fn of(self, file: &str) -> ManifestError {
        ManifestError::Invalid {
            file: file.to_owned(),
            key: self.key,
            message: self.message,
        }
    }
}
