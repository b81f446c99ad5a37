//! From audio to text: every acknowledged second once, in order, under its own seconds.

use asr_simulator::mark;
use end_to_end::session::{heard, number};
use end_to_end::wait::eventually;
use end_to_end::{Gateway, Shared};
use serde_json::{Value, json};

const TEACHER: u16 = 1;
const STUDENTS: u16 = 2;

#[tokio::test]
async fn two_live_streams_are_transcribed_while_they_run_and_finalized_whole() {
    let gateway = Shared::gateway().await;
    let session = "two-streams";
    gateway
        .configure(
            session,
            &json!({"interviewer_name": "Ada", "teams_participants": ["Ada", "Bob"]}),
        )
        .await;
    let mut teacher = gateway.open(session, "teacher").await;
    let mut students = gateway.open(session, "students").await;
    for seq in 1..=9 {
        teacher.store(seq, &mark::second(TEACHER, seq)).await;
        students.store(seq, &mark::second(STUDENTS, seq)).await;
    }

    // Both streams are still open. The last sentence is not over before more audio comes.
    for (role, stream) in [("teacher", TEACHER), ("students", STUDENTS)] {
        eventually("there are utterances while the stream runs", async || {
            let heard = heard(&gateway.utterances(session, role, "raw").await);
            if heard.starts_with(&[(stream, 1), (stream, 2), (stream, 3)]) {
                Ok(())
            } else {
                Err(heard)
            }
        })
        .await;
        let asr = gateway.asr_of(session, role).await;
        assert_eq!(asr["asr_ws_state"], "running", "{asr:#}");
        assert_eq!(asr["last_error"], Value::Null, "{asr:#}");
    }

    for seq in 10..=13 {
        teacher.store(seq, &mark::second(TEACHER, seq)).await;
        students.store(seq, &mark::second(STUDENTS, seq)).await;
    }
    teacher.close().await;
    students.close().await;
    let finalized = gateway.finalize(session).await;

    let by_teacher = gateway.transcribed(session, "teacher", TEACHER, 13).await;
    let by_students = gateway.transcribed(session, "students", STUDENTS, 13).await;
    for (role, items) in [("teacher", &by_teacher), ("students", &by_students)] {
        check_utterances(session, role, items);
        check_merged(&gateway, session, role, items).await;
        check_figures(&gateway.asr_of(session, role).await, items);
        check_chunks(
            &gateway,
            session,
            role,
            if role == "teacher" { TEACHER } else { STUDENTS },
        );
    }
    check_result(&gateway, session, &finalized).await;
}

fn check_utterances(session: &str, role: &str, items: &[Value]) {
    for item in items {
        let id = item["utterance_id"].as_str().unwrap();
        let begins = format!("{session}-{role}-{:08}-", number(item, "end_seq"));
        assert!(id.starts_with(&begins) && id.len() > begins.len(), "{id}");
        assert_eq!(item["session_id"], session);
        assert_eq!(item["stream_role"], role);
        assert_eq!(item["asr_provider"], "dashscope");
        assert_eq!(item["asr_model"], "fun-asr-realtime-2025-11-07");
        assert!(
            item["created_at"].as_str().unwrap().ends_with('Z'),
            "{item:#}"
        );
        assert!(
            item.get("confidence").is_some() && item["latency_ms"].is_u64(),
            "{item:#}"
        );
    }
}

/// Marked sentences have nothing in common: each is a merged entry of its own.
async fn check_merged(gateway: &Gateway, session: &str, role: &str, raw: &[Value]) {
    let merged = gateway.utterances(session, role, "merged").await;
    assert_eq!(merged.len(), raw.len());
    for (merged, raw) in merged.iter().zip(raw) {
        let id = format!("{session}-{role}-m-{:08}", number(raw, "end_seq"));
        assert_eq!(merged["merged_id"], id);
        assert_eq!(merged["source_utterance_ids"], json!([raw["utterance_id"]]));
        for field in [
            "text",
            "start_seq",
            "end_seq",
            "start_ms",
            "end_ms",
            "duration_ms",
        ] {
            assert_eq!(merged[field], raw[field], "{field}");
        }
    }
}

