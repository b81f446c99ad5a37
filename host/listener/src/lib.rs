//! One TCP port for HTTP and WebSocket.
//!
//! It reads requests, checks WebSocket handshakes and hands over what is left to a [`Service`]. It
//! must know nothing of routes, of lanes, or of what is talked about.

mod answer;
mod connection;
mod connections;
mod drain;
mod handshake;
pub mod limits;
mod listener;
mod service;

pub use connections::Connections;
pub use drain::DrainReport;
pub use limits::Limits;
pub use listener::Listener;
pub use service::{Admit, Body, BoxError, ClientSocket, Serve, Service};

pub use tokio_util::sync::CancellationToken;
