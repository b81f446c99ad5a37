//! The simulator's own HTTP, on the port of the service: `/control` sets faults, `/log` tells what
//! was heard. One request a connection.

use std::convert::Infallible;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Shared, bearer};
use crate::faults::Faults;

/// How requests begin that are not for the service.
const BEGINNINGS: [&[u8]; 3] = [b"GET /control", b"POST /control", b"GET /log"];
/// Longer than any of them.
const LONGEST_BEGINNING: usize = 16;
/// A client that has sent less than a beginning is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// A request and its answer may take this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Larger bodies are answered 413.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Whether the first request of a connection is not for the service. Takes nothing from it.
pub(super) async fn is_asked(stream: &TcpStream) -> bool {
    let mut head = [0; LONGEST_BEGINNING];
    loop {
        let Ok(count) = stream.peek(&mut head).await else {
            return false;
        };
        let seen = &head[..count];
        if BEGINNINGS.iter().any(|whole| seen.starts_with(whole)) {
            return true;
        }
        if count == 0 || !BEGINNINGS.iter().any(|whole| whole.starts_with(seen)) {
            return false;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Answers the request.
pub(super) async fn answer(stream: TcpStream, shared: &Shared) {
    let service =
        service_fn(|request| async { Ok::<_, Infallible>(respond(shared, request).await) });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever asked notices when there is no answer.
    let _ = timeout(REQUEST_TIMEOUT, serving).await;
}

type Answer = Response<Full<Bytes>>;

async fn respond(shared: &Shared, request: Request<Incoming>) -> Answer {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let key = authorization
        .and_then(|value| value.to_str().ok())
        .and_then(bearer);
    if let Some(expected) = shared.options.api_key.as_deref()
        && key != Some(expected)
    {
        return error(
            StatusCode::UNAUTHORIZED,
            "Authorization must be bearer and the key",
        );
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/control") => json(StatusCode::OK, &shared.faults.faults()),
        (&Method::POST, "/control") => {
            match Limited::new(request.into_body(), MAX_BODY_BYTES)
                .collect()
                .await
            {
                Ok(body) => set_faults(shared, &body.to_bytes()),
                Err(_) => error(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the body is cut off or over 64 KiB",
                ),
            }
        }
        (&Method::GET, "/log") => json(
            StatusCode::OK,
            &json!({
                "tasks": shared.log.records(),
                "forgotten_tasks": shared.log.forgotten(),
                "handshakes": shared.handshakes.records(),
            }),
        ),
        _ => error(
            StatusCode::NOT_FOUND,
            "there are GET and POST /control, and GET /log",
        ),
    }
}

fn set_faults(shared: &Shared, body: &[u8]) -> Answer {
    match Faults::parse(body).and_then(|faults| shared.faults.set(faults)) {
        Ok(()) => {
            let faults = shared.faults.faults();
            tracing::info!(?faults, "faults are set");
            json(StatusCode::OK, &faults)
        }
        Err(wrong) => error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    }
}

fn error(status: StatusCode, detail: &str) -> Answer {
    json(status, &json!({"error": detail}))
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Records and fault sets have nothing that JSON has not.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn all_beginnings_can_be_seen() {
        assert!(
            BEGINNINGS
                .iter()
                .all(|whole| whole.len() <= LONGEST_BEGINNING)
        );
    }
}
