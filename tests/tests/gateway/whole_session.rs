//! A session from its first chunk to its deletion, each step checked: fed, resolved, backfilled,
//! reset, finalized, read back, deleted.

use std::path::Path;
use std::process::Stdio;

use asr_simulator::mark;
use end_to_end::session::{heard, number};
use end_to_end::wait::in_time;
use end_to_end::{Asr, Gateway, Inference, Reply, Settings, build};
use serde_json::{Value, json};
use tokio::process::Command;

const SESSION: &str = "whole-session";
const TEACHER: u16 = 1;
const STUDENTS: u16 = 2;
const SECONDS: u32 = 20;

#[tokio::test]
async fn a_session_is_fed_resolved_backfilled_reset_finalized_read_back_and_deleted() {
    let asr = Asr::start().await;
    let inference = Inference::start(knows_everybody).await;
    let settings = Settings::with_asr(&asr).set("INFERENCE_BASE_URL", &inference.url());
    let gateway = Gateway::start(settings).await;

    feed(&gateway).await;
    check_what_was_fed(&gateway).await;
    check_resolve(&gateway, &inference).await;
    check_that_nothing_is_left_to_backfill(&gateway).await;
    check_reset(&gateway).await;
    check_backfill(&gateway).await;
    let result = check_finalize(&gateway).await;
    check_read_back(&gateway, &result).await;
    check_deletion(&gateway).await;
}

/// Each request is another voice, which has its name at once.
fn knows_everybody(request: &Value) -> Reply {
    let mut clusters = request["state"]["clusters"].as_array().unwrap().clone();
    let id = format!("c{}", clusters.len() + 1);
    clusters
        .push(json!({"cluster_id": id, "centroid": [0.5], "sample_count": 1, "bound_name": "Bob"}));
    Reply::ok(json!({
        "session_id": request["session_id"],
        "cluster_id": id,
        "decision": "auto",
        "evidence": {"sv_score": 0.9},
        "updated_state": {"clusters": clusters, "bindings": {}},
    }))
}

async fn feed(gateway: &Gateway) {
    let files = tempfile::tempdir().unwrap();
    let mut feed = Command::new(build::feed());
    feed.args(["--url", &format!("http://{}", gateway.address())])
        .args(["--session", SESSION, "--interviewer", "Ada"])
        .args(["--fast", "--no-finalize", "--json"]);
    for (role, stream) in [("teacher", TEACHER), ("students", STUDENTS)] {
        let file = files.path().join(format!("{role}.pcm"));
        write_pcm(&file, stream);
        feed.arg(format!("--{role}")).arg(file);
    }
    feed.stdin(Stdio::null()).kill_on_drop(true);
    let fed = in_time("feed ends", feed.output()).await.unwrap();
    let errors = String::from_utf8_lossy(&fed.stderr);
    assert!(fed.status.success(), "{errors}");
}

fn write_pcm(file: &Path, stream: u16) {
    let pcm: Vec<u8> = (1..=SECONDS)
        .flat_map(|seq| mark::second(stream, seq))
        .collect();
    std::fs::write(file, pcm).unwrap();
}

async fn check_what_was_fed(gateway: &Gateway) {
    for (role, stream) in [("teacher", TEACHER), ("students", STUDENTS)] {
        gateway.transcribed(SESSION, role, stream, SECONDS).await;
    }
    end_to_end::wait::eventually("every students' utterance has its event", async || {
        let utterances = gateway.utterances(SESSION, "students", "raw").await.len();
        let events = gateway.events(SESSION, "students").await.len();
        (utterances == events)
            .then_some(())
            .ok_or((utterances, events))
    })
    .await;
    let state = gateway.state(SESSION).await;
    assert_eq!(state["phase"], "idle", "nobody is connected: {state:#}");
    let listed = listed(gateway).await.expect("it is listed");
    assert_eq!(listed["phase"], "idle", "{listed:#}");
    assert_eq!(
        listed["received_chunks_by_stream"],
        json!({"mixed": 0, "teacher": SECONDS, "students": SECONDS})
    );
    assert_eq!(listed["finalized_at"], Value::Null, "{listed:#}");
}

async fn listed(gateway: &Gateway) -> Option<Value> {
    let page = gateway.get("/v1/sessions").await.ok();
    let mut items = page["items"].as_array().unwrap().iter();
    items.find(|item| item["session_id"] == SESSION).cloned()
}

