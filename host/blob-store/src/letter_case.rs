//! Whether a directory's file system tells names apart that differ in the case of letters only. Where it
//! does not, two keys would be one file, and two sessions would share their audio: such a directory is
//! refused when it is opened. It must not leave anything behind.

use std::fs;
use std::io;
use std::path::Path;

use crate::BlobError;

/// Refuses a directory whose file system does not tell cases apart.
///
/// # Errors
/// [`BlobError::Refused`]: it does not.
pub(crate) fn check(root: &Path) -> Result<(), BlobError> {
    check_with(root, &|path| path.try_exists())
}

/// As [`check`]; `exists` says whether there is a file of this name.
fn check_with(root: &Path, exists: &dyn Fn(&Path) -> io::Result<bool>) -> Result<(), BlobError> {
    // No key has a `#`; other processes look here too.
    let name = format!("#case-{}", std::process::id());
    let written = root.join(&name);
    if let Err(error) = fs::write(&written, "") {
        // Then nothing is stored here either: whoever tries is told why.
        tracing::debug!(%error, "the blob directory cannot be written to");
        return Ok(());
    }
    let is_found = exists(&root.join(name.to_ascii_uppercase()));
    if let Err(error) = fs::remove_file(&written) {
        tracing::debug!(%error, "a probe is left in the blob directory");
    }
    if is_found.unwrap_or(false) {
        return Err(BlobError::Refused(format!(
            "the directory {}: its file system takes names that differ in the case of letters for the same, \
             so that two sessions would share their audio: name a directory on one that tells them apart",
            root.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// As a file system that ignores case.
    fn exists_in_any_case(path: &Path) -> io::Result<bool> {
        let wanted = path.file_name().unwrap().to_str().unwrap();
        let mut entries = fs::read_dir(path.parent().unwrap())?;
        Ok(entries.any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_str().unwrap().eq_ignore_ascii_case(wanted)
        }))
    }

    #[test]
    fn a_file_system_that_ignores_case_is_refused_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let refused = check_with(folder.path(), &exists_in_any_case).unwrap_err();
        assert!(matches!(refused, BlobError::Refused(_)), "{refused}");
        for part in ["case of letters", folder.path().to_str().unwrap()] {
            assert!(refused.to_string().contains(part), "{part}: {refused}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_that_tells_cases_apart_is_taken_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        check_with(folder.path(), &|path| {
            assert!(
                exists_in_any_case(path).unwrap(),
                "something is there to find"
            );
            Ok(false)
        })
        .unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // One that cannot be written to is no matter of case.
        check(&folder.path().join("missing")).unwrap();
    }
}
