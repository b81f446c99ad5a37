//! A `.env` file: variables of the environment, written down beside the manifest. It is read as Spin
//! reads its own (`dotenvy`). Nothing here shows a value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::variable_source::{VariableFileError, failed, read};

/// Which file of that kind is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvFile {
    /// This one, if it is there.
    IfThere(PathBuf),
    /// This one; it must be there.
    Named(PathBuf),
}

impl EnvFile {
    /// The file's name beside a manifest.
    pub const NAME: &'static str = ".env";

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::IfThere(path) | Self::Named(path) => path,
        }
    }

    /// Its variables by name. Of two with the same name the last one counts.
    ///
    /// # Errors
    /// It cannot be read, or has a line that is none.
    pub(crate) fn read(&self) -> Result<BTreeMap<String, String>, VariableFileError> {
        let path = self.path();
        if matches!(self, Self::IfThere(_)) && !path.exists() {
            return Ok(BTreeMap::new());
        }
        let given = "variables of the environment";
        let text = read(given, path)?;
        dotenvy::from_read_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| {
                let why = match &error {
                    dotenvy::Error::LineParse(line, _) => {
                        let number = text.lines().position(|other| other == line);
                        let place = number.map(|number| format!(" in line {}", number + 1));
                        format!(
                            "cannot be read{}: write NAME=value, with quotes around a value that has spaces",
                            place.unwrap_or_default()
                        )
                    }
                    _ => "cannot be read: write NAME=value in each line".to_owned(),
                };
                failed(given, path, why)
            })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EnvFile::NAME);
        std::fs::write(&path, text).unwrap();
        EnvFile::IfThere(path)
            .read()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_variables() {
        let text = "# a comment\n\nA=1\nexport B='x y $A'\nC=\"p\\nq\"\r\nA=2 # the last one\n";
        let expected = [("A", "2"), ("B", "x y $A"), ("C", "p\nq")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(text), Ok(BTreeMap::from(expected)));
    }

    #[test]
    fn a_line_that_is_none_is_named_and_not_shown() {
        let error = read("A=1\nhush hush\n").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains(".env"),
            "{error}"
        );
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn only_one_that_was_named_must_be_there() {
        let missing = PathBuf::from("no/such/.env");
        assert_eq!(
            EnvFile::IfThere(missing.clone()).read(),
            Ok(BTreeMap::new())
        );
        let error = EnvFile::Named(missing).read().unwrap_err();
        assert!(error.to_string().contains("no/such/.env"), "{error}");
    }
}
