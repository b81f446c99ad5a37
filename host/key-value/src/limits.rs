//! The store's limits.

use std::time::Duration;

/// The longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;

/// The largest value that can be written, in bytes. What is large belongs into the blob store.
pub const MAX_VALUE_BYTES: usize = 10 * 1024 * 1024;

/// The most entries of one batch.
pub const MAX_BATCH_ENTRIES: usize = 10_000;

/// The most keys of one page of a listing.
pub const PAGE_KEYS: usize = 1000;

/// What [`crate::KeyValue::probe`] writes, in bytes: more than the records of one batch mostly are.
pub const PROBE_BYTES: usize = 32 * 1024;

/// How many reads of one store can run at a time; more wait for one of them.
pub const READERS: usize = 4;

/// How long a call waits for another process that holds the file, before it is
/// [`crate::KvError::Busy`]. Within one process callers queue and do not run into this.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls that wait for a Redis server's answer at a time; more wait for one of them.
pub const IN_FLIGHT: usize = 256;

/// How often a host shows a Redis server that it is alive, and looks whether the server is.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long after its last sign of life a host is taken for dead by the others at that server.
pub const PRESENCE: Duration = Duration::from_secs(10);

/// The longest pause between two attempts to connect to a Redis server.
pub const MAX_RECONNECT_PAUSE: Duration = Duration::from_secs(1);
