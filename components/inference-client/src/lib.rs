//! The one request to the inference service, with an end: a time-out over connecting, waiting and
//! reading, and a limit to what is read. Both entries ask with it; what is asked and what an answer
//! means are `interview-transcript`'s.

use std::pin::pin;

use futures::future::{Either, select};
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use interview_settings::Inference;
use interview_transcript::inference::MAX_ANSWER_BYTES;
use interview_transcript::{Answer, InferenceError, parse_answer};
use spin_sdk::time::sleep;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Sends `body` and reads the answer, within the service's time-out. Dropping the future gives the
/// request up.
///
/// # Errors
/// There was no answer, or none that can be used. Asking again may help.
pub async fn resolve(service: &Inference, body: String) -> Result<Answer, InferenceError> {
    let exchange = pin!(exchange(service, body));
    let timeout = pin!(sleep(service.timeout));
    match select(exchange, timeout).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            let timeout_ms = u64::try_from(service.timeout.as_millis()).unwrap_or(u64::MAX);
            Err(InferenceError::TimedOut { timeout_ms })
        }
    }
}

async fn exchange(service: &Inference, body: String) -> Result<Answer, InferenceError> {
    // WASI does not say how long a body is. Without this header it goes out chunked, which many servers,
    // such as those that speak WSGI, take for an empty one.
    let mut request = http::Request::post(&service.url)
        .header(CONTENT_TYPE, "application/json")
        .header(CONTENT_LENGTH, body.len());
    if !service.api_key.is_empty() {
        let key = HeaderValue::try_from(&service.api_key).map_err(unreachable)?;
        request = request.header(API_KEY, key);
    }
    let request = request.body(body).map_err(unreachable)?;
    let response = spin_sdk::http::send(request).await.map_err(unreachable)?;
    let status = response.status().as_u16();
    // One byte more than is allowed tells a long answer from one that just fits.
    match Limited::new(response.into_body(), MAX_ANSWER_BYTES + 1)
        .collect()
        .await
    {
        Ok(body) => parse_answer(status, &body.to_bytes(), service.api_key.expose()),
        Err(error) if error.is::<LengthLimitError>() => Err(InferenceError::TooLong),
        Err(error) => Err(unreachable(error)),
    }
}

fn unreachable(error: impl std::fmt::Display) -> InferenceError {
    InferenceError::Unreachable(error.to_string())
}
