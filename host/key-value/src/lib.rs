//! The key-value store: Spin's SQLite file and schema.
//!
//! [`KeyValue`] is what a component's host needs of a store; [`SqliteStore`] is the store that Spin
//! has by default: a file that either of them wrote opens in the other. Calls are synchronous,
//! because the host functions that make them are: a call takes some ten microseconds, a change of
//! threads would cost more. They must not be made while an async lock is held.
//!
//! This crate stores bytes and knows nothing of what they mean.

mod error;
mod limits;
mod sqlite;

pub use error::KvError;
pub use limits::{
    BUSY_TIMEOUT, MAX_BATCH_ENTRIES, MAX_KEY_BYTES, MAX_VALUE_BYTES, PAGE_KEYS, READERS,
};
pub use sqlite::{Durability, SqliteStore};

/// A key and its value, if it has one.
pub type Entry = (String, Option<Vec<u8>>);

/// One page of a store's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPage {
    /// At most [`PAGE_KEYS`], in the order of their bytes.
    pub keys: Vec<String>,
    /// For the next call; none when there are no more keys.
    pub cursor: Option<String>,
}

/// What [`KeyValue::compare_and_swap`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The value was the expected one and is now the new one.
    Swapped,
    /// Nothing was changed: this is the value (none: the key is absent).
    Differs(Option<Vec<u8>>),
}

/// A store of values by key.
///
/// Keys have at most [`MAX_KEY_BYTES`], values that are written at most [`MAX_VALUE_BYTES`], batches
/// at most [`MAX_BATCH_ENTRIES`]; more is [`KvError::TooLarge`]. Every method can fail with the other
/// errors of [`KvError`]; a method that fails has changed nothing.
pub trait KeyValue: Send + Sync {
    /// The value of `key`.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError>;

    /// Sets the value of `key`.
    fn set(&self, key: &str, value: &[u8]) -> Result<(), KvError>;

    /// Removes `key`; it need not be there.
    fn delete(&self, key: &str) -> Result<(), KvError>;

    /// Whether `key` has a value.
    fn exists(&self, key: &str) -> Result<bool, KvError>;

    /// A page of the keys, beginning after those of the page that gave `cursor`. Keys that are added
    /// or removed meanwhile may or may not be seen; all others are seen exactly once.
    fn list_keys(&self, cursor: Option<&str>) -> Result<KeyPage, KvError>;

    /// The values of `keys`, in their order, as they were at one moment.
    fn get_many(&self, keys: &[String]) -> Result<Vec<Entry>, KvError>;

    /// Sets all of them or none. Of two entries with the same key the later wins.
    fn set_many(&self, entries: &[(String, Vec<u8>)]) -> Result<(), KvError>;

    /// Removes all of them or none; they need not be there.
    fn delete_many(&self, keys: &[String]) -> Result<(), KvError>;

    /// Adds `delta` to the number at `key` (0 if absent) and gives the sum. Numbers are stored as
    /// Spin stores them: 8 bytes, little-endian, two's complement.
    ///
    /// # Errors
    /// [`KvError::NotANumber`]: the value is not 8 bytes long, or the sum exceeds 64 bits.
    fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError>;

    /// Sets `key` to `new` if its value is `expected` (none: if it is absent), in one step that no
    /// other change of this key can come between, from whatever connection or process.
    fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<Swap, KvError>;
}
