//! Opening the file, and what its errors mean to a caller.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::names::Names;
use super::{Durability, EXISTS, SET, patience};
use crate::KvError;
use crate::limits::BUSY_TIMEOUT;

/// Spin's table, column for column.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (
    store TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,

    PRIMARY KEY (store, key)
)";

/// How long to wait before asking again for a file that is being set up elsewhere.
const SETUP_RETRY: Duration = Duration::from_millis(5);

/// What to do with a file that cannot be used.
const RESTORE: &str = "; move the file away (or restore it from a copy) and start again";

/// How many statements each connection keeps prepared; the store has fewer.
const PREPARED_STATEMENTS: usize = 16;

/// The database file.
pub(super) struct File {
    path: PathBuf,
}

impl File {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(super) fn create_directory(&self) -> Result<(), KvError> {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => std::fs::create_dir_all(parent)
                .map_err(|error| self.unavailable(format!("its directory: {error}"))),
            _ => Ok(()),
        }
    }

    /// The connection that writes; it sets the file up.
    pub(super) fn writer(&self, durability: Durability) -> Result<Connection, KvError> {
        let connection = self.open()?;
        self.set_up(&connection, durability)
            .map_err(|error| self.explain(error))?;
        Ok(connection)
    }

    /// A connection that reads.
    pub(super) fn reader(&self) -> Result<Connection, KvError> {
        let connection = self.open()?;
        connection
            .pragma_update(None, "query_only", true)
            // Each connection opens the write-ahead log by its name, with the first thing that it reads.
            .and_then(|()| {
                connection
                    .prepare_cached(EXISTS)?
                    .exists(("", ""))
                    .map(drop)
            })
            .map_err(|error| self.explain(error))?;
        Ok(connection)
    }

    /// The names of the files that this connection has just been opened to; none when they are gone already.
    pub(super) fn names(&self, connection: &Connection) -> Result<Option<Names>, KvError> {
        let mode: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .map_err(|error| self.explain(error))?;
        match Names::of(&self.path, mode.eq_ignore_ascii_case("wal")) {
            Ok(names) => Ok(Some(names)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unavailable(error.to_string())),
        }
    }

    /// For people: where it is.
    pub(super) fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self) -> Result<Connection, KvError> {
        // The mutex around each connection takes the place of SQLite's own.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            Connection::open_with_flags(&self.path, flags).map_err(|error| self.explain(error))?;
        connection
            .busy_handler(Some(patience::wait_for_file))
            .map_err(|error| self.explain(error))?;
        connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
        Ok(connection)
    }

    fn set_up(&self, connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
        let mode = switch_to_wal(connection)?;
        if !mode.eq_ignore_ascii_case("wal") {
            tracing::warn!(
                file = %self.path.display(), mode,
                "this file system has no write-ahead log: reads wait for writes"
            );
        }
        let synchronous = match durability {
            Durability::Normal => "NORMAL",
            Durability::Full => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.execute_batch(SCHEMA)?;
        connection.prepare_cached(SET).map(drop)
    }

    /// What an error of SQLite means to the caller.
    pub(super) fn explain(&self, error: rusqlite::Error) -> KvError {
        let place = self.path.display().to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => KvError::Busy { place },
            Some(ErrorCode::DiskFull) => KvError::Full { place },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => KvError::Damaged {
                place,
                message: format!("{error}{RESTORE}"),
            },
            // A statement does not fit the schema: the table is another program's.
            Some(ErrorCode::Unknown) => KvError::Damaged {
                place,
                message: format!("{error}{RESTORE}"),
            },
            _ if matches!(error, rusqlite::Error::SqlInputError { .. }) => KvError::Damaged {
                place,
                message: format!("{error}{RESTORE}"),
            },
            Some(ErrorCode::ReadOnly) => self.unavailable(format!(
                "{error}: give the file and its directory to the user that the gateway runs as"
            )),
            _ => self.unavailable(error.to_string()),
        }
    }

    pub(super) fn unavailable(&self, message: String) -> KvError {
        KvError::Unavailable {
            place: self.path.display().to_string(),
            message,
        }
    }
}

/// Makes the file use a write-ahead log and gives the mode that it has then. SQLite does not wait for
/// this lock by itself, so when two processes create the file at the same time one asks again.
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<String> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(SETUP_RETRY);
            }
            other => return other,
        }
    }
}
