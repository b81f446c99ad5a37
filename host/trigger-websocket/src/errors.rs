//! The answers that the host itself gives to HTTP requests.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

/// The component failed; why is in the log only.
pub fn internal() -> Response<&'static str> {
    answer(
        StatusCode::INTERNAL_SERVER_ERROR,
        r#"{"detail":"internal error"}"#,
    )
}

/// No route matches, or none that answers such a request.
pub fn not_found() -> Response<&'static str> {
    answer(StatusCode::NOT_FOUND, r#"{"detail":"route not found"}"#)
}

/// The path is known, the method is not.
pub fn not_allowed() -> Response<&'static str> {
    answer(
        StatusCode::METHOD_NOT_ALLOWED,
        r#"{"detail":"method not allowed"}"#,
    )
}

/// The body is over the limit.
pub fn too_large() -> Response<&'static str> {
    answer(
        StatusCode::PAYLOAD_TOO_LARGE,
        r#"{"detail":"request body too large"}"#,
    )
}

/// More requests wait than the host takes.
pub fn busy() -> Response<&'static str> {
    answer(
        StatusCode::SERVICE_UNAVAILABLE,
        r#"{"detail":"too many requests at once, try again"}"#,
    )
}

fn answer(status: StatusCode, body: &'static str) -> Response<&'static str> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
