//! The inference service's side of a speaker look-up: the request body and a lenient reading of the
//! answer. It sends nothing and changes no state; what an answer may change is the session's to say.

use std::borrow::Cow;

use bounded_json::{OF_SERVICES, Refused, TooMuch};
use quoted_text::quote;
use serde::Serialize;
use serde_json::{Map, Value};
use unicode_text::normal;

use crate::wav;

/// The longest answer that is read, in bytes. Centroids of many clusters take some 100 KiB.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The longest evidence that an event keeps, in bytes as JSON: with the rest of the event it has to fit
/// into a message to a lane, which holds 1 MiB.
pub const MAX_EVIDENCE_BYTES: usize = 896 << 10;

/// The longest name of a voice or a person in an answer, in UTF-16 units. A longer one says nothing.
pub const MAX_NAME: usize = 200;

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
    /// The answer holds more than is read. Nothing was built of it.
    #[error("inference backend returned {0}")]
    TooMuch(TooMuch),
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
    match bounded_json::from_slice(body, OF_SERVICES) {
        Ok(Value::Object(fields)) => Ok(Answer(fields)),
        Ok(_) => Err(InferenceError::NotAnObject),
        Err(Refused::TooMuch(TooMuch::Depth) | Refused::NotJson(_)) => Err(InferenceError::NotJson),
        Err(Refused::TooMuch(too_much)) => Err(InferenceError::TooMuch(too_much)),
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

    /// What the decision rests on, an object of at most [`MAX_EVIDENCE_BYTES`].
    pub fn evidence(&self) -> Option<&Value> {
        self.given_evidence()
            .filter(|evidence| json_bytes(evidence) <= MAX_EVIDENCE_BYTES)
    }

    /// Why evidence that was given is not kept.
    pub fn evidence_left_out(&self) -> Option<String> {
        let bytes = json_bytes(self.given_evidence()?);
        (bytes > MAX_EVIDENCE_BYTES).then(|| {
            format!(
                "the evidence of {bytes} bytes is left out: at most {MAX_EVIDENCE_BYTES} are kept"
            )
        })
    }

    fn given_evidence(&self) -> Option<&Value> {
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

/// How long a value is as JSON: a number may take more than it came with.
fn json_bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither a value nor counting fails.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// A string that says something and is no longer than a name, without white space around it.
pub(crate) fn text(value: Option<&Value>) -> Option<&str> {
    value
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty() && text.encode_utf16().count() <= MAX_NAME)
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
    fn an_answer_that_holds_too_much_is_refused_before_anything_is_built() {
        let many = |item: &str| {
            let items = format!("{item},").repeat(1_000_000 / (item.len() + 1));
            let body = format!(r#"{{"evidence":{{"x":[{items}0]}}}}"#);
            assert!(body.len() < MAX_ANSWER_BYTES);
            parse_answer(200, body.as_bytes(), "")
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            many("{}"),
            "inference backend returned more than 8000 JSON arrays and objects"
        );
        assert_eq!(
            many("0"),
            "inference backend returned more than 200000 JSON values"
        );
        // As many numbers as fit, as centroids have.
        let centroid = vec![0.125_f64; 150_000];
        let body = json!({"updated_state": {"clusters": [{"centroid": centroid}]}}).to_string();
        assert!(body.len() < MAX_ANSWER_BYTES && parse_answer(200, body.as_bytes(), "").is_ok());
    }

    #[test]
    fn evidence_and_names_of_an_answer_have_a_limit() {
        let answer = |body: &Value| parse_answer(200, body.to_string().as_bytes(), "").unwrap();
        // {"e":"..."} takes eight bytes besides.
        let fits = answer(&json!({"evidence": {"e": "x".repeat(MAX_EVIDENCE_BYTES - 8)}}));
        assert!(fits.evidence().is_some() && fits.evidence_left_out().is_none());
        let over = answer(&json!({"evidence": {"e": "x".repeat(MAX_EVIDENCE_BYTES - 7)}}));
        assert_eq!(over.evidence(), None);
        assert_eq!(
            over.evidence_left_out().unwrap(),
            "the evidence of 917505 bytes is left out: at most 917504 are kept"
        );
        // 3 bytes that are written as 17 when they are stored.
        let numbers = format!(r#"{{"evidence":{{"e":[{}0]}}}}"#, "1e15,".repeat(100_000));
        let numbers = parse_answer(200, numbers.as_bytes(), "").unwrap();
        assert_eq!(numbers.evidence(), None);
        let (longest, longer) = ("名".repeat(MAX_NAME), "名".repeat(MAX_NAME + 1));
        let named = answer(&json!({"cluster_id": longest, "speaker_name": longest}));
        assert_eq!(named.cluster_id(), Some(longest.as_str()));
        assert_eq!(
            named.speaker_name(&json!({})).as_deref(),
            Some(longest.as_str())
        );
        let bound = json!({"bindings": {"c": longer}});
        for body in [
            json!({"cluster_id": longer, "speaker_name": longer}),
            json!({"cluster_id": "c", "updated_state": bound}),
        ] {
            let named = answer(&body);
            assert_ne!(named.cluster_id(), Some(longer.as_str()));
            assert_eq!(named.speaker_name(&bound), None);
        }
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
