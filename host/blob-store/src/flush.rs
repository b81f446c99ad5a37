//! Names of files and directories that are to outlive a loss of power: that one is there, or is gone, is
//! written in the directory above it. The files' content is the store's.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::Sync;

/// Makes a directory and those above it that are missing; with [`Sync::Power`] all of them outlive a loss of it.
pub(crate) fn make_directory(directory: &Path, sync: Sync) -> io::Result<()> {
    if sync != Sync::Power {
        return fs::create_dir_all(directory);
    }
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|place| !place.as_os_str().is_empty() && !place.exists())
        .collect();
    fs::create_dir_all(directory)?;
    for made in missing {
        names_beside(made)?;
    }
    Ok(())
}

/// What is said of this name in the directory above it is so from now on. Where that directory is gone, too,
/// there is nothing to say.
pub(crate) fn names_beside(name: &Path) -> io::Result<()> {
    let above = match name.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    match File::open(above) {
        Ok(above) => above.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn directories_are_made_as_deep_as_asked_and_again() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        for sync in [Sync::Power, Sync::Power, Sync::Process] {
            make_directory(&deep, sync).unwrap();
            assert!(deep.is_dir());
        }
    }

    #[test]
    fn a_name_whose_directory_is_gone_is_gone() {
        let root = tempfile::tempdir().unwrap();
        names_beside(&root.path().join("not/there")).unwrap();
        names_beside(Path::new("relative")).unwrap();
        names_beside(Path::new("/")).unwrap();
    }
}
