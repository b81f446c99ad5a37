//! Windows over stored chunks (faults.md 29): asked for by `asr-run`, or driven by arriving chunks where
//! realtime recognition is off.

use asr_simulator::mark;
use end_to_end::session::{heard, number};
use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, Gateway, Settings, Shared};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STREAM: u16 = 3;

async fn run(gateway: &Gateway, session: &str, query: &str) -> Value {
    let path = format!("/v1/sessions/{session}/asr-run?stream_role=mixed{query}");
    gateway.post(&path, &json!({})).await.ok()
}

async fn reset(gateway: &Gateway, session: &str) {
    let path = format!("/v1/sessions/{session}/asr-reset");
    assert_eq!(gateway.post(&path, &json!({})).await.status, 200);
}

fn ranges(utterances: &[Value]) -> Vec<(u64, u64)> {
    utterances
        .iter()
        .map(|item| (number(item, "start_seq"), number(item, "end_seq")))
        .collect()
}

/// Chunks are stored and nothing is recognised: the stream was reset after them.
async fn stored_and_reset(gateway: &Gateway, session: &str, last: u32) {
    let mut client = gateway.open(session, "mixed").await;
    client.store_marked(STREAM, 1..=last).await;
    client.close().await;
    reset(gateway, session).await;
}

#[tokio::test]
async fn fault_29_a_missing_chunk_is_silence_and_the_last_window_is_shorter() {
    let gateway = Shared::gateway().await;
    let session = "backfill-gap";
    let mut client = gateway.open(session, "mixed").await;
    client.store_marked(STREAM, 1..=4).await;
    client.store_marked(STREAM, 6..=12).await;
    client.close().await;
    reset(&gateway, session).await;

    let ran = run(&gateway, session, "&flush=true").await;
    assert_eq!(ran["stopped"], "end", "{ran:#}");
    assert_eq!(ran["generated"], 2, "{ran:#}");
    let raw = gateway.utterances(session, "mixed", "raw").await;
    assert_eq!(ranges(&raw), [(1, 10), (4, 12)]);
    let first: Vec<_> = [1, 2, 3, 4, 6, 7, 8, 9, 10].map(|seq| (STREAM, seq)).into();
    assert_eq!(
        heard(&raw[..1]),
        first,
        "what comes after the gap keeps its place"
    );
    assert_eq!(
        gateway.events(session, "mixed").await,
        Vec::<Value>::new(),
        "mixed has no speakers"
    );
}

#[tokio::test]
async fn fault_29_what_was_done_before_a_failure_stays_and_the_next_run_goes_on() {
    let mut asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "backfill-failure";
    stored_and_reset(&gateway, session, 16).await;
    let ran = run(&gateway, session, "&max_windows=1").await;
    assert_eq!(ran["last_window_end_seq"], 10, "{ran:#}");

    asr.stop().await;
    let ran = run(&gateway, session, "").await;
    assert_eq!(ran["stopped"], "failed", "{ran:#}");
    assert_eq!(ran["generated"], 0, "{ran:#}");
    assert_eq!(ran["last_window_end_seq"], 10, "{ran:#}");
    assert!(ran["last_error"].is_string(), "{ran:#}");
    assert_eq!(gateway.utterances(session, "mixed", "raw").await.len(), 1);

    asr.up().await;
    let ran = run(&gateway, session, "").await;
    assert_eq!(ran["generated"], 2, "{ran:#}");
    assert_eq!(ran["last_window_end_seq"], 16, "{ran:#}");
    assert_eq!(ran["last_error"], Value::Null, "{ran:#}");
    let raw = gateway.utterances(session, "mixed", "raw").await;
    assert_eq!(ranges(&raw), [(1, 10), (4, 13), (7, 16)]);
}

