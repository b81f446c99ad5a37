//! What is stored survives the process, however it ends.

use asr_simulator::mark;
use end_to_end::session::heard;
use end_to_end::store::Kind;
use end_to_end::{Asr, Gateway, Received, Settings, gateway as host};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

const TEACHER: u16 = 1;

/// Everything that the API shows of a session, without what only the moment decides.
async fn shown(gateway: &Gateway, session: &str) -> Value {
    let state = gateway.state(session).await;
    json!({
        "state": state["state"],
        "ingest": state["ingest_by_stream"],
        "capture": state["capture_by_stream"],
        "raw": gateway.utterances(session, "teacher", "raw").await,
        "merged": gateway.utterances(session, "teacher", "merged").await,
        "events": gateway.events(session, "teacher").await,
    })
}

async fn live_session(gateway: &Gateway, session: &str) {
    gateway
        .configure(
            session,
            &json!({"interviewer_name": "Ada", "teams_participants": ["Ada"]}),
        )
        .await;
    let mut stream = gateway.open(session, "teacher").await;
    let capture = json!({"type": "capture_status", "payload": {"capture_state": "running"}});
    stream.ask(&capture).await;
    stream.store_marked(TEACHER, 1..=6).await;
    stream.close().await;
    gateway.finalize(session).await;
    gateway.transcribed(session, "teacher", TEACHER, 6).await;
}

#[tokio::test]
async fn a_session_survives_an_orderly_end_and_the_clients_are_told() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "survives-sigterm";
    live_session(&gateway, session).await;
    let before = shown(&gateway, session).await;
    let mut open = gateway.open(session, "mixed").await;
    open.store_marked(9, 1..=2).await;

    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
    let end = open.next().await;
    assert!(
        matches!(end, Received::Closed { code: 1001, .. }),
        "a client is told: {end:?}"
    );
    gateway.restart().await;

    let mut after = shown(&gateway, session).await;
    assert_eq!(after["ingest"]["mixed"]["received_chunks"], 2);
    after["ingest"]["mixed"] = before["ingest"]["mixed"].clone();
    assert_eq!(after, before);
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(TEACHER, 7..=9).await;
    stream.close().await;
    gateway.finalize(session).await;
    gateway.transcribed(session, "teacher", TEACHER, 9).await;
}

#[tokio::test]
async fn a_session_survives_kill_9_and_what_was_under_way_is_transcribed_once() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    live_session(&gateway, "survives-kill").await;
    let before = shown(&gateway, "survives-kill").await;
    let mut stream = gateway.open("killed", "teacher").await;
    stream.store_marked(TEACHER, 1..=7).await;

    gateway.kill().await;
    gateway.restart().await;

    assert_eq!(shown(&gateway, "survives-kill").await, before);
    let ingest = &gateway.state("killed").await["ingest_by_stream"]["teacher"];
    assert_eq!(
        ingest["received_chunks"], 7,
        "what was acknowledged is there: {ingest}"
    );
    let mut stream = gateway.open("killed", "teacher").await;
    stream.store_marked(TEACHER, 8..=9).await;
    stream.close().await;
    gateway.finalize("killed").await;
    gateway.transcribed("killed", "teacher", TEACHER, 9).await;
}

#[tokio::test]
async fn a_backlog_is_transcribed_once_after_a_restart() {
    let mut asr = Asr::down();
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "backlog";
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(TEACHER, 1..=12).await;
    assert!(heard(&gateway.utterances(session, "teacher", "raw").await).is_empty());

    gateway.kill().await;
    asr.up().await;
    gateway.restart().await;

    let mut stream = gateway.open(session, "teacher").await;
    let last = stream.store(13, &mark::second(TEACHER, 13)).await;
    assert_eq!(
        (&last["last_seq"], &last["missing_count"]),
        (&json!(13), &json!(0))
    );
    stream.close().await;
    gateway.finalize(session).await;
    gateway.transcribed(session, "teacher", TEACHER, 13).await;
    let sent: Vec<_> = asr
        .log()
        .iter()
        .flat_map(|task| task.heard.clone())
        .map(|heard| heard.seq)
        .collect();
    assert_eq!(
        sent,
        (1..=13).collect::<Vec<_>>(),
        "each second was sent once"
    );
}

/// SQLite's, whatever store the run is about: only it has a file that Spin could open.
#[tokio::test]
async fn the_store_is_spins_own_file() {
    let mut gateway = Gateway::start_with_store(Kind::Sqlite, host::up).await;
    gateway
        .configure("in-sqlite", &json!({"interviewer_name": "Ada"}))
        .await;
    for path in ["state", "events", "utterances"] {
        let read = gateway.get(&format!("/v1/sessions/only-read/{path}")).await;
        assert_eq!(read.status, 200, "{path}");
    }
    gateway.terminate().await;
    let path = gateway.state_dir().join("sqlite_key_value.db");
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let count = |like: &str| -> u32 {
        let sql = "SELECT count(*) FROM spin_key_value WHERE store = 'default' AND key LIKE ?1";
        database.query_row(sql, [like], |row| row.get(0)).unwrap()
    };
    assert!(count("%in-sqlite%") > 0);
    assert_eq!(count("%only-read%"), 0, "reading a session writes nothing");
}
