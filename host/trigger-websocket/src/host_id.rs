//! By which name a host is known to the others that share its store. A host that is started again in its
//! state directory has the name it had, and so is not kept waiting for itself to be found dead.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// In the state directory.
const FILE: &str = "host-id";

/// A name has this many bytes.
const LENGTH: usize = 32;

/// The name of this host, while it runs.
pub struct HostId {
    /// Letters and digits.
    pub name: String,
    /// Another process in the same state directory finds it locked, and takes another name.
    _lock: Option<File>,
}

impl HostId {
    /// The name that is kept in this directory, or a new one.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn of(state_dir: &Path) -> std::io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(state_dir.join(FILE))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Ok(Self {
                    name: new_name(),
                    _lock: None,
                });
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut kept = String::new();
        // What is no text is no name.
        let _ = file.read_to_string(&mut kept);
        let is_name = kept.len() == LENGTH && kept.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name {
            kept = new_name();
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(kept.as_bytes())?;
        }
        Ok(Self {
            name: kept,
            _lock: Some(file),
        })
    }
}

fn new_name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_host_keeps_its_name_and_two_have_not_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let first = HostId::of(folder.path()).unwrap();
        let name = first.name.clone();
        assert_eq!(name.len(), LENGTH);
        let beside = HostId::of(folder.path()).unwrap();
        assert_ne!(beside.name, name);
        drop(first);
        assert_eq!(HostId::of(folder.path()).unwrap().name, name);
        std::fs::write(folder.path().join(FILE), "a/b").unwrap();
        assert_eq!(HostId::of(folder.path()).unwrap().name.len(), LENGTH);
    }
}
