//! No input makes anything here panic.

use interview_session::capture::{CapturePatch, CaptureRecord};
use interview_session::config::ConfigPatch;
use interview_session::frame::{ClientFrame, Incoming, parse_frame};
use interview_session::ingest::IngestRecord;
use interview_session::reply::{CaptureAck, Closing, ErrorReply};
use interview_session::role::StreamRole;
use interview_session::speakers::SpeakerState;
use interview_session::time::EpochMs;
use proptest::prelude::*;
use serde_json::Value;

use super::session;

/// JSON with the names and values that mean something here.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "chunk",
            "hello",
            "close",
            "capture_status",
            "ping",
            "teacher",
            "TEACHER",
            "s",
            "",
            " ",
            "running",
            "pcm_s16le",
            "AAAA",
            "A=",
            "3",
            "1e999",
            "nan",
            "\u{0}",
            "\u{feff}",
            "😀",
        ])
        .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from(16000)),
        Just(Value::from(1)),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let name = prop::sample::select(vec![
            "type",
            "stream_role",
            "meeting_id",
            "seq",
            "timestamp_ms",
            "sample_rate",
            "channels",
            "format",
            "content_b64",
            "payload",
            "reason",
            "interviewer_name",
            "teams_interviewer_name",
            "teams_participants",
            "name",
            "email",
            "capture_state",
            "recover_attempts",
            "last_recover_at",
            "last_recover_error",
            "echo_suppressed_chunks",
            "echo_suppression_recent_rate",
            "clusters",
            "bindings",
            "cluster_id",
            "centroid",
            "sample_count",
            "bound_name",
            "x",
        ])
        .prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..10)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn frame(text: &str) {
    let answer = match parse_frame(Incoming::Text(text), &session("s"), StreamRole::Teacher) {
        Ok(ClientFrame::Chunk(chunk)) => {
            let _ = IngestRecord::new(EpochMs(1)).decide(chunk.seq);
            match chunk.decode() {
                Ok(pcm) => format!("{{\"n\":{}}}", pcm.len()),
                Err(error) => ErrorReply::new(error).to_json(),
            }
        }
        Ok(ClientFrame::Close { reason }) => {
            assert!(!reason.is_empty() && reason.len() <= 360);
            Closing::new(StreamRole::Teacher, &reason).to_json()
        }
        Ok(_) => return,
        Err(error) => ErrorReply::new(error).to_json(),
    };
    assert!(serde_json::from_str::<Value>(&answer).unwrap().is_object());
    assert!(answer.len() < 2000, "{answer}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text(text in any::<String>()) {
        frame(&text);
    }

    #[test]
    fn any_json(value in value()) {
        frame(&value.to_string());
    }

    #[test]
    fn any_chunk(mut value in value(), field in 0usize..9, kind in prop::sample::select(vec!["chunk", "hello", "close", "capture_status"])) {
        let mut chunk = serde_json::json!({"type": kind, "meeting_id": "s", "seq": 1, "timestamp_ms": 1,
            "sample_rate": 16000, "channels": 1, "format": "pcm_s16le", "content_b64": "AAAA"});
        let names = ["stream_role", "meeting_id", "seq", "timestamp_ms", "sample_rate", "channels", "format", "content_b64", "payload"];
        chunk[names[field]] = value.take();
        frame(&chunk.to_string());
    }

    #[test]
    fn any_piece_of_a_frame(cut in 0usize..200, insert in "\\PC{0,3}|\\\\u[dD][89]00|[\u{0}\"\\\\{}\\[\\],:]") {
        let whole = r#"{"type":"chunk","stream_role":"teacher","meeting_id":"s","seq":1,"timestamp_ms":1.5,"sample_rate":16000,"channels":1,"format":"pcm_s16le","content_b64":"AAAA"}"#;
        let cut = cut.min(whole.len());
        frame(&whole[..cut]);
        frame(&format!("{}{insert}{}", &whole[..cut], &whole[cut..]));
    }

    #[test]
    fn any_bytes(body in any::<Vec<u8>>()) {
        let _ = ConfigPatch::from_body(&body);
    }

    #[test]
    fn any_value(value in value()) {
        if let Ok(patch) = ConfigPatch::from_value(&value) {
            let sent = serde_json::to_vec(&patch).unwrap();
            prop_assert_eq!(ConfigPatch::from_body(&sent), Ok(patch));
        }
        if let Ok(patch) = CapturePatch::from_value(&value) {
            let mut record = CaptureRecord::new(EpochMs(1));
            patch.apply(&mut record, EpochMs(2));
            prop_assert!((0.0..=1.0).contains(&record.echo_suppression_recent_rate));
            let document = serde_json::to_string(&record).unwrap();
            let read: CaptureRecord = serde_json::from_str(&document).unwrap();
            prop_assert_eq!(CaptureAck::new(StreamRole::Mixed, &read).to_json(),
                CaptureAck::new(StreamRole::Mixed, &record).to_json());
        }
        let mut speakers = SpeakerState::default();
        speakers.merge(&value);
        speakers.merge(&serde_json::json!({"clusters": [value.clone()], "bindings": value}));
        let document = serde_json::to_string(&speakers).unwrap();
        prop_assert!(serde_json::from_str::<SpeakerState>(&document).is_ok());
    }
}