async fn check_resolve(gateway: &Gateway, inference: &Inference) {
    let asked = inference.asked().len();
    let events = gateway.events(SESSION, "students").await.len();
    let clusters = gateway.state(SESSION).await["state"]["clusters"].clone();
    let audio = json!({"content_b64": "UklGRg==", "format": "wav"});
    let path = format!("/v1/sessions/{SESSION}/resolve?stream_role=students");
    let answer = gateway
        .post(&path, &json!({"audio": audio, "asr_text": "hello"}))
        .await
        .ok();
    assert_eq!(answer["speaker_name"], "Bob", "filled in: {answer:#}");
    assert_eq!(inference.asked().len(), asked + 1);
    let after = gateway.events(SESSION, "students").await;
    assert_eq!(after.len(), events + 1);
    assert_eq!(after[events]["utterance_id"], Value::Null);
    assert_eq!(after[events]["speaker_name"], "Bob");
    let now = gateway.state(SESSION).await["state"]["clusters"].clone();
    let known = clusters.as_array().unwrap();
    assert_eq!(now.as_array().unwrap()[..known.len()], known[..]);
    assert_eq!(now.as_array().unwrap().len(), known.len() + 1);
}

async fn run(gateway: &Gateway, query: &str) -> Value {
    let path = format!("/v1/sessions/{SESSION}/asr-run?stream_role=teacher{query}");
    gateway.post(&path, &json!({})).await.ok()
}

async fn check_that_nothing_is_left_to_backfill(gateway: &Gateway) {
    let before = gateway.utterances(SESSION, "teacher", "raw").await;
    let ran = run(gateway, "&flush=true").await;
    assert_eq!(ran["generated"], 0, "{ran:#}");
    assert_eq!(ran["stopped"], "end", "{ran:#}");
    assert_eq!(ran["last_window_end_seq"], SECONDS, "{ran:#}");
    assert_eq!(
        gateway.utterances(SESSION, "teacher", "raw").await,
        before,
        "what realtime has covered is not transcribed again"
    );
}

async fn check_reset(gateway: &Gateway) {
    let students = gateway.utterances(SESSION, "students", "raw").await;
    let raw = gateway.utterances(SESSION, "teacher", "raw").await.len();
    let merged = gateway.utterances(SESSION, "teacher", "merged").await.len();
    let events = gateway.events(SESSION, "teacher").await.len();
    let path = format!("/v1/sessions/{SESSION}/asr-reset?stream_role=teacher");
    let reset = gateway.post(&path, &json!({})).await.ok();
    assert_eq!(reset["session_id"], SESSION);
    assert_eq!(reset["stream_role"], "teacher");
    assert_eq!(reset["removed_raw"], raw, "{reset:#}");
    assert_eq!(reset["removed_merged"], merged, "{reset:#}");
    assert_eq!(reset["removed_events"], events, "{reset:#}");
    assert!(reset["message"].is_string(), "{reset:#}");

    for view in ["raw", "merged"] {
        let left = gateway.utterances(SESSION, "teacher", view).await;
        assert_eq!(left, Vec::<Value>::new());
    }
    assert_eq!(
        gateway.events(SESSION, "teacher").await,
        Vec::<Value>::new()
    );
    let asr = gateway.asr_of(SESSION, "teacher").await;
    assert_eq!(asr["utterance_count"], 0, "{asr:#}");
    assert_eq!(asr["last_window_end_seq"], 0, "{asr:#}");
    assert_eq!(asr["backlog_chunks"], 0, "the backlog is dropped: {asr:#}");
    assert_eq!(asr["asr_ws_state"], "disconnected", "{asr:#}");
    assert_eq!(
        gateway.utterances(SESSION, "students", "raw").await,
        students,
        "the other stream does not notice"
    );
}

/// Windows of 10 seconds every 3: 1..10, 4..13, 7..16, 10..19 and, to the end, 13..20.
async fn check_backfill(gateway: &Gateway) {
    let ran = run(gateway, "&max_windows=2").await;
    assert_eq!(ran["generated"], 2, "{ran:#}");
    assert_eq!(ran["stopped"], "max_windows", "{ran:#}");
    assert_eq!(ran["last_window_end_seq"], 13, "{ran:#}");
    assert_eq!(ran["total_audio_seconds_processed"], 20, "{ran:#}");
    let ran = run(gateway, "").await;
    assert_eq!(ran["generated"], 2, "{ran:#}");
    assert_eq!(ran["stopped"], "end", "{ran:#}");
    assert_eq!(ran["last_window_end_seq"], 19, "{ran:#}");
    let ran = run(gateway, "&flush=true").await;
    assert_eq!(ran["generated"], 1, "{ran:#}");
    assert_eq!(ran["last_window_end_seq"], 20, "{ran:#}");
    assert_eq!(ran["utterance_count"], 5, "{ran:#}");
    assert_eq!(ran["total_windows_processed"], 5, "{ran:#}");
    assert_eq!(ran["last_error"], Value::Null, "{ran:#}");

    let raw = gateway.utterances(SESSION, "teacher", "raw").await;
    let ranges: Vec<_> = raw
        .iter()
        .map(|item| (number(item, "start_seq"), number(item, "end_seq")))
        .collect();
    assert_eq!(ranges, [(1, 10), (4, 13), (7, 16), (10, 19), (13, 20)]);
    for item in &raw {
        let end = number(item, "end_seq");
        assert_eq!(
            item["utterance_id"],
            format!("{SESSION}-teacher-{end:08}"),
            "without a suffix"
        );
        let said = heard(std::slice::from_ref(item));
        let seconds: Vec<_> = (number(item, "start_seq")..=end)
            .map(|seq| (TEACHER, u32::try_from(seq).unwrap()))
            .collect();
        assert_eq!(said, seconds, "every sentence of the window: {item:#}");
    }
    let merged = gateway.utterances(SESSION, "teacher", "merged").await;
    let all: Vec<_> = (1..=SECONDS).map(|seq| (TEACHER, seq)).collect();
    assert_eq!(heard(&merged), all, "merged: each second once: {merged:#?}");
    let events = gateway.events(SESSION, "teacher").await;
    let of: Vec<_> = events.iter().map(|event| &event["utterance_id"]).collect();
    let ids: Vec<_> = raw.iter().map(|item| &item["utterance_id"]).collect();
    assert_eq!(of, ids, "an event for each");
    assert!(events.iter().all(|event| event["speaker_name"] == "Ada"));
}

