//! Fault 14 of the list: clients that send without reading, read slowly, send too much at once or a byte
//! a second, or go silent. The gateway's memory stays bounded, and who is closed is told why.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asr_simulator::mark;
use end_to_end::contract::{Channel, check_frame};
use end_to_end::{Asr, Expect, Gateway, Pace, Recorded, Recorder, Settings, audit, chunk_frame};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::memory::MemoryWatch;
use super::wire::{self, Kind, Receiving};
use super::{STUDENTS, TEACHER, without_any_client};

const MIB: u64 = 1 << 20;
/// How long a client that sends without reading is let alone.
const STUBBORN: Duration = Duration::from_secs(5);

/// A gateway that has served before, so that what it grows by is what is held for clients, and the
/// stream of another client, which must not notice anything.
async fn gateway_and_bystander(session: &str) -> (Asr, Gateway, Recorder) {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("ASR_CATCH_UP_SPEED", "1000");
    let gateway = Gateway::start(settings).await;
    let warm = Recorded::new("warm", "mixed", 9);
    let mut warm = Recorder::start_up_to(&gateway, warm, Pace::Fast, 200);
    warm.acked(200).await;
    warm.finish().await;
    let students = Recorded::new(session, "students", STUDENTS);
    let mut students = Recorder::start(&gateway, students, Pace::Times(4.0));
    students.acked(4).await;
    (asr, gateway, students)
}

async fn answer(receiving: &mut Receiving) -> Value {
    loop {
        let frame = receiving.frame().await.expect("the connection stays");
        match frame.kind {
            Kind::Ping => {}
            Kind::Text => {
                let answer = serde_json::from_slice(&frame.payload).expect("JSON");
                check_frame(Channel::Audio, &answer);
                return answer;
            }
            other => panic!("{other:?} {}", String::from_utf8_lossy(&frame.payload)),
        }
    }
}

#[tokio::test]
async fn fault_14_1500_chunks_are_sent_before_an_ack_is_read() {
    const CHUNKS: u32 = 1500;
    let session = "fault-14-pipelined";
    let (_asr, gateway, mut students) = gateway_and_bystander(session).await;
    let memory = MemoryWatch::start(&gateway);
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let (mut sending, mut receiving) = wire::open(&gateway, session, "teacher").await;
    let (told, all_sent) = oneshot::channel();
    let sender = tokio::spawn(async move {
        for seq in 1..=CHUNKS {
            let chunk = chunk_frame(session, "teacher", seq, &mark::second(TEACHER, seq));
            let chunk = chunk.to_string();
            assert!(sending.frame(Kind::Text, chunk.as_bytes()).await);
        }
        let _ = told.send(());
        // Dropping its half would end the connection.
        std::future::pending::<()>().await;
    });
    // How much the kernel takes for a client that does not read is not the gateway's to say: if that
    // is not enough for all acks, the rest is sent while they are read.
    let _ = tokio::time::timeout(STUBBORN, all_sent).await;
    students.acked_more(4).await;
    for seq in 1..=CHUNKS {
        teacher.sent(seq);
        let ack = answer(&mut receiving).await;
        assert_eq!(
            (&ack["seq"], &ack["status"]),
            (&json!(seq), &json!("stored"))
        );
        teacher.take(&ack);
    }
    assert!(memory.grown() < 32 * MIB, "{} bytes", memory.grown());
    sender.abort();
    let recorded = [teacher, students.finish().await];
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_14_a_client_that_does_not_read_is_not_read_and_gets_every_answer_later() {
    // More than all buffers of the kernel hold.
    const ASKED: usize = 12_000;
    const PADDING: usize = 8_000;
    let session = "fault-14-unread";
    let (_asr, gateway, mut students) = gateway_and_bystander(session).await;
    let memory = MemoryWatch::start(&gateway);
    let (mut sending, mut receiving) = wire::open(&gateway, session, "teacher").await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let sender = tokio::spawn(async move {
        let status = json!({"type": "status", "padding": "x".repeat(PADDING)}).to_string();
        for _ in 0..ASKED {
            assert!(sending.frame(Kind::Text, status.as_bytes()).await);
            counted.fetch_add(1, Ordering::Relaxed);
        }
        sending
    });
    // It comes to a standstill, far from the end.
    let mut last = 0;
    loop {
        students.acked_more(4).await;
        let now = sent.load(Ordering::Relaxed);
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    assert!(last < ASKED, "all was read");
    assert!(memory.grown() < 32 * MIB, "{} bytes", memory.grown());
    for _ in 0..ASKED {
        assert_eq!(answer(&mut receiving).await["type"], "status");
    }
    assert!(memory.grown() < 32 * MIB, "{} bytes", memory.grown());
    drop(sender.await.expect("it does not panic"));
    audit(&gateway, &[students.finish().await], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_14_a_message_of_33_mib_is_refused_with_1009() {
    const TOO_MUCH: usize = 33 << 20;
    const PIECE: usize = 1 << 16;
    let session = "fault-14-large";
    let (_asr, gateway, mut students) = gateway_and_bystander(session).await;
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let mut socket = gateway.open(session, "teacher").await;
    teacher.store(&mut socket, 1..=3).await;
    let memory = MemoryWatch::start(&gateway);
    for in_pieces in [false, true] {
        let (mut sending, mut receiving) = wire::open(&gateway, session, "teacher").await;
        tokio::spawn(async move {
            let pieces = TOO_MUCH / PIECE;
            let mut head = wire::head(Kind::Text, true, TOO_MUCH);
            for piece in 0..pieces {
                if in_pieces {
                    let kind = if piece == 0 { Kind::Text } else { Kind::More };
                    head = wire::head(kind, piece + 1 == pieces, PIECE);
                }
                let bytes = [std::mem::take(&mut head), vec![b'x'; PIECE]].concat();
                if !sending.bytes(&bytes).await {
                    return;
                }
            }
        });
        let frame = receiving.frame().await.expect("it is told why");
        let (code, reason) = frame.close();
        assert_eq!(code, 1009, "{reason}");
        assert!(reason.contains("larger than 1 MiB"), "{reason}");
        teacher
            .store(&mut socket, teacher.last() + 1..=teacher.last() + 2)
            .await;
    }
    students.acked_more(4).await;
    assert!(memory.grown() < 16 * MIB, "{} bytes", memory.grown());
    socket.close().await;
    let recorded = [teacher, students.finish().await];
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}
