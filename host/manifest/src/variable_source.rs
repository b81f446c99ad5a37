//! One `--variable` option, and the files that values are read from. Whose value it is and which value
//! wins is decided in [`crate::GivenVariables`]. Nothing here shows the content of a file.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::Value;

/// The largest file that values of variables are read from, in bytes.
pub const MAX_VARIABLE_FILE_BYTES: u64 = 64 * 1024;

/// What a value begins with that names a file.
const FILE_MARK: char = '@';

/// What one `--variable` option says, in the forms that Spin has too.
#[derive(Clone, PartialEq, Eq)]
pub enum VariableSource {
    /// `NAME=VALUE`, or `NAME=@FILE` for the content of a file.
    One {
        /// The variable.
        name: String,
        /// Its value, or `@` and a file.
        value: String,
    },
    /// `@FILE.json`: an object of texts by the names of variables.
    Json(PathBuf),
    /// `@FILE.toml`: a table of texts by the names of variables.
    Toml(PathBuf),
}

impl FromStr for VariableSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(FILE_MARK) {
            let path = PathBuf::from(path);
            return match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => Ok(Self::Json(path)),
                Some("toml") => Ok(Self::Toml(path)),
                _ => Err(
                    "a file with several variables ends in .json or .toml; for one variable write NAME=@FILE"
                        .to_owned(),
                ),
            };
        }
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self::One {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("write NAME=VALUE, NAME=@FILE, @FILE.json or @FILE.toml".to_owned()),
        }
    }
}

/// The value may be a key: it is not shown.
impl fmt::Debug for VariableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One { name, .. } => write!(f, "{name}=<value>"),
            Self::Json(path) | Self::Toml(path) => write!(f, "@{}", path.display()),
        }
    }
}

/// A file that was named for variables cannot be used. Names who named it, never what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given}: the file {} {why}", file.display())]
pub struct VariableFileError {
    /// The option, or the variable of the environment.
    pub given: String,
    /// The file.
    pub file: PathBuf,
    /// What is wrong, and what to do.
    pub why: String,
}

/// The value itself, or, where it is `@FILE`, the content of that file without the end of its last line.
/// `given` says where the value was given; a relative path is one in `folder`.
pub(crate) fn expand(
    given: &str,
    value: &str,
    folder: Option<&Path>,
) -> Result<String, VariableFileError> {
    let Some(path) = value.strip_prefix(FILE_MARK) else {
        return Ok(value.to_owned());
    };
    let file = folder.map_or_else(|| PathBuf::from(path), |folder| folder.join(path));
    let content = read(given, &file).map_err(|error| VariableFileError {
        why: format!("{}; a value that begins with @ names a file", error.why),
        ..error
    })?;
    let content = content.trim_end_matches(['\n', '\r']);
    if content.trim().is_empty() {
        return Err(failed(
            given,
            &file,
            "is empty: write the value into it, or leave the variable out".to_owned(),
        ));
    }
    Ok(content.to_owned())
}

/// The text of a file of at most [`MAX_VARIABLE_FILE_BYTES`].
pub(crate) fn read(given: &str, file: &Path) -> Result<String, VariableFileError> {
    let unreadable =
        |error: std::io::Error| failed(given, file, format!("cannot be read: {error}"));
    let mut content = Vec::new();
    std::fs::File::open(file)
        .map_err(unreadable)?
        .take(MAX_VARIABLE_FILE_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > MAX_VARIABLE_FILE_BYTES {
        let why = format!(
            "is larger than {MAX_VARIABLE_FILE_BYTES} bytes: name the file that has the value only"
        );
        return Err(failed(given, file, why));
    }
    String::from_utf8(content)
        .map_err(|_| failed(given, file, "is not UTF-8 text: write it anew".to_owned()))
}

/// Reads the text of a file; what is wrong with it is for a message.
type Parse = fn(&str) -> Result<Value, String>;

/// The variables of a file that has several, as `@FILE.json` and `@FILE.toml` name it.
pub(crate) fn read_set(
    source: &VariableSource,
) -> Result<BTreeMap<String, String>, VariableFileError> {
    let (path, parse): (_, Parse) = match source {
        VariableSource::Json(path) => (path, json),
        VariableSource::Toml(path) => (path, toml),
        VariableSource::One { name, value } => {
            let value = expand(&format!("--variable {name}"), value, None)?;
            return Ok(BTreeMap::from([(name.clone(), value)]));
        }
    };
    let given = format!("--variable @{}", path.display());
    let text = read(&given, path)?;
    let fail = |why: String| failed(&given, path, why);
    let Value::Object(entries) = parse(&text).map_err(fail)? else {
        return Err(fail(
            "has no variables: write {\"name\": \"value\"}".to_owned(),
        ));
    };
    let mut values = BTreeMap::new();
    for (name, value) in entries {
        let Value::String(value) = value else {
            return Err(fail(format!(
                "gives \"{name}\" a value that is no text: write it in quotes"
            )));
        };
        values.insert(name, value);
    }
    Ok(values)
}

/// Says in which line the text is wrong, and nothing of the line.
fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| {
        format!(
            "is no JSON: it is wrong in line {}, column {}",
            error.line(),
            error.column()
        )
    })
}

