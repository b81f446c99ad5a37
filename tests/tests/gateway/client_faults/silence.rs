//! Fault 14 of the list, the slow half: clients that send a byte a second, or nothing any more. The
//! gateway asks them by pings, and closes with the reason who does not answer; who answers stays.

use std::time::Duration;

use asr_simulator::mark;
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, Gateway, Recorded, Settings, audit, chunk_frame};
use serde_json::{Value, json};

use super::wire::{self, Kind, Receiving, Sending};
use super::{STUDENTS, TEACHER};

/// The host's own are 20 s and 60 s.
const IMPATIENT: [&str; 4] = [
    "--socket-ping-seconds",
    "1",
    "--socket-silence-seconds",
    "5",
];
/// As the list has it.
const A_BYTE_EACH: Duration = Duration::from_secs(1);

async fn impatient_gateway() -> (Asr, Gateway) {
    let asr = Asr::start().await;
    let gateway = Gateway::start_with_options(Settings::with_asr(&asr), &IMPATIENT).await;
    (asr, gateway)
}

/// Stores a second and says nothing more; not even pongs.
async fn store_and_fall_silent(
    teacher: &mut Recorded,
    (sending, receiving): (&mut Sending, &mut Receiving),
) {
    let seq = teacher.last() + 1;
    let pcm = mark::second(teacher.mark(), seq);
    let chunk = chunk_frame(teacher.session(), teacher.role(), seq, &pcm);
    teacher.sent(seq);
    assert!(
        sending
            .frame(Kind::Text, chunk.to_string().as_bytes())
            .await
    );
    loop {
        let frame = receiving.frame().await.expect("an ack");
        if frame.kind == Kind::Text {
            let ack: Value = serde_json::from_slice(&frame.payload).expect("JSON");
            return teacher.take(&ack);
        }
    }
}

/// What comes until the end: the pings, then why it is closed.
async fn until_closed(receiving: &mut Receiving) -> (u32, u16, String) {
    let mut pings = 0;
    loop {
        let frame = receiving.frame().await.expect("a close frame comes first");
        if frame.kind == Kind::Ping {
            pings += 1;
        } else {
            let (code, reason) = frame.close();
            return (pings, code, reason);
        }
    }
}

#[tokio::test]
async fn fault_14_a_half_open_client_is_pinged_and_closed_with_1008_and_one_that_answers_stays() {
    let (_asr, gateway) = impatient_gateway().await;
    let session = "fault-14-half-open";
    // It says nothing either, but answers pings: the library does when it reads.
    let mut students = gateway.open(session, "students").await;
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let (mut sending, mut receiving) = wire::open(&gateway, session, "teacher").await;
    store_and_fall_silent(&mut teacher, (&mut sending, &mut receiving)).await;
    let (pings, code, reason) = tokio::select! {
        closed = until_closed(&mut receiving) => closed,
        other = students.next_at_any_time() => panic!("who answers pings stays: {other:?}"),
    };
    assert!(pings > 0, "it was never asked");
    assert_eq!(code, 1008, "{reason}");
    assert!(reason.contains("answer pings, and reconnect"), "{reason}");

    let pong = students.ask(&json!({"type": "ping"})).await;
    assert_eq!(pong["type"], "pong", "{pong}");
    let mut heard = Recorded::new(session, "students", STUDENTS);
    heard.store(&mut students, 1..=3).await;
    students.close().await;
    eventually("the gateway knows that nobody is connected", async || {
        let phase = gateway.state(session).await["phase"].clone();
        if phase == "idle" { Ok(()) } else { Err(phase) }
    })
    .await;
    // It comes back.
    let mut socket = gateway.open(session, "teacher").await;
    teacher.store(&mut socket, 2..=4).await;
    socket.close().await;
    audit(&gateway, &[teacher, heard], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_14_a_frame_that_comes_a_byte_a_second_is_not_waited_for() {
    let (_asr, gateway) = impatient_gateway().await;
    let session = "fault-14-dribble";
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let (mut sending, mut receiving) = wire::open(&gateway, session, "teacher").await;
    store_and_fall_silent(&mut teacher, (&mut sending, &mut receiving)).await;
    let chunk = chunk_frame(session, "teacher", 2, &mark::second(TEACHER, 2)).to_string();
    let dribbling = tokio::spawn(async move {
        let head = wire::head(Kind::Text, true, chunk.len());
        for byte in head.into_iter().chain(chunk.into_bytes()) {
            if !sending.bytes(&[byte]).await {
                return;
            }
            tokio::time::sleep(A_BYTE_EACH).await;
        }
    });
    let (_, code, reason) = until_closed(&mut receiving).await;
    assert_eq!(code, 1008, "{reason}");
    assert!(reason.contains("no complete message"), "{reason}");
    dribbling.abort();

    let mut socket = gateway.open(session, "teacher").await;
    let ready = socket.ask(&json!({"type": "hello"})).await;
    assert_eq!(ready["ingest"]["received_chunks"], 1, "{ready}");
    teacher.store(&mut socket, 2..=3).await;
    socket.close().await;
    audit(&gateway, &[teacher], Expect::AllTranscribed).await;
}