fn check_figures(asr: &Value, items: &[Value]) {
    assert_eq!(
        asr["asr_ws_state"], "disconnected",
        "after the flush: {asr:#}"
    );
    assert_eq!(asr["last_error"], Value::Null, "{asr:#}");
    assert_eq!(asr["utterance_count"], items.len(), "{asr:#}");
    assert_eq!(asr["total_windows_processed"], items.len(), "{asr:#}");
    assert_eq!(asr["last_window_end_seq"], 13, "{asr:#}");
    assert_eq!(
        (&asr["backlog_chunks"], &asr["ingest_lag_seconds"]),
        (&json!(0), &json!(0)),
        "{asr:#}"
    );
    let recent = asr["recent_ingest_to_utterance_ms"].as_array().unwrap();
    assert_eq!(recent.len(), items.len(), "{asr:#}");
    let (p50, p95) = ("ingest_to_utterance_p50_ms", "ingest_to_utterance_p95_ms");
    assert!(number(asr, p50) <= number(asr, p95), "{asr:#}");
    assert!(
        asr["avg_rtf"].is_number() && asr["avg_window_latency_ms"].is_number(),
        "{asr:#}"
    );
    assert!(
        asr["last_emit_at"].is_string() && asr["last_success_at"].is_string(),
        "{asr:#}"
    );
}

fn check_chunks(gateway: &Gateway, session: &str, role: &str, stream: u16) {
    for seq in 1..=13 {
        let key = format!("sessions/{session}/chunks/{role}/{seq:08}.pcm");
        let stored = gateway.blobs().read(&key).unwrap();
        assert!(
            stored == mark::second(stream, seq),
            "{role} {seq} is stored byte for byte"
        );
    }
}

async fn check_result(gateway: &Gateway, session: &str, finalized: &Value) {
    assert_eq!(finalized["session_id"], session);
    let key = finalized["result_key"].as_str().unwrap();
    assert_eq!(key, format!("sessions/{session}/result.json"));
    let result: Value = serde_json::from_slice(&gateway.blobs().read(key).unwrap()).unwrap();

    let state = gateway.state(session).await;
    for field in [
        "state",
        "ingest",
        "ingest_by_stream",
        "capture_by_stream",
        "asr",
        "asr_by_stream",
    ] {
        let (ours, shown) = (fields(&result[field]), fields(&state[field]));
        assert_eq!(ours, shown, "{field} is as in `state`");
    }
    assert_eq!(result["session_id"], session);
    assert_eq!(result["finalized_at"], finalized["finalized_at"]);
    assert_eq!(result["metadata"], json!({}));
    assert_eq!(result["state"]["config"], state["state"]["config"]);
    assert_eq!(result["ingest_by_stream"], state["ingest_by_stream"]);
    for role in ["mixed", "teacher", "students"] {
        let raw = json!(gateway.utterances(session, role, "raw").await);
        let merged = json!(gateway.utterances(session, role, "merged").await);
        assert_eq!(result["utterances_raw_by_stream"][role], raw, "{role}");
        assert_eq!(
            result["utterances_merged_by_stream"][role], merged,
            "{role}"
        );
    }
    assert_eq!(
        result["utterances_raw"],
        result["utterances_raw_by_stream"]["mixed"]
    );
    let events = result["events"].as_array().unwrap();
    assert_eq!(finalized["event_count"], events.len());
    assert_eq!(state["event_count"], events.len());
    for role in ["teacher", "students"] {
        let shown = gateway.events(session, role).await;
        assert_eq!(
            state["utterance_count_by_stream"][role],
            shown.len(),
            "an event an utterance"
        );
        let ours: Vec<_> = events
            .iter()
            .filter(|event| event["stream_role"] == role)
            .collect();
        assert_eq!(json!(ours), json!(shown), "{role}");
    }
}

fn fields(object: &Value) -> Vec<&String> {
    object.as_object().expect("an object").keys().collect()
}

