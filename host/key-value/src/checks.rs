//! What every store checks before it does anything.

use crate::KvError;
use crate::limits::{MAX_BATCH_ENTRIES, MAX_KEY_BYTES, MAX_VALUE_BYTES};

pub(crate) fn check_key(key: &str) -> Result<(), KvError> {
    check("key bytes", key.len(), MAX_KEY_BYTES)
}

pub(crate) fn check_value(value: &[u8]) -> Result<(), KvError> {
    check("value bytes", value.len(), MAX_VALUE_BYTES)
}

pub(crate) fn check_keys(keys: &[String]) -> Result<(), KvError> {
    check("batch entries", keys.len(), MAX_BATCH_ENTRIES)?;
    keys.iter().try_for_each(|key| check_key(key))
}

pub(crate) fn check_entries(entries: &[(String, Vec<u8>)]) -> Result<(), KvError> {
    check("batch entries", entries.len(), MAX_BATCH_ENTRIES)?;
    entries.iter().try_for_each(|(key, value)| {
        check_key(key)?;
        check_value(value)
    })
}

fn check(what: &'static str, size: usize, limit: usize) -> Result<(), KvError> {
    if size > limit {
        Err(KvError::TooLarge { what, size, limit })
    } else {
        Ok(())
    }
}
