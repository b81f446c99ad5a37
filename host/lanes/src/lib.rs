//! Lanes, timers and sockets: the host half of `realtime:sockets`, in plain Rust.
//!
//! A *lane* is an ordered mailbox: what happens to its sockets and timers, and what is posted to it,
//! reaches a [`Mailbox`] as events, one batch at a time and in order, while other lanes go on. The
//! crate holds the sockets; the mailbox (a WebAssembly component, or a test) holds nothing.
//!
//! It must know nothing of WebAssembly, of HTTP routes, or of what the sockets are used for, and it
//! must never hold more of anything than its [`Limits`] say.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod accounts;
mod calls;
mod charge;
mod close_frame;
mod connect;
mod connection;
mod displace;
mod drain;
mod errors;
mod events;
mod hand_over;
mod handle;
mod inbound;
mod lane;
mod lanes;
pub mod limits;
mod liveness;
mod outbound;
mod outbox;
mod over;
mod queue;
mod registry;
mod space;
mod stats;
mod timers;
mod unknown;

pub use accounts::Account;
pub use drain::DrainReport;
pub use errors::{HandleError, LaneError, SocketError, TimerError};
pub use events::{CallId, Event, Payload, SocketToken};
pub use lanes::{Batch, Lanes, Mailbox, OutboundPolicy, Standing, Target};
pub use limits::Limits;
pub use over::Over;
pub use stats::{Observer, Stats};

pub use tokio_tungstenite::tungstenite::Utf8Bytes;
