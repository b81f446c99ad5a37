//! Fault 20, the blob store: it fails, stalls, cuts answers off, is away, comes back. No ack before the
//! second is stored, a word to the client, and recovery by itself.

use std::ops::RangeInclusive;
use std::time::Duration;

use asr_simulator::mark;
use end_to_end::audit::{Expect, Recorded, audit};
use end_to_end::blobs::asked_more;
use end_to_end::wait::eventually;
use end_to_end::{Asr, AudioSocket, Gateway, Settings, chunk_frame};
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

/// Sends seconds at once, and gives those that are to be sent again.
async fn answers(
    stream: &mut AudioSocket,
    recorded: &mut Recorded,
    seconds: RangeInclusive<u32>,
) -> Vec<u32> {
    send(stream, recorded, seconds.clone()).await;
    given(stream, recorded, seconds).await
}

async fn send(stream: &mut AudioSocket, recorded: &mut Recorded, seconds: RangeInclusive<u32>) {
    for seq in seconds {
        recorded.sent(seq);
        stream.send_chunk(seq, &mark::second(MARK, seq)).await;
    }
}

/// The seconds that are to be sent again. Each has its answer, in their order, on the one socket.
async fn given(
    stream: &mut AudioSocket,
    recorded: &mut Recorded,
    seconds: RangeInclusive<u32>,
) -> Vec<u32> {
    let mut again = Vec::new();
    for seq in seconds {
        let answer = stream.answer().await;
        if answer["type"] == "ack" {
            assert_eq!(answer["seq"], seq, "{answer}");
            recorded.take(&answer);
        } else {
            let detail = answer["detail"].as_str().unwrap_or_default();
            let says = format!("chunk {seq} could not be stored: send it again");
            assert_eq!(detail, says, "{answer}");
            again.push(seq);
        }
    }
    again
}

/// Stored one after the other the seconds of one batch would take longer than the 60 s of a call, which
/// would be broken off, and its clients be sent away without acks for what is stored.
#[tokio::test]
async fn fault_20_a_blob_store_that_is_slow_is_given_up_before_the_call_is() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("S3_ATTEMPT_TIMEOUT_MS", "15000");
    let gateway = Gateway::start_on_s3(settings).await;
    let session = "fault-20-slow";
    let server = gateway.blobs().server().expect("a server");
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    let slow = Fault::Delay(Duration::from_secs(6));
    let before = server.faults().count(&Method::PUT);
    server.faults().always(Some(Method::PUT), slow);
    send(&mut stream, &mut recorded, 1..=1).await;
    // While it is written the others come, and so they are one batch: of two each would have seconds that
    // are stored and seconds that are not, and what is sent again would come after its silence.
    asked_more(server, &Method::PUT, before).await;
    send(&mut stream, &mut recorded, 2..=13).await;
    let again = given(&mut stream, &mut recorded, 1..=13).await;
    let first = *again.first().expect("it was given up");
    assert!(first > 2, "{again:?}");
    assert_eq!(again, (first..=13).collect::<Vec<_>>());
    server.faults().clear();
    // What is not acknowledged is not stored, and the same socket takes it now.
    for seq in again {
        recorded.store(&mut stream, seq..=seq).await;
    }
    stream.close().await;
    gateway.transcribed(session, "teacher", MARK, 13).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

/// As the calls of others go well it is no outage, and each write would be tried over its whole time.
#[tokio::test]
async fn fault_20_a_blob_store_that_only_reads_is_asked_once_for_a_batch() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("S3_TIMEOUT_MS", "10000");
    let gateway = Gateway::start_on_s3(settings).await;
    let server = gateway.blobs().server().expect("a server");
    let mut other = Recorded::new("fault-20-read", "teacher", MARK);
    let mut stream = gateway.open("fault-20-read", "teacher").await;
    other.store(&mut stream, 1..=1).await;
    stream.close().await;
    gateway
        .transcribed("fault-20-read", "teacher", MARK, 1)
        .await;
    audit(&gateway, &[other], Expect::AllTranscribed).await;
    let reads = async {
        loop {
            let result = gateway.get("/v1/sessions/fault-20-read/result").await;
            let _ = result.ok();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let session = "fault-20-write";
    let mut recorded = Recorded::new(session, "teacher", MARK);
    let mut stream = gateway.open(session, "teacher").await;
    server.faults().always(Some(Method::PUT), BUSY);
    let again = tokio::select! {
        again = answers(&mut stream, &mut recorded, 1..=17) => again,
        never = reads => never,
    };
    assert_eq!(again, (1..=17).collect::<Vec<_>>());
    let log = gateway.log();
    assert!(!log.contains("asked once a second"), "an outage: {log}");
    server.faults().clear();
    recorded.store(&mut stream, 1..=17).await;
    stream.close().await;
    gateway.transcribed(session, "teacher", MARK, 17).await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
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
    let before = server.faults().count(&Method::GET);
    server.faults().always(Some(Method::GET), BUSY);
    asr.up().await;
    asked_more(server, &Method::GET, before).await;
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
    // While the store is taken for away it is not asked whether there is one.
    eventually("there is none", async || {
        let none = gateway.get(&format!("/v1/sessions/{session}/result")).await;
        match none.status {
            404 => Ok(()),
            _ => Err(none),
        }
    })
    .await;
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
    gateway.says("nothing can be stored until it is back").await;
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
    gateway.says("check the bucket's name").await;
}
