//! One connection: its requests, and the handover when one of them becomes a WebSocket.

use std::{convert::Infallible, io, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use awake::timeout;
use futures::FutureExt;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Admit, Body, Connections, Encrypted, Ended, Limits, Over, RequestBody, Serve, Service, Tls,
    answer,
    connections::Place,
    handshake,
    limits::HEADERS,
    linger::{self, Unread},
    listener,
    penalties::Penalties,
    rules,
    stall::{HandedOver, Stalling},
    timer::Awake,
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
    pub(crate) penalties: Penalties,
    pub(crate) tls: Option<Tls>,
}

/// A connection that is being served.
struct Served {
    shared: Arc<Shared>,
    is_encrypted: bool,
    handed_over: HandedOver,
    unread: Unread,
    place: Place,
}

/// An answer, and what it says of who asked.
struct Answered {
    response: Response<Body>,
    /// It waits if its address was refused too often, although it is no refusal.
    is_stranger: bool,
}

impl From<Response<Body>> for Answered {
    fn from(response: Response<Body>) -> Self {
        Self {
            response,
            is_stranger: false,
        }
    }
}

/// Serves a connection from its first byte until it ends or has become a WebSocket.
pub(crate) async fn begin(shared: Arc<Shared>, tcp: TcpStream, place: Place) {
    let Some(tls) = shared.tls.clone() else {
        return serve(shared, tcp, false, place).await;
    };
    let within = shared.limits.tls_handshake;
    let encrypted = tokio::select! {
        encrypted = timeout(within, encrypt(&tls, tcp, &shared.limits)) => encrypted,
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
async fn encrypt(tls: &Tls, tcp: TcpStream, limits: &Limits) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    let count = tcp.peek(&mut first).await?;
    if count == 1 && first != [TLS_HANDSHAKE_RECORD] {
        let answer = not_tls();
        let telling = linger::tell(tcp, &answer, limits);
        let _ = timeout(listener::REFUSAL_TIME, telling).await;
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
        unread: Unread::default(),
        place,
    });
    let stream = Stalling::new(
        stream,
        shared.limits.write_stall,
        served.handed_over.clone(),
        shared.connections.clone(),
    );
    let unread = served.unread.clone();
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
        .timer(Awake)
        // A client that closes its sending half has asked all that it wanted, and reads the answer.
        .half_close(true)
        .header_read_timeout(shared.limits.header_read)
        .max_buf_size(shared.limits.header_bytes);
    if shared.limits.headers != HEADERS {
        // Any number that is not hyper's own costs an allocation a request.
        builder.max_headers(shared.limits.headers);
    }
    let mut connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = std::pin::Pin::new(&mut connection) => break ended,
            () = shared.cut_off.cancelled() => return,
            () = shared.shutdown.cancelled(), if !stopping => {
                stopping = true;
                // The request that is under way is still answered.
                std::pin::Pin::new(&mut connection).graceful_shutdown();
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
    // None: it has become a WebSocket.
    let Some(parts) = connection.into_parts() else {
        return;
    };
    let mut stream = parts.io.into_inner();
    tokio::select! {
        () = linger::discard(&mut stream, &shared.limits, &unread) => {}
        () = shared.cut_off.cancelled() => {}
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
    let (parts, incoming) = request.into_parts();
    let (body, end) = RequestBody::new(incoming);
    let answering = AssertUnwindSafe(decide(&served, Request::from_parts(parts, body)));
    let answered = answering.catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("the answer to a request panicked");
        answer::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server failed on this request: try again",
        )
        .into()
    });
    let Answered {
        mut response,
        is_stranger,
    } = answered;
    slow_down(&served, response.status(), is_stranger).await;
    rules::complete(&mut response);
    if !end.is_read() {
        // Where its next request begins would have to be looked for in what it still sends.
        served.unread.set();
        rules::close(&mut response);
    }
    response
}

async fn decide(served: &Arc<Served>, request: Request<RequestBody>) -> Answered {
    let (parts, body) = request.into_parts();
    if let Some(answer) = rules::answer(&parts) {
        return answer.into();
    }
    let request = Request::from_parts(parts, body);
    match handshake::is_asked_for(&request) {
        true => upgrade(served, request).await,
        false => served.shared.service.http(request).await.into(),
    }
}

/// Has a refusal wait whose address was refused too often.
async fn slow_down(served: &Served, status: StatusCode, is_stranger: bool) {
    let shared = &served.shared;
    let (address, now) = (served.place.peer().0, Instant::now());
    let delay = if status.is_client_error() {
        shared.penalties.refused(address, now)
    } else if is_stranger {
        shared.penalties.delay(address, now)
    } else {
        return;
    };
    if delay.is_zero() {
        return;
    }
    shared.connections.count(Over::Refusals);
    tokio::select! {
        () = awake::sleep(delay) => {}
        () = shared.shutdown.cancelled() => {}
    }
}

/// Decides an upgrade request.
async fn upgrade(served: &Arc<Served>, mut request: Request<RequestBody>) -> Answered {
    let shared = &served.shared;
    if shared.shutdown.is_cancelled() {
        return answer::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is stopping: reconnect",
        )
        .into();
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let turn = shared.penalties.turn(served.place.peer().0).await;
    let admitted = shared.service.admit(parts.clone()).await;
    drop(turn);
    let (protocol, is_known, take) = match admitted {
        Admit::Accept {
            protocol,
            is_known,
            serve,
        } => (protocol, is_known, serve),
        Admit::Refuse(refusal) => return refusal.map(answer::whole).into(),
        Admit::NotWebSocket => {
            let request = Request::from_parts(parts, body);
            return shared.service.http(request).await.into();
        }
    };
    match handshake::check(&parts.headers) {
        Ok(accept_key) => {
            let hand_over = hand_over(Arc::clone(served), upgraded, take);
            shared.tasks.spawn(hand_over);
            Answered {
                response: handshake::accept(&accept_key, protocol),
                is_stranger: !is_known,
            }
        }
        Err(refusal) => handshake::refuse(refusal).into(),
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
                if take(socket).await == Ended::Refused {
                    let address = served.place.peer().0;
                    shared.penalties.refused(address, Instant::now());
                }
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
