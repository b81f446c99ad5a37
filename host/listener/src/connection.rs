//! One connection: its requests, and the handover when one of them becomes a WebSocket.

use std::{convert::Infallible, io, panic::AssertUnwindSafe, pin::pin, sync::Arc};

use futures::FutureExt;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Admit, Body, Connections, Encrypted, Limits, Over, Serve, Service, Tls, answer,
    connections::Place,
    handshake,
    limits::HEADERS,
    listener,
    stall::{HandedOver, Stalling},
};

/// What a TLS connection begins with: a record of type handshake.
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) limits: Limits,
    pub(crate) tasks: TaskTracker,
    /// No new requests.
    pub(crate) shutdown: CancellationToken,
    /// Ends every connection at once.
    pub(crate) cut_off: CancellationToken,
    pub(crate) connections: Connections,
    pub(crate) tls: Option<Tls>,
}

/// A connection that is being served.
struct Served {
    shared: Arc<Shared>,
    is_encrypted: bool,
    handed_over: HandedOver,
    place: Place,
}

/// Serves a connection from its first byte until it ends or has become a WebSocket.
pub(crate) async fn begin(shared: Arc<Shared>, tcp: TcpStream, place: Place) {
    let Some(tls) = shared.tls.clone() else {
        return serve(shared, tcp, false, place).await;
    };
    let within = shared.limits.tls_handshake;
    let encrypted = tokio::select! {
        encrypted = timeout(within, encrypt(&tls, tcp)) => encrypted,
        () = shared.cut_off.cancelled() => return,
    };
    match encrypted {
        Ok(Ok(stream)) => serve(shared, stream, true, place).await,
        // The client's doing, as below; nothing of it is worth a line that others can have written.
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            shared.connections.count(Over::Tls);
        }
        Err(_) => shared.connections.count(Over::TlsHandshakeTime),
    }
}

/// The handshake. Who speaks plain HTTP is told so.
async fn encrypt(tls: &Tls, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    let count = tcp.peek(&mut first).await?;
    if count == 1 && first != [TLS_HANDSHAKE_RECORD] {
        let _ = timeout(listener::REFUSAL_TIME, listener::tell(tcp, &not_tls())).await;
        return Err(io::Error::other("no TLS was spoken"));
    }
    tls.acceptor().accept(tcp).await
}

/// Serves a connection until it ends or has become a WebSocket.
async fn serve<S>(shared: Arc<Shared>, stream: S, is_encrypted: bool, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = Arc::new(Served {
        shared: Arc::clone(&shared),
        is_encrypted,
        handed_over: HandedOver::default(),
        place,
    });
    let stream = Stalling::new(
        stream,
        shared.limits.write_stall,
        served.handed_over.clone(),
        shared.connections.clone(),
    );
    let service = service_fn(|mut request: Request<Incoming>| {
        let served = Arc::clone(&served);
        async move {
            request.extensions_mut().insert(served.place.peer());
            if served.is_encrypted {
                request.extensions_mut().insert(Encrypted);
            }
            Ok::<_, Infallible>(respond(served, request).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_read)
        .max_buf_size(shared.limits.header_bytes);
    if shared.limits.headers != HEADERS {
        // Any number that is not hyper's own costs an allocation a request.
        builder.max_headers(shared.limits.headers);
    }
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
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
        if let Some(over) = over(&error) {
            shared.connections.count(over);
        }
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Which limit or rule a connection was over that ended with this error.
fn over(error: &hyper::Error) -> Option<Over> {
    if error.is_timeout() {
        Some(Over::HeaderTime)
    } else if error.is_parse_too_large() {
        Some(Over::Headers)
    } else if error.is_parse() {
        Some(Over::Http)
    } else {
        None
    }
}

async fn respond(served: Arc<Served>, request: Request<Incoming>) -> Response<Body> {
    let answering = async {
        let (parts, body) = request.into_parts();
        if handshake::is_asked_for(&parts) {
            upgrade(&served, Request::from_parts(parts, body)).await
        } else {
            served
                .shared
                .service
                .http(Request::from_parts(parts, body))
                .await
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
async fn upgrade(served: &Arc<Served>, mut request: Request<Incoming>) -> Response<Body> {
    let shared = &served.shared;
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
            let hand_over = hand_over(Arc::clone(served), upgraded, take);
            shared.tasks.spawn(hand_over);
            handshake::accept(&accept_key, protocol)
        }
        Err(refusal) => handshake::refuse(refusal),
    }
}

/// Waits until the answer to the handshake is out, then gives the connection to the service.
async fn hand_over(served: Arc<Served>, upgraded: OnUpgrade, take: Serve) {
    let shared = &served.shared;
    let serving = async {
        match upgraded.await {
            Ok(upgraded) => {
                served.handed_over.set();
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
pub(crate) fn no_place(over: Over) -> Vec<u8> {
    let (status, detail) = match over {
        Over::ConnectionsPerAddress => (
            "429 Too Many Requests",
            "too many connections from this address: close some, or try again later",
        ),
        _ => (
            "503 Service Unavailable",
            "too many connections: try again later",
        ),
    };
    closing(status, "retry-after: 1\r\n", detail)
}

/// The answer to a connection that begins with something else than TLS.
fn not_tls() -> Vec<u8> {
    let detail = "this port speaks TLS: use https:// or wss://";
    closing("400 Bad Request", "", detail)
}

fn closing(status: &str, header: &str, detail: &str) -> Vec<u8> {
    let body = serde_json::json!({ "detail": detail }).to_string();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json; charset=utf-8\r\n\
         content-length: {}\r\n{header}connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
