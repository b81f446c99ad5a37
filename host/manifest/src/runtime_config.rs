//! Where this machine keeps things: `runtime-config.toml`, which Spin reads too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::error::Problem;

/// The file of the store `default`, in the state directory, as Spin names it.
const DEFAULT_STORE_FILE: &str = "sqlite_key_value.db";

/// The store that every machine has.
const DEFAULT_STORE: &str = "default";

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
        /// The file. One that is named in the configuration is relative to the configuration's folder,
        /// as Spin has it; the default one is relative to the state directory.
        path: PathBuf,
    },
    /// `type = "redis"`: a Redis server.
    Redis {
        /// Where it is; may hold a password.
        url: ServerUrl,
    },
}

/// The URL of a server, which may hold a password: it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// The URL, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerUrl(...)")
    }
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
        // A path that is still relative afterwards would be taken for one in the state directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().unwrap_or(Path::new("/"));
        Self::parse(&text, &path.display().to_string(), folder)
    }

    /// The file of a store of type `spin`, in a state directory; none for a store that is not
    /// configured.
    pub fn key_value_file(&self, store: &str, state_dir: &Path) -> Option<PathBuf> {
        match self.key_value_stores.get(store)? {
            KeyValueSettings::Spin { path } => Some(state_dir.join(path)),
            KeyValueSettings::Redis { .. } => None,
        }
    }

    /// Reads the text of a configuration; messages call it `file`, and paths in it are relative to
    /// `folder`.
    ///
    /// # Errors
    /// It has a setting that this host does not know.
    pub fn parse(text: &str, file: &str, folder: &Path) -> Result<Self, RuntimeConfigError> {
        let table: Table = toml::from_str(text).map_err(|error| RuntimeConfigError::Syntax {
            file: file.to_owned(),
            message: located(&error, text),
        })?;
        let mut config = Self::default();
        config
            .read(&table, folder)
            .map_err(|problem| RuntimeConfigError::Invalid {
                file: file.to_owned(),
                key: problem.key,
                message: problem.message,
            })?;
        Ok(config)
    }

    fn read(&mut self, table: &Table, folder: &Path) -> Result<(), Problem> {
        for (name, value) in table {
            match (name.as_str(), value) {
                ("state_dir", value) => self.state_dir = Some(path(value, name)?),
                ("key_value_store", Value::Table(stores)) => {
                    for (store, value) in stores {
                        let key = format!("key_value_store.{store}");
                        let settings = KeyValueSettings::read(value, &key, folder)?;
                        self.key_value_stores.insert(store.clone(), settings);
                    }
                }
                ("key_value_store", _) => {
                    return Err(Problem::new(name, "write tables: [key_value_store.<name>]"));
                }
                _ => {
                    return Err(Problem::new(
                        name,
                        "unknown; known are state_dir and [key_value_store.<name>]. Settings of \
                         the application are variables: set them in the environment",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl KeyValueSettings {
    fn read(value: &Value, key: &str, folder: &Path) -> Result<Self, Problem> {
        let table = value
            .as_table()
            .ok_or_else(|| Problem::new(key, "write a table: type = \"spin\""))?;
        let known: &[&str] = match table.get("type").map(Value::as_str) {
            Some(Some("spin")) => &["type", "path"],
            Some(Some("redis")) => &["type", "url"],
            Some(_) => {
                let kind = table.get("type").map(Value::to_string).unwrap_or_default();
                let message =
                    format!("{kind} is not in this version; use type = \"spin\" or \"redis\"");
                return Err(Problem::new(format!("{key}.type"), message));
            }
            None => {
                return Err(Problem::new(
                    format!("{key}.type"),
                    "missing; write \"spin\" or \"redis\"",
                ));
            }
        };
        if let Some(name) = table.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Problem::new(
                format!("{key}.{name}"),
                format!("unknown setting; known are {}", known.join(" and ")),
            ));
        }
        if known.contains(&"url") {
            let key = format!("{key}.url");
            let url = table.get("url").and_then(Value::as_str).unwrap_or_default();
            if url.is_empty() {
                return Err(Problem::new(
                    key,
                    "missing; write \"redis://host:6379\", or rediss:// for TLS",
                ));
            }
            return Ok(Self::Redis {
                url: ServerUrl(url.to_owned()),
            });
        }
        // Spin keeps a store without a path in memory, where a restart would lose the sessions.
        let key = format!("{key}.path");
        let value = table.get("path").ok_or_else(|| {
            Problem::new(
                &key,
                format!("missing; write a file, such as \"{DEFAULT_STORE_FILE}\""),
            )
        })?;
        Ok(Self::Spin {
            path: folder.join(path(value, &key)?),
        })
    }
}

fn path(value: &Value, key: &str) -> Result<PathBuf, Problem> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(PathBuf::from(text)),
        _ => Err(Problem::new(key, "write a path in quotes")),
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

/// What is wrong and in which line; never the line itself, which may hold a password.
fn located(error: &toml::de::Error, text: &str) -> String {
    let message = error.message();
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<RuntimeConfig, String> {
        RuntimeConfig::parse(text, "runtime-config.toml", Path::new("/etc/app"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_file_there_is_the_default_store() {
        let config = RuntimeConfig::load(None).unwrap();
        assert_eq!(config, parse("").unwrap());
        assert_eq!(
            config.key_value_file("default", Path::new("/s")),
            Some(PathBuf::from("/s/sqlite_key_value.db"))
        );
        assert_eq!(config.key_value_file("other", Path::new("/s")), None);
        assert_eq!(config.state_dir, None);
    }

    #[test]
    fn stores_are_added_to_the_default_one() {
        let config = parse(
            "state_dir = \"state\"\n[key_value_store.logs]\ntype = \"spin\"\npath = \"l.db\"\n\
             [key_value_store.far]\ntype = \"spin\"\npath = \"/far/f.db\"",
        )
        .unwrap();
        assert_eq!(config.state_dir, Some(PathBuf::from("state")));
        let state = Path::new("/s");
        assert_eq!(
            config.key_value_file("logs", state),
            Some(PathBuf::from("/etc/app/l.db"))
        );
        assert_eq!(
            config.key_value_file("far", state),
            Some(PathBuf::from("/far/f.db"))
        );
        assert!(config.key_value_file("default", state).is_some());
        let config =
            parse("key_value_store.default = { type = \"spin\", path = \"d.db\" }").unwrap();
        assert_eq!(
            config.key_value_file("default", state),
            Some(PathBuf::from("/etc/app/d.db"))
        );
    }

    #[test]
    fn a_store_in_redis_has_an_url_that_is_not_shown() {
        let text = "[key_value_store.default]\ntype = \"redis\"\nurl = \"redis://:hush@h:1/2\"";
        let config = parse(text).unwrap();
        let Some(KeyValueSettings::Redis { url }) = config.key_value_stores.get("default") else {
            panic!("{config:?}");
        };
        assert_eq!(url.expose(), "redis://:hush@h:1/2");
        assert!(!format!("{config:?}").contains("hush"));
        assert_eq!(config.key_value_file("default", Path::new("/s")), None);
    }

    #[test]
    fn what_is_unknown_is_named_with_what_is_known() {
        for (text, key, known) in [
            (
                "[llm_compute]\ntype = \"x\"",
                "llm_compute",
                "[key_value_store.<name>]",
            ),
            (
                "[[variables_provider]]\ntype = \"x\"",
                "variables_provider",
                "state_dir",
            ),
            ("state_dir = 1", "state_dir", "quotes"),
            (
                "key_value_store = 1",
                "key_value_store",
                "[key_value_store.<name>]",
            ),
            (
                "key_value_store.a = 1",
                "key_value_store.a",
                "type = \"spin\"",
            ),
            ("[key_value_store.a]", "key_value_store.a.type", "\"spin\""),
            (
                "[key_value_store.a]\ntype = \"azure_cosmos\"",
                "key_value_store.a.type: \"azure_cosmos\" is not in this version",
                "use type = \"spin\" or \"redis\"",
            ),
            (
                "[key_value_store.a]\ntype = \"redis\"",
                "key_value_store.a.url",
                "redis://host:6379",
            ),
            (
                "[key_value_store.a]\ntype = \"redis\"\nurl = \"redis://h\"\npath = \"p\"",
                "key_value_store.a.path",
                "type and url",
            ),
            (
                "[key_value_store.a]\ntype = \"spin\"",
                "key_value_store.a.path",
                "missing",
            ),
            (
                "[key_value_store.a]\ntype = \"spin\"\npath = \"p\"\npaht = \"p\"",
                "key_value_store.a.paht",
                "type and path",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("runtime-config.toml: "), "{error}");
            assert!(error.contains(key) && error.contains(known), "{error}");
        }
        assert!(parse("=").unwrap_err().contains("runtime-config.toml"));
        let missing = RuntimeConfig::load(Some(Path::new("no/such.toml"))).unwrap_err();
        assert!(missing.to_string().contains("no/such.toml"));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_not_shown() {
        let text = "[key_value_store.a]\ntype = \"redis\"\nurl = \"redis://:hush@h:6379\n";
        let error = parse(text).unwrap_err();
        assert!(
            error.contains("line 3") && !error.contains("hush"),
            "{error}"
        );
        let twice = "[key_value_store.a]\nurl = 'redis://:hush@h'\nurl = 'redis://:hush@h'\n";
        assert!(!parse(twice).unwrap_err().contains("hush"));
    }

    #[test]
    fn the_repositorys_own_file_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtime-config.toml");
        assert!(
            RuntimeConfig::load(Some(&path))
                .unwrap()
                .key_value_stores
                .contains_key("default")
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z_\\[\\]{}=\".0-9\n ]{0,60}") {
            let _ = parse(&text);
        }
    }
}
