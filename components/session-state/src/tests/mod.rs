//! Tests of the rules against a store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod claims;
mod crashes;
mod fixture;
mod interleaving;
mod interruptions;
mod left;
mod list;
mod live_log;
mod memory_store;
mod shared_records;
mod stream_logs;
