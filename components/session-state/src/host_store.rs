//! The host's key-value store, `wasi:keyvalue`, behind [`Store`].

use crate::bindings::exports::interview::gateway::session_state::Error;
use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::store::Store;

/// The store that the manifest names.
const STORE: &str = "default";

pub struct HostStore {
    bucket: store::Bucket,
}

impl HostStore {
    pub fn open() -> Result<HostStore, Error> {
        Ok(HostStore {
            bucket: store::open(STORE).map_err(unavailable)?,
        })
    }
}

impl Store for HostStore {
    type Attempt = atomics::Cas;

    /// Whatever order the store answers in.
    fn get_list(&self, keys: &[String]) -> Result<Vec<Option<String>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = batch::get_many(&self.bucket, keys).map_err(unavailable)?;
        let in_order =
            found.len() == keys.len() && found.iter().zip(keys).all(|((k, _), key)| k == key);
        if !in_order {
            let mut by_key: std::collections::BTreeMap<_, _> = found.into_iter().collect();
            found = keys
                .iter()
                .map(|key| (key.clone(), by_key.remove(key).flatten()))
                .collect();
        }
        found
            .into_iter()
            .map(|(_, value)| value.map(text).transpose())
            .collect()
    }

    fn set_many(&self, values: Vec<(String, String)>) -> Result<(), Error> {
        if values.is_empty() {
            return Ok(());
        }
        let values: Vec<_> = values
            .into_iter()
            .map(|(k, v)| (k, v.into_bytes()))
            .collect();
        batch::set_many(&self.bucket, &values).map_err(unavailable)
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        batch::delete_many(&self.bucket, keys).map_err(unavailable)
    }

    fn increment(&self, key: &str) -> Result<u64, Error> {
        let sum = atomics::increment(&self.bucket, key, 1).map_err(unavailable)?;
        u64::try_from(sum).map_err(|_| Error::Damaged(format!("counter {key}: it is negative")))
    }

    fn counter(&self, key: &str) -> Result<u64, Error> {
        let stored = self.bucket.get(key).map_err(unavailable)?;
        stored.map_or(Ok(0), |stored| {
            read_counter(&stored)
                .ok_or_else(|| Error::Damaged(format!("counter {key}: it is no number")))
        })
    }

    fn begin_swap(&self, key: &str) -> Result<(atomics::Cas, Option<String>), Error> {
        let cas = atomics::Cas::new(&self.bucket, key).map_err(unavailable)?;
        let current = cas.current().map_err(unavailable)?.map(text).transpose()?;
        Ok((cas, current))
    }

    fn end_swap(&self, attempt: atomics::Cas, new: &str) -> Result<bool, Error> {
        match atomics::swap(attempt, new.as_bytes()) {
            Ok(()) => Ok(true),
            Err(atomics::CasError::CasFailed(_)) => Ok(false),
            Err(atomics::CasError::StoreError(error)) => Err(unavailable(error)),
        }
    }
}

/// A counter as stores keep it: 8 bytes, little-endian (SQLite), or decimal digits (Redis). Eight
/// digits are no number of the first kind that counting could reach.
fn read_counter(stored: &[u8]) -> Option<u64> {
    if stored.iter().all(u8::is_ascii_digit) {
        return std::str::from_utf8(stored).ok()?.parse().ok();
    }
    u64::try_from(i64::from_le_bytes(stored.try_into().ok()?)).ok()
}

fn unavailable(error: store::Error) -> Error {
    Error::Unavailable(match error {
        store::Error::NoSuchStore => format!("there is no key-value store {STORE:?}"),
        store::Error::AccessDenied => format!("the key-value store {STORE:?} is not granted"),
        store::Error::Other(why) => why,
    })
}

fn text(value: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(value).map_err(|_| Error::Damaged("a stored value is not text".into()))
}

#[cfg(test)]
mod tests {
    use super::read_counter;

    #[test]
    fn counters_of_every_store() {
        assert_eq!(read_counter(&7_i64.to_le_bytes()), Some(7));
        assert_eq!(read_counter(&0_i64.to_le_bytes()), Some(0));
        assert_eq!(read_counter(b"7"), Some(7));
        assert_eq!(read_counter(b"12345678"), Some(12_345_678));
        assert_eq!(read_counter(&(-1_i64).to_le_bytes()), None);
        assert_eq!(read_counter(b""), None);
        assert_eq!(read_counter(b"x"), None);
    }
}
