//! `POST resolve`: what a client asks the inference service through the gateway, the speaker event of
//! the answer, and what the client gets. The audio is the client's own and is passed on as it came.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::event::{Decision, IdentitySource, Source};
use crate::inference::{Answer, text};

/// A body that asks for nothing: status 400 with this text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// No JSON.
    #[error("request body must be valid JSON")]
    NotJson,
    /// No object `audio`, or its `content_b64` or `format` is no text or empty.
    #[error("audio.content_b64 and audio.format are required")]
    NoAudio,
}

/// The body of `POST resolve`. Only what the gateway needs is checked: whether audio and text are any
/// good is the service's to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    audio: Map<String, Value>,
    asr_text: Value,
    /// Stands in for the session's roster in this one question.
    roster: Option<Value>,
}

impl Question {
    /// Reads a body, which holds no more values than a client may send (`bounded_json`). A roster without
    /// entries stands in for nothing.
    ///
    /// # Errors
    /// It is no JSON, or holds no audio.
    pub fn parse(body: &[u8]) -> Result<Self, BadQuestion> {
        let body: Value = serde_json::from_slice(body).map_err(|_| BadQuestion::NotJson)?;
        let Value::Object(mut fields) = body else {
            return Err(BadQuestion::NoAudio);
        };
        let Some(Value::Object(audio)) = fields.remove("audio") else {
            return Err(BadQuestion::NoAudio);
        };
        let says = |name| {
            let text = audio.get(name).and_then(Value::as_str);
            text.is_some_and(|text| !text.is_empty())
        };
        if !says("content_b64") || !says("format") {
            return Err(BadQuestion::NoAudio);
        }
        Ok(Self {
            audio,
            asr_text: fields.remove("asr_text").unwrap_or_default(),
            // The original asked for a `length`, which texts have too.
            roster: fields.remove("roster").filter(|roster| match roster {
                Value::Array(entries) => !entries.is_empty(),
                Value::String(text) => !text.is_empty(),
                _ => false,
            }),
        })
    }

    /// The body for the service. `state` is the session state as `GET state` shows it.
    pub fn request_body(&self, session_id: &str, state: &Value) -> String {
        #[derive(Serialize)]
        struct Request<'a> {
            session_id: &'a str,
            audio: &'a Map<String, Value>,
            asr_text: &'a Value,
            state: &'a Value,
        }
        let mut state = state.clone();
        if let (Some(roster), Value::Object(fields)) = (&self.roster, &mut state) {
            fields.insert("roster".to_owned(), roster.clone());
        }
        // Strings and `Value`s always have a JSON form.
        serde_json::to_string(&Request {
            session_id,
            audio: &self.audio,
            asr_text: &self.asr_text,
            state: &state,
        })
        .unwrap_or_default()
    }
}

/// The speaker event of an answer. As in the original it is about no utterance, and lacks what the
/// answer lacks; what the answer has of another type than the API's is null. `state` is the session
/// state in which a missing name is looked up, `now` is RFC 3339.
pub fn resolved_event(answer: &Answer, stream_role: &str, state: &Value, now: &str) -> Value {
    #[derive(Serialize)]
    struct Event<'a> {
        ts: &'a str,
        stream_role: &'a str,
        source: Source,
        identity_source: IdentitySource,
        utterance_id: (),
        #[serde(skip_serializing_if = "Option::is_none")]
        cluster_id: Option<Option<&'a str>>,
        speaker_name: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        decision: Option<Option<Decision>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        evidence: Option<Option<&'a Value>>,
    }
    let has = |name| answer.fields().contains_key(name);
    let event = Event {
        ts: now,
        stream_role,
        source: Source::InferenceResolve,
        identity_source: IdentitySource::InferenceResolve,
        utterance_id: (),
        cluster_id: has("cluster_id").then(|| answer.cluster_id()),
        speaker_name: answer.speaker_name(state),
        decision: has("decision").then(|| answer.decision().and_then(Decision::from_answer)),
        evidence: has("evidence").then(|| answer.evidence()),
    };
    // Strings and `Value`s always have a JSON form.
    serde_json::to_value(event).unwrap_or_default()
}

