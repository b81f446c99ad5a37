//! The app as `spin-s3.toml` has it: `finalizer` with a blob store inside that sends its own requests to
//! S3, on a host whose blob store nobody uses.

use std::collections::BTreeMap;
use std::time::Duration;

use asr_simulator::mark;
use bytes::Bytes;
use end_to_end::audit::{Expect, Recorded, audit};
use end_to_end::wait::eventually;
use end_to_end::{Asr, Gateway, Inference, Reply, Settings, build, chunk_frame};
use http::Method;
use s3_simulator::Object;
use s3_simulator::faults::Fault;
use serde_json::json;
use toml::{Table, Value};

const MARK: u16 = 71;
const BUSY: Fault = Fault::Refuse(503, "SlowDown");

async fn started(settings: &[(&str, &str)]) -> (Asr, Gateway) {
    let asr = Asr::start().await;
    let set = |all: Settings, (name, value): &(&str, &str)| all.set(name, value);
    let settings = settings.iter().fold(Settings::with_asr(&asr), set);
    let gateway = Gateway::start_with_objects_of_its_own(settings).await;
    (asr, gateway)
}

#[tokio::test]
async fn a_session_is_kept_on_s3_by_the_app_itself() {
    let (_asr, mut gateway) = started(&[]).await;
    let session = "own-objects";
    let health = gateway.get("/health").await.ok();
    assert_eq!(health["blob_store"], "s3");
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=12).await;
    stream.close().await;
    gateway.transcribed(session, "teacher", MARK, 12).await;
    let documents = audit(&gateway, &[recorded], Expect::AllTranscribed).await;
    assert_eq!(documents.shown_result["session_id"], session);
    let kept = gateway.blobs().keys(&format!("sessions/{session}/"));
    assert_eq!(kept.len(), 13, "{kept:?}");
    let object = gateway
        .blobs()
        .store()
        .get(&kept[0])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(object.metadata[0].0, "channels");

    let in_vain = gateway.state_dir().join("blobs/sessions");
    assert!(!in_vain.exists(), "the host's own store is used");

    // What is stored is there after a new start, and a deletion takes it away.
    gateway.kill().await;
    gateway.restart().await;
    let result = gateway.get(&format!("/v1/sessions/{session}/result")).await;
    assert_eq!(result.ok()["session_id"], session);
    let path = format!("/v1/sessions/{session}");
    let deleted = gateway.delete(&path).await.ok();
    assert_eq!(deleted["removed_objects"], 13);
    let left = gateway.blobs().keys(&format!("sessions/{session}/"));
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_fails_costs_no_acked_second() {
    // One call has time for all four faults of the next.
    let patience = [
        ("S3_TIMEOUT_MS", "10000"),
        ("S3_ATTEMPT_TIMEOUT_MS", "1000"),
    ];
    let (_asr, gateway) = started(&patience).await;
    let session = "own-objects-faults";
    let server = gateway.blobs().server().expect("a server");
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=2).await;
    let faults = server.faults();
    for fault in [
        Fault::Refuse(503, "SlowDown"),
        Fault::Cut,
        Fault::CutWhenDone,
        Fault::Stall,
    ] {
        faults.next(Some(Method::PUT), fault);
    }
    recorded.store(&mut stream, 3..=6).await;
    // One that lasts: no ack, and a word to the client.
    faults.always(Some(Method::PUT), Fault::Refuse(503, "SlowDown"));
    recorded.sent(7);
    let frame = chunk_frame(session, "teacher", 7, &mark::second(MARK, 7));
    let refused = stream.ask(&frame).await;
    assert_eq!(refused["type"], "error", "{refused}");
    faults.clear();
    let ack = eventually("it is stored when the server is back", async || {
        let mut again = gateway.open(session, "teacher").await;
        let answer = again.ask(&frame).await;
        again.close().await;
        match answer["type"].as_str() {
            Some("ack") => Ok(answer),
            _ => Err(answer),
        }
    })
    .await;
    recorded.take(&ack);
    stream.close().await;
    gateway.transcribed(session, "teacher", MARK, 7).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

