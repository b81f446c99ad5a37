//! Reads spin.toml.
use crate::{App, ManifestError};
use std::path::Path;
pub(crate) fn read(path: &Path) -> Result<App, ManifestError> {
    Err(ManifestError::Syntax {
        file: path.display().to_string(),
        message: "not yet".to_owned(),
    })
}
