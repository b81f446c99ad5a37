//! Removing a directory of objects with all that is in it: objects, their metadata, what a crash left
//! half-written, and the directories. It follows no link and goes to no place above.

use std::fs;
use std::io;
use std::path::Path;

use crate::key;

/// How often a directory is gone through that others write to meanwhile. What then is still there was
/// put after the removal began, and stays.
const MAX_PASSES: usize = 3;

/// Removes what is at `directory` and below; it need not be there. Gives the number of objects.
pub(crate) fn remove_below(directory: &Path) -> io::Result<u32> {
    let mut objects = 0;
    for _ in 0..MAX_PASSES {
        objects += remove_entries(directory)?;
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            other => return unless_absent(other).map(|_| objects),
        }
    }
    Ok(objects)
}

fn remove_entries(directory: &Path) -> io::Result<u32> {
    let Some(entries) = unless_absent(fs::read_dir(directory))? else {
        return Ok(0);
    };
    let mut objects = 0;
    for entry in entries {
        let entry = entry?;
        let Some(kind) = unless_absent(entry.file_type())? else {
            continue;
        };
        if kind.is_dir() {
            // As deep as a key has parts.
            objects += remove_below(&entry.path())?;
        } else if unless_absent(fs::remove_file(entry.path()))?.is_some() {
            let name = entry.file_name();
            objects += u32::from(name.to_str().is_some_and(key::is_object_name));
        }
    }
    Ok(objects)
}

/// None: it is not there (any more). An object in the place of the directory is none of ours.
fn unless_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
