//! What the listener asks of the program that it listens for.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, request::Parts};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;

/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer, streamed or whole.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A client's WebSocket after the handshake.
pub type ClientSocket = WebSocketStream<TokioIo<Upgraded>>;

/// In the extensions of a request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted;

/// What becomes of an upgrade request.
#[derive(Debug)]
pub enum Admit {
    /// The handshake goes on; both strings come back with the socket.
    Accept {
        /// Whose socket it is.
        lane: String,
        /// What else is known of it.
        context: String,
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
    fn http(&self, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>>;

    /// Takes a connection after the handshake, until it ends.
    fn websocket(
        &self,
        socket: ClientSocket,
        lane: String,
        context: String,
    ) -> BoxFuture<'static, ()>;
}
