//! Streams audio files into a running gateway, as a desktop client would: the program `feed`, and
//! its parts for tests.
//!
//! [`run`] is one run of the program. [`audio`] makes seconds of PCM of a file, which [`reading`] reads
//! ahead; [`delivery`] decides what is sent and sent again; [`stream`] moves one file over its
//! WebSockets ([`socket`]); [`api`] and [`live`] ask over HTTP; [`connection`] connects for both.
//! [`display`] and [`output`] show what happens, [`report`] what came of it.

pub mod api;
pub mod arguments;
pub mod audio;
pub mod connection;
pub mod delivery;
pub mod display;
pub mod gateway;
pub mod interrupt;
pub mod live;
pub mod output;
pub mod printable;
pub mod proxy;
pub mod reading;
pub mod report;
pub mod resume;
pub mod run;
pub mod session;
pub mod shell;
pub mod socket;
pub mod stream;
pub mod tls;
