//! That what is wrong is found: a checker that passes everything would make every test pass.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::{CONTRACT, Channel, JSON};
use crate::http::Answer;

const TIME: &str = "2026-02-11T09:30:00.123Z";

fn answer(status: u16, body: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", JSON.parse().unwrap());
    Answer {
        status,
        headers,
        body: Bytes::from(body.to_string()),
    }
}

fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers.insert(name, value.parse().unwrap());
    answer
}

fn error(status: u16) -> Answer {
    answer(status, &json!({"detail": "a reason"}))
}

fn passes(method: &str, path: &str, answer: &Answer) {
    assert_eq!(CONTRACT.answer(method, path, answer), Ok(()));
}

/// Gives what is told of it.
fn fails(method: &str, path: &str, answer: &Answer) -> String {
    CONTRACT
        .answer(method, path, answer)
        .expect_err("it is wrong")
}

fn fails_with(method: &str, path: &str, answer: &Answer, told: &[&str]) {
    let why = fails(method, path, answer);
    for part in told {
        assert!(why.contains(part), "{part:?} is not in: {why}");
    }
}

fn config() -> Value {
    json!({"session_id": "s", "roster_count": 1, "config": {}, "roster": [{"name": "Ada"}]})
}

const CONFIG: &str = "/v1/sessions/s/config";

#[test]
fn a_right_answer_passes() {
    passes("POST", CONFIG, &answer(200, &config()));
    passes("POST", "/v1/sessions/a%2Fb/config/?x=1", &error(400));
    passes("POST", CONFIG, &error(413));
    passes("GET", "/v1/audio/ws/s", &error(426));
}

#[test]
fn every_schema_of_both_documents_compiles() {
    for document in [&CONTRACT.0.openapi(), &CONTRACT.0.asyncapi()] {
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for schema in schemas.values() {
            // What it finds is not the question.
            let _ = CONTRACT.0.check(schema, &Value::Null);
        }
    }
    let operations = CONTRACT.0.paths().values().flat_map(|item| {
        let operations = item.as_object().unwrap().values();
        operations.map(|operation| &operation["responses"])
    });
    for listed in operations.flat_map(|responses| responses.as_object().unwrap().values()) {
        let response = CONTRACT.0.response(listed);
        assert!(response["description"].is_string(), "{listed}");
        let headers = response["headers"].as_object();
        for header in headers.into_iter().flat_map(|headers| headers.values()) {
            let _ = CONTRACT.0.check(&header["schema"], &Value::Null);
        }
        if let Some(content) = response.get("content") {
            let schema = &content["application/json"]["schema"];
            CONTRACT
                .0
                .check(schema, &Value::Null)
                .expect_err("null is no answer");
        }
    }
}

#[test]
fn a_wrong_body_is_told_with_its_place_and_value() {
    let cases = [
        ("/roster_count", json!("1"), ["/roster_count", "\"1\""]),
        ("/roster/0/name", json!(7), ["/roster/0/name", "7"]),
        ("/roster/0/phone", json!(7), ["/roster/0", "phone"]),
        (
            "/config/interviewer_name",
            json!(null),
            ["/config/interviewer_name", "null"],
        ),
        ("/surprise", json!(1), ["\"\"", "surprise"]),
    ];
    for (place, value, told) in cases {
        let mut body = config();
        let (parent, name) = place.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        fails_with("POST", CONFIG, &answer(200, &body), &told);
    }
    let mut body = config();
    body.as_object_mut().unwrap().remove("roster");
    fails_with("POST", CONFIG, &answer(200, &body), &["roster"]);
    fails_with(
        "POST",
        CONFIG,
        &answer(400, &json!({"error": "x"})),
        &["detail"],
    );
}

#[test]
fn of_alternatives_the_nearest_is_told() {
    let utterance = json!({
        "utterance_id": "s-mixed-00000003-x", "session_id": "s", "stream_role": "mixed", "text": "a",
        "start_seq": 1, "end_seq": 3, "start_ms": 0, "end_ms": 3000, "duration_ms": 3000,
        "asr_model": "m", "asr_provider": "p", "confidence": null, "created_at": TIME,
        "latency_ms": null,
    });
    let mut body = json!({
        "session_id": "s", "stream_role": "mixed", "view": "raw", "count": 1, "limit": 50,
        "items": [utterance],
    });
    let path = "/v1/sessions/s/utterances";
    passes("GET", path, &answer(200, &body));
    body["items"][0]["created_at"] = json!("2026-02-11T09:30:00Z");
    let why = fails("GET", path, &answer(200, &body));
    assert_eq!(why.lines().count(), 1, "{why}");
    assert!(why.contains("/items/0/created_at"), "{why}");
    body["items"][0]["created_at"] = json!(TIME);
    body["view"] = json!("merged");
    fails("GET", path, &answer(200, &body));
}

#[test]
fn a_status_that_is_not_there_and_a_500_fail() {
    fails_with("POST", CONFIG, &error(409), &["409", "\"200\""]);
    fails_with("POST", CONFIG, &error(501), &["501"]);
    fails("POST", CONFIG, &error(500));
    fails("GET", "/v1/sessions/s/state", &error(426));
}

#[test]
fn the_content_type_has_to_be_right() {
    let right = answer(200, &config());
    fails("POST", CONFIG, &with(right, "content-type", "text/plain"));
    let mut none = error(400);
    none.headers.clear();
    fails("POST", CONFIG, &none);
    let mut html = error(400);
    html.body = Bytes::from_static(b"<html>");
    fails("POST", CONFIG, &html);
}

