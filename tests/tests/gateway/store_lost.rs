//! A store that is taken away, or cannot be written: no ack without a store that keeps it, `/health` and the
//! figures say so, and what can go on by itself does.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use asr_simulator::mark;
use end_to_end::store::Kind;
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, Gateway, Received, Recorded, Settings, audit};
use serde_json::Value;

use crate::metrics::shows;

const MARK: u16 = 61;
const SESSIONS: (&str, &str) = ("store", "key-value:default");
const BLOBS: (&str, &str) = ("store", "blobs");

async fn started() -> (Asr, Gateway) {
    let asr = Asr::start().await;
    let gateway = Gateway::start_on(Kind::Sqlite, Settings::with_asr(&asr)).await;
    (asr, gateway)
}

fn database(gateway: &Gateway) -> PathBuf {
    gateway.state_dir().join("sqlite_key_value.db")
}

/// Waits until `/health` and the figures say that this store fails.
async fn is_shown(gateway: &Gateway, store: (&str, &str), named: &str) {
    let health = eventually("/health says that nothing can be stored", async || {
        let health = gateway.get("/health").await;
        (health.status == 503)
            .then_some(health.clone())
            .ok_or(health)
    })
    .await;
    assert_eq!(health.json()["status"], "degraded", "{health:?}");
    let detail = health.detail();
    assert!(detail.contains(named), "{detail}");
    let folder = gateway.state_dir().to_str().unwrap();
    assert!(!detail.contains(folder), "no path for everybody: {detail}");
    shows(gateway, "the figures say so", |now| {
        now.value("host_store_up", &[store]) == 0.0
    })
    .await;
}

async fn is_well(gateway: &Gateway, store: (&str, &str)) {
    eventually("/health is well", async || {
        let health = gateway.get("/health").await;
        (health.status == 200).then_some(()).ok_or(health)
    })
    .await;
    assert_eq!(gateway.get("/health").await.ok()["status"], "ok");
    shows(gateway, "the figures say so", |now| {
        now.value("host_store_up", &[store]) == 1.0
    })
    .await;
}

/// Sends a second, which must not be acknowledged.
async fn is_not_acked(gateway: &Gateway, recorded: &mut Recorded, seq: u32) {
    let mut stream = gateway.open(recorded.session(), "teacher").await;
    recorded.sent(seq);
    stream.send_chunk(seq, &mark::second(MARK, seq)).await;
    match stream.next().await {
        Received::Closed { code, .. } => assert_eq!(code, 1011),
        Received::Frame(answer) => assert_eq!(answer["type"], "error", "{answer}"),
        Received::Lost => {}
    }
}

async fn store(gateway: &Gateway, recorded: &mut Recorded, seq: u32) {
    let mut stream = gateway.open(recorded.session(), "teacher").await;
    recorded.store(&mut stream, seq..=seq).await;
    stream.close().await;
}

#[tokio::test]
async fn a_database_that_is_deleted_takes_no_ack_until_the_gateway_is_restarted() {
    let (_asr, mut gateway) = started().await;
    let mut before = Recorded::new("database-deleted", "teacher", MARK);
    store(&gateway, &mut before, 1).await;
    is_well(&gateway, SESSIONS).await;
    std::fs::remove_file(database(&gateway)).unwrap();
    is_not_acked(&gateway, &mut before, 2).await;
    is_shown(&gateway, SESSIONS, "the key-value store \"default\"").await;
    gateway.says("deleted, moved or replaced").await;
    gateway.says("restart the gateway").await;
    gateway.terminate().await;
    gateway.restart().await;
    let mut after = Recorded::new("database-new", "teacher", MARK);
    store(&gateway, &mut after, 1).await;
    is_well(&gateway, SESSIONS).await;
}

#[tokio::test]
async fn a_database_that_is_put_back_goes_on_by_itself() {
    let (_asr, gateway) = started().await;
    let mut recorded = Recorded::new("database-moved", "teacher", MARK);
    store(&gateway, &mut recorded, 1).await;
    let away = gateway.state_dir().join("away.db");
    std::fs::rename(database(&gateway), &away).unwrap();
    // Without anybody who writes.
    is_shown(&gateway, SESSIONS, "the key-value store \"default\"").await;
    is_not_acked(&gateway, &mut recorded, 2).await;
    std::fs::rename(&away, database(&gateway)).unwrap();
    is_well(&gateway, SESSIONS).await;
    store(&gateway, &mut recorded, 2).await;
    store(&gateway, &mut recorded, 3).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn what_is_acked_after_the_write_ahead_log_was_deleted_survives_kill_9() {
    let (_asr, mut gateway) = started().await;
    let mut recorded = Recorded::new("log-deleted", "teacher", MARK);
    store(&gateway, &mut recorded, 1).await;
    for (seq, suffix) in [(2, "-wal"), (3, "-shm"), (4, "-wal")] {
        let file = format!("{}{suffix}", database(&gateway).display());
        std::fs::remove_file(file).unwrap();
        store(&gateway, &mut recorded, seq).await;
    }
    gateway.says("a new log is begun").await;
    gateway.kill().await;
    gateway.restart().await;
    gateway.transcribed("log-deleted", "teacher", MARK, 4).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn a_blob_directory_that_cannot_be_written_ends_the_start_with_its_name() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start_in_a_directory(Settings::with_asr(&asr)).await;
    gateway.terminate().await;
    let blobs = gateway.state_dir().join("blobs");
    let away = gateway.state_dir().join("away");
    std::fs::rename(&blobs, &away).unwrap();
    // Nobody may make a file there, not even root.
    symlink("/sys/kernel", &blobs).unwrap();
    let status = gateway.restart_in_vain().await;
    assert_eq!(status.code(), Some(1));
    gateway.says("no audio can be stored").await;
    gateway
        .says("belong to the user that the gateway runs as")
        .await;
    std::fs::remove_file(&blobs).unwrap();
    std::fs::rename(&away, &blobs).unwrap();
    gateway.restart().await;
}

#[tokio::test]
async fn a_blob_directory_that_fails_is_shown_and_goes_on_when_it_is_back() {
    let asr = Asr::start().await;
    let gateway = Gateway::start_in_a_directory(Settings::with_asr(&asr)).await;
    let mut recorded = Recorded::new("blobs-gone", "teacher", MARK);
    store(&gateway, &mut recorded, 1).await;
    is_well(&gateway, BLOBS).await;
    let blobs = gateway.state_dir().join("blobs");
    let away = gateway.state_dir().join("away");
    std::fs::rename(&blobs, &away).unwrap();
    std::fs::write(&blobs, "no directory").unwrap();
    is_not_acked(&gateway, &mut recorded, 2).await;
    is_shown(&gateway, BLOBS, "the blob store").await;
    // The app's other answers go on.
    let state: Value = gateway.state("blobs-gone").await;
    assert_eq!(state["session_id"], "blobs-gone");
    std::fs::remove_file(&blobs).unwrap();
    std::fs::rename(&away, &blobs).unwrap();
    is_well(&gateway, BLOBS).await;
    store(&gateway, &mut recorded, 2).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn a_bucket_that_may_only_be_read_ends_the_start() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start_on_s3(Settings::with_asr(&asr)).await;
    gateway.terminate().await;
    let server = gateway.blobs().server().expect("a server");
    let denied = s3_simulator::faults::Fault::Refuse(403, "AccessDenied");
    server.faults().always(Some(http::Method::PUT), denied);
    let status = gateway.restart_in_vain().await;
    assert_eq!(status.code(), Some(1));
    gateway.says("no audio can be stored").await;
    gateway.says("list, read, write and delete objects").await;
}
