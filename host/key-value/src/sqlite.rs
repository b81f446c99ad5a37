//! The store in a SQLite file with Spin's schema.

mod connection;
mod patience;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::checks::{check_entries, check_key, check_keys, check_value};
use crate::limits::{PAGE_KEYS, READERS};
use crate::{Answer, Entry, KeyPage, KeyValue, KvError, Swap};
use connection::File;

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

/// A store in a file with Spin's schema (several stores can share a file).
///
/// One connection writes, [`READERS`] read: reads do not wait for writes. Values that were read after
/// a write returned are at least as new as that write.
pub struct SqliteStore {
    store: String,
    file: File,
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
}

impl SqliteStore {
    /// Opens the store `store_name` in the file at `path`; both are created if need be, with the
    /// directories above.
    ///
    /// # Errors
    /// [`KvError::Unavailable`], [`KvError::Busy`] and [`KvError::Damaged`] (the file is something
    /// else than a SQLite database).
    pub fn open(path: &Path, store_name: &str, durability: Durability) -> Result<Self, KvError> {
        let file = File::new(path);
        file.create_directory()?;
        let writer = file.writer(durability)?;
        let readers = (0..READERS)
            .map(|_| Ok(Mutex::new(file.reader()?)))
            .collect::<Result<_, KvError>>()?;
        Ok(Self {
            store: store_name.to_owned(),
            file,
            writer: Mutex::new(writer),
            readers,
            next_reader: AtomicUsize::new(0),
        })
    }

    /// A transaction that is rolled back when dropped leaves the connection as it was, so a lock
    /// poisoned by a panic is as good as any.
    fn writer(&self) -> MutexGuard<'_, Connection> {
        patience::lock(&self.writer)
    }

    /// A reader that is free, or else the one whose turn it is to be waited for.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed);
        for offset in 0..self.readers.len() {
            match self.readers[(turn.wrapping_add(offset)) % self.readers.len()].try_lock() {
                Ok(reader) => return reader,
                Err(TryLockError::Poisoned(reader)) => return reader.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        patience::lock(&self.readers[turn % self.readers.len()])
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        work(&self.reader()).map_err(|error| self.file.explain(error))
    }

    /// Several statements that see the file at one moment.
    fn read_snapshot<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        let mut connection = self.reader();
        let explain = |error| self.file.explain(error);
        let transaction = connection.transaction().map_err(explain)?;
        let answer = work(&transaction).map_err(explain)?;
        transaction.finish().map_err(explain)?;
        Ok(answer)
    }

    /// One statement that writes; SQLite makes it a transaction.
    fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        work(&self.writer()).map_err(|error| self.file.explain(error))
    }

    /// Several statements that are done all or not at all, alone on the file: `IMMEDIATE` takes the
    /// file's write lock before anything is read.
    fn write_atomically<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        let mut connection = self.writer();
        let explain = |error| self.file.explain(error);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(explain)?;
        let answer = work(&transaction).map_err(explain)?;
        transaction.commit().map_err(explain)?;
        Ok(answer)
    }

    /// How far SQLite waits for the disk when something is written: its `PRAGMA synchronous`, 1 for `NORMAL`
    /// and 2 for `FULL`.
    ///
    /// # Errors
    /// As any read.
    pub fn synchronous(&self) -> Result<i64, KvError> {
        let asked = self
            .writer()
            .pragma_query_value(None, "synchronous", |row| row.get(0));
        asked.map_err(|error| self.file.explain(error))
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
        self.read(|connection| self.get_by(connection, key))
    }

    /// See [`KeyValue::set`].
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        check_key(key)?;
        check_value(value)?;
        self.write(|connection| self.set_by(connection, key, value))
    }

    /// See [`KeyValue::delete`].
    pub fn delete(&self, key: &str) -> Result<(), KvError> {
        check_key(key)?;
        self.write(|connection| self.delete_by(connection, key))
    }

    /// See [`KeyValue::exists`].
    pub fn exists(&self, key: &str) -> Result<bool, KvError> {
        check_key(key)?;
        self.read(|connection| {
            connection
                .prepare_cached(EXISTS)?
                .exists((&self.store, key))
        })
    }

    /// See [`KeyValue::list_keys`].
    pub fn list_keys(&self, cursor: Option<&str>) -> Result<KeyPage, KvError> {
        // One more than a page holds tells whether there is a next one.
        let limit = PAGE_KEYS as i64 + 1;
        let mut keys: Vec<String> = self.read(|connection| match cursor {
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
        self.read_snapshot(|connection| {
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
        self.write_atomically(|transaction| {
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
        self.write_atomically(|transaction| {
            keys.iter()
                .try_for_each(|key| self.delete_by(transaction, key))
        })
    }

    /// See [`KeyValue::increment`].
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        check_key(key)?;
        self.write_atomically(|transaction| {
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
        self.write_atomically(|transaction| {
            let current = self.get_by(transaction, key)?;
            if current.as_deref() != expected {
                return Ok(Swap::Differs(current));
            }
            self.set_by(transaction, key, new)?;
            Ok(Swap::Swapped)
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
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::time::Duration;

    use super::*;

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
        let mut busy: Vec<_> = (1..READERS).map(|_| store.reader()).collect();
        assert!(store.exists("a").unwrap());
        busy.push(store.reader());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| store.exists("a").unwrap());
            busy.clear();
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn readers_cannot_write() {
        let (_directory, store) = fresh();
        store.set_by(&store.reader(), "a", b"1").unwrap_err();
    }
}
