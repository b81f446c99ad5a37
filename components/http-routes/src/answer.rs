//! HTTP answers: JSON, always. All but two are whole; those are sent while they are made or read.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream::{LocalBoxStream, Stream, StreamExt};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_LENGTH,
    CONTENT_TYPE, HeaderName, HeaderValue, VARY,
};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{Either, Full, StreamBody};
use interview_doors::{
    ALLOWED_HEADERS, EXPOSED_HEADERS, MAX_AGE_SECONDS, NO_STORE, allowed_methods,
};
use interview_session::error::ApiError;
use interview_session::idempotency::IDEMPOTENT_REPLAY;
use interview_session::route::Route;

/// What the host gets.
pub type Answer = Response<Either<Full<Bytes>, Pieces>>;

/// A body that is sent while it is being made. It is dropped when nobody takes it any more.
pub type Pieces = StreamBody<LocalBoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const REPLAY: HeaderName = HeaderName::from_static(IDEMPOTENT_REPLAY);

pub fn ok(json: String) -> Answer {
    whole(StatusCode::OK, json)
}

/// An answer that was given before.
pub fn replayed(json: String) -> Answer {
    let mut answer = ok(json);
    let is_replay = HeaderValue::from_static("true");
    answer.headers_mut().insert(REPLAY, is_replay);
    answer
}

/// 200 with a body of these pieces.
pub fn streamed(pieces: impl Stream<Item = Bytes> + 'static) -> Answer {
    let frames = pieces.map(|piece| Ok(Frame::data(piece))).boxed_local();
    let mut answer = Response::new(Either::Right(StreamBody::new(frames)));
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

/// 200 with a body of these pieces, which are `size` bytes together.
pub fn streamed_whole(size: u64, pieces: impl Stream<Item = Bytes> + 'static) -> Answer {
    let mut answer = streamed(pieces);
    answer.headers_mut().insert(CONTENT_LENGTH, size.into());
    answer
}

/// 405, with the methods that the path takes.
pub fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = error(&ApiError::method_not_allowed());
    let allowed = HeaderValue::from_static(allowed);
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

pub fn error(error: &ApiError) -> Answer {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() {
        eprintln!("status={error}");
    }
    whole(status, error.body())
}

/// What the server as a whole takes, to whoever asks whether there is one: proxies do, without a key.
pub fn options() -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::new())));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let allowed = HeaderValue::from_static("GET, HEAD, POST, DELETE, OPTIONS");
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

/// What a browser is told that asks whether a page may send this route something.
pub fn preflight(route: Option<&Route<'_>>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::new())));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, allowed_methods(route)),
        (ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
    ] {
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// The answer, for pages of the allowed origin if it is one; a cache must not give it to others.
pub fn for_origin(mut answer: Answer, allowed: Option<HeaderValue>) -> Answer {
    let headers = answer.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    answer
}

/// The answer, which no cache keeps: it is for whoever showed a key. A token is good for whoever has it.
pub fn not_kept(mut answer: Answer) -> Answer {
    let no_store = HeaderValue::from_static(NO_STORE);
    answer.headers_mut().insert(CACHE_CONTROL, no_store);
    answer
}

fn whole(status: StatusCode, json: String) -> Answer {
    let length = HeaderValue::from(json.len());
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(json))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer
}
