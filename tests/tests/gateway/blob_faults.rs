//! Fault 20, the blob store: it fails, stalls, cuts answers off, is away, comes back. No ack before the
//! second is stored, a word to the client, and recovery by itself.

use asr_simulator::mark;
use end_to_end::audit::{Expect, Recorded, audit};
use end_to_end::wait::eventually;
use end_to_end::{Asr, Gateway, Settings, chunk_frame};
use http::Method;
use s3_simulator::faults::Fault;
use serde_json::Value;

const MARK: u16 = 72;
const BUSY: Fault = Fault::Refuse(503, "SlowDown");

/// A call of the store has a second.
fn settings(asr: &Asr) -> Settings {
    Settings::with_asr(asr)
        .set("S3_TIMEOUT_MS", "1000")
        .set("S3_ATTEMPT_TIMEOUT_MS", "300")
}

async fn started() -> (Asr, Gateway) {
    let asr = Asr::start().await;
    let gateway = Gateway::start_on_s3(settings(&asr)).await;
    (asr, gateway)
}

/// Sends a second until it is acknowledged, as a client does that is told to send it again.
async fn insist(gateway: &Gateway, recorded: &mut Recorded, seq: u32) {
    let session = recorded.session().to_owned();
    let frame = chunk_frame(&session, "teacher", seq, &mark::second(MARK, seq));
    recorded.sent(seq);
    let ack = eventually("the second is stored", async || {
        let mut stream = gateway.open(&session, "teacher").await;
        let answer = stream.ask(&frame).await;
        stream.close().await;
        match answer["type"].as_str() {
            Some("ack") => Ok(answer),
            _ => Err(answer),
        }
    })
    .await;
    recorded.take(&ack);
}

#[tokio::test]
async fn fault_20_a_blob_store_that_fails_for_a_moment_is_not_noticed() {
    let (_asr, gateway) = started().await;
    let session = "fault-20-moments";
    let server = gateway.blobs().server().expect("a server");
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    let faults = [
        BUSY,
        Fault::Refuse(500, "InternalError"),
        Fault::Cut,
        Fault::CutWhenDone,
        Fault::Stall,
        Fault::StallWhenDone,
    ];
    for (fault, seq) in faults.into_iter().zip(1..) {
        server.faults().next(Some(Method::PUT), fault);
        recorded.store(&mut stream, seq..=seq).await;
    }
    stream.close().await;
    gateway.transcribed(session, "teacher", MARK, 6).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_20_a_blob_store_that_is_away_is_said_and_comes_back_by_itself() {
    for fault in [
        BUSY,
        Fault::Stall,
        Fault::Cut,
        Fault::Refuse(403, "AccessDenied"),
    ] {
        let (_asr, gateway) = started().await;
        let session = "fault-20-away";
        let server = gateway.blobs().server().expect("a server");
        let mut recorded = Recorded::new(session, "teacher", MARK);
        let mut stream = gateway.open(session, "teacher").await;
        recorded.store(&mut stream, 1..=3).await;
        server.faults().always(Some(Method::PUT), fault.clone());
        // Many at once: each has its answer, and the socket stays.
        for seq in 4..=19 {
            recorded.sent(seq);
            stream.send_chunk(seq, &mark::second(MARK, seq)).await;
        }
        for seq in 4..=19 {
            let answer = stream.answer().await;
            assert_eq!(answer["type"], "error", "{fault:?} {seq}: {answer}");
            let detail = answer["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("send it again"), "{fault:?}: {answer}");
            assert!(!detail.contains("127.0.0.1"), "{fault:?}: {answer}");
        }
        // Nothing was acknowledged, and nothing is counted.
        let state = gateway.state(session).await;
        let received = &state["ingest_by_stream"]["teacher"]["received_chunks"];
        assert_eq!(*received, 3, "{fault:?}: {state:#}");
        server.faults().clear();
        stream.close().await;
        for seq in 4..=19 {
            insist(&gateway, &mut recorded, seq).await;
        }
        gateway.transcribed(session, "teacher", MARK, 19).await;
        audit(&gateway, &[recorded], Expect::AllTranscribed).await;
        let log = gateway.log();
        assert!(!log.contains(s3_simulator::SECRET_ACCESS_KEY), "{log}");
    }
}

#[tokio::test]
async fn fault_20_a_backlog_that_cannot_be_read_waits_until_it_can() {
    let mut asr = Asr::down();
    let gateway = Gateway::start_on_s3(settings(&asr)).await;
    let session = "fault-20-backlog";
    let server = gateway.blobs().server().expect("a server");
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=12).await;
    stream.close().await;
    let reads = || server.faults().count(&Method::GET);
    let before = reads();
    server.faults().always(Some(Method::GET), BUSY);
    asr.up().await;
    eventually("the backlog is asked for", async || {
        if reads() > before {
            Ok(())
        } else {
            Err(reads())
        }
    })
    .await;
    server.faults().clear();
    server
        .faults()
        .next(Some(Method::GET), Fault::CutBody(1000));
    gateway.transcribed(session, "teacher", MARK, 12).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_20_a_result_that_cannot_be_written_can_be_asked_for_again() {
    let (_asr, gateway) = started().await;
    let session = "fault-20-result";
    let server = gateway.blobs().server().expect("a server");
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    recorded.store(&mut stream, 1..=6).await;
    stream.close().await;
    gateway.transcribed(session, "teacher", MARK, 6).await;
    server.faults().always(Some(Method::PUT), BUSY);
    let path = format!("/v1/sessions/{session}/finalize");
    let failed = gateway
        .post(&path, &Value::Object(Default::default()))
        .await;
    assert!(failed.status >= 500, "{failed:?}");
    let none = gateway.get(&format!("/v1/sessions/{session}/result")).await;
    assert_eq!(none.status, 404, "{none:?}");
    server.faults().clear();
    eventually("it is written when the store is back", async || {
        let answer = gateway
            .post(&path, &Value::Object(Default::default()))
            .await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_20_a_bucket_that_is_not_there_stops_the_start_and_a_server_that_is_not_does_not() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start_on_s3(settings(&asr)).await;
    gateway.kill().await;
    let server = gateway.blobs().server().expect("a server");
    server.faults().always(None, BUSY);
    gateway.restart().await;
    let log = gateway.log();
    assert!(
        log.contains("nothing can be stored until it is back"),
        "{log}"
    );
    gateway.blobs().server().expect("a server").faults().clear();
    let mut recorded = Recorded::new("fault-20-start", "teacher", MARK);
    insist(&gateway, &mut recorded, 1).await;
    gateway.kill().await;
    let server = gateway.blobs().server().expect("a server");
    server
        .faults()
        .always(None, Fault::Refuse(404, "NoSuchBucket"));
    let status = gateway.restart_in_vain().await;
    assert_eq!(status.code(), Some(1));
    let log = gateway.log();
    assert!(log.contains("check the bucket's name"), "{log}");
}
