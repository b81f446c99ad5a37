//! `finalize`: `result.json` is of one moment, what the session says of it is true of it, and what it lacks is
//! listed and comes into it when it is done.

use std::sync::Arc;

use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, Gateway, Inference, Reply, Settings};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const TEACHER: u16 = 1;
const STUDENTS: u16 = 2;

async fn result(gateway: &Gateway, session: &str) -> Value {
    gateway
        .get(&format!("/v1/sessions/{session}/result"))
        .await
        .ok()
}

async fn finalize(gateway: &Gateway, session: &str, body: &Value) -> Value {
    let path = format!("/v1/sessions/{session}/finalize");
    gateway.post(&path, body).await.ok()
}

/// Of two that write at a time the later one's file stays, and what is said of it is said of that one.
#[tokio::test]
async fn of_finalizes_at_the_same_time_the_file_that_stays_is_the_one_that_is_told_of() {
    const ROUNDS: u32 = 60;
    let settings = Settings::default().set("ASR_ENABLED", "false");
    let gateway = Arc::new(Gateway::start(settings).await);
    let session = "finalized-together";
    let mut teacher = gateway.open(session, "teacher").await;
    for round in 0..ROUNDS {
        let first = 1 + 4 * round;
        let mut finalizes = JoinSet::new();
        for seq in first..first + 4 {
            teacher.store_marked(TEACHER, seq..=seq).await;
            let gateway = Arc::clone(&gateway);
            finalizes.spawn(async move { finalize(&gateway, session, &json!({})).await });
        }
        in_time("all are finalized", finalizes.join_all()).await;
        let state = gateway.state(session).await;
        assert_eq!(state["phase"], "finalized", "{state:#}");
        let result = result(&gateway, session).await;
        assert_eq!(
            result["ingest_by_stream"]["teacher"]["last_seq"],
            first + 3,
            "the file has all that was stored before: round {round}"
        );
        let lacks = &result["untranscribed_by_stream"]["teacher"];
        assert_eq!(*lacks, json!([{"first_seq": 1, "last_seq": first + 3}]));
    }
}

fn knows_bob(_: &Value) -> Reply {
    Reply::ok(json!({"speaker_name": "Bob", "decision": "auto"}))
}

/// The look-ups take longer than a `finalize` waits, and then longer than the process lives.
#[tokio::test]
async fn utterances_without_identity_are_listed_and_the_file_is_completed_when_they_have_it() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(knows_bob).await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", "50000")
        .set("FINALIZE_FLUSH_TIMEOUT_MS", "3000");
    let mut gateway = Gateway::start(settings).await;
    let session = "unidentified";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=9).await;
    students.close().await;
    let utterances = gateway.transcribed(session, "students", STUDENTS, 9).await;
    let ids: Vec<_> = utterances
        .iter()
        .map(|u| u["utterance_id"].clone())
        .collect();
    assert!(ids.len() >= 3, "{utterances:#?}");

    let body = json!({"metadata": {"position": "engineer"}});
    let finalized = finalize(&gateway, session, &body).await;
    let lacks = json!({"mixed": [], "teacher": [], "students": ids});
    assert_eq!(finalized["unidentified_by_stream"], lacks, "{finalized:#}");
    assert_eq!(finalized["event_count"], 0);
    let early = result(&gateway, session).await;
    assert_eq!(early["unidentified_by_stream"], lacks);
    assert_eq!(early["finalized_at"], finalized["finalized_at"]);
    assert_eq!(early.get("completed_at"), None);

    gateway.kill().await;
    gateway.restart().await;
    inference.let_go(1_000);
    let whole = eventually("the file is completed", async || {
        let result = result(&gateway, session).await;
        let lacks = &result["unidentified_by_stream"]["students"];
        if *lacks == json!([]) {
            Ok(result)
        } else {
            Err(result)
        }
    })
    .await;
    let of: Vec<_> = whole["events"].as_array().unwrap().iter().collect();
    let named: Vec<_> = of
        .iter()
        .map(|event| event["utterance_id"].clone())
        .collect();
    assert_eq!(named, ids);
    assert!(
        of.iter().all(|event| event["speaker_name"] == "Bob"),
        "{of:#?}"
    );
    assert_eq!(whole["metadata"], body["metadata"]);
    assert_eq!(whole["finalized_at"], finalized["finalized_at"]);
    assert!(whole["completed_at"].is_string(), "{whole:#}");
    assert_eq!(gateway.state(session).await["phase"], "finalized");
}

/// What came after it is for the next `finalize`: a file that was asked for is not made of another time.
#[tokio::test]
async fn a_file_is_not_completed_with_what_was_recorded_after_it() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(knows_bob).await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", "50000")
        .set("FINALIZE_FLUSH_TIMEOUT_MS", "3000");
    let gateway = Gateway::start(settings).await;
    let session = "recorded-on";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=3).await;
    let finalized = finalize(&gateway, session, &json!({})).await;
    let lacks = &finalized["unidentified_by_stream"]["students"];
    assert_eq!(lacks.as_array().map(Vec::len), Some(1), "{finalized:#}");
    students.store_marked(STUDENTS, 4..=4).await;
    inference.let_go(1_000);
    eventually("it is known who spoke", async || {
        let events = gateway.events(session, "students").await;
        if events.is_empty() {
            Err(events)
        } else {
            Ok(())
        }
    })
    .await;
    let early = result(&gateway, session).await;
    assert_eq!(early["ingest_by_stream"]["students"]["last_seq"], 3);
    let again = finalize(&gateway, session, &json!({})).await;
    let none = json!({"mixed": [], "teacher": [], "students": []});
    assert_eq!(again["unidentified_by_stream"], none, "{again:#}");
    let whole = result(&gateway, session).await;
    assert_eq!(whole["ingest_by_stream"]["students"]["last_seq"], 4);
    assert_eq!(whole.get("completed_at"), None);
}
