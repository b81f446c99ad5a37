//! The harness of the end-to-end tests: the real host with the real components, real sockets and
//! real stores on this machine; only the two services beyond it are stood in for.
//!
//! It starts and talks; it holds no opinion on what is right, that is the tests' to say. It must not
//! reach into the host's insides: what a test cannot see through a socket, the log or the state
//! directory, it does not see. All waiting is for a condition and ends after [`wait::PATIENCE`].
// A harness fails a test by panicking; there is nobody to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod asr;
pub mod audit;
pub mod blobs;
pub mod build;
pub mod client;
pub mod contract;
pub mod feed_load;
pub mod gateway;
pub mod http;
pub mod inference;
pub mod recorder;
pub mod session;
pub mod store;
pub mod wait;

mod background;

pub use asr::Asr;
pub use audit::{Expect, Recorded, audit};
pub use client::{AudioSocket, Received, chunk_frame};
pub use feed_load::{FeedLoad, FeedPace};
pub use gateway::{Gateway, Settings, Shared};
pub use inference::{Inference, Reply};
pub use recorder::{Pace, Recorder};
