//! The inference service's side of a speaker look-up: the request body and a lenient reading of the
//! answer. It sends nothing and changes no state; what an answer may change is the session's to say.

use std::borrow::Cow;

use quoted_text::quote;
use serde::Serialize;
use serde_json::{Map, Value};
use unicode_text::normal;

use crate::wav;

/// The longest answer that is read, in bytes. Centroids of many clusters take some 100 KiB.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// How much of an error answer is repeated to the client, in characters.
pub const MAX_QUOTED_CHARS: usize = 240;

/// Why a look-up failed. Displayed, it is the `<why>` of `inference request failed: <why>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferenceError {
    /// There was no answer in time. A later look-up may succeed.
    #[error("inference backend did not answer within {timeout_ms} ms")]
    TimedOut {
        /// The limit that ran out.
        timeout_ms: u64,
    },
    /// There was no connection, or it broke. A later look-up may succeed.
    #[error("inference backend cannot be reached: {0}")]
    Unreachable(String),
    /// The service answered with another status than 2xx.
    #[error("inference backend non-success: status={status} body={body}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The first [`MAX_QUOTED_CHARS`] characters of the body, without the key.
        body: String,
    },
    /// The answer is no JSON.
    #[error("inference backend returned non-JSON response")]
    NotJson,
    /// The answer is JSON, but `null`, a list, a string or a number.
    #[error("inference backend returned JSON that is not an object")]
    NotAnObject,
    /// The answer is longer than [`MAX_ANSWER_BYTES`].
    #[error("inference backend returned more than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
}

/// An answer of the service, an object. Its parts may be missing or ill-typed: then they say nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer(Map<String, Value>);

/// The body of `POST /speaker/resolve` for audio of ours. `wav` is a whole file, `state` the session
/// state as `GET state` shows it.
pub fn request_body(session_id: &str, wav: &[u8], asr_text: &str, state: &Value) -> String {
    #[derive(Serialize)]
    struct Request<'a> {
        session_id: &'a str,
        audio: Audio,
        asr_text: &'a str,
        state: &'a Value,
    }
    #[derive(Serialize)]
    struct Audio {
        content_b64: String,
        format: &'static str,
        sample_rate: u32,
        channels: u16,
    }
    let request = Request {
        session_id,
        audio: Audio {
            content_b64: base64_simd::STANDARD.encode_to_string(wav),
            format: "wav",
            sample_rate: wav::SAMPLE_RATE,
            channels: wav::CHANNELS,
        },
        asr_text,
        state,
    };
    // Strings, numbers and a `Value` always have a JSON form.
    serde_json::to_string(&request).unwrap_or_default()
}

/// Reads an answer. `key` is what the service was sent to know us by, empty for nothing: an error that
/// repeats it must not pass it on.
///
/// # Errors
/// Another status than 2xx, a body that is no JSON object, or one that is too long.
pub fn parse_answer(status: u16, body: &[u8], key: &str) -> Result<Answer, InferenceError> {
    if !(200..300).contains(&status) {
        return Err(InferenceError::Status {
            status,
            body: quote(&String::from_utf8_lossy(body), key, MAX_QUOTED_CHARS),
        });
    }
    if body.len() > MAX_ANSWER_BYTES {
        return Err(InferenceError::TooLong);
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(Answer(fields)),
        Ok(_) => Err(InferenceError::NotAnObject),
        Err(_) => Err(InferenceError::NotJson),
    }
}

impl Answer {
    /// The answer's fields as they came.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The state the service wants stored. None when it is missing, `null` or no object: then the
    /// session's stays as it is.
    pub fn updated_state(&self) -> Option<&Value> {
        self.0
            .get("updated_state")
            .filter(|state| state.is_object())
    }

    /// The voice the service heard.
    pub fn cluster_id(&self) -> Option<&str> {
        text(self.0.get("cluster_id"))
    }

    /// The speaker's name: the answer's own; else the one bound to its cluster in the answer's
    /// `updated_state`; else the one bound to it in `session_state`, the stored state. In normal form.
    pub fn speaker_name<'a>(&'a self, session_state: &'a Value) -> Option<Cow<'a, str>> {
        let name = text(self.0.get("speaker_name")).or_else(|| {
            let cluster_id = self.cluster_id()?;
            self.updated_state()
                .and_then(|state| bound_name(state, cluster_id))
                .or_else(|| bound_name(session_state, cluster_id))
        });
        name.map(normal)
    }

