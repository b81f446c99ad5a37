//! One host for one database: two would each take all lanes for theirs. The file itself is locked, so that it
//! does not matter by which of its names (a symbolic or hard link) a host opens it.
//!
//! The lock is `flock`'s, which does not meet SQLite's own locks (`fcntl`). Those are lost when a process
//! closes any descriptor of the file: the one here must stay open for as long as the database is.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Comes behind the name of a file that cannot be locked itself.
const BESIDE: &str = ".host-lock";

/// File systems of servers: there `flock` is a lock of `fcntl`, and SQLite would meet it.
const NFS: i64 = 0x6969;
const SMB: [i64; 3] = [0x517b, 0xff53_4d42, 0xfe53_4d42];

/// The databases of this host, each by device and inode.
#[derive(Default)]
pub struct StoreLocks(BTreeMap<(u64, u64), File>);

impl StoreLocks {
    /// Locks the file before it is opened as a database; it is created if need be, with the directories
    /// above. A file that this host has already is left as it is.
    ///
    /// # Errors
    /// Another host has it, or it cannot be opened.
    pub fn take(&mut self, path: &Path) -> anyhow::Result<()> {
        let identity = |found: &std::fs::Metadata| (found.dev(), found.ino());
        // Not opened a second time: see above.
        let known = std::fs::metadata(path).ok().map(|found| identity(&found));
        if known.is_some_and(|known| self.0.contains_key(&known)) {
            return Ok(());
        }
        let advice = || {
            format!(
                "cannot use {} as database: have its directory and its files belong to the user that the \
                 gateway runs as, or name another place with --state-dir or in runtime-config.toml",
                path.display()
            )
        };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(advice)?;
        }
        let file = open(path).with_context(advice)?;
        let identity = identity(&file.metadata().with_context(advice)?);
        let lock = match is_remote(&file) {
            false => file,
            true => {
                let mut beside = path.canonicalize().with_context(advice)?.into_os_string();
                beside.push(BESIDE);
                open(&PathBuf::from(beside)).with_context(advice)?
            }
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another gateway uses {}: stop it, give this one another --state-dir, or have both \
                 use a store of type \"redis\"",
                path.display()
            ),
            Err(TryLockError::Error(error)) => tracing::warn!(
                file = %path.display(), %error,
                "this file system has no locks: see to it that no other gateway uses this file"
            ),
        }
        self.0.insert(identity, lock);
        Ok(())
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Whether it is another machine's.
fn is_remote(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|found| {
        #[allow(clippy::unnecessary_cast, reason = "not an i64 on every architecture")]
        let kind = found.f_type as i64;
        kind == NFS || SMB.contains(&kind)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_file_is_one_hosts_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut first = StoreLocks::default();
        first.take(&at("db")).unwrap();
        std::os::unix::fs::symlink(at("db"), at("symbolic")).unwrap();
        std::fs::hard_link(at("db"), at("hard")).unwrap();
        for name in ["db", "symbolic", "hard"] {
            let refused = StoreLocks::default().take(&at(name)).unwrap_err();
            let said = refused.to_string();
            assert!(
                said.contains("another gateway uses") && said.contains(name),
                "{said}"
            );
            // Two stores of one host may be in one file.
            first.take(&at(name)).unwrap();
        }
        assert_eq!(first.0.len(), 1);
        StoreLocks::default().take(&at("another/db")).unwrap();
        drop(first);
        StoreLocks::default().take(&at("hard")).unwrap();
    }

    #[test]
    fn what_cannot_be_opened_is_named_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("db")).unwrap();
        for name in ["db", "db/../missing\0"] {
            let refused = StoreLocks::default()
                .take(&folder.path().join(name))
                .unwrap_err();
            let said = format!("{refused:#}");
            assert!(
                said.contains("cannot use") && said.contains("--state-dir"),
                "{said}"
            );
        }
    }
}
