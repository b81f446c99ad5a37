//! The app as `spin-s3.toml` has it: `finalizer` with a blob store inside that sends its own requests to
//! S3, on a host whose blob store nobody uses.

use std::collections::BTreeMap;

use asr_simulator::mark;
use end_to_end::audit::{Expect, Recorded, audit};
use end_to_end::wait::eventually;
use end_to_end::{Asr, Gateway, Settings, build, chunk_frame};
use http::Method;
use s3_simulator::faults::Fault;
use toml::{Table, Value};

const MARK: u16 = 71;

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
    let patience = [("S3_TIMEOUT_MS", "1000"), ("S3_ATTEMPT_TIMEOUT_MS", "300")];
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
    eventually("it is stored when the server is back", async || {
        let mut again = gateway.open(session, "teacher").await;
        let answer = again.ask(&frame).await;
        again.close().await;
        match answer["type"].as_str() {
            Some("ack") => Ok(answer),
            _ => Err(answer),
        }
    })
    .await;
    recorded.acked(7, None);
    stream.close().await;
    gateway.transcribed(session, "teacher", MARK, 7).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
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