#[tokio::test]
async fn fault_29_a_live_stream_goes_on_beside_a_backfill_and_neither_repeats_the_other() {
    let gateway = Shared::gateway().await;
    let session = "backfill-live";
    let mut client = gateway.open(session, "mixed").await;
    client.store_marked(STREAM, 1..=12).await;
    reset(&gateway, session).await;
    client.store_marked(STREAM, 13..=20).await;
    let ran = run(&gateway, session, "&flush=true").await;
    client.store_marked(STREAM, 21..=24).await;
    client.close().await;
    gateway.finalize(session).await;

    assert_eq!(ran["generated"], 2, "{ran:#}");
    let raw = gateway.utterances(session, "mixed", "raw").await;
    let (windows, live): (Vec<Value>, Vec<Value>) = raw.into_iter().partition(|item| {
        let end = number(item, "end_seq");
        item["utterance_id"] == format!("{session}-mixed-{end:08}")
    });
    assert_eq!(ranges(&windows), [(1, 10), (4, 12)]);
    let expected: Vec<_> = (13..=24).map(|seq| (STREAM, seq)).collect();
    assert_eq!(heard(&live), expected, "the live part, once: {live:#?}");
    let merged = gateway.utterances(session, "mixed", "merged").await;
    let expected: Vec<_> = (1..=24).map(|seq| (STREAM, seq)).collect();
    assert_eq!(
        heard(&merged),
        expected,
        "in the order of the session, although the windows came later: {merged:#?}"
    );
}

#[tokio::test]
async fn a_run_stops_when_its_client_hangs_up() {
    let asr = Asr::start().await;
    // 26 pieces of a window, 40 ms apart: a window takes a second.
    let settings = Settings::with_asr(&asr).set("ASR_SEND_PACING_MS", "40");
    let gateway = Gateway::start(settings).await;
    let session = "backfill-hang-up";
    stored_and_reset(&gateway, session, 40).await;

    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    let request = format!(
        "POST /v1/sessions/{session}/asr-run HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time("the first window is reported", async {
        let has_space = |answer: &[u8]| {
            let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
            head.is_some_and(|head| {
                answer
                    .get(head + 4..)
                    .is_some_and(|body| body.contains(&b' '))
            })
        };
        while !has_space(&answer) {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
        }
    })
    .await;
    drop(client);

    // It comes after the window that was under way.
    let ran = run(&gateway, session, "&max_windows=1").await;
    assert_eq!(ran["generated"], 1, "{ran:#}");
    let furthest = number(&ran, "last_window_end_seq");
    assert!(
        (13..=22).contains(&furthest),
        "11 windows end at 40, of which only a few were done: {ran:#}"
    );
}

#[tokio::test]
async fn several_runs_at_once_do_each_window_once() {
    let gateway = Shared::gateway().await;
    let session = "backfill-runs";
    stored_and_reset(&gateway, session, 19).await;
    let ran = futures::future::join_all((0..3).map(|_| run(&gateway, session, ""))).await;
    let generated: u64 = ran.iter().map(|ran| number(ran, "generated")).sum();
    assert_eq!(generated, 4, "{ran:#?}");
    let raw = gateway.utterances(session, "mixed", "raw").await;
    assert_eq!(ranges(&raw), [(1, 10), (4, 13), (7, 16), (10, 19)]);
}

#[tokio::test]
async fn a_run_without_a_service_says_so() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr).set("ASR_ENABLED", "false")).await;
    let session = "backfill-disabled";
    let mut client = gateway.open(session, "mixed").await;
    client.store_marked(STREAM, 1..=10).await;
    client.close().await;
    let ran = run(&gateway, session, "").await;
    assert_eq!(ran["generated"], 0, "{ran:#}");
    assert_eq!(ran["stopped"], "disabled", "{ran:#}");
    assert_eq!(ran["last_error"], "ASR disabled or API key missing");
    assert!(asr.log().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn where_realtime_is_off_arriving_chunks_drive_the_windows() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("ASR_REALTIME_ENABLED", "false");
    let gateway = Gateway::start(settings).await;
    let session = "windowed";
    let mut client = gateway.open(session, "teacher").await;
    client.store_marked(STREAM, 1..=14).await;
    eventually("two windows are done", async || {
        let raw = gateway.utterances(session, "teacher", "raw").await;
        let ranges = ranges(&raw);
        (ranges == [(1, 10), (4, 13)]).then_some(()).ok_or(ranges)
    })
    .await;
    let asr_view = gateway.asr_of(session, "teacher").await;
    assert_eq!(asr_view["mode"], "windowed", "{asr_view:#}");
    assert_eq!(asr_view["last_window_end_seq"], 13, "{asr_view:#}");
    client.close().await;
    gateway.finalize(session).await;
    let raw = gateway.utterances(session, "teacher", "raw").await;
    assert_eq!(
        ranges(&raw),
        [(1, 10), (4, 13), (7, 14)],
        "finalize covers the rest"
    );
    assert_eq!(gateway.events(session, "teacher").await.len(), 3);
    let records = asr.log();
    assert_eq!(records.len(), 3, "a task for each window");
    let result = gateway
        .get(&format!("/v1/sessions/{session}/result"))
        .await
        .ok();
    assert_eq!(result["untranscribed_by_stream"]["teacher"], json!([]));
}

