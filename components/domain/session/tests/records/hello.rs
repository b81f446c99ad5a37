use interview_session::frame::{ClientFrame, Incoming, Subscription, parse_frame};
use interview_session::ingest::IngestRecord;
use interview_session::lane::LiveKind;
use interview_session::reply::{Closing, Pong, Ready, Status};
use interview_session::role::{ByRole, StreamRole};
use interview_session::time::EpochMs;
use serde_json::json;

use super::{parse, session};

fn teacher(text: &str) -> Result<ClientFrame<'_>, String> {
    parse(text, "g-hello", StreamRole::Teacher)
}

const PLAIN: ClientFrame<'static> = ClientFrame::Hello {
    config: None,
    subscribe: None,
};

#[test]
fn hello() {
    for text in [
        r#"{"type":"hello","stream_role":"teacher","meeting_id":"g-hello","sample_rate":16000}"#,
        r#"{"type":"hello"}"#,
        r#"{"type":"hello","stream_role":" TEACHER "}"#,
        r#"{"type":"hello","stream_role":null}"#,
        r#"{"type":"hello","meeting_id":"other","sample_rate":8000,"channels":2,"format":"mp3"}"#,
        r#"{"type":"hello","interviewer_name":" ","teams_participants":[]}"#,
    ] {
        assert_eq!(teacher(text), Ok(PLAIN), "{text}");
    }
    for (role, detail) in [
        (
            "\"students\"",
            "hello.stream_role mismatch: expected teacher, got students",
        ),
        ("\"nobody\"", "unsupported stream_role: nobody"),
        ("5", "unsupported stream_role: 5"),
        ("{}", "unsupported stream_role: [object Object]"),
        ("\"\\ud800\"", "websocket frame is not valid JSON"),
    ] {
        let text = format!(r#"{{"type":"hello","stream_role":{role}}}"#);
        assert_eq!(teacher(&text), Err(detail.to_owned()));
    }
    assert_eq!(
        parse(
            r#"{"type":"hello","stream_role":"students"}"#,
            "g-hello-2",
            StreamRole::Mixed
        ),
        Err("hello.stream_role mismatch: expected mixed, got students".to_owned())
    );
}

fn subscription(fields: &str) -> Result<Option<Subscription>, String> {
    let text = format!(r#"{{"type":"hello",{fields}}}"#);
    match teacher(&text)? {
        ClientFrame::Hello { subscribe, config } => {
            assert_eq!(config, None);
            Ok(subscribe)
        }
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn hello_that_subscribes() {
    let wants = |kinds: &[LiveKind], after| {
        Ok(Some(Subscription {
            kinds: kinds.to_vec(),
            after,
        }))
    };
    use LiveKind::{Events, Partials, Utterances};
    let all = [Utterances, Partials, Events];
    for (fields, expected) in [
        (
            r#""subscribe":["utterances","partials","events"]"#,
            wants(&all, None),
        ),
        (
            r#""subscribe":["events","events"],"after":0"#,
            wants(&[Events], Some(0)),
        ),
        (
            r#""subscribe":["partials"],"after":5.0"#,
            wants(&[Partials], Some(5)),
        ),
        (
            r#""subscribe":["partials"],"after":-0"#,
            wants(&[Partials], Some(0)),
        ),
        (
            r#""subscribe":["partials"],"after":1e300"#,
            wants(&[Partials], Some(u64::MAX)),
        ),
        (
            r#""subscribe":["partials"],"after":18446744073709551615"#,
            wants(&[Partials], Some(u64::MAX)),
        ),
        (
            r#""subscribe":["partials"],"after":null"#,
            wants(&[Partials], None),
        ),
        (r#""subscribe":[]"#, wants(&[], None)),
        (r#""subscribe":null"#, Ok(None)),
        (r#""after":7"#, Ok(None)),
    ] {
        assert_eq!(subscription(fields), expected, "{fields}");
    }
    for bad in [
        r#"["all"]"#,
        r#"[null]"#,
        r#"["Events"]"#,
        r#""events""#,
        "{}",
        "true",
        r#"[{"events":null}]"#,
    ] {
        assert_eq!(
            subscription(&format!(r#""subscribe":{bad}"#)),
            Err("hello.subscribe must be a list of utterances, partials, events".to_owned()),
            "{bad}"
        );
    }
    for bad in ["-1", "0.5", r#""5""#, "[]", "true", "-1e300"] {
        assert_eq!(
            subscription(&format!(r#""subscribe":["events"],"after":{bad}"#)),
            Err("hello.after must be a whole number from 0".to_owned()),
            "{bad}"
        );
    }
}

#[test]
fn hello_with_config() {
    let text = r#"{"type":"hello","interviewer_name":"Ada","teams_participants":["Ada",{"name":"Bob","email":"b@x"}]}"#;
    let Ok(ClientFrame::Hello {
        config: Some(patch),
        ..
    }) = teacher(text)
    else {
        panic!("no config");
    };
    let mut state = Default::default();
    patch.apply(&mut state);
    assert_eq!(
        serde_json::to_value(&state).unwrap(),
        json!({"config": {"interviewer_name": "Ada", "teams_interviewer_name": "Ada"},
            "roster": [{"name": "Ada"}, {"name": "Bob", "email": "b@x"}]})
    );
    let text = r#"{"type":"hello","interviewer_name":"Ada","teams_interviewer_name":"Ada L"}"#;
    let Ok(ClientFrame::Hello {
        config: Some(patch),
        ..
    }) = teacher(text)
    else {
        panic!("no config");
    };
    patch.apply(&mut state);
    assert_eq!(
        serde_json::to_value(&state.config).unwrap(),
        json!({"interviewer_name": "Ada", "teams_interviewer_name": "Ada L"})
    );
}

#[test]
fn close() {
    let reason = |text: &str| match teacher(text) {
        Ok(ClientFrame::Close { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(r#"{"type":"close","reason":"bye"}"#), "bye");
    assert_eq!(reason(r#"{"type":"close"}"#), "client-close");
    assert_eq!(reason(r#"{"type":"close","reason":null}"#), "client-close");
    assert_eq!(reason(r#"{"type":"close","reason":""}"#), "client-close");
    assert_eq!(
        reason(r#"{"type":"close","reason":{"a":1}}"#),
        "[object Object]"
    );
    let long = format!(r#"{{"type":"close","reason":"{}"}}"#, "x".repeat(300));
    assert_eq!(reason(&long), "x".repeat(120));
    let wide = format!(r#"{{"type":"close","reason":"{}"}}"#, "面".repeat(60));
    assert_eq!(reason(&wide), "面".repeat(60));
    let astral = format!(r#"{{"type":"close","reason":"y{}"}}"#, "😀".repeat(70));
    assert_eq!(reason(&astral), format!("y{}", "😀".repeat(59)));
}

#[test]
fn other_frames_and_errors() {
    assert_eq!(teacher(r#"{"type":"status"}"#), Ok(ClientFrame::Status));
    assert_eq!(teacher(r#"{"type":"ping"}"#), Ok(ClientFrame::Ping));
    assert_eq!(teacher(" \n{\"type\":\"ping\"}\t"), Ok(ClientFrame::Ping));
    assert_eq!(
        teacher(r#"{"ty\u0070e":"p\u0069ng"}"#),
        Ok(ClientFrame::Ping)
    );
    assert_eq!(
        teacher(r#"{"type":"status","type":"ping"}"#),
        Ok(ClientFrame::Ping)
    );
    let big = format!(r#"{{"type":"ping","pad":"{}"}}"#, "x".repeat(2 << 20));
    assert_eq!(teacher(&big), Ok(ClientFrame::Ping));
    for (text, detail) in [
        ("hello", "websocket frame is not valid JSON"),
        ("", "websocket frame is not valid JSON"),
        ("{", "websocket frame is not valid JSON"),
        (r#"{"type":"ping"}x"#, "websocket frame is not valid JSON"),
        (
            "{\"type\":\"ping\",\"a\":\"\u{0}\"}",
            "websocket frame is not valid JSON",
        ),
        (
            "\u{feff}{\"type\":\"ping\"}",
            "websocket frame is not valid JSON",
        ),
        ("[", "websocket frame is not valid JSON"),
        ("[]", "unsupported message type: "),
        (r#"[{"type":"ping"}]"#, "unsupported message type: "),
        ("5", "websocket frame must be an object"),
        ("\"ping\"", "websocket frame must be an object"),
        ("null", "websocket frame must be an object"),
        ("{}", "unsupported message type: "),
        (r#"{"type":5}"#, "unsupported message type: 5"),
        (r#"{"type":null}"#, "unsupported message type: "),
        (
            r#"{"type":{}}"#,
            "unsupported message type: [object Object]",
        ),
        (
            r#"{"type":"__proto__"}"#,
            "unsupported message type: __proto__",
        ),
        (r#"{"type":"\ud800"}"#, "websocket frame is not valid JSON"),
    ] {
        assert_eq!(teacher(text), Err(detail.to_owned()), "{text}");
    }
    let binary = parse_frame(
        Incoming::Binary(br#"{"type":"ping"}"#),
        &session("g-hello"),
        StreamRole::Teacher,
    );
    assert_eq!(
        binary.unwrap_err().to_string(),
        "websocket frame must be text JSON"
    );
}

#[test]
fn deep_nesting_and_surrogates_are_survived() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(
        teacher(&format!(r#"{{"type":"ping","pad":{deep}}}"#)),
        Ok(ClientFrame::Ping)
    );
    for field in [
        "type",
        "reason",
        "payload",
        "teams_participants",
        "interviewer_name",
    ] {
        let mut frames = vec![];
        for kind in ["hello", "close", "capture_status"] {
            frames.push(format!(r#"{{"type":"{kind}","{field}":{deep}}}"#));
            frames.push(format!(r#"{{"type":"{kind}","{field}":"\ud800"}}"#));
        }
        for text in frames {
            let _ = teacher(&text);
        }
    }
    assert!(teacher(&deep).is_err());
    assert!(teacher(&"{\"a\":".repeat(100_000)).is_err());
}

#[test]
fn fields_that_hold_too_many_values_are_refused() {
    let objects = format!("[{}{{}}]", "{},".repeat(300_000));
    let numbers = format!("[{}0]", "0,".repeat(400_000));
    for (frame, field) in [
        ("hello", "teams_participants"),
        ("hello", "interviewer_name"),
        ("hello", "stream_role"),
        ("capture_status", "payload"),
        ("close", "reason"),
    ] {
        for (many, what) in [
            (&objects, "more than 4000 JSON arrays and objects"),
            (&numbers, "more than 20000 JSON values"),
        ] {
            assert_eq!(
                teacher(&format!(r#"{{"type":"{frame}","{field}":{many}}}"#)),
                Err(format!(
                    "websocket frame holds {what}: send less in one frame"
                )),
                "{frame}.{field}"
            );
        }
    }
    // What nobody reads is not built, however much it is.
    let ignored = format!(r#"{{"type":"ping","x":{objects}}}"#);
    assert_eq!(teacher(&ignored), Ok(ClientFrame::Ping));
}

#[test]
fn half_a_surrogate_pair_is_refused_even_where_nobody_looks() {
    for text in [
        r#"{"type":"ping","pad":"\ud800"}"#,
        r#"{"type":"ping","pad":{"deep":["\udfff"]}}"#,
        r#"{"type":"ping","\ud83d":1}"#,
        r#"{"type":"status","payload":"\ud83d\u0041"}"#,
        r#"{"type":"hello","reason":"\ude00\ud83d"}"#,
        r#"["\ud800"]"#,
    ] {
        let refused = teacher(text).unwrap_err();
        assert_eq!(refused, "websocket frame is not valid JSON", "{text}");
    }
    let whole = r#"{"type":"ping","pad":"\ud83d\ude00 \\ud800"}"#;
    assert_eq!(teacher(whole), Ok(ClientFrame::Ping));
}

#[test]
fn replies_in_the_recorded_order() {
    let id = session("g-hello");
    let at = EpochMs(1_795_382_476_030);
    let ingest = ByRole::new(|_| IngestRecord::new(at));
    let status = |role: &str| {
        format!(
            r#"{{"type":"status","session_id":"g-hello","stream_role":"{role}","meeting_id":"g-hello","last_seq":0,"received_chunks":0,"duplicate_chunks":0,"missing_chunks":0,"bytes_stored":0,"started_at":"2026-11-22T21:21:16.030Z","updated_at":"2026-11-22T21:21:16.030Z"}}"#
        )
    };
    let all = format!(
        r#"{{"mixed":{},"teacher":{},"students":{}}}"#,
        status("mixed"),
        status("teacher"),
        status("students")
    );
    assert_eq!(
        Ready::new(&id, StreamRole::Teacher, &ingest).to_json(),
        format!(
            r#"{{"type":"ready","session_id":"g-hello","stream_role":"teacher","target_sample_rate":16000,"target_channels":1,"target_format":"pcm_s16le","ingest":{},"ingest_by_stream":{all}}}"#,
            status("teacher")
        )
    );
    let own = status("teacher");
    assert_eq!(
        Status::new(&id, StreamRole::Teacher, &ingest).to_json(),
        format!(
            r#"{},"ingest_by_stream":{all}}}"#,
            own.strip_suffix('}').unwrap()
        )
    );
    assert_eq!(
        Pong::new(StreamRole::Teacher, EpochMs(1_795_382_476_032)).to_json(),
        r#"{"type":"pong","ts":1795382476032,"stream_role":"teacher"}"#
    );
    assert_eq!(
        Closing::new(StreamRole::Mixed, "bye").to_json(),
        r#"{"type":"closing","reason":"bye","stream_role":"mixed"}"#
    );
}
