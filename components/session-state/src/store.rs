//! The key-value store as this component needs it: texts by key, many at once, and one field at a
//! time by compare-and-swap. It knows no record. The rules of this component are written against
//! this trait, so that tests can interleave and stop them at every call.

use crate::bindings::exports::interview::gateway::session_state::Error;

/// How often a compare-and-swap is tried against others before it gives up.
const SWAP_TRIES: u32 = 32;

/// Bytes of the entries that one read of a log gives, unless a single one is larger: what is read is copied
/// a few times on its way, and an instance has little memory. Entries that were stored when names had no
/// limit may have a megabyte each.
pub const PAGE_BYTES: usize = 4 << 20;

/// Keys that [`Store::get_page`] reads first, and at most at a time: until their values are there, nobody
/// knows how long they are.
const FIRST_KEYS: usize = 8;
const MOST_KEYS: usize = 64;

/// A key-value store.
pub trait Store {
    /// A compare-and-swap that has begun.
    type Attempt;

    /// The values of `keys`, in their order.
    fn get_list(&self, keys: &[String]) -> Result<Vec<Option<String>>, Error>;

    /// All of it in one batch: one transaction where the store has them.
    fn set_many(&self, values: Vec<(String, String)>) -> Result<(), Error>;

    /// As [`Store::set_many`]; what is not there is no error.
    fn delete_many(&self, keys: &[String]) -> Result<(), Error>;

    /// Adds one to a counter, which begins at 0, and gives the sum.
    fn increment(&self, key: &str) -> Result<u64, Error>;

    /// Where a counter is.
    fn counter(&self, key: &str) -> Result<u64, Error>;

    /// Begins a compare-and-swap: what the value is now.
    fn begin_swap(&self, key: &str) -> Result<(Self::Attempt, Option<String>), Error>;

    /// Writes `new` if the value is what it was; false if it is not.
    fn end_swap(&self, attempt: Self::Attempt, new: &str) -> Result<bool, Error>;

    /// The values of the first ones of `keys`: as many as have at most `bytes` together, and one at least.
    fn get_page(&self, keys: &[String], bytes: usize) -> Result<Vec<Option<String>>, Error> {
        let mut values = Vec::new();
        let (mut taken, mut at_once) = (0_usize, FIRST_KEYS);
        while let Some(rest) = keys.get(values.len()..).filter(|rest| !rest.is_empty()) {
            let some = rest.get(..at_once).unwrap_or(rest);
            for value in self.get_list(some)? {
                taken = taken.saturating_add(value.as_ref().map_or(0, String::len));
                if taken > bytes && !values.is_empty() {
                    return Ok(values);
                }
                values.push(value);
            }
            at_once = MOST_KEYS.min(at_once * 4);
        }
        Ok(values)
    }

    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        let [value] = self.get_many([key.to_owned()])?;
        Ok(value)
    }

    /// The values of `keys`, in their order.
    fn get_many<const N: usize>(&self, keys: [String; N]) -> Result<[Option<String>; N], Error> {
        let mut values = self.get_list(&keys)?.into_iter();
        Ok(std::array::from_fn(|_| values.next().flatten()))
    }

    /// Replaces the value of `key` by what `change` makes of it, unless somebody else did so
    /// meanwhile: then `change` is asked again. `None` from it means that nothing has to change.
    fn swap<T>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<&str>) -> Result<(Option<String>, T), Error>,
    ) -> Result<T, Error> {
        for _ in 0..SWAP_TRIES {
            let (attempt, current) = self.begin_swap(key)?;
            let (new, outcome) = change(current.as_deref())?;
            let Some(new) = new else { return Ok(outcome) };
            let is_refused = !self.end_swap(attempt, &new)?;
            // Not every host's answer can be trusted: on stock Spin a swap of an absent key writes
            // whatever is there, and on Redis a swap that wrote reports a failure.
            let is_doubtful = is_refused || current.is_none();
            if !is_doubtful || self.get(key)?.as_deref() == Some(new.as_str()) {
                return Ok(outcome);
            }
        }
        Err(Error::Contended)
    }
}
