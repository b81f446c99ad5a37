//! The gateway as its clients and operators see it. One program for all themes: it is linked once,
//! and themes can share a gateway. `cargo test -p end-to-end restart::` runs one of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod smoke;
