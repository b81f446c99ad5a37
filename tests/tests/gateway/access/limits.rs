//! What a key may have open, and how fast a stream may bring audio.

use std::time::{Duration, Instant};

use end_to_end::wait::eventually;
use end_to_end::{Asr, AudioSocket, Gateway, Received, Settings, chunk_frame};
use serde_json::{Value, json};

use super::{ADMIN, READ, WRITE, token, with_keys};

/// How a socket ends for which there is no place.
fn no_place() -> Received {
    Received::Closed {
        code: 1013,
        reason: "too many connections here: close one, or try again later, in 5 s".to_owned(),
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
    let line = "host_limit_hits_total{limit=\"key-sockets\"} 3";
    assert!(refused.lines().any(|one| one == line), "{refused}");
    drop((two, three));
    let again = eventually("their places are free", async || {
        open("/v1/audio/ws/c/teacher", ADMIN).await
    })
    .await;
    drop((one, other, look, again));
}

/// Seconds of audio in a second, as the tests set it.
const RATE: u32 = 100;

/// Sends so many of these frames, as a client that pipelines, and takes an error for each; gives how long it
/// took.
async fn refused(stream: &mut AudioSocket, frame: &Value, frames: u32) -> Duration {
    let since = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    while answered < frames {
        while sent < frames && sent < answered + 300 {
            sent += 1;
            stream.send(frame).await;
        }
        let answer = stream.answer().await;
        assert_eq!(answer["type"], "error", "{answer}");
        answered += 1;
    }
    since.elapsed()
}

#[tokio::test]
async fn frames_that_are_refused_are_no_way_around_the_chunk_rate() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr)
        .set("MAX_CHUNK_RATE", &RATE.to_string())
        .set("MAX_CHUNK_BURST_SECONDS", "1");
    let gateway = Gateway::start(settings).await;
    let short = |session: &str| chunk_frame(session, "teacher", 2, &[0; 3]);
    let far = |session: &str| chunk_frame(session, "teacher", u32::MAX, &[0; 32_000]);
    let odd = |_: &str| json!({"type": "nothing"});
    let frames: [&dyn Fn(&str) -> Value; 3] = [&short, &far, &odd];
    // In a session, and where there is none: there nothing is remembered of a frame that is refused, and so
    // it is not known how many came before those of a batch.
    for (at, frame) in frames.into_iter().enumerate() {
        let session = format!("refused-{at}");
        let mut stream = gateway.open(&session, "teacher").await;
        stream.store(1, &vec![0; 32_000]).await;
        let took = refused(&mut stream, &frame(&session), 400).await;
        assert!(took >= Duration::from_secs(1), "{at}: {took:?}");
        // What is taken is taken all the same.
        stream.store(2, &vec![0; 32_000]).await;
        stream.close().await;
        let state = gateway.state(&session).await;
        assert_eq!(state["ingest_by_stream"]["teacher"]["received_chunks"], 2);
    }
    let before = pauses(&gateway).await;
    let mut stream = gateway.open("nobody", "teacher").await;
    let _ = refused(&mut stream, &odd("nobody"), 400).await;
    stream.close().await;
    eventually("the client was left unread", async || {
        match pauses(&gateway).await {
            after if after > before => Ok(()),
            after => Err(after),
        }
    })
    .await;
    assert_eq!(gateway.store().entries("nobody"), [], "no session is begun");
}

#[tokio::test]
async fn names_in_hello_count_as_a_second_of_audio() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr)
        .set("MAX_CHUNK_RATE", &RATE.to_string())
        .set("MAX_CHUNK_BURST_SECONDS", "1");
    let gateway = Gateway::start(settings).await;
    let mut stream = gateway.open("named", "teacher").await;
    let plain = json!({"type": "hello"});
    for _ in 0..200 {
        stream.send(&plain).await;
    }
    for _ in 0..200 {
        assert_eq!(stream.answer().await["type"], "ready");
    }
    assert_eq!(pauses(&gateway).await, 0.0, "a hello alone is free");
    let hello = json!({"type": "hello", "interviewer_name": "Ann"});
    for _ in 0..200 {
        stream.send(&hello).await;
    }
    for _ in 0..200 {
        assert_eq!(stream.answer().await["type"], "ready");
    }
    eventually("the client was left unread", async || {
        match pauses(&gateway).await {
            some if some > 0.0 => Ok(()),
            none => Err(none),
        }
    })
    .await;
    stream.close().await;
}

/// How often a client of a teacher's stream was left unread.
async fn pauses(gateway: &Gateway) -> f64 {
    let metrics = end_to_end::http::raw_get(gateway.address(), "/metrics").await;
    let name = "gateway_stream_pauses_total{role=\"teacher\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0.0, |value| value.parse().unwrap())
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