/// What the client gets: the service's answer, with the speaker's name where it had none, and an
/// `updated_state` that has the session's capture, or is the session's `state` where it had none.
pub fn resolved_answer(answer: &Answer, state: &Value) -> Value {
    let mut fields = answer.fields().clone();
    if !fields.get("speaker_name").is_some_and(is_said) {
        let name = answer.speaker_name(state).map(Cow::into_owned);
        fields.insert("speaker_name".to_owned(), name.into());
    }
    let mut updated = answer.updated_state().unwrap_or(state).clone();
    if let (Value::Object(updated), Some(capture)) = (&mut updated, state.get("capture_by_stream"))
    {
        updated.insert("capture_by_stream".to_owned(), capture.clone());
    }
    fields.insert("updated_state".to_owned(), updated);
    Value::Object(fields)
}

fn is_said(name: &Value) -> bool {
    text(Some(name)).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::inference::parse_answer;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: &str = "2026-02-11T09:30:01.000Z";

    fn question(body: Value) -> Result<Question, BadQuestion> {
        Question::parse(body.to_string().as_bytes())
    }

    fn asked(body: Value, state: &Value) -> Value {
        let request = question(body).unwrap().request_body("s-1", state);
        serde_json::from_str(&request).unwrap()
    }

    fn answer(body: Value) -> Answer {
        parse_answer(200, body.to_string().as_bytes(), "").unwrap()
    }

    fn audio() -> Value {
        json!({"content_b64": "UklGRg==", "format": "exe", "sample_rate": 16000, "extra": 1})
    }

    fn state() -> Value {
        json!({
            "clusters": [{"cluster_id": "c2", "bound_name": "Bob"}], "bindings": {"c1": "Alice"},
            "config": {}, "capture_by_stream": {"mixed": {"capture_state": "running"}},
        })
    }

    #[test]
    fn bodies_that_ask_for_nothing() {
        for body in [
            b"".as_slice(),
            b"{",
            b"{nope",
            b"\xff",
            br#"{"a":"\ud800"}"#,
        ] {
            assert_eq!(Question::parse(body), Err(BadQuestion::NotJson));
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Question::parse(deep.as_bytes()), Err(BadQuestion::NotJson));
        for body in [
            json!(null),
            json!([]),
            json!("audio"),
            json!({}),
            json!({"audio": null}),
            json!({"audio": "UklGRg=="}),
            json!({"audio": []}),
            json!({"audio": {"format": "wav"}}),
            json!({"audio": {"content_b64": "AA=="}}),
            json!({"audio": {"content_b64": "", "format": "wav"}}),
            json!({"audio": {"content_b64": "AA==", "format": ""}}),
            json!({"audio": {"content_b64": 5, "format": "wav"}}),
        ] {
            assert_eq!(question(body.clone()), Err(BadQuestion::NoAudio), "{body}");
        }
        assert_eq!(
            BadQuestion::NoAudio.to_string(),
            "audio.content_b64 and audio.format are required"
        );
    }

    #[test]
    fn audio_and_text_are_passed_on_as_they_came() {
        let state = state();
        let body = json!({"audio": audio(), "asr_text": "look", "other": 1});
        let request = question(body).unwrap().request_body("s \"1\"", &state);
        assert_eq!(
            serde_json::from_str::<Value>(&request).unwrap(),
            json!({"session_id": "s \"1\"", "audio": audio(), "asr_text": "look", "state": state})
        );
        for (given, sent) in [
            (json!({"audio": audio()}), json!(null)),
            (json!({"audio": audio(), "asr_text": null}), json!(null)),
            (json!({"audio": audio(), "asr_text": 7}), json!(7)),
        ] {
            assert_eq!(asked(given, &state)["asr_text"], sent);
        }
    }

    #[test]
    fn a_roster_stands_in_for_the_session_s() {
        let mut state = state();
        state["roster"] = json!([{"name": "Ada"}]);
        let sent = |roster: Value| {
            asked(json!({"audio": audio(), "roster": roster}), &state)["state"]["roster"].clone()
        };
        assert_eq!(sent(json!([{"name": "R"}])), json!([{"name": "R"}]));
        assert_eq!(sent(json!(["R"])), json!(["R"]));
        assert_eq!(sent(json!("abc")), json!("abc"));
        for nothing in [json!([]), json!(""), json!(null), json!({}), json!(7)] {
            assert_eq!(sent(nothing), json!([{"name": "Ada"}]));
        }
    }

    #[test]
    fn an_event_lacks_what_the_answer_lacks() {
        let event = |body| resolved_event(&answer(body), "mixed", &state(), NOW);
        assert_eq!(
            event(json!({})),
            json!({
                "ts": NOW, "stream_role": "mixed", "source": "inference_resolve",
                "identity_source": "inference_resolve", "utterance_id": null, "speaker_name": null,
            })
        );
        assert_eq!(
            event(json!({
                "cluster_id": "c1", "speaker_name": null, "decision": "unknown",
                "evidence": {"sv_score": 0.8125}, "updated_state": {}
            })),
            json!({
                "ts": NOW, "stream_role": "mixed", "source": "inference_resolve",
                "identity_source": "inference_resolve", "utterance_id": null, "cluster_id": "c1",
                "speaker_name": "Alice", "decision": "unknown", "evidence": {"sv_score": 0.8125},
            })
        );
        let odd = event(json!({"cluster_id": 7, "decision": "sure", "evidence": []}));
        for field in ["cluster_id", "decision", "evidence"] {
            assert_eq!(odd.get(field), Some(&Value::Null), "{field}");
        }
    }

    #[test]
    fn an_answer_gets_the_name_that_it_lacks() {
        let name = |body| resolved_answer(&answer(body), &state())["speaker_name"].clone();
        assert_eq!(name(json!({"cluster_id": "c1"})), json!("Alice"));
        assert_eq!(
            name(json!({"cluster_id": "c2", "speaker_name": null})),
            json!("Bob")
        );
        assert_eq!(
            name(json!({"cluster_id": "c1", "speaker_name": " "})),
            json!("Alice")
        );
        assert_eq!(
            name(json!({"cluster_id": "c1", "speaker_name": "Eve "})),
            json!("Eve ")
        );
        assert_eq!(name(json!({"cluster_id": "c9"})), json!(null));
        let apart =
            json!({"cluster_id": "c1", "updated_state": {"bindings": {"c1": "Jose\u{301}"}}});
        assert_eq!(name(apart), json!("José"));
        assert_eq!(
            name(json!({"cluster_id": "c1", "updated_state": {"bindings": {"c1": "Carol"}}})),
            json!("Carol")
        );
    }

    #[test]
    fn an_answer_s_state_has_the_session_s_capture() {
        let capture = state()["capture_by_stream"].clone();
        let updated = |body| resolved_answer(&answer(body), &state())["updated_state"].clone();
        assert_eq!(
            updated(json!({"updated_state": {"roster": null, "capture_by_stream": {"x": 1}}})),
            json!({"roster": null, "capture_by_stream": capture})
        );
        for lacking in [
            json!({}),
            json!({"updated_state": null}),
            json!({"updated_state": []}),
        ] {
            assert_eq!(updated(lacking), state());
        }
        let kept = resolved_answer(&answer(json!({"more": [1, 2]})), &state());
        assert_eq!(kept["more"], json!([1, 2]));
    }

    proptest! {
        #[test]
        fn any_body_is_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Question::parse(&body);
        }

        #[test]
        fn any_answer_makes_an_event_and_an_answer(
            field in prop::sample::select(vec!["cluster_id", "speaker_name", "updated_state", "evidence"]),
            text in "\\PC{0,10}",
        ) {
            let answer = answer(json!({"cluster_id": "c1", field: text}));
            let event = resolved_event(&answer, "mixed", &state(), NOW);
            prop_assert!(event["utterance_id"].is_null());
            let shown = resolved_answer(&answer, &state());
            prop_assert!(shown["updated_state"].is_object());
            // A name of white space is none in either.
            prop_assert_eq!(shown["speaker_name"].is_null(), event["speaker_name"].is_null());
        }
    }
}
