//! Batches of the live lane: what is numbered, who is sent what, and what a fault does to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod properties;
mod scenarios;
mod world;
