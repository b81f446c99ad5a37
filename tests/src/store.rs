//! Where a gateway keeps its sessions, as tests look at it: past the gateway. In SQLite's file in its state
//! directory, or with `GATEWAY_STORE=redis` in the environment of the tests in a Redis server of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis_server::RedisServer;
use rusqlite::{Connection, OpenFlags};

/// `redis`: gateways keep their sessions in Redis; nothing or `sqlite`: in their state directories.
pub const GATEWAY_STORE: &str = "GATEWAY_STORE";

/// SQLite's file in the state directory.
const FILE: &str = "sqlite_key_value.db";

/// How long a gateway that writes is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a gateway's keys in Redis begin with: the app's name and the store's.
const PREFIX: &str = "interview-gateway:default:";

/// Which kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A server.
    Redis,
}

impl Kind {
    /// What the environment of the tests asks for.
    #[must_use]
    pub fn of_this_run() -> Self {
        match std::env::var(GATEWAY_STORE).as_deref() {
            Ok("redis") => Self::Redis,
            Ok("" | "sqlite") | Err(_) => Self::Sqlite,
            Ok(other) => panic!("{GATEWAY_STORE} is {other:?}: write sqlite or redis"),
        }
    }

    /// As /health names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
        }
    }
}

/// The store of a gateway. Clones are the same store.
#[derive(Clone)]
pub enum Store {
    /// Its file, if there is one yet.
    Sqlite(PathBuf),
    /// A server that ends with the last of those who use it.
    Redis(Arc<Mutex<RedisServer>>),
}

impl Store {
    /// That of a new gateway with this state directory.
    #[must_use]
    pub fn new(kind: Kind, state: &Path) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite(state.join(FILE)),
            Kind::Redis => Self::Redis(Arc::new(Mutex::new(RedisServer::start()))),
        }
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sqlite(_) => Kind::Sqlite,
            Self::Redis(_) => Kind::Redis,
        }
    }

    /// What a gateway with this state directory is told of it, in its environment.
    #[must_use]
    pub fn variables(&self, state: &Path) -> Vec<(&'static str, String)> {
        let Self::Redis(_) = self else {
            return Vec::new();
        };
        let config = state.join("runtime-config.toml");
        let text = format!(
            "[key_value_store.default]\ntype = \"redis\"\nurl = \"{}\"\n",
            self.server().url()
        );
        std::fs::write(&config, text).expect("a runtime configuration");
        vec![("RUNTIME_CONFIG_FILE", config.display().to_string())]
    }

    /// The server: to make faults.
    ///
    /// # Panics
    /// It is SQLite.
    pub fn server(&self) -> MutexGuard<'_, RedisServer> {
        match self {
            Self::Redis(server) => server.lock().unwrap_or_else(PoisonError::into_inner),
            Self::Sqlite(file) => panic!("{} is no server", file.display()),
        }
    }

    /// How many hosts show life in the server.
    ///
    /// # Panics
    /// It is SQLite.
    #[must_use]
    pub fn living_hosts(&self) -> usize {
        let client = redis::Client::open(self.server().url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("#{PREFIX}host/*/*"))
            .query(&mut connection)
            .unwrap();
        keys.len()
    }

    /// All keys that contain `part`, or whose values do, with their values. An empty `part` means all there
    /// is; what hosts keep for themselves is not among it.
    #[must_use]
    pub fn entries(&self, part: &str) -> Vec<(String, String)> {
        let mut all = match self {
            Self::Sqlite(file) => sqlite_entries(file),
            Self::Redis(_) => redis_entries(&self.server().url()),
        };
        all.retain(|(key, value)| key.contains(part) || value.contains(part));
        all.sort();
        all
    }

    /// Writes over a value that is there, as nothing but damage does.
    ///
    /// # Panics
    /// There is no such key.
    pub fn overwrite(&self, key: &str, value: &str) {
        let is_there = match self {
            Self::Sqlite(file) => {
                let store = Connection::open(file).unwrap();
                store.busy_timeout(BUSY_TIMEOUT).unwrap();
                let sql = "UPDATE spin_key_value SET value = CAST(?2 AS BLOB) WHERE key = ?1";
                store.execute(sql, [key, value]).unwrap() == 1
            }
            Self::Redis(_) => {
                let client = redis::Client::open(self.server().url()).unwrap();
                let mut connection = client.get_connection().unwrap();
                let set = redis::cmd("SET")
                    .arg(format!("{PREFIX}{key}"))
                    .arg(value)
                    .arg("XX")
                    .query::<Option<String>>(&mut connection);
                set.unwrap().is_some()
            }
        };
        assert!(is_there, "there is no {key}");
    }
}

fn sqlite_entries(file: &Path) -> Vec<(String, String)> {
    if !file.exists() {
        return Vec::new();
    }
    let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT key, CAST(value AS TEXT) FROM spin_key_value";
    let mut select = store.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let all = select.query_map([], read).unwrap();
    all.collect::<Result<_, _>>().unwrap()
}

fn redis_entries(url: &str) -> Vec<(String, String)> {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{PREFIX}*"))
        .query(&mut connection)
        .unwrap();
    let mut all = Vec::new();
    for key in keys {
        let value: Option<Vec<u8>> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
        // Removed between the two.
        let Some(value) = value else { continue };
        let name = key.strip_prefix(PREFIX).unwrap_or(&key).to_owned();
        all.push((name, String::from_utf8_lossy(&value).into_owned()));
    }
    all
}