async fn check_finalize(gateway: &Gateway) -> Value {
    let early = gateway.get(&format!("/v1/sessions/{SESSION}/result")).await;
    assert_eq!(early.status, 404, "{early:?}");
    let path = format!("/v1/sessions/{SESSION}/finalize");
    let finalized = gateway
        .post(&path, &json!({"metadata": {"title": "t"}}))
        .await
        .ok();
    let key = finalized["result_key"].as_str().unwrap();
    let result: Value = serde_json::from_slice(&gateway.blobs().read(key).unwrap()).unwrap();
    assert_eq!(result["metadata"], json!({"title": "t"}));
    for role in ["teacher", "students"] {
        assert_eq!(
            result["untranscribed_by_stream"][role],
            json!([]),
            "{role}: all is transcribed"
        );
        let raw = gateway.utterances(SESSION, role, "raw").await;
        assert_eq!(result["utterances_raw_by_stream"][role], json!(raw));
        let merged = gateway.utterances(SESSION, role, "merged").await;
        assert_eq!(result["utterances_merged_by_stream"][role], json!(merged));
    }
    result
}

async fn check_read_back(gateway: &Gateway, result: &Value) {
    let answer = gateway.get(&format!("/v1/sessions/{SESSION}/result")).await;
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/json")
    );
    assert_eq!(answer.ok(), *result);
    let state = gateway.state(SESSION).await;
    assert_eq!(state["phase"], "finalized", "{state:#}");
    let listed = listed(gateway).await.expect("it is listed");
    assert_eq!(listed["phase"], "finalized", "{listed:#}");
    assert_eq!(listed["finalized_at"], result["finalized_at"]);
}

async fn check_deletion(gateway: &Gateway) {
    let path = format!("/v1/sessions/{SESSION}");
    let mut connected = gateway.open(SESSION, "mixed").await;
    // Once it is answered the records say that it is there.
    connected.ask(&json!({"type": "ping"})).await;
    let refused = gateway.delete(&path).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let state = gateway.state(SESSION).await;
    assert_eq!(state["utterance_count_by_stream"]["teacher"], 5);

    let deleted = gateway.delete(&format!("{path}?force=true")).await.ok();
    assert_eq!(deleted["deleted"], true, "{deleted:#}");
    let objects = u64::from(2 * SECONDS) + 1;
    assert_eq!(deleted["removed_objects"], objects, "chunks and result");
    drop(connected);
    let again = gateway.delete(&path).await.ok();
    assert_eq!(again["removed_objects"], 0, "harmless: {again:#}");

    let state = gateway.state(SESSION).await;
    assert_eq!(state["phase"], "idle", "{state:#}");
    assert_eq!(state["event_count"], 0, "{state:#}");
    assert_eq!(state["state"]["clusters"], json!([]), "{state:#}");
    assert_eq!(state["state"]["config"], json!({}), "{state:#}");
    assert_eq!(state["ingest_by_stream"]["teacher"]["last_seq"], 0);
    for role in ["teacher", "students"] {
        let left = gateway.utterances(SESSION, role, "raw").await;
        assert_eq!(left, Vec::<Value>::new());
    }
    let result = gateway.get(&format!("/v1/sessions/{SESSION}/result")).await;
    assert_eq!(result.status, 404);
    assert_eq!(listed(gateway).await, None);
    let left = gateway.blobs().keys(&format!("sessions/{SESSION}/"));
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(
        stored_keys(gateway),
        Vec::<String>::new(),
        "nothing is left"
    );
}

/// The keys of the session in the key-value store. The sessions' counter is not the session's.
fn stored_keys(gateway: &Gateway) -> Vec<String> {
    let entries = gateway.store().entries(SESSION);
    entries.into_iter().map(|(key, _)| key).collect()
}
