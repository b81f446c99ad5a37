//! HTTP answers: JSON, always.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use interview_session::error::ApiError;

/// What the host gets.
pub type Answer = Response<Full<Bytes>>;

pub fn ok(json: String) -> Answer {
    answer(StatusCode::OK, json)
}

pub fn error(error: &ApiError) -> Answer {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        eprintln!("status={status} {}", error.detail);
    }
    answer(status, error.body())
}

fn answer(status: StatusCode, json: String) -> Answer {
    let length = HeaderValue::from(json.len());
    let mut answer = Response::new(Full::new(Bytes::from(json)));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer
}
