//! The store in a SQLite file with Spin's schema.

mod connection;
mod connections;
mod names;
mod patience;

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::checks::{check_entries, check_key, check_keys, check_value};
use crate::limits::{PAGE_KEYS, PROBE_BYTES};
use crate::{Answer, Entry, KeyPage, KeyValue, KvError, Swap};
use connection::File;
use connections::Connections;

const GET: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";
const EXISTS: &str = "SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2";
const SET: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (store, key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2";
const FIRST_KEYS: &str = "SELECT key FROM spin_key_value WHERE store = ?1 ORDER BY key LIMIT ?2";
const NEXT_KEYS: &str =
    "SELECT key FROM spin_key_value WHERE store = ?1 AND key > ?3 ORDER BY key LIMIT ?2";

/// What a change survives once its call has returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the process, at any moment. A loss of power may take the last changes with it,
    /// in their order, and never damages the file (WAL, `synchronous = NORMAL`).
    #[default]
    Normal,
    /// A loss of power too: every change waits for the disk (`synchronous = FULL`), which costs
    /// milliseconds on most.
    Full,
}

/// Whose probes are: no store of an app is called so.
const PROBE_STORE: &str = "#probe";

/// A store in a file with Spin's schema (several stores can share a file).
///
/// Reads do not wait for writes. Values that were read after a write returned are at least as new as that
/// write. A file that is deleted or replaced while it is open is noticed by each call: none says that
/// something is stored where the next start does not find it.
pub struct SqliteStore {
    store: String,
    connections: Connections,
}

impl SqliteStore {
    /// Opens the store `store_name` in the file at `path`; both are created if need be, with the
    /// directories above.
    ///
    /// # Errors
    /// [`KvError::Unavailable`], [`KvError::Busy`] and [`KvError::Damaged`] (the file is something
    /// else than a SQLite database).
    pub fn open(path: &Path, store_name: &str, durability: Durability) -> Result<Self, KvError> {
        Ok(Self {
            store: store_name.to_owned(),
            connections: Connections::open(File::new(path), durability)?,
        })
    }

    /// How far SQLite waits for the disk when something is written: its `PRAGMA synchronous`, 1 for `NORMAL`
    /// and 2 for `FULL`.
    ///
    /// # Errors
    /// As any read.
    pub fn synchronous(&self) -> Result<i64, KvError> {
        self.connections.synchronous()
    }

    fn get_by(&self, connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        connection
            .prepare_cached(GET)?
            .query_row((&self.store, key), |row| {
                Ok(row.get_ref(0)?.as_bytes()?.to_vec())
            })
            .optional()
    }

    fn set_by(&self, connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
        connection
            .prepare_cached(SET)?
            .execute((&self.store, key, value))
            .map(drop)
    }

    fn delete_by(&self, connection: &Connection, key: &str) -> rusqlite::Result<()> {
        connection
            .prepare_cached(DELETE)?
            .execute((&self.store, key))
            .map(drop)
    }
}

/// The methods of [`KeyValue`], for callers that are not async.
impl SqliteStore {
    /// See [`KeyValue::get`].
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        check_key(key)?;
        self.connections
            .read(|connection| self.get_by(connection, key))
    }

    /// See [`KeyValue::set`].
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        check_key(key)?;
        check_value(value)?;
        self.connections
            .write(|connection| self.set_by(connection, key, value))
    }

    /// See [`KeyValue::delete`].
    pub fn delete(&self, key: &str) -> Result<(), KvError> {
        check_key(key)?;
        self.connections
            .write(|connection| self.delete_by(connection, key))
    }

    /// See [`KeyValue::exists`].
    pub fn exists(&self, key: &str) -> Result<bool, KvError> {
        check_key(key)?;
        self.connections.read(|connection| {
            connection
                .prepare_cached(EXISTS)?
                .exists((&self.store, key))
        })
    }

    /// See [`KeyValue::list_keys`].
    pub fn list_keys(&self, cursor: Option<&str>) -> Result<KeyPage, KvError> {
        // One more than a page holds tells whether there is a next one.
        let limit = PAGE_KEYS as i64 + 1;
        let mut keys: Vec<String> = self.connections.read(|connection| match cursor {
            None => connection
                .prepare_cached(FIRST_KEYS)?
                .query_map((&self.store, limit), |row| row.get(0))?
                .collect(),
            Some(last) => connection
                .prepare_cached(NEXT_KEYS)?
                .query_map((&self.store, limit, last), |row| row.get(0))?
                .collect(),
        })?;
        let more = keys.len() > PAGE_KEYS;
        keys.truncate(PAGE_KEYS);
        let cursor = if more { keys.last().cloned() } else { None };
        Ok(KeyPage { keys, cursor })
    }

    /// See [`KeyValue::get_many`].
    pub fn get_many(&self, keys: &[String]) -> Result<Vec<Entry>, KvError> {
        check_keys(keys)?;
        self.connections.read_snapshot(|connection| {
            keys.iter()
                .map(|key| Ok((key.clone(), self.get_by(connection, key)?)))
                .collect()
        })
    }

    /// See [`KeyValue::set_many`].
    pub fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), KvError> {
        check_entries(entries)?;
        if entries.is_empty() {
            return Ok(());
        }
        self.connections.write_atomically(|transaction| {
            entries
                .iter()
                .try_for_each(|(key, value)| self.set_by(transaction, key, value))
        })
    }

    /// See [`KeyValue::delete_many`].
    pub fn delete_many(&self, keys: &[String]) -> Result<(), KvError> {
        check_keys(keys)?;
        if keys.is_empty() {
            return Ok(());
        }
        self.connections.write_atomically(|transaction| {
            keys.iter()
                .try_for_each(|key| self.delete_by(transaction, key))
        })
    }

    /// See [`KeyValue::increment`].
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        check_key(key)?;
        self.connections
            .write_atomically(|transaction| {
                let sum = match self.get_by(transaction, key)? {
                    None => Ok(delta),
                    Some(bytes) => match <[u8; 8]>::try_from(bytes.as_slice()) {
                        Ok(bytes) => i64::from_le_bytes(bytes)
                            .checked_add(delta)
                            .ok_or("the sum does not fit in 64 bits"),
                        Err(_) => Err("a number is stored as 8 bytes, little-endian"),
                    },
                };
                if let Ok(sum) = sum {
                    self.set_by(transaction, key, &sum.to_le_bytes())?;
                }
                Ok(sum)
            })?
            .map_err(|why| KvError::NotANumber {
                key: key.to_owned(),
                why,
            })
    }

    /// See [`KeyValue::compare_and_swap`].
    pub fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<Swap, KvError> {
        check_key(key)?;
        check_value(new)?;
        self.connections.write_atomically(|transaction| {
            let current = self.get_by(transaction, key)?;
            if current.as_deref() != expected {
                return Ok(Swap::Differs(current));
            }
            self.set_by(transaction, key, new)?;
            Ok(Swap::Swapped)
        })
    }
}

