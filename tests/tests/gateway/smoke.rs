//! What the original's smoke test did.

use asr_simulator::mark;
use end_to_end::{Gateway, Received, Shared};
use serde_json::json;

#[tokio::test]
async fn six_pipelined_chunks_are_stored_and_the_stream_closes_in_order() {
    play(&*Shared::gateway().await, "smoke").await;
}

/// The smoke test in a session of its own.
pub async fn play(gateway: &Gateway, session: &str) {
    let mut stream = gateway.open(session, "mixed").await;
    let ready = stream
        .ask(&json!({"type": "hello", "stream_role": "mixed"}))
        .await;
    assert_eq!(ready["type"], "ready", "{ready}");

    for seq in 1..=6 {
        stream.send_chunk(seq, &mark::second(1, seq)).await;
    }
    for seq in 1..=6 {
        let ack = stream.answer().await;
        assert_eq!(
            ack,
            json!({
                "type": "ack", "stream_role": "mixed", "seq": seq, "status": "stored",
                "key": format!("sessions/{session}/chunks/{seq:08}.pcm"),
                "last_seq": seq, "missing_count": 0, "duplicate_count": 0,
            })
        );
    }

    let status = stream.ask(&json!({"type": "status"})).await;
    assert_eq!(status["type"], "status", "{status}");
    assert_eq!(status["received_chunks"], 6, "{status}");

    let closing = stream
        .ask(&json!({"type": "close", "reason": "smoke-done"}))
        .await;
    let expected = json!({"type": "closing", "reason": "smoke-done", "stream_role": "mixed"});
    assert_eq!(closing, expected);
    let end = Received::Closed {
        code: 1000,
        reason: "smoke-done".to_owned(),
    };
    assert_eq!(stream.next().await, end);

    let ingest = &gateway.state(session).await["ingest"];
    assert_eq!(ingest["received_chunks"], 6, "{ingest}");
    assert_eq!(ingest["missing_chunks"], 0, "{ingest}");
    assert_eq!(ingest["bytes_stored"], 6 * 32_000, "{ingest}");
}
