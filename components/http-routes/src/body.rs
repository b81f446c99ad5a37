//! Request bodies, up to a limit: of bytes, and of what JSON may hold.

use bounded_json::{OF_CLIENTS, TooMuch};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use interview_session::error::ApiError;
use spin_sdk::wasip3::http_compat::IncomingRequestBody;

use crate::bindings::realtime::sockets::metrics;

/// Longest body of a request, in bytes. A roster or metadata fit many times over.
pub const MAX_BODY: usize = 1 << 20;

/// Longest body of a request that brings audio, in bytes: the host takes no longer one either.
pub const MAX_AUDIO_BODY: usize = 16 << 20;

/// The whole body.
pub async fn read(body: IncomingRequestBody, max_bytes: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, max_bytes).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            // As the host counts those that are over its own limit.
            count("body-bytes");
            Err(ApiError::new(
                413,
                format!("request body must have at most {max_bytes} bytes"),
            ))
        }
        Err(_) => Err(ApiError::bad_request(
            "request body could not be read whole: send it again",
        )),
    }
}

/// The whole body, which is JSON: before anything is built of it, what it holds is counted.
pub async fn read_json(body: IncomingRequestBody, max_bytes: usize) -> Result<Bytes, ApiError> {
    let body = read(body, max_bytes).await?;
    match bounded_json::check(&body, OF_CLIENTS) {
        // What is too deep is no JSON to the parser, which builds no more of it than was counted.
        Ok(()) | Err(TooMuch::Depth) => Ok(body),
        Err(too_much) => {
            count("json-values");
            Err(ApiError::new(
                413,
                format!("request body holds {too_much}: send less in one request"),
            ))
        }
    }
}

/// Counts a request that was over this limit.
fn count(limit: &str) {
    metrics::add("limit_hits", &[("limit".into(), limit.into())], 1);
}
