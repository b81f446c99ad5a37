//! One TCP port for HTTP and WebSocket.
//!
//! It reads requests, encrypted or not, checks WebSocket handshakes and hands over what is left to a
//! [`Service`]. It
//! must know nothing of routes, of lanes, or of what is talked about.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod answer;
mod body;
mod connection;
mod connections;
mod der;
mod drain;
mod handshake;
pub mod limits;
mod linger;
mod listener;
mod over;
mod pair;
mod penalties;
mod rules;
mod service;
mod stall;
mod timer;
mod tls;
mod tls_error;

pub use body::RequestBody;
pub use connections::Connections;
pub use drain::DrainReport;
pub use limits::Limits;
pub use listener::Listener;
pub use over::Over;
pub use service::{Admit, Body, BoxError, ClientSocket, Encrypted, Ended, Peer, Serve, Service};
pub use tls::{Reload, Tls};
pub use tls_error::TlsError;

pub use tokio_util::sync::CancellationToken;
