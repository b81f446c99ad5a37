//! The ASR service is away, goes away, comes back: one stream and what is shown of it. Under load, and
//! with all that can be wrong with the service: `asr_faults`.

use end_to_end::session::number;
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, Gateway, Recorded, Settings, audit};
use serde_json::{Value, json};

const TEACHER: u16 = 1;

fn teacher(session: &str) -> Recorded {
    Recorded::new(session, "teacher", TEACHER)
}

async fn with_error(gateway: &Gateway, session: &str) -> Value {
    eventually("the state shows the error", async || {
        let asr = gateway.asr_of(session, "teacher").await;
        if asr["asr_ws_state"] == "error" {
            Ok(asr)
        } else {
            Err(asr)
        }
    })
    .await
}

#[tokio::test]
async fn chunks_are_taken_while_the_service_is_away_and_transcribed_when_it_comes_without_any_chunk()
 {
    let mut asr = Asr::down();
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "away";
    let mut recorded = teacher(session);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=12).await;
    let shown = with_error(&gateway, session).await;
    assert_eq!(shown["backlog_chunks"], 12, "{shown:#}");
    assert_eq!(shown["ingest_lag_seconds"], 12, "{shown:#}");
    assert!(shown["last_error"].is_string(), "{shown:#}");
    assert!(number(&shown, "consecutive_failures") >= 1, "{shown:#}");
    assert!(number(&shown, "next_retry_after_ms") <= 10_000, "{shown:#}");
    assert_eq!(stream.ask(&json!({"type": "ping"})).await["type"], "pong");

    asr.up().await;
    // The last sentence is final when the idle task is ended.
    gateway.transcribed(session, "teacher", TEACHER, 12).await;
    let tasks = asr.log();
    assert_eq!(tasks.len(), 1, "one reconnect loop, one task: {tasks:#?}");
    let shown = eventually("the error is over", async || {
        let asr = gateway.asr_of(session, "teacher").await;
        if asr["last_error"] == Value::Null && asr["backlog_chunks"] == 0 {
            Ok(asr)
        } else {
            Err(asr)
        }
    })
    .await;
    assert_eq!(shown["consecutive_failures"], 0, "{shown:#}");
    stream.close().await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn a_service_that_goes_mid_task_and_comes_back_hears_what_was_not_final_again() {
    let mut asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "mid-task";
    let mut recorded = teacher(session);
    let mut stream = gateway.open(session, "teacher").await;
    // Two sentences are final; seconds 7 and 8 are heard and are not.
    recorded.store(&mut stream, 1..=8).await;
    eventually("the first sentences are final", async || {
        let utterances = gateway.utterances(session, "teacher", "raw").await;
        if utterances.len() >= 2 {
            Ok(())
        } else {
            Err(utterances)
        }
    })
    .await;
    let tasks = asr.stop().await;
    assert_eq!(tasks.len(), 1, "{tasks:#?}");
    recorded.store(&mut stream, 9..=11).await;
    with_error(&gateway, session).await;
    asr.up().await;
    recorded.store(&mut stream, 12..=14).await;
    stream.close().await;
    gateway.transcribed(session, "teacher", TEACHER, 14).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn a_service_that_comes_and_goes_loses_nothing() {
    let mut asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "comes-and-goes";
    let mut recorded = teacher(session);
    let mut stream = gateway.open(session, "teacher").await;
    for round in 0..4 {
        let first = round * 5 + 1;
        recorded.store(&mut stream, first..=first + 4).await;
        asr.stop().await;
        asr.up().await;
    }
    recorded.store(&mut stream, 21..=21).await;
    stream.close().await;
    gateway.transcribed(session, "teacher", TEACHER, 21).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn finalize_while_the_service_is_away_says_what_is_not_transcribed() {
    let asr = Asr::down();
    let settings = Settings::with_asr(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "300");
    let gateway = Gateway::start(settings).await;
    let session = "finalized-untranscribed";
    let mut recorded = teacher(session);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=3).await;
    stream.close().await;
    let documents = audit(&gateway, &[recorded], Expect::OrListed).await;
    let result = documents.result;
    assert_eq!(result["ingest_by_stream"]["teacher"]["received_chunks"], 3);
    assert_eq!(result["utterances_raw_by_stream"]["teacher"], json!([]));
    assert_eq!(
        result["untranscribed_by_stream"]["teacher"],
        json!([{"first_seq": 1, "last_seq": 3}])
    );
}

#[tokio::test]
async fn with_the_asr_path_switched_off_chunks_are_stored_and_nothing_is_a_backlog() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr).set("ASR_ENABLED", "false")).await;
    let session = "asr-off";
    let mut recorded = teacher(session);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=3).await;
    stream.close().await;
    gateway.finalize(session).await;
    let shown = gateway.asr_of(session, "teacher").await;
    assert_eq!(
        (&shown["enabled"], &shown["asr_ws_state"]),
        (&json!(false), &json!("disconnected")),
        "{shown:#}"
    );
    assert_eq!(
        (&shown["backlog_chunks"], &shown["last_error"]),
        (&json!(0), &Value::Null),
        "{shown:#}"
    );
    assert!(asr.log().is_empty());
    audit(&gateway, &[recorded], Expect::OrListed).await;
}
