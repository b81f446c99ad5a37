//! The connections to the file, one that writes and some that read, and the watch over the file's name:
//! what a call says is stored is in the files that the next start opens.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connection::File;
use super::names::{Found, Names};
use super::{Durability, patience};
use crate::KvError;
use crate::limits::READERS;

/// What to do when the file is not in its place any more.
const GONE: &str = "the file was deleted, moved or replaced while the gateway used it, and nothing is stored in \
                    it any more: put the same file back, or restart the gateway, which takes the one that is \
                    there then";

/// What to do when the files do not stay for as long as it takes to open them.
const AGAIN: &str = "its files were deleted or replaced while they were opened: see to it that no other program \
                     touches them";

/// How often the files are opened anew, when they are deleted while that is done.
const REOPENINGS: usize = 10;

/// One connection writes, [`READERS`] read: reads do not wait for writes.
pub(super) struct Connections {
    file: File,
    durability: Durability,
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
    names: RwLock<Names>,
    /// A name was seen that does not stand for the open file: look before anything else is done.
    is_doubtful: AtomicBool,
}

impl Connections {
    pub(super) fn open(file: File, durability: Durability) -> Result<Self, KvError> {
        file.create_directory()?;
        let writer = file.writer(durability)?;
        let names = file.names(&writer)?;
        let readers = (0..READERS)
            .map(|_| Ok(Mutex::new(file.reader()?)))
            .collect::<Result<_, KvError>>()?;
        // A reader that came upon other files than the writer would read something else.
        let Some(names) = names.filter(|names| names.look() == Found::AsOpened) else {
            return Err(file.unavailable(AGAIN.to_owned()));
        };
        Ok(Self {
            file,
            durability,
            writer: Mutex::new(writer),
            readers,
            next_reader: AtomicUsize::new(0),
            names: RwLock::new(names),
            is_doubtful: AtomicBool::new(false),
        })
    }