#[tokio::test]
async fn windows_are_cut_into_the_pieces_that_are_set() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr)
        .set("ASR_WINDOW_SECONDS", "4")
        .set("ASR_HOP_SECONDS", "2")
        .set("ASR_STREAM_CHUNK_BYTES", "3200");
    let gateway = Gateway::start(settings).await;
    let session = "backfill-pieces";
    stored_and_reset(&gateway, session, 8).await;
    let ran = run(&gateway, session, "").await;
    assert_eq!(ran["last_window_end_seq"], 8, "{ran:#}");
    let raw = gateway.utterances(session, "mixed", "raw").await;
    assert_eq!(ranges(&raw), [(1, 4), (3, 6), (5, 8)]);
    let expected: Vec<_> = (5..=8).map(|seq| (STREAM, seq)).collect();
    assert_eq!(heard(&raw[2..]), expected);
}

#[tokio::test]
async fn fault_17_a_reset_does_not_delay_the_other_stream_and_the_next_audio_is_heard() {
    let gateway = Shared::gateway().await;
    let session = "reset-live";
    let mut teacher = gateway.open(session, "teacher").await;
    let mut students = gateway.open(session, "students").await;
    teacher.store_marked(STREAM, 1..=6).await;
    students.store_marked(STREAM + 1, 1..=6).await;
    let path = format!("/v1/sessions/{session}/asr-reset?stream_role=teacher");
    let nothing = json!({});
    let reset = gateway.post(&path, &nothing);
    let (reset, ()) = futures::future::join(reset, students.store_marked(STREAM + 1, 7..=9)).await;
    assert_eq!(reset.ok()["stream_role"], "teacher");
    teacher.store_marked(STREAM, 7..=12).await;
    teacher.close().await;
    students.close().await;
    gateway.finalize(session).await;

    gateway
        .transcribed(session, "students", STREAM + 1, 9)
        .await;
    let heard = heard(&gateway.utterances(session, "teacher", "raw").await);
    let expected: Vec<_> = (7..=12).map(|seq| (STREAM, seq)).collect();
    assert_eq!(heard, expected, "only what came after the reset");
    let bytes = mark::SECOND_BYTES as u64 * 12;
    let state = gateway.state(session).await;
    assert_eq!(
        state["ingest_by_stream"]["teacher"]["bytes_stored"], bytes,
        "chunks stay"
    );
}

#[tokio::test]
async fn a_window_of_a_late_second_has_an_id_of_its_own() {
    let gateway = Shared::gateway().await;
    let session = "backfill-ids";
    let mut client = gateway.open(session, "mixed").await;
    client.store_marked(STREAM, 1..=9).await;
    client.store_marked(STREAM, 11..=11).await;
    reset(&gateway, session).await;
    let ran = run(&gateway, session, "&flush=true").await;
    assert_eq!(
        (&ran["stopped"], &ran["generated"]),
        (&json!("end"), &json!(2)),
        "{ran:#}"
    );
    client.store_marked(STREAM, 10..=10).await;
    client.close().await;
    let ran = run(&gateway, session, "").await;
    assert_eq!(
        (&ran["stopped"], &ran["generated"]),
        (&json!("end"), &json!(1)),
        "{ran:#}"
    );
    let raw = gateway.utterances(session, "mixed", "raw").await;
    let mut ids: Vec<_> = raw
        .iter()
        .map(|item| item["utterance_id"].as_str().expect("an id"))
        .collect();
    ids.sort_unstable();
    let of = |end: &str| format!("{session}-mixed-{end}");
    assert_eq!(ids, [of("00000010"), of("00000010-w3"), of("00000011")]);
}