#[tokio::test]
async fn a_teacher_is_named_by_roster_and_config_and_students_have_a_reason_for_no_name() {
    let gateway = Shared::gateway().await;
    let named = [
        (
            "by-roster",
            json!({"interviewer_name": "ada l", "teams_participants": ["Ada L", "Bob"]}),
            ("Ada L", "teams_participants"),
        ),
        (
            "by-one",
            json!({"teams_participants": ["Bob"]}),
            ("Bob", "teams_participants"),
        ),
        (
            "by-config",
            json!({"interviewer_name": "Grace"}),
            ("Grace", "preconfig"),
        ),
        ("by-none", json!({}), ("teacher", "teacher")),
    ];
    for (session, config, (name, source)) in named {
        gateway.configure(session, &config).await;
        let mut teacher = gateway.open(session, "teacher").await;
        teacher.store_marked(TEACHER, 1..=3).await;
        teacher.close().await;
        gateway.finalize(session).await;
        let utterances = gateway.transcribed(session, "teacher", TEACHER, 3).await;
        let events = gateway.events(session, "teacher").await;
        assert_eq!(events.len(), utterances.len());
        for (event, utterance) in events.iter().zip(&utterances) {
            assert_eq!(event["stream_role"], "teacher", "{event:#}");
            assert_eq!(event["source"], "teacher_direct", "{event:#}");
            assert_eq!(event["identity_source"], source, "{session}: {event:#}");
            assert_eq!(
                event["utterance_id"], utterance["utterance_id"],
                "{event:#}"
            );
            assert_eq!(event["cluster_id"], "teacher", "{event:#}");
            assert_eq!(event["speaker_name"], name, "{session}: {event:#}");
            assert_eq!(event["decision"], "auto", "{event:#}");
        }
    }

    let session = "no-inference";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=3).await;
    students.close().await;
    gateway.finalize(session).await;
    let utterances = gateway.transcribed(session, "students", STUDENTS, 3).await;
    let events = gateway.events(session, "students").await;
    assert_eq!(events.len(), utterances.len());
    for event in &events {
        assert_eq!(event["source"], "inference_resolve", "{event:#}");
        assert_eq!(event["decision"], "unknown", "{event:#}");
        assert_eq!(
            (&event["cluster_id"], &event["speaker_name"]),
            (&Value::Null, &Value::Null),
            "{event:#}"
        );
        assert!(
            event["note"]
                .as_str()
                .unwrap()
                .contains("INFERENCE_BASE_URL"),
            "{event:#}"
        );
    }
}

#[tokio::test]
async fn an_ended_stream_shows_no_error_and_no_task_without_anybody_asking() {
    let gateway = Shared::gateway().await;
    let session = "ends-by-itself";
    let mut mixed = gateway.open(session, "mixed").await;
    mixed.store_marked(3, 1..=4).await;
    mixed.close().await;
    gateway.transcribed(session, "mixed", 3, 4).await;
    let asr = eventually("the task ends", async || {
        let asr = gateway.asr_of(session, "mixed").await;
        if asr["asr_ws_state"] == "disconnected" {
            Ok(asr)
        } else {
            Err(asr)
        }
    })
    .await;
    assert_eq!(asr["last_error"], Value::Null, "{asr:#}");
    assert_eq!(asr["consecutive_failures"], 0, "{asr:#}");
    assert!(
        gateway.events(session, "mixed").await.is_empty(),
        "nobody is looked up for mixed audio"
    );
}

#[tokio::test]
async fn a_late_and_a_missing_second_leave_the_clock_true() {
    let gateway = Shared::gateway().await;
    let session = "gaps";
    let mut teacher = gateway.open(session, "teacher").await;
    for seq in [1, 2, 3, 5, 4, 6, 8, 9, 10] {
        teacher.store(seq, &mark::second(TEACHER, seq)).await;
    }
    teacher.close().await;
    gateway.finalize(session).await;
    let items = gateway.utterances(session, "teacher", "raw").await;
    let heard = heard(&items);
    let second = |seq: u32| {
        heard
            .iter()
            .filter(|heard| **heard == (TEACHER, seq))
            .count()
    };
    // Second 7 never came. Second 4 came after 5, when its time may have been sent as silence.
    for seq in [1, 2, 3, 5, 6, 8, 9, 10] {
        assert_eq!(second(seq), 1, "second {seq} in {heard:?}");
    }
    assert!(second(4) <= 1 && second(7) == 0, "{heard:?}");
    for item in &items {
        for (_, seq) in end_to_end::session::heard(std::slice::from_ref(item)) {
            let range = number(item, "start_seq")..=number(item, "end_seq");
            assert!(range.contains(&u64::from(seq)), "second {seq} in {item:#}");
        }
    }
    let ingest = &gateway.state(session).await["ingest_by_stream"]["teacher"];
    assert_eq!(
        (&ingest["received_chunks"], &ingest["missing_chunks"]),
        (&json!(9), &json!(1)),
        "{ingest:#}"
    );
}