impl SqliteStore {
    /// See [`KeyValue::check`].
    pub fn check(&self) -> Result<(), KvError> {
        self.connections.check()
    }

    /// See [`KeyValue::probe`].
    pub fn probe(&self) -> Result<(), KvError> {
        let value = vec![0; PROBE_BYTES];
        let names = (PROBE_STORE, self.store.as_str());
        self.connections.write(|connection| {
            let mut set = connection.prepare_cached(SET)?;
            set.execute((names.0, names.1, &value)).map(drop)
        })?;
        self.connections.write(|connection| {
            let mut delete = connection.prepare_cached(DELETE)?;
            delete.execute(names).map(drop)
        })
    }
}

/// Each is done when it is awaited, inside of the first poll.
impl KeyValue for SqliteStore {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.get(key) })
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move { self.set(key, value) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.delete(key) })
    }

    fn exists<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.exists(key) })
    }

    fn list_keys<'a>(&'a self, cursor: Option<&'a str>) -> Answer<'a, KeyPage> {
        Box::pin(async move { self.list_keys(cursor) })
    }

    fn get_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move { self.get_many(keys) })
    }

    fn set_many<'a>(&'a self, entries: &'a [(String, Vec<u8>)]) -> Answer<'a, ()> {
        Box::pin(async move { self.set_many(entries) })
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()> {
        Box::pin(async move { self.delete_many(keys) })
    }

    fn increment<'a>(&'a self, key: &'a str, delta: i64) -> Answer<'a, i64> {
        Box::pin(async move { self.increment(key, delta) })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
    ) -> Answer<'a, Swap> {
        Box::pin(async move { self.compare_and_swap(key, expected, new) })
    }

    fn check(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.check() })
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.probe() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::READERS;

    fn fresh() -> (tempfile::TempDir, SqliteStore) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let store = SqliteStore::open(&path, "default", Durability::Normal).unwrap();
        (directory, store)
    }

    #[test]
    fn a_full_disk_is_told_apart_and_nothing_is_lost() {
        let (_directory, store) = fresh();
        store.set("a", b"old").unwrap();
        // Fails as a full disk does.
        store
            .connections
            .writer()
            .pragma_update(None, "max_page_count", 5)
            .unwrap();
        let entries = [
            ("a".to_owned(), vec![1]),
            ("b".to_owned(), vec![0; 1_000_000]),
        ];
        assert!(matches!(
            store.set_many(&entries),
            Err(KvError::Full { .. })
        ));
        assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"old"[..]));
        store.set("a", b"new").unwrap();
    }

    #[test]
    fn another_process_that_holds_the_file_is_waited_for_and_then_named() {
        let (directory, store) = fresh();
        store.set("a", b"old").unwrap();
        let other = Connection::open(directory.path().join("state.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        store
            .connections
            .writer()
            .busy_timeout(Duration::from_millis(1))
            .unwrap();
        assert!(matches!(store.set("a", b"new"), Err(KvError::Busy { .. })));
        assert!(matches!(store.increment("n", 1), Err(KvError::Busy { .. })));
        assert_eq!(
            store.get("a").unwrap().as_deref(),
            Some(&b"old"[..]),
            "reads go on"
        );
        other.execute_batch("ROLLBACK").unwrap();
        store.set("a", b"new").unwrap();
    }

    #[test]
    fn reads_use_another_reader_while_one_is_busy_and_wait_when_all_are() {
        let (_directory, store) = fresh();
        store.set("a", b"1").unwrap();
        let mut busy: Vec<_> = (1..READERS).map(|_| store.connections.reader()).collect();
        assert!(store.exists("a").unwrap());
        busy.push(store.connections.reader());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| store.exists("a").unwrap());
            busy.clear();
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn readers_cannot_write() {
        let (_directory, store) = fresh();
        store
            .set_by(&store.connections.reader(), "a", b"1")
            .unwrap_err();
    }
}
