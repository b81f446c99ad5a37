//! The key-value store as this component uses it: texts by key, many at once, and one field at a
//! time by compare-and-swap. It knows no record.

use crate::bindings::exports::interview::gateway::session_state::Error;
use crate::bindings::wasi::keyvalue::{atomics, batch, store};

/// The store that the manifest names.
const STORE: &str = "default";
/// How often a compare-and-swap is tried against others before it gives up.
const SWAP_TRIES: u32 = 32;

pub struct Store {
    bucket: store::Bucket,
}

impl Store {
    pub fn open() -> Result<Store, Error> {
        Ok(Store {
            bucket: store::open(STORE).map_err(unavailable)?,
        })
    }

    pub fn get(&self, key: &str) -> Result<Option<String>, Error> {
        self.bucket
            .get(key)
            .map_err(unavailable)?
            .map(text)
            .transpose()
    }

    /// The values of `keys`, in their order.
    pub fn get_many<const N: usize>(
        &self,
        keys: [String; N],
    ) -> Result<[Option<String>; N], Error> {
        let mut values = self.get_list(&keys)?.into_iter();
        Ok(std::array::from_fn(|_| values.next().flatten()))
    }

    /// The values of `keys`, in their order, whatever order the store answers in.
    pub fn get_list(&self, keys: &[String]) -> Result<Vec<Option<String>>, Error> {
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

    /// All of it in one batch: one transaction where the store has them.
    pub fn set_many(&self, values: Vec<(String, String)>) -> Result<(), Error> {
        if values.is_empty() {
            return Ok(());
        }
        let values: Vec<_> = values
            .into_iter()
            .map(|(k, v)| (k, v.into_bytes()))
            .collect();
        batch::set_many(&self.bucket, &values).map_err(unavailable)
    }

    /// Replaces the value of `key` by what `change` makes of it, unless somebody else did so
    /// meanwhile: then `change` is asked again. `None` from it means that nothing has to change.
    pub fn swap<T>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<&str>) -> Result<(Option<String>, T), Error>,
    ) -> Result<T, Error> {
        for _ in 0..SWAP_TRIES {
            let cas = atomics::Cas::new(&self.bucket, key).map_err(unavailable)?;
            let current = cas.current().map_err(unavailable)?.map(text).transpose()?;
            let (new, outcome) = change(current.as_deref())?;
            let Some(new) = new else { return Ok(outcome) };
            let refused = match atomics::swap(cas, new.as_bytes()) {
                Ok(()) => false,
                Err(atomics::CasError::CasFailed(_)) => true,
                Err(atomics::CasError::StoreError(error)) => return Err(unavailable(error)),
            };
            // Not every host's answer can be trusted: on stock Spin a swap of an absent key writes
            // whatever is there, and on Redis a swap that wrote reports a failure.
            let untrusted = refused || current.is_none();
            if !untrusted || self.get(key)?.as_deref() == Some(new.as_str()) {
                return Ok(outcome);
            }
        }
        Err(Error::Contended)
    }
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
