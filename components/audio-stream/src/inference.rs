//! One request to the inference service, with an end: a time-out over connecting, waiting and
//! reading, and a limit to what is read.

use std::pin::pin;

use futures::future::{Either, select};
use http::header::{CONTENT_TYPE, HeaderName};
use http_body_util::{BodyExt, Limited};
use interview_transcript::inference::MAX_ANSWER_BYTES;
use interview_transcript::{Answer, InferenceError, parse_answer};
use spin_sdk::time::sleep;

use crate::settings::InferenceSettings;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Sends `body` and reads the answer.
pub async fn resolve(settings: &InferenceSettings, body: String) -> Result<Answer, InferenceError> {
    let exchange = pin!(exchange(settings, body));
    let timeout = pin!(sleep(settings.timeout));
    match select(exchange, timeout).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            let timeout_ms = u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX);
            Err(InferenceError::TimedOut { timeout_ms })
        }
    }
}

async fn exchange(settings: &InferenceSettings, body: String) -> Result<Answer, InferenceError> {
    let mut request = http::Request::post(&settings.url).header(CONTENT_TYPE, "application/json");
    if !settings.api_key.is_empty() {
        request = request.header(API_KEY, &settings.api_key);
    }
    let request = request.body(body).map_err(unreachable)?;
    let response = spin_sdk::http::send(request).await.map_err(unreachable)?;
    let status = response.status().as_u16();
    // One byte more than is allowed tells a long answer from one that just fits.
    match Limited::new(response.into_body(), MAX_ANSWER_BYTES + 1)
        .collect()
        .await
    {
        Ok(body) => parse_answer(status, &body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(InferenceError::TooLong)
        }
        Err(error) => Err(unreachable(error)),
    }
}

fn unreachable(error: impl std::fmt::Display) -> InferenceError {
    InferenceError::Unreachable(error.to_string())
}