    /// `auto`, `confirm` or `unknown`.
    pub fn decision(&self) -> Option<&str> {
        text(self.0.get("decision"))
    }

    /// What the decision rests on, an object.
    pub fn evidence(&self) -> Option<&Value> {
        self.0
            .get("evidence")
            .filter(|evidence| evidence.is_object())
    }
}

/// The name a session state gives to a cluster: that of `bindings`, else the cluster's `bound_name`.
fn bound_name<'a>(state: &'a Value, cluster_id: &str) -> Option<&'a str> {
    let binding = state
        .get("bindings")
        .and_then(|names| names.get(cluster_id));
    text(binding).or_else(|| {
        state
            .get("clusters")?
            .as_array()?
            .iter()
            .find(|cluster| cluster.get("cluster_id").and_then(Value::as_str) == Some(cluster_id))
            .and_then(|cluster| text(cluster.get("bound_name")))
    })
}

/// A string that says something, without white space around it.
fn text(value: Option<&Value>) -> Option<&str> {
    value
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_request_is_what_the_service_reads() {
        let body = request_body("s \"1\"", &[0, 255, 1], "hello", &json!({"clusters": []}));
        assert_eq!(
            body,
            concat!(
                r#"{"session_id":"s \"1\"","audio":{"content_b64":"AP8B","format":"wav","#,
                r#""sample_rate":16000,"channels":1},"asr_text":"hello","state":{"clusters":[]}}"#
            )
        );
    }

    #[test]
    fn failures_say_why_in_the_original_s_words() {
        let why = |status, body: &[u8]| parse_answer(status, body, "").unwrap_err().to_string();
        assert_eq!(
            why(500, br#"{"detail":"fake inference status 500"}"#),
            r#"inference backend non-success: status=500 body={"detail":"fake inference status 500"}"#
        );
        assert_eq!(
            why(500, "é".repeat(5000).as_bytes()),
            format!(
                "inference backend non-success: status=500 body={}",
                "é".repeat(MAX_QUOTED_CHARS)
            )
        );
        assert_eq!(
            why(302, b""),
            "inference backend non-success: status=302 body="
        );
        let echo = br#"{"headers":{"x-api-key":"key-0123456789"},"at":"/?key=key-0123456789"}"#;
        assert_eq!(
            parse_answer(401, echo, "key-0123456789")
                .unwrap_err()
                .to_string(),
            concat!(
                "inference backend non-success: status=401 body=",
                r#"{"headers":{"x-api-key":"<secret>"},"at":"/?key=<secret>"}"#
            )
        );
        for body in [
            b"".as_slice(),
            b"<html>",
            b"{",
            br#"{"a":"\ud800"}"#,
            b"\xff",
        ] {
            assert_eq!(
                why(200, body),
                "inference backend returned non-JSON response"
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(
            parse_answer(200, deep.as_bytes(), ""),
            Err(InferenceError::NotJson)
        );
        for body in [b"null".as_slice(), b"[]", b"7", br#""x""#] {
            assert_eq!(
                parse_answer(200, body, ""),
                Err(InferenceError::NotAnObject)
            );
        }
        assert_eq!(
            InferenceError::TimedOut { timeout_ms: 15_000 }.to_string(),
            "inference backend did not answer within 15000 ms"
        );
    }

    #[test]
    fn an_answer_has_a_limit() {
        let of = |bytes: usize| format!("{{}}{}", " ".repeat(bytes - 2));
        assert!(parse_answer(200, of(MAX_ANSWER_BYTES).as_bytes(), "").is_ok());
        assert_eq!(
            parse_answer(200, of(MAX_ANSWER_BYTES + 1).as_bytes(), ""),
            Err(InferenceError::TooLong)
        );
    }

    #[test]
    fn a_state_that_is_no_object_is_none() {
        let state = |body: Value| {
            let answer = parse_answer(200, body.to_string().as_bytes(), "").unwrap();
            answer.updated_state().cloned()
        };
        assert_eq!(state(json!({})), None);
        assert_eq!(state(json!({"updated_state": null})), None);
        assert_eq!(state(json!({"updated_state": []})), None);
        assert_eq!(state(json!({"updated_state": {}})), Some(json!({})));
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(status in 0u16.., body in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Err(error) = parse_answer(status, &body, "") {
                prop_assert!(error.to_string().chars().count() < 400);
            }
        }
    }
}