/// As [`json`].
fn toml(text: &str) -> Result<Value, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        format!("is no TOML: it is wrong in line {line}")
    })?;
    serde_json::to_value(table).map_err(|_| "has a number that is none".to_owned())
}

pub(crate) fn failed(given: &str, file: &Path, why: String) -> VariableFileError {
    VariableFileError {
        given: given.to_owned(),
        file: file.to_owned(),
        why,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> VariableSource {
        VariableSource::One {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn an_option_has_the_forms_that_spin_has() {
        assert_eq!("k=v=w".parse(), Ok(one("k", "v=w")));
        assert_eq!("k=@v.txt".parse(), Ok(one("k", "@v.txt")));
        assert_eq!("k=".parse(), Ok(one("k", "")));
        let json = PathBuf::from("f.json");
        assert_eq!("@f.json".parse(), Ok(VariableSource::Json(json)));
        let toml = PathBuf::from("a.b/f.toml");
        assert_eq!("@a.b/f.toml".parse(), Ok(VariableSource::Toml(toml)));
        for (text, advice) in [
            ("nope", "NAME=VALUE"),
            ("=v", "NAME=VALUE"),
            ("@keys.txt", "NAME=@FILE"),
            ("@keys", ".json or .toml"),
        ] {
            let error = text.parse::<VariableSource>().unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
        assert!(!format!("{:?}", one("k", "hush")).contains("hush"));
    }

    #[test]
    fn a_value_that_names_a_file_is_what_the_file_holds_without_its_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let value = format!("@{}", file.display());
        for (content, read) in [
            ("hush", "hush"),
            ("hush\n", "hush"),
            ("hush\r\n", "hush"),
            (" a\nb \n", " a\nb "),
            ("@other\n", "@other"),
        ] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(expand("K", &value, None).as_deref(), Ok(read));
        }
        assert_eq!(expand("K", "a@b", None).as_deref(), Ok("a@b"));
        assert_eq!(
            expand("K", "@key", Some(folder.path())).as_deref(),
            Ok("@other")
        );
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let limit = usize::try_from(MAX_VARIABLE_FILE_BYTES).unwrap();
        std::fs::write(path("large"), "hush".repeat(limit / 4 + 1)).unwrap();
        std::fs::write(path("most"), "h".repeat(limit)).unwrap();
        std::fs::write(path("empty"), " \n").unwrap();
        std::fs::write(path("binary"), b"hush\xff").unwrap();
        for (name, said) in [
            ("missing", "No such file"),
            ("large", "larger than 65536 bytes"),
            ("empty", "is empty"),
            ("binary", "UTF-8"),
            (".", "directory"),
        ] {
            let value = format!("@{}", path(name).display());
            let error = expand("--variable keys", &value, None)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("--variable keys: "), "{error}");
            assert!(error.contains(said) && error.contains(name), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        let most = format!("@{}", path("most").display());
        assert_eq!(expand("K", &most, None).unwrap().len(), limit);
    }

    #[test]
    fn a_file_may_have_several_variables() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let source = format!("@{}", path.display()).parse().unwrap();
            read_set(&source).map_err(|error| error.to_string())
        };
        let both = BTreeMap::from([("a", "1"), ("b", "x\n")].map(|(n, v)| (n.into(), v.into())));
        assert_eq!(
            read("v.json", r#"{"a": "1", "b": "x\n"}"#),
            Ok(both.clone())
        );
        assert_eq!(read("v.toml", "a = \"1\"\nb = \"x\\n\""), Ok(both));
        for (name, text, said) in [
            ("v.json", "{\n\"a\": hush}", "line 2"),
            ("v.json", "[\"hush\"]", "no variables"),
            (
                "v.json",
                r#"{"a": {"b": "hush"}}"#,
                "\"a\" a value that is no text",
            ),
            ("v.toml", "a = \"1\"\nb = hush", "line 2"),
            ("v.toml", "a = 12", "\"a\" a value that is no text"),
        ] {
            let error = read(name, text).unwrap_err();
            assert!(error.contains(said) && error.contains(name), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
