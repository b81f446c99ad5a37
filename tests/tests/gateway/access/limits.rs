//! What a key may have open, and how fast a stream may bring audio.

use std::time::{Duration, Instant};

use end_to_end::wait::eventually;
use end_to_end::{Asr, Gateway, Received, Settings};
use serde_json::json;

use super::{ADMIN, READ, WRITE, token, with_keys};

/// How a socket ends for which there is no place.
fn no_place() -> Received {
    Received::Closed {
        code: 1013,
        reason: "too many connections here: close one, or try again later".to_owned(),
    }
}

#[tokio::test]
async fn a_key_has_so_many_streams_of_so_many_sessions_and_its_tokens_with_it() {
    let asr = Asr::start().await;
    let settings = with_keys(&asr)
        .set("MAX_STREAMS_PER_KEY", "3")
        .set("MAX_SESSIONS_PER_KEY", "2");
    let gateway = Gateway::start_with_options(settings, &["--metrics", "on"]).await;
    let token = token(&gateway, "a", &json!({"scope": "write"})).await;
    let open = async |url: &str, key: &str| {
        let mut socket = gateway.open_with(url, &[("x-api-key", key)]).await.unwrap();
        // Viewers are told an error, streams a pong: either way they are served.
        socket.send(&json!({"type": "ping"})).await;
        match socket.next().await {
            Received::Frame(_) => Ok(socket),
            end => Err(end),
        }
    };
    let by_frame = async |url: &str, key: &str| {
        let mut socket = gateway.open_path(url).await.unwrap();
        socket.send(&json!({"type": "auth", "key": key})).await;
        match socket.next().await {
            Received::Frame(_) => Ok(socket),
            end => Err(end),
        }
    };
    let one = open("/v1/audio/ws/a/teacher", &token).await.unwrap();
    let two = open("/v1/sessions/b/live", ADMIN).await.unwrap();
    // A third session; with either way to show a key.
    assert_eq!(
        open("/v1/audio/ws/c/teacher", ADMIN).await.unwrap_err(),
        no_place()
    );
    assert_eq!(
        by_frame("/v1/audio/ws/c/teacher", ADMIN).await.unwrap_err(),
        no_place()
    );
    let three = by_frame("/v1/audio/ws/a/students", &token).await.unwrap();
    // A fourth stream.
    assert_eq!(
        open("/v1/audio/ws/a/mixed", ADMIN).await.unwrap_err(),
        no_place()
    );
    assert_eq!(
        by_frame("/v1/sessions/b/live", &token).await.unwrap_err(),
        turned_away()
    );
    // Other keys do not notice.
    let other = open("/v1/audio/ws/c/teacher", WRITE).await.unwrap();
    let look = open("/v1/sessions/c/live", READ).await.unwrap();
    let refused = end_to_end::http::raw_get(gateway.address(), "/metrics").await;
    assert!(
        refused.contains("host_limit_hits_total{limit=\"key-sockets\"} 3"),
        "{refused}"
    );
    drop((two, three));
    let again = eventually("their places are free", async || {
        open("/v1/audio/ws/c/teacher", ADMIN).await
    })
    .await;
    drop((one, other, look, again));
}

use super::matrix::turned_away;

#[tokio::test]
async fn a_stream_that_is_too_fast_waits_and_loses_nothing() {
    const CHUNKS: u32 = 400;
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr)
        .set("MAX_CHUNK_RATE", "100")
        .set("MAX_CHUNK_BURST_SECONDS", "1");
    let gateway = Gateway::start(settings).await;
    let mut stream = gateway.open("hasty", "teacher").await;
    let mut other = gateway.open("steady", "teacher").await;
    let since = Instant::now();
    let pcm = vec![0; 32_000];
    let mut sent = 0;
    let mut acked = 0;
    // As a client that pipelines: far more than anything on the way holds.
    while acked < CHUNKS {
        while sent < CHUNKS && sent < acked + 300 {
            sent += 1;
            stream.send_chunk(sent, &pcm).await;
        }
        let ack = stream.answer().await;
        acked += 1;
        assert_eq!(
            (&ack["status"], &ack["seq"]),
            (&json!("stored"), &json!(acked)),
            "{ack}"
        );
    }
    // All but the burst, and what one batch and the queue hold, come at the rate.
    assert!(
        since.elapsed() >= Duration::from_secs(1),
        "{:?}",
        since.elapsed()
    );
    // Nobody else waits.
    other.store(1, &pcm).await;
    let metrics = end_to_end::http::raw_get(gateway.address(), "/metrics").await;
    let pauses = metrics
        .lines()
        .find(|line| line.starts_with("gateway_stream_pauses_total{role=\"teacher\"}"));
    assert!(pauses.is_some(), "{metrics}");
    stream.close().await;
}