#[test]
fn a_path_that_is_not_there_is_404_and_nothing_else() {
    for path in [
        "/",
        "/v1/sessions//state",
        "/v1/sessions/s/nothing",
        "/v1/sessions/s/state/x",
    ] {
        passes("GET", path, &error(404));
        passes("POST", path, &error(404));
        fails("GET", path, &error(400));
        fails("GET", path, &answer(200, &json!({})));
    }
}

#[test]
fn another_method_is_405_and_says_which_there_are() {
    let refused = |allow| with(error(405), "allow", allow);
    passes("DELETE", CONFIG, &refused("POST"));
    passes("PATCH", "/health", &refused("GET, HEAD"));
    passes("PATCH", "/health", &refused("HEAD,GET"));
    passes("GET", "/v1/sessions/s", &refused("DELETE"));
    passes("GET", "/v1/sessions/%00", &error(400));
    passes("get", "/health", &refused("GET, HEAD"));
    fails("PATCH", "/health", &refused("GET"));
    fails("PATCH", "/health", &refused("GET, HEAD, POST"));
    fails_with("PATCH", "/health", &error(405), &["Allow"]);
    fails("PATCH", "/health", &error(404));
    fails("POST", CONFIG, &refused("POST"));
}

#[test]
fn head_is_get_without_a_body() {
    let path = "/v1/sessions/s/state";
    let mut head = error(200);
    fails("HEAD", path, &head);
    head.body = Bytes::new();
    passes("HEAD", path, &head);
    head.status = 409;
    fails("HEAD", path, &head);
    fails("HEAD", CONFIG, &error(200));
}

#[test]
fn a_header_has_to_fit() {
    let path = "/v1/sessions/s/resolve?stream_role=students";
    let resolved = answer(200, &json!({"speaker_name": null, "updated_state": {}}));
    passes("POST", path, &resolved);
    passes(
        "POST",
        path,
        &with(resolved.clone(), "x-idempotent-replay", "true"),
    );
    let why = fails("POST", path, &with(resolved, "x-idempotent-replay", "yes"));
    assert!(
        why.contains("x-idempotent-replay") && why.contains("yes"),
        "{why}"
    );
}

fn frame(frame: &Value) -> Result<(), String> {
    CONTRACT.frame(Channel::Audio, frame)
}

#[test]
fn frames() {
    let ack = json!({
        "type": "ack", "stream_role": "mixed", "seq": 1, "status": "stored",
        "key": "sessions/s/chunks/00000001.pcm",
        "last_seq": 1, "missing_count": 0, "duplicate_count": 0,
    });
    assert_eq!(frame(&ack), Ok(()));
    for (field, value) in [
        ("status", json!("kept")),
        ("seq", json!(0)),
        ("seq", json!(1.5)),
        ("stream_role", json!("MIXED")),
        ("key", json!("elsewhere/00000001.pcm")),
        ("surprise", json!(1)),
        ("type", json!("ok")),
    ] {
        let mut wrong = ack.clone();
        wrong[field] = value.clone();
        let why = frame(&wrong).expect_err("it is wrong");
        let expected = if field == "surprise" {
            "surprise".to_owned()
        } else {
            value.to_string()
        };
        assert!(why.contains(&expected), "{field}: {why}");
    }
    let mut wrong = ack;
    wrong.as_object_mut().unwrap().remove("key");
    frame(&wrong).expect_err("what is stored has a key");
    wrong["status"] = json!("duplicate");
    assert_eq!(frame(&wrong), Ok(()));
    frame(&json!([])).expect_err("no object");
    frame(&json!({"type": "hello"})).expect_err("a client's frame");
}

#[test]
fn live_frames() {
    let partial = json!({
        "type": "partial", "live_seq": 1, "session_id": "s", "stream_role": "students",
        "text": "so", "start_ms": 0,
    });
    for channel in [Channel::Audio, Channel::Live] {
        assert_eq!(CONTRACT.frame(channel, &partial), Ok(()));
    }
    let mut wrong = partial.clone();
    wrong["live_seq"] = json!(0);
    let why = CONTRACT.frame(Channel::Live, &wrong).expect_err("from 1");
    assert!(why.contains("/live_seq"), "{why}");
    let pong = json!({"type": "pong", "ts": 1, "stream_role": "mixed"});
    assert_eq!(CONTRACT.frame(Channel::Audio, &pong), Ok(()));
    CONTRACT
        .frame(Channel::Live, &pong)
        .expect_err("viewers ask nothing");
    assert_eq!(Channel::of("/v1/sessions/live/live?after=1"), Channel::Live);
    assert_eq!(Channel::of("/v1/audio/ws/live"), Channel::Audio);
    assert_eq!(Channel::of("/v1/audio/ws/x/live"), Channel::Audio);
}

#[test]
fn what_both_documents_know_is_the_same() {
    let schemas = &CONTRACT.0.asyncapi()["components"]["schemas"];
    let frames = schemas["ServerFrame"]["oneOf"].as_array().unwrap();
    let event = json!({
        "ts": TIME, "stream_role": "students", "source": "inference_resolve",
        "identity_source": null, "utterance_id": null, "cluster_id": null, "speaker_name": null,
        "decision": "unknown", "evidence": null, "note": "nobody was asked",
    });
    let live = json!({
        "type": "speaker_event", "live_seq": 9, "session_id": "s", "stream_role": "students",
        "event": event,
    });
    assert_eq!(frames.len(), 12);
    assert_eq!(frame(&live), Ok(()));
    let mut wrong = live;
    wrong["event"]["decision"] = json!("maybe");
    let why = frame(&wrong).expect_err("no such decision");
    assert!(
        why.contains("/event/decision") && why.contains("maybe"),
        "{why}"
    );
}