    /// Whether the file is in its place. A write-ahead log that is not is begun anew.
    pub(super) fn check(&self) -> Result<(), KvError> {
        if self.names().look() != Found::AsOpened {
            self.doubt();
        }
        self.settle()
    }

    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        self.settle()?;
        let answer = work(&self.reader());
        self.is_of_the_file()?;
        answer.map_err(|error| self.file.explain(error))
    }

    /// Several statements that see the file at one moment.
    pub(super) fn read_snapshot<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        self.settle()?;
        let answer = snapshot(&mut self.reader(), work);
        self.is_of_the_file()?;
        answer.map_err(|error| self.file.explain(error))
    }

    /// One statement that writes; SQLite makes it a transaction.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        let mut connection = self.settled_writer()?;
        let done = work(&connection);
        self.confirm(&mut connection, done)
    }

    /// Several statements that are done all or not at all, alone on the file.
    pub(super) fn write_atomically<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        let mut connection = self.settled_writer()?;
        let done = transaction(&mut connection, work);
        self.confirm(&mut connection, done)
    }

    /// What was committed is in the files that the next start opens: only then the caller is told so.
    fn confirm<T>(
        &self,
        writer: &mut Connection,
        done: Result<T, rusqlite::Error>,
    ) -> Result<T, KvError> {
        let is_kept = self.names().look() == Found::AsOpened;
        match done {
            Ok(done) if is_kept => Ok(done),
            Ok(done) => {
                self.doubt();
                self.mend(writer).map_err(unconfirmed)?;
                Ok(done)
            }
            Err(error) => {
                if !is_kept {
                    self.doubt();
                    self.mend(writer)?;
                }
                Err(self.file.explain(error))
            }
        }
    }

    /// What was read is of the file that has the name.
    fn is_of_the_file(&self) -> Result<(), KvError> {
        if self.names().has_database() {
            return Ok(());
        }
        self.doubt();
        Err(self.file.unavailable(GONE.to_owned()))
    }

    fn names(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Release);
    }

    /// Nothing, unless there is a doubt.
    fn settle(&self) -> Result<(), KvError> {
        if self.is_doubtful.load(Ordering::Acquire) {
            drop(self.settled_writer()?);
        }
        Ok(())
    }

    /// The connection that writes, when the file is in its place as far as is known.
    fn settled_writer(&self) -> Result<MutexGuard<'_, Connection>, KvError> {
        let mut writer = self.writer();
        if self.is_doubtful.load(Ordering::Acquire) {
            self.mend(&mut writer)?;
        }
        Ok(writer)
    }

    /// Looks whether the names stand for the open files again. Where only the write-ahead log has lost its name,
    /// it is still open: what it holds is put into the database, and all is opened anew.
    fn mend(&self, writer: &mut Connection) -> Result<(), KvError> {
        let found = self.names().look();
        if found == Found::Without {
            return Err(self.file.unavailable(GONE.to_owned()));
        }
        if is_open(writer) {
            if found == Found::AsOpened {
                self.is_doubtful.store(false, Ordering::Release);
                return Ok(());
            }
            checkpoint(writer).map_err(|error| self.file.explain(error))?;
        }
        for _ in 0..REOPENINGS {
            if self.reopen(writer)? {
                tracing::warn!(
                    file = self.file.place(),
                    "the write-ahead log beside the database (-wal, -shm) was deleted or replaced while the \
                     gateway used it: nothing was lost, all is in the database, and a new log is begun. Leave \
                     these files alone"
                );
                return Ok(());
            }
        }
        Err(self.file.unavailable(AGAIN.to_owned()))
    }

    /// Opens all anew; false: the names changed meanwhile.
    fn reopen(&self, writer: &mut Connection) -> Result<bool, KvError> {
        // No reader waits for the writer.
        let mut readers: Vec<_> = self.readers.iter().map(patience::lock).collect();
        let guards = readers.iter_mut().map(|reader| &mut **reader);
        for connection in guards.chain([&mut *writer]) {
            let none = Connection::open_in_memory();
            *connection = none.map_err(|error| self.file.explain(error))?;
        }
        let opened = self.file.writer(self.durability)?;
        let Some(names) = self.file.names(&opened)? else {
            return Ok(false);
        };
        for reader in &mut readers {
            **reader = self.file.reader()?;
        }
        if !names.is_same_database(&self.names()) {
            return Err(self.file.unavailable(GONE.to_owned()));
        }
        if names.look() != Found::AsOpened {
            return Ok(false);
        }
        // Last: until then it is known that there is something to be opened.
        *writer = opened;
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        self.is_doubtful.store(false, Ordering::Release);
        Ok(true)
    }

    /// A transaction that is rolled back when dropped leaves the connection as it was, so a lock
    /// poisoned by a panic is as good as any.
    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        patience::lock(&self.writer)
    }

    /// A reader that is free, or else the one whose turn it is to be waited for.
    pub(super) fn reader(&self) -> MutexGuard<'_, Connection> {
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

    /// How far SQLite waits for the disk when something is written.
    pub(super) fn synchronous(&self) -> Result<i64, KvError> {
        let asked = self
            .writer()
            .pragma_query_value(None, "synchronous", |row| row.get(0));
        asked.map_err(|error| self.file.explain(error))
    }
}

fn snapshot<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    let transaction = connection.transaction()?;
    let answer = work(&transaction)?;
    transaction.finish()?;
    Ok(answer)
}

/// `IMMEDIATE` takes the file's write lock before anything is read.
fn transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let answer = work(&transaction)?;
    transaction.commit()?;
    Ok(answer)
}

/// Whether it is a connection to the file, and not what stands in for one that could not be opened.
fn is_open(connection: &Connection) -> bool {
    connection.path().is_some_and(|path| !path.is_empty())
}

/// Puts all that the write-ahead log holds into the database.
fn checkpoint(connection: &Connection) -> Result<(), rusqlite::Error> {
    let is_busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_busy {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(busy, None));
    }
    Ok(())
}

/// It was committed, into a file that may have its name again.
fn unconfirmed(error: KvError) -> KvError {
    match error {
        KvError::Unavailable { place, message } => KvError::Unanswered { place, message },
        other => other,
    }
}