/// What is read, looked at and listed too.
#[tokio::test]
async fn a_server_that_answers_by_halves_is_asked_again() {
    let mut asr = Asr::down();
    let settings = Settings::with_asr(&asr)
        .set("S3_TIMEOUT_MS", "20000")
        .set("S3_ATTEMPT_TIMEOUT_MS", "1000");
    let gateway = Gateway::start_with_objects_of_its_own(settings).await;
    let session = "own-objects-read";
    let server = gateway.blobs().server().expect("a server");
    let faults = server.faults();
    let next = |method: Method, all: &[Fault]| {
        for fault in all {
            faults.next(Some(method.clone()), fault.clone());
        }
    };
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=12).await;
    stream.close().await;
    // The backlog is read back when the ASR service comes.
    let halves = [
        BUSY,
        Fault::CutBody(1000),
        Fault::CutBody(0),
        Fault::Cut,
        Fault::Stall,
    ];
    next(Method::GET, &halves);
    asr.up().await;
    gateway.transcribed(session, "teacher", MARK, 12).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
    next(Method::HEAD, &[BUSY, Fault::Cut, Fault::Stall]);
    next(Method::GET, &halves);
    let result = gateway.get(&format!("/v1/sessions/{session}/result")).await;
    assert_eq!(result.ok()["session_id"], session);
    // The list of what is to be removed, and its removal.
    next(Method::GET, &halves);
    next(Method::DELETE, &[BUSY, Fault::Cut, Fault::CutWhenDone]);
    let deleted = gateway.delete(&format!("/v1/sessions/{session}")).await;
    assert_eq!(deleted.ok()["removed_objects"], 13);
    let left = gateway.blobs().keys(&format!("sessions/{session}/"));
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn more_objects_than_a_page_has_are_removed_by_a_request_for_each() {
    let (_asr, gateway) = started(&[]).await;
    let session = "own-objects-many";
    let server = gateway.blobs().server().expect("a server");
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=1).await;
    stream.close().await;
    let store = gateway.blobs().store();
    for seq in 2..=1_100 {
        let key = format!("sessions/{session}/chunks/teacher/{seq:08} &<ü+%.pcm");
        let put = store.put(&key, Bytes::new(), "audio/L16", &[]).await;
        put.unwrap();
    }
    // One that is not allowed says so at once.
    let denied = Fault::Refuse(403, "AccessDenied");
    server.faults().always(Some(Method::DELETE), denied);
    let path = format!("/v1/sessions/{session}");
    let refused = gateway.delete(&path).await;
    assert!(refused.status >= 500, "{refused:?}");
    gateway.says("check the access key").await;
    server.faults().clear();
    let deleted = gateway.delete(&path).await.ok();
    assert_eq!(deleted["removed_objects"], 1_100);
    let left = gateway.blobs().keys(&format!("sessions/{session}/"));
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(server.faults().count(&Method::POST), 0, "R2 takes no such");
    // A key that would be another one in the path of an URL.
    let theirs = format!("gateway/sessions/{session}/../other/result.json");
    let other = "gateway/sessions/other/result.json";
    for key in [theirs.as_str(), other] {
        server.put("interviews", key, Object::default());
    }
    let refused = gateway.delete(&path).await;
    assert!(refused.status >= 500, "{refused:?}");
    assert!(server.object("interviews", other).is_some(), "another's");
    gateway.says("whose key another program made").await;
    server.delete("interviews", &theirs);
    let _ = gateway.delete(&path).await.ok();
}

