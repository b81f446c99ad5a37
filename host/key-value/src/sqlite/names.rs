//! Whether the names of the database's files still stand for the files that are open. Whoever deletes or
//! replaces one while it is open takes nothing away that SQLite would notice: writes go on into a file
//! without a name, which is gone after the next start.

use std::fs::metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What SQLite puts behind the database's name: the write-ahead log, and the memory that its readers share.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Which file it is, whatever it is called. No other file is the same while this one is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let found = metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

/// The names of the files that are open.
#[derive(Debug)]
pub(super) struct Names {
    path: PathBuf,
    database: Identity,
    /// None of them where SQLite does without.
    beside: Vec<(PathBuf, Identity)>,
}

/// What the names stand for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The files that are open.
    AsOpened,
    /// The database that is open, but another write-ahead log, or none.
    WithoutLog,
    /// Another database, or none.
    Without,
}

impl Names {
    /// As they are now, when the files have just been opened and read; with a write-ahead log its files have
    /// names too.
    pub(super) fn of(path: &Path, has_log: bool) -> io::Result<Self> {
        // SQLite has its files beside the database, where a link to it leads.
        let real = path.canonicalize()?;
        let beside = BESIDE.iter().filter(|_| has_log).map(|suffix| {
            let mut name = real.clone().into_os_string();
            name.push(suffix);
            let name = PathBuf::from(name);
            let identity = Identity::of(&name)?;
            Ok((name, identity))
        });
        Ok(Self {
            path: path.to_owned(),
            database: Identity::of(path)?,
            beside: beside.collect::<io::Result<_>>()?,
        })
    }

    /// Whether the database has its name. A system call.
    pub(super) fn has_database(&self) -> bool {
        Identity::of(&self.path).is_ok_and(|found| found == self.database)
    }

    /// What they stand for now. Three system calls.
    pub(super) fn look(&self) -> Found {
        let is_kept = |(name, identity): &(PathBuf, Identity)| {
            Identity::of(name).is_ok_and(|found| found == *identity)
        };
        match self.has_database() {
            false => Found::Without,
            true if self.beside.iter().all(is_kept) => Found::AsOpened,
            true => Found::WithoutLog,
        }
    }

    /// Whether both stand for the same database.
    pub(super) fn is_same_database(&self, other: &Self) -> bool {
        self.database == other.database
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_name_that_stands_for_another_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["db", "db-wal", "db-shm", "other"] {
            fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(at("db"), at("link")).unwrap();
        let (names, by_link) = (
            Names::of(&at("db"), true).unwrap(),
            Names::of(&at("link"), true).unwrap(),
        );
        assert!(names.is_same_database(&by_link));
        let look = || {
            assert_eq!(names.look(), by_link.look());
            names.look()
        };
        assert_eq!(look(), Found::AsOpened);
        for log in ["db-wal", "db-shm"] {
            fs::rename(at(log), at("away")).unwrap();
            assert_eq!(look(), Found::WithoutLog);
            fs::write(at(log), "x").unwrap();
            assert_eq!(look(), Found::WithoutLog);
            fs::rename(at("away"), at(log)).unwrap();
            assert_eq!(look(), Found::AsOpened);
        }
        fs::rename(at("db"), at("away")).unwrap();
        assert_eq!(look(), Found::Without);
        fs::write(at("db"), "x").unwrap();
        assert_eq!(look(), Found::Without);
        fs::rename(at("away"), at("db")).unwrap();
        assert_eq!(look(), Found::AsOpened);
        fs::remove_file(at("link")).unwrap();
        std::os::unix::fs::symlink(at("other"), at("link")).unwrap();
        assert_eq!(by_link.look(), Found::Without);
        assert_eq!(names.look(), Found::AsOpened);
    }
}
