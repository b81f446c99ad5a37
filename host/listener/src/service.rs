//! What the listener asks of the program that it listens for.

use std::net::IpAddr;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;

use crate::RequestBody;

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer, streamed or whole.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A client's WebSocket after the handshake.
pub type ClientSocket = WebSocketStream<TokioIo<Upgraded>>;

/// In the extensions of a request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// In the extensions of a request: the address that it came from, as connections are counted: an IPv4
/// address, or that of an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Takes a connection after the handshake, until it ends.
pub type Serve = Box<dyn FnOnce(ClientSocket) -> BoxFuture<'static, Ended> + Send>;

/// How a WebSocket was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was served.
    Served,
    /// It was turned away, as a request is by a status of the 400s.
    Refused,
}

/// What becomes of an upgrade request.
pub enum Admit {
    /// The handshake goes on.
    Accept {
        /// What the answer names as `Sec-WebSocket-Protocol`: one that the request offers.
        protocol: Option<HeaderValue>,
        /// Whether it is known whose it is. One that is not waits for the handshake if its address has
        /// been refused often.
        is_known: bool,
        /// Gets the socket.
        serve: Serve,
    },
    /// The handshake ends with this answer.
    Refuse(Response<Bytes>),
    /// There are no WebSockets here: answer the request as plain HTTP.
    NotWebSocket,
}

/// What is served.
pub trait Service: Send + Sync + 'static {
    /// Decides an upgrade request before the handshake.
    fn admit(&self, request: Parts) -> BoxFuture<'static, Admit>;

    /// Answers a plain request. To a `HEAD` request it may answer as to `GET`: the body is not sent.
    fn http(&self, request: Request<RequestBody>) -> BoxFuture<'static, Response<Body>>;
}
