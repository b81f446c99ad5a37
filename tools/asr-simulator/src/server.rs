//! Sockets for [`Conversation`]s: accepts connections and admits handshakes. It knows nothing of what
//! the frames mean; `server/exchange.rs` moves them. Requests that are not for the service are
//! `server/control.rs`'s.

mod control;
mod exchange;
mod outbox;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{StatusCode, header};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::conversation::{Conversation, Rules};
use crate::fault_control::FaultControl;
use crate::faults::{Faults, Refusal};
use crate::handshake_log::HandshakeLog;
use crate::{Options, PATH, TaskLog};
pub use exchange::MAX_HALF_OPEN;
use exchange::{close, converse};

/// A handshake may take this long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many refused clients are told why at a time, and which share of the connections at most; others wait
/// in the listen queue.
const MAX_REFUSALS: usize = 64;
const REFUSAL_SHARE: usize = 4;
/// From one line of the log about errors of `accept` to the next.
const ACCEPT_WARNINGS: Duration = Duration::from_secs(60);
/// After an error of `accept`, such as no file descriptors, it is left alone for this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Socket = WebSocketStream<TcpStream>;

/// What the connections of a simulator have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) log: TaskLog,
    pub(crate) faults: FaultControl,
    pub(crate) handshakes: HandshakeLog,
    /// How many came to the service.
    pub(crate) came: AtomicU64,
}

/// Accepts until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    connections: TaskTracker,
    stopping: CancellationToken,
) {
    let limit = shared
        .options
        .max_connections
        .min(Semaphore::MAX_PERMITS - MAX_REFUSALS);
    let refusals = limit.div_ceil(REFUSAL_SHARE).min(MAX_REFUSALS);
    let open = Arc::new(Semaphore::new(limit + refusals));
    let mut last_warning = None::<Instant>;
    loop {
        let Ok(permit) = Arc::clone(&open).acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if last_warning.is_none_or(|last| last.elapsed() >= ACCEPT_WARNINGS) {
                        tracing::warn!(%error, "cannot accept a connection");
                        last_warning = Some(Instant::now());
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = Connection {
            has_room: open.available_permits() >= refusals,
            shared: Arc::clone(&shared),
            _permit: permit,
        };
        let stopping = stopping.clone();
        connections.spawn(async move { connection.run(stream, stopping).await });
    }
}

struct Connection {
    has_room: bool,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream, stopping: CancellationToken) {
        // Small frames go out at once; without it they only go later.
        let _ = stream.set_nodelay(true);
        let is_control = tokio::select! {
            () = stopping.cancelled() => return,
            asked = timeout(HANDSHAKE_TIMEOUT, control::is_asked(&stream)) => asked,
        };
        match is_control {
            Ok(false) => self.serve(stream, stopping).await,
            Ok(true) => tokio::select! {
                () = stopping.cancelled() => {}
                () = control::answer(stream, &self.shared) => {}
            },
            Err(_) => tracing::debug!("a connection without a request timed out"),
        }
    }

    async fn serve(self, stream: TcpStream, stopping: CancellationToken) {
        let number = self.shared.came.fetch_add(1, Ordering::Relaxed) + 1;
        let mut lease = self.shared.faults.connect();
        let faults = lease.faults();
        if faults.refuse == Some(Refusal::DROP) {
            self.shared.handshakes.add(number, None);
            return;
        }
        let handshake = tokio::select! {
            () = stopping.cancelled() => return,
            handshake = timeout(HANDSHAKE_TIMEOUT, self.accept(stream, number, &faults)) => handshake,
        };
        let mut socket = match handshake {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                tracing::debug!(connection = number, %error, "handshake refused");
                return;
            }
            Err(_) => {
                tracing::debug!(connection = number, "handshake timed out");
                return;
            }
        };
        let options = &self.shared.options;
        let rules = Rules {
            idle_timeout: options.idle_timeout,
            audio_timeout: options.audio_timeout,
            sentence_seconds: options.sentence_seconds,
            sentences_per_second: options.sentences_per_second,
        };
        let mut conversation = Conversation::new(number, rules, self.shared.log.clone(), lease);
        tokio::select! {
            () = stopping.cancelled() => close(&mut socket, CloseCode::Away, "stopping").await,
            ended = converse(&mut socket, &mut conversation) => if let Err(error) = ended {
                tracing::debug!(connection = number, %error, "connection lost");
            },
        }
        conversation.lost();
    }

    async fn accept(
        &self,
        stream: TcpStream,
        number: u64,
        faults: &Faults,
    ) -> Result<Socket, Error> {
        let options = &self.shared.options;
        // The size of a refusal is tungstenite's choice.
        #[allow(clippy::result_large_err)]
        let callback = |request: &Request, response: Response| {
            let admitted = admit(options, faults, self.has_room, request);
            let status =
                admitted.map_or_else(|(status, _)| status, |()| StatusCode::SWITCHING_PROTOCOLS);
            self.shared.handshakes.add(number, Some(status.as_u16()));
            admitted.map_err(|(status, reason)| {
                let mut refusal = ErrorResponse::new(Some(reason.to_owned()));
                *refusal.status_mut() = status;
                refusal
            })?;
            Ok(response)
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(options.max_message_bytes))
            .max_frame_size(Some(options.max_message_bytes));
        tokio_tungstenite::accept_hdr_async_with_config(stream, callback, Some(config)).await
    }
}

/// Whether a handshake is granted; else the status and why.
fn admit(
    options: &Options,
    faults: &Faults,
    has_room: bool,
    request: &Request,
) -> Result<(), (StatusCode, &'static str)> {
    if request.uri().path().trim_end_matches('/') != PATH.trim_end_matches('/') {
        return Err((StatusCode::NOT_FOUND, "the path is /api-ws/v1/inference/"));
    }
    if let Some(Refusal::Status(status)) = faults.refuse {
        // It was checked when the set was made.
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        return Err((status, "the simulator was told to refuse"));
    }
    let key = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer);
    let granted = match (&options.api_key, key) {
        (Some(expected), Some(key)) => expected == key,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if !granted || faults.unauthorized {
        return Err((
            StatusCode::UNAUTHORIZED,
            "Authorization must be bearer and a valid key",
        ));
    }
    if !has_room {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "too many connections"));
    }
    Ok(())
}

/// The key in an `Authorization` header, if it is not blank.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn status(options: &Options, path: &str, authorization: Option<&str>) -> Option<u16> {
        let mut request = Request::builder().uri(path);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(()).unwrap();
        let refusal = admit(options, &Faults::default(), true, &request).err();
        refusal.map(|(status, _)| status.as_u16())
    }

    #[test]
    fn a_key_is_needed_and_the_right_one_where_there_is_one() {
        let any = Options::default();
        let one = Options {
            api_key: Some("k".to_owned()),
            ..Options::default()
        };
        for bad in [
            None,
            Some("bearer"),
            Some("bearer  "),
            Some("Basic k"),
            Some("k"),
        ] {
            assert_eq!(status(&any, PATH, bad), Some(401), "{bad:?}");
        }
        assert_eq!(status(&any, PATH, Some("Bearer x")), None);
        assert_eq!(status(&one, PATH, Some("bearer x")), Some(401));
        assert_eq!(status(&one, PATH, Some("bearer k")), None);
    }

    #[test]
    fn there_is_one_path() {
        let any = Options::default();
        assert_eq!(status(&any, "/api-ws/v1/inference", Some("bearer k")), None);
        assert_eq!(status(&any, "/", Some("bearer k")), Some(404));
    }
}
