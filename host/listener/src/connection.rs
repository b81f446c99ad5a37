//! One connection: its requests, and the handover when one of them becomes a WebSocket.

use std::{convert::Infallible, panic::AssertUnwindSafe, pin::pin, sync::Arc};

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Admit, Body, Limits, Serve, Service, answer, connections::Place, handshake};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) limits: Limits,
    pub(crate) tasks: TaskTracker,
    /// No new requests.
    pub(crate) shutdown: CancellationToken,
    /// Ends every connection at once.
    pub(crate) cut_off: CancellationToken,
}

/// Serves a connection until it ends or has become a WebSocket.
pub(crate) async fn serve(shared: Arc<Shared>, tcp: TcpStream, place: Place) {
    let place = Arc::new(place);
    let service = service_fn(|request| {
        let (shared, place) = (Arc::clone(&shared), Arc::clone(&place));
        async move { Ok::<_, Infallible>(respond(shared, place, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_read)
        .max_buf_size(shared.limits.header_bytes)
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = shared.cut_off.cancelled() => return,
            () = shared.shutdown.cancelled(), if !stopping => {
                stopping = true;
                // The request that is under way is still answered.
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        // The client's doing: it broke off, was too slow or spoke no HTTP.
        tracing::debug!(%error, "a connection ended with an error");
    }
}

async fn respond(
    shared: Arc<Shared>,
    place: Arc<Place>,
    request: Request<Incoming>,
) -> Response<Body> {
    let answering = async {
        let (parts, body) = request.into_parts();
        if handshake::is_asked_for(&parts) {
            upgrade(&shared, place, Request::from_parts(parts, body)).await
        } else {
            shared.service.http(Request::from_parts(parts, body)).await
        }
    };
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        tracing::error!("the answer to a request panicked");
        answer::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server failed on this request: try again",
        )
    })
}

/// Decides an upgrade request.
async fn upgrade(
    shared: &Arc<Shared>,
    place: Arc<Place>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    if shared.shutdown.is_cancelled() {
        return answer::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is stopping: reconnect",
        );
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let (protocol, take) = match shared.service.admit(parts.clone()).await {
        Admit::Accept { protocol, serve } => (protocol, serve),
        Admit::Refuse(refusal) => return refusal.map(answer::whole),
        Admit::NotWebSocket => {
            return shared.service.http(Request::from_parts(parts, body)).await;
        }
    };
    match handshake::check(&parts.headers) {
        Ok(accept_key) => {
            let hand_over = hand_over(Arc::clone(shared), place, upgraded, take);
            shared.tasks.spawn(hand_over);
            handshake::accept(&accept_key, protocol)
        }
        Err(refusal) => handshake::refuse(refusal),
    }
}

/// Waits until the answer to the handshake is out, then gives the connection to the service.
async fn hand_over(shared: Arc<Shared>, _place: Arc<Place>, upgraded: OnUpgrade, take: Serve) {
    let serving = async {
        match upgraded.await {
            Ok(upgraded) => {
                let config = Some(shared.limits.websocket);
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, config).await;
                take(socket).await;
            }
            Err(error) => tracing::debug!(%error, "a client left during its handshake"),
        }
    };
    tokio::select! {
        () = serving => {}
        () = shared.cut_off.cancelled() => {}
    }
}

/// The answer to a connection for which there is no place.
pub(crate) fn no_place() -> Bytes {
    let body = r#"{"detail":"too many connections: try again later"}"#;
    Bytes::from(format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=utf-8\r\n\
         content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}
