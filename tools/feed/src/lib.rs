//! Streams audio files into a running gateway, as a desktop client would: the program `feed`, and
//! its parts for tests.
//!
//! [`delivery`] decides what is sent and sent again, [`audio`] makes seconds of PCM of a file; both
//! are plain values. [`stream`] moves one file over its WebSocket, [`api`] asks over HTTP, and
//! [`display`] shows what happens.

pub mod api;
pub mod audio;
pub mod delivery;
pub mod display;
pub mod session;
pub mod stream;
