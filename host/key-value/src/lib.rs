//! The key-value stores: Spin's SQLite file and schema, and Redis.
//!
//! [`KeyValue`] is what a component's host needs of a store. [`SqliteStore`] is the store that Spin has by
//! default: a file that either of them wrote opens in the other. It answers inside of the call, because a
//! call takes some ten microseconds and a change of threads would cost more. [`RedisStore`] is a store that
//! several hosts share; what they need of each other for that are its claims ([`Claim`]).
//!
//! This crate stores bytes and knows nothing of what they mean.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod checks;
mod error;
mod limits;
mod redis;
mod sqlite;

use std::pin::Pin;
use std::sync::Arc;

pub use error::KvError;
pub use limits::{
    BUSY_TIMEOUT, HEARTBEAT, IN_FLIGHT, MAX_BATCH_ENTRIES, MAX_KEY_BYTES, MAX_RECONNECT_PAUSE,
    MAX_VALUE_BYTES, PAGE_KEYS, PRESENCE, PROBE_BYTES, READERS,
};
pub use redis::{Claim, Lost, MAX_PREFIX_BYTES, RedisSettings, RedisStore};
pub use sqlite::{Durability, SqliteStore};

/// A key and its value, if it has one.
pub type Entry = (String, Option<Vec<u8>>);

/// What a store's method gives: nothing is done before it is awaited.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, KvError>> + Send + 'a>>;

/// One page of a store's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPage {
    /// About [`PAGE_KEYS`] or fewer; each once.
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
/// errors of [`KvError`]; a method that fails has changed nothing, unless its error says otherwise.
///
/// Two calls of one process take effect in the order in which they were awaited, also when the first
/// ended with [`KvError::Unanswered`].
pub trait KeyValue: Send + Sync {
    /// The value of `key`.
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// Sets the value of `key`.
    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> Answer<'a, ()>;

    /// Removes `key`; it need not be there.
    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()>;

    /// Whether `key` has a value.
    fn exists<'a>(&'a self, key: &'a str) -> Answer<'a, bool>;

    /// A page of the keys, beginning after those of the page that gave `cursor`. Keys that are added
    /// or removed meanwhile may or may not be seen. All others are seen: in SQLite exactly once and in
    /// the order of their bytes, in Redis in no order, and rarely on two pages.
    fn list_keys<'a>(&'a self, cursor: Option<&'a str>) -> Answer<'a, KeyPage>;

    /// The values of `keys`, in their order, as they were at one moment.
    fn get_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, Vec<Entry>>;

    /// Sets all of them or none. Of two entries with the same key the later wins.
    fn set_many<'a>(&'a self, entries: &'a [(String, Vec<u8>)]) -> Answer<'a, ()>;

    /// Removes all of them or none; they need not be there.
    fn delete_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()>;

    /// Adds `delta` to the number at `key` (0 if absent) and gives the sum. Numbers are kept as Spin keeps
    /// them in each store, and one is not taken for the other: in SQLite as 8 bytes, little-endian, two's
    /// complement; in Redis, whose own number it is, as decimal digits.
    ///
    /// # Errors
    /// [`KvError::NotANumber`]: the value is no such number, or the sum exceeds 64 bits.
    fn increment<'a>(&'a self, key: &'a str, delta: i64) -> Answer<'a, i64>;

    /// Sets `key` to `new` if its value is `expected` (none: if it is absent), in one step that no
    /// other change of this key can come between, from whatever connection or process.
    fn compare_and_swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
    ) -> Answer<'a, Swap>;

    /// Whether the store is there, as far as can be seen without writing: the file is in its place, the
    /// server is connected. Cheap enough to be asked every second.
    fn check(&self) -> Answer<'_, ()>;

    /// Whether something can be stored: writes [`PROBE_BYTES`] where no app sees them, and removes them.
    fn probe(&self) -> Answer<'_, ()>;

    /// This store, with `set`, `delete`, `set_many` and `delete_many` done only while the claim is held:
    /// else they are [`KvError::ClaimLost`]. None: nobody shares this store, claims are of no use.
    fn under(&self, claim: &Claim) -> Option<Arc<dyn KeyValue>> {
        let _ = claim;
        None
    }
}
