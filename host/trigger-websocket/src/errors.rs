//! The answers that the host itself gives to HTTP requests.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use listener::Body;

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

/// The body is broken.
pub fn broken_body() -> Response<&'static str> {
    answer(
        StatusCode::BAD_REQUEST,
        r#"{"detail":"the request body could not be read"}"#,
    )
}

/// The body does not come.
pub fn too_slow() -> Response<&'static str> {
    answer(
        StatusCode::REQUEST_TIMEOUT,
        r#"{"detail":"the request body took too long: send it without pauses"}"#,
    )
}

/// More requests wait than the host takes.
pub fn busy() -> Response<&'static str> {
    again(answer(
        StatusCode::SERVICE_UNAVAILABLE,
        r#"{"detail":"too many requests at once, try again"}"#,
    ))
}

/// All instances together have as much memory as they may.
pub fn out_of_memory() -> Response<&'static str> {
    again(answer(
        StatusCode::SERVICE_UNAVAILABLE,
        r#"{"detail":"the requests that are being answered take all memory there is for them, try again"}"#,
    ))
}

/// More requests of one address wait than the host takes.
pub fn busy_address() -> Response<&'static str> {
    again(answer(
        StatusCode::TOO_MANY_REQUESTS,
        r#"{"detail":"too many requests at once from this address: wait for answers, or try again later"}"#,
    ))
}

/// Nothing can be stored: what `/health` says then, to everybody.
pub fn degraded(problem: &str) -> Response<Body> {
    let body = serde_json::json!({
        "status": "degraded",
        "detail": format!("nothing can be stored: {problem}; the gateway's log says why"),
    });
    let response = again(answer(StatusCode::SERVICE_UNAVAILABLE, ""));
    response.map(|_| {
        Full::from(body.to_string())
            .map_err(|never| match never {})
            .boxed_unsync()
    })
}

/// In a second.
fn again(mut response: Response<&'static str>) -> Response<&'static str> {
    let seconds = HeaderValue::from_static("1");
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

fn answer(status: StatusCode, body: &'static str) -> Response<&'static str> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    // 404 and 405 may be kept by a cache where nothing is said.
    let no_store = HeaderValue::from_static("no-store");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, json);
    headers.insert(CACHE_CONTROL, no_store);
    response
}