/// With the name of an error of S3's as its id, which answers repeat.
#[tokio::test]
async fn a_large_result_is_written_in_parts() {
    let inference = Inference::start(|_| {
        // A part is 8 MiB, and a line of the log at most one.
        Reply::ok(json!({"evidence": {"heard": "e".repeat(800_000)}}))
    })
    .await;
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("S3_ATTEMPT_TIMEOUT_MS", "15000");
    for own in [true, false] {
        let settings = settings.clone();
        let gateway = match own {
            true => Gateway::start_with_objects_of_its_own(settings).await,
            false => Gateway::start_on_s3(settings).await,
        };
        let server = gateway.blobs().server().expect("a server");
        let mut recorded = Recorded::new("SlowDown", "teacher", MARK);
        let mut stream = gateway.open("SlowDown", "teacher").await;
        recorded.store(&mut stream, 1..=1).await;
        stream.close().await;
        let question = json!({"audio": {"content_b64": "AA==", "format": "wav"}});
        for _ in 0..12 {
            let path = "/v1/sessions/SlowDown/resolve?stream_role=students";
            let _ = gateway.post(path, &question).await.ok();
        }
        // Begun, and put together: once each. A host that keeps the objects has tried its store at the start.
        let before = server.faults().count(&Method::POST);
        let path = "/v1/sessions/SlowDown/finalize";
        let _ = gateway.post(path, &json!({})).await.ok();
        assert_eq!(server.faults().count(&Method::POST), before + 2);
        let written = gateway.blobs().read("sessions/SlowDown/result.json");
        let written: serde_json::Value = serde_json::from_slice(&written.unwrap()).unwrap();
        assert!(written["events"].as_array().unwrap().len() >= 12);
        // An end that S3 takes back, and one whose answer is lost.
        let faults = server.faults();
        for fault in [
            Fault::Delay(Duration::ZERO),
            Fault::RefuseWithin("InternalError"),
            Fault::CutWhenDone,
        ] {
            faults.next(Some(Method::POST), fault);
        }
        let _ = gateway.post(path, &json!({})).await.ok();
        assert_eq!(server.open_uploads(), 0);
        let deleted = gateway.delete("/v1/sessions/SlowDown").await.ok();
        assert_eq!(deleted["removed_objects"], 2);
    }
}

#[tokio::test]
async fn a_wrong_key_is_said() {
    const WRONG: &str = "the-secret-of-somebody-else";
    let (_asr, gateway) = started(&[("SPIN_VARIABLE_S3_SECRET_ACCESS_KEY", WRONG)]).await;
    let mut stream = gateway.open("own-objects-key", "teacher").await;
    stream.send_chunk(1, &mark::second(MARK, 1)).await;
    let answer = stream.answer().await;
    assert_eq!(answer["type"], "error", "{answer}");
    let says = "it answered 403 SignatureDoesNotMatch: check the access key and what it may do";
    gateway.says(says).await;
    let log = gateway.log();
    assert!(!log.contains(WRONG), "{log}");
}

/// What differs between the two manifests is what the bucket needs.
#[test]
fn the_manifest_is_the_other_one_but_for_the_bucket() {
    let read = |path: std::path::PathBuf| -> Table {
        let text = std::fs::read_to_string(&path).unwrap();
        toml::from_str(&text).unwrap()
    };
    let mut ours = leaves(read(build::manifest_of_s3()).into());
    let theirs = leaves(read(build::manifest()).into());
    let mut differ = Vec::new();
    for (name, value) in &theirs {
        match ours.remove(name) {
            Some(own) if own == *value => {}
            own => differ.push((name.clone(), own)),
        }
    }
    for (name, own) in differ {
        let is_known = name.ends_with(".build.command")
            || name.ends_with("finalizer.source")
            || name.ends_with(".allowed_outbound_hosts")
            || name.contains("blob_store");
        assert!(is_known, "{name} is {own:?} in spin-s3.toml");
    }
    for (name, own) in ours {
        let is_known =
            name.contains(".s3_") || name.ends_with("finalization@0.1.0.inherit_configuration");
        assert!(is_known, "{name} is only in spin-s3.toml: {own}");
    }
    assert!(theirs.len() > 50, "{theirs:?}");
}

/// All values that are no tables, by their paths.
fn leaves(value: Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), value)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Table(table) => {
                open.extend(
                    table
                        .into_iter()
                        .map(|(name, value)| (format!("{path}.{name}"), value)),
                );
            }
            other => {
                found.insert(path, other.to_string());
            }
        }
    }
    found
}
