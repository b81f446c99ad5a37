use interview_session::capture::{CaptureRecord, capture_by_stream};
use interview_session::frame::ClientFrame;
use interview_session::reply::CaptureAck;
use interview_session::role::{ByRole, StreamRole};
use interview_session::time::EpochMs;
use serde_json::{Value, json};

use super::parse;

const NEVER: EpochMs = EpochMs(1000);
const NOW: EpochMs = EpochMs(2000);

#[derive(Default)]
struct Session {
    stored: ByRole<Option<CaptureRecord>>,
}

impl Session {
    /// The ack, or the error's text.
    fn send(&mut self, role: StreamRole, fields: &str) -> Result<Value, String> {
        let text = format!(r#"{{"type":"capture_status"{fields}}}"#);
        let ClientFrame::CaptureStatus(patch) = parse(&text, "g-capture", role)? else {
            panic!("not a capture status");
        };
        let mut record = capture_by_stream(self.stored.clone(), NEVER)
            .get(role)
            .clone();
        patch.apply(&mut record, NOW);
        let ack = serde_json::from_str(&CaptureAck::new(role, &record).to_json()).unwrap();
        let document = serde_json::to_string(&record).unwrap();
        *self.stored.get_mut(role) = Some(serde_json::from_str(&document).unwrap());
        Ok(ack)
    }

    fn state(&self, role: StreamRole) -> Value {
        let all = capture_by_stream(self.stored.clone(), NEVER);
        serde_json::to_value(all.view()).unwrap()[role.as_str()].clone()
    }
}

fn object(state: &str, attempts: u64, at: Value, error: Value, chunks: u64, rate: Value) -> Value {
    json!({"capture_state": state, "recover_attempts": attempts, "last_recover_at": at,
        "last_recover_error": error, "echo_suppressed_chunks": chunks,
        "echo_suppression_recent_rate": rate, "updated_at": "1970-01-01T00:00:02.000Z"})
}

#[test]
fn capture_status_in_order() {
    let mut session = Session::default();
    let mut check = |case: &str, fields: &str, payload: Result<Value, &str>| {
        let expected = payload
            .map(|payload| json!({"type": "capture_status_ack", "stream_role": "teacher", "payload": payload}))
            .map_err(str::to_owned);
        assert_eq!(
            session.send(StreamRole::Teacher, fields),
            expected,
            "{case}"
        );
    };
    let at = json!("2026-01-01T00:00:00Z");
    let lost = json!("device lost");
    let plain = |state, attempts, chunks, rate| {
        object(state, attempts, json!(null), json!(null), chunks, rate)
    };
    check(
        "teacher-running",
        r#","payload":{"capture_state":"running"}"#,
        Ok(plain("running", 0, 0, json!(0))),
    );
    check(
        "all-fields",
        r#","payload":{"capture_state":"recovering","recover_attempts":2.7,"last_recover_at":"2026-01-01T00:00:00Z","last_recover_error":"device lost","echo_suppressed_chunks":4.9,"echo_suppression_recent_rate":0.25,"unknown_field":1}"#,
        Ok(object(
            "recovering",
            2,
            at.clone(),
            lost.clone(),
            4,
            json!(0.25),
        )),
    );
    let kept = object("running", 2, at, lost, 4, json!(0.25));
    check(
        "partial-keeps-rest",
        r#","payload":{"capture_state":"running"}"#,
        Ok(kept.clone()),
    );
    check("empty-payload", r#","payload":{}"#, Ok(kept));
    check(
        "nulls",
        r#","payload":{"recover_attempts":null,"last_recover_at":null,"last_recover_error":null,"echo_suppressed_chunks":null,"echo_suppression_recent_rate":null,"capture_state":null}"#,
        Ok(plain("running", 0, 0, json!(0))),
    );
    check(
        "rate-above-1",
        r#","payload":{"echo_suppression_recent_rate":3}"#,
        Ok(plain("running", 0, 0, json!(1))),
    );
    check(
        "rate-negative",
        r#","payload":{"echo_suppression_recent_rate":-3}"#,
        Ok(plain("running", 0, 0, json!(0))),
    );
    check(
        "counts-negative-ignored",
        r#","payload":{"recover_attempts":-1,"echo_suppressed_chunks":-5}"#,
        Ok(plain("running", 0, 0, json!(0))),
    );
    check(
        "counts-as-strings",
        r#","payload":{"recover_attempts":"3","echo_suppressed_chunks":"7","echo_suppression_recent_rate":"0.5"}"#,
        Ok(plain("running", 3, 7, json!(0.5))),
    );
    check(
        "counts-bool",
        r#","payload":{"recover_attempts":true}"#,
        Ok(plain("running", 1, 7, json!(0.5))),
    );
    check(
        "blank-strings-ignored",
        r#","payload":{"capture_state":" ","last_recover_at":"","last_recover_error":"  "}"#,
        Ok(plain("running", 1, 7, json!(0.5))),
    );
    let bad = "capture_status.capture_state must be idle|running|recovering|failed";
    check(
        "state-unknown",
        r#","payload":{"capture_state":"paused"}"#,
        Err(bad),
    );
    check(
        "state-upper",
        r#","payload":{"capture_state":"RUNNING"}"#,
        Err(bad),
    );
    check(
        "state-number",
        r#","payload":{"capture_state":5}"#,
        Err(bad),
    );
    let failed = || plain("failed", 1, 7, json!(0.5));
    check(
        "state-padded",
        r#","payload":{"capture_state":" failed "}"#,
        Ok(failed()),
    );
    let bad = "capture_status.payload must be an object";
    check("payload-missing", "", Err(bad));
    check("payload-string", r#","payload":"x""#, Err(bad));
    check("payload-null", r#","payload":null"#, Err(bad));
    check("payload-array", r#","payload":[]"#, Ok(failed()));
    check(
        "role-mismatch",
        r#","payload":{"capture_state":"idle"},"stream_role":"students""#,
        Err("capture_status.stream_role mismatch: expected teacher, got students"),
    );
    check(
        "role-unknown",
        r#","payload":{"capture_state":"idle"},"stream_role":"nobody""#,
        Err("unsupported stream_role: nobody"),
    );
    let running = || plain("running", 1, 7, json!(0.5));
    check(
        "role-upper-ok",
        r#","payload":{"capture_state":"running"},"stream_role":"TEACHER""#,
        Ok(running()),
    );
    check(
        "role-number-ignored",
        r#","payload":{"capture_state":"running"},"stream_role":4"#,
        Ok(running()),
    );
}

#[test]
fn mixed_follows_the_others() {
    let mut session = Session::default();
    session
        .send(
            StreamRole::Teacher,
            r#","payload":{"recover_attempts":1,"echo_suppressed_chunks":7,"echo_suppression_recent_rate":0.5}"#,
        )
        .unwrap();
    for (teacher, students, mixed) in [
        ("idle", "idle", "idle"),
        ("running", "idle", "running"),
        ("idle", "running", "running"),
        ("failed", "idle", "failed"),
        ("failed", "running", "running"),
        ("failed", "recovering", "recovering"),
        ("running", "failed", "running"),
        ("recovering", "running", "recovering"),
    ] {
        for (role, state) in [
            (StreamRole::Teacher, teacher),
            (StreamRole::Students, students),
        ] {
            session
                .send(
                    role,
                    &format!(r#","payload":{{"capture_state":"{state}"}}"#),
                )
                .unwrap();
        }
        assert_eq!(
            session.state(StreamRole::Mixed),
            object(mixed, 0, json!(null), json!(null), 7, json!(0.5)),
            "{teacher} {students}"
        );
    }
    // mixed-own-status: acked as sent, shown as derived.
    let ack = session
        .send(
            StreamRole::Mixed,
            r#","payload":{"capture_state":"failed","echo_suppressed_chunks":99}"#,
        )
        .unwrap();
    assert_eq!(
        ack["payload"],
        object("failed", 0, json!(null), json!(null), 99, json!(0.5))
    );
    assert_eq!(
        session.state(StreamRole::Mixed),
        object("recovering", 0, json!(null), json!(null), 7, json!(0.5))
    );
}

#[test]
fn a_recorder_that_said_nothing() {
    let session = Session::default();
    for role in StreamRole::ALL {
        let view = session.state(role);
        assert_eq!(view["capture_state"], "idle");
        assert_eq!(view["echo_suppression_recent_rate"], 0);
        assert_eq!(view["updated_at"], "1970-01-01T00:00:01.000Z");
    }
}
