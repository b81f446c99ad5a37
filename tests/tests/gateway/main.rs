//! The gateway as its clients and operators see it. One program for all themes: it is linked once,
//! and themes can share a gateway. `cargo test -p end-to-end restart::` runs one of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod asr_down;
mod asr_faults;
mod backfill;
mod bad_input;
mod blob_faults;
mod blob_store_s3;
mod bounds;
mod client_faults;
mod conformance;
mod damaged;
mod deletion;
mod edge;
mod encrypted;
mod feed;
mod finalized;
mod hostile;
mod hostile_clients;
mod identity;
mod kept;
mod key_names;
mod key_value_faults;
mod kills;
mod live;
mod merged;
mod metrics;
mod operation;
mod port;
mod reliability_doc;
mod resolve;
mod restart;
mod samples;
mod sessions;
mod settings;
mod smoke;
mod spin_trigger;
mod store_lost;
mod stores_and_process;
mod transcription;
mod two_hosts;
mod whole_session;
