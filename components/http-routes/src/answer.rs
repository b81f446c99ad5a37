//! HTTP answers: JSON, always. All but two are whole; those are sent while they are made or read.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream::{LocalBoxStream, Stream, StreamExt};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{Either, Full, StreamBody};
use interview_session::error::ApiError;
use interview_session::idempotency::IDEMPOTENT_REPLAY;

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
        eprintln!("status={status} {}", error.detail);
    }
    whole(status, error.body())
}

fn whole(status: StatusCode, json: String) -> Answer {
    let length = HeaderValue::from(json.len());
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(json))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer
}
