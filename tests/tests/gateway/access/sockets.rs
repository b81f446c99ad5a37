//! WebSockets whose clients cannot set headers: a protocol, or a first frame, shows the key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use end_to_end::wait::eventually;
use end_to_end::{Asr, AudioSocket, Gateway, Received, Settings, chunk_frame};
use serde_json::json;

use super::matrix::turned_away;
use super::{ADMIN, READ, WRITE, WRONG, ask, token, with_keys};

fn auth(key: &str) -> serde_json::Value {
    json!({"type": "auth", "key": key})
}

/// A protocol that a browser can offer.
fn offer(key: &str) -> String {
    format!("gateway, gateway-key.{}", URL_SAFE_NO_PAD.encode(key))
}

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test]
async fn a_browser_shows_a_key_as_a_protocol_and_the_answer_names_the_other_one() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let url = "/v1/audio/ws/offered/teacher";
    let open = async |offers: &str| gateway.open_with(url, &[(PROTOCOL, offers)]).await;
    let mut socket = open(&offer(WRITE)).await.unwrap();
    assert_eq!(socket.protocol.as_deref(), Some("gateway"));
    assert_eq!(socket.ask(&json!({"type": "hello"})).await["type"], "ready");
    for (key, status) in [(WRONG, 401), (READ, 403), ("", 401)] {
        let refused = open(&offer(key)).await.unwrap_err();
        assert_eq!(refused.status, status, "{refused:?}");
    }
    // Nothing is shown yet: the first frame may.
    let mut socket = open("gateway").await.unwrap();
    assert_eq!(socket.protocol.as_deref(), Some("gateway"));
    assert_eq!(socket.ask(&auth(WRITE)).await["type"], "auth_ok");
    // Without keys the same client is served all the same.
    let free = Gateway::start(Settings::with_asr(&asr)).await;
    let mut socket = free
        .open_with(url, &[(PROTOCOL, &offer(WRITE))])
        .await
        .unwrap();
    assert_eq!(socket.protocol.as_deref(), Some("gateway"));
    assert_eq!(socket.ask(&json!({"type": "hello"})).await["type"], "ready");
    let error = socket.ask(&auth(WRITE)).await;
    assert_eq!(error["detail"], "unsupported message type: auth");
}

#[tokio::test]
async fn what_follows_a_key_at_once_is_served_in_order() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let mut socket = gateway
        .open_path("/v1/audio/ws/piped/teacher")
        .await
        .unwrap();
    // Two keys and more frames than a batch holds.
    socket.send(&auth(WRITE)).await;
    socket.send(&auth(ADMIN)).await;
    socket.send(&json!({"type": "hello"})).await;
    for seq in 1..=40 {
        let frame = chunk_frame("piped", "teacher", seq, &vec![0; 32_000]);
        socket.send(&frame).await;
    }
    for kind in ["auth_ok", "auth_ok", "ready"] {
        assert_eq!(socket.answer().await["type"], kind);
    }
    for seq in 1..=40 {
        let ack = socket.answer().await;
        assert_eq!(
            (&ack["status"], &ack["seq"]),
            (&json!("stored"), &json!(seq))
        );
    }
    // A wrong one ends it, also now; and so does one for less.
    for key in [WRONG, READ] {
        let mut socket = gateway
            .open_path("/v1/audio/ws/piped/teacher")
            .await
            .unwrap();
        socket.send(&auth(WRITE)).await;
        assert_eq!(socket.answer().await["type"], "auth_ok");
        socket.send(&auth(key)).await;
        assert_eq!(socket.next().await, turned_away());
    }
}

#[tokio::test]
async fn nobody_waits_for_ever_and_nothing_is_begun_before_a_key() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let urls = ["/v1/audio/ws/silent/teacher", "/v1/sessions/silent/live"];
    let mut sockets: Vec<AudioSocket> = Vec::new();
    for url in urls {
        sockets.push(gateway.open_path(url).await.unwrap());
    }
    let mut late = gateway
        .open_path("/v1/audio/ws/late/teacher")
        .await
        .unwrap();
    for socket in &mut sockets {
        // Not a frame, not one of those that are pushed.
        assert_eq!(socket.next().await, turned_away());
    }
    assert_eq!(late.next().await, turned_away());
    for mut socket in [
        gateway.open_path(urls[0]).await.unwrap(),
        gateway.open_path(urls[1]).await.unwrap(),
    ] {
        socket.send(&auth(WRONG)).await;
        socket
            .send(&chunk_frame("silent", "teacher", 1, &vec![0; 32_000]))
            .await;
        assert_eq!(socket.next().await, turned_away());
    }
    for not_text in [true, false] {
        let mut socket = gateway.open_path(urls[0]).await.unwrap();
        match not_text {
            true => {
                socket
                    .send_binary(auth(WRITE).to_string().into_bytes())
                    .await
            }
            false => socket.send_text("{").await,
        }
        assert_eq!(socket.next().await, turned_away());
    }
    let sessions = ask(&gateway, Some(READ), "GET", "/v1/sessions", None)
        .await
        .ok();
    assert_eq!(sessions["items"], json!([]));
    let stored = gateway.blobs().keys("");
    assert!(stored.is_empty(), "{stored:?}");
    let records = gateway.store().entries("");
    assert!(records.is_empty(), "{records:?}");
}

/// Something that cannot be read, in place of a record.
const GARBAGE: &str = "{";

#[tokio::test]
async fn nobody_stays_because_the_store_failed_when_the_time_was_over() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let keyed = [("x-api-key", WRITE)];
    let (stream, live) = ("/v1/audio/ws/unlucky/teacher", "/v1/sessions/unlucky/live");
    let teacher = gateway.open_with(stream, &keyed).await.unwrap();
    let mut teacher = teacher.of("unlucky", "teacher");
    teacher.store_marked(1, 1..=4).await;
    teacher.close().await;
    // By lane: what its records are, without which none of its batches succeeds.
    let lanes = [
        ("unlucky/teacher", stream, "sessions/unlucky/ingest/teacher"),
        ("unlucky/live", live, "sessions/unlucky/log/teacher"),
    ];
    let value = async |key: &str| {
        eventually("the record is there", async || {
            let entries = gateway.store().entries(key);
            let mut named = entries.iter().filter(|(name, _)| name == key);
            named.next().map(|(_, value)| value.clone()).ok_or(entries)
        })
        .await
    };
    // All is said: nothing more is written.
    for (_, _, key) in lanes {
        value(key).await;
    }
    eventually("the task is over", async || {
        let path = "/v1/sessions/unlucky/state";
        let state = ask(&gateway, Some(READ), "GET", path, None).await.ok();
        match state["asr_by_stream"]["teacher"]["asr_ws_state"] == "disconnected" {
            true => Ok(()),
            false => Err(state),
        }
    })
    .await;
    let mut silent = Vec::new();
    let mut known = Vec::new();
    for (_, url, _) in lanes {
        silent.push(gateway.open_path(url).await.unwrap());
        // Once this one is answered the lane has seen the other.
        let mut socket = gateway.open_with(url, &keyed).await.unwrap();
        socket.ask(&json!({"type": "ping"})).await;
        known.push(socket);
    }
    let mut before = Vec::new();
    for (_, _, key) in lanes {
        before.push(value(key).await);
        gateway.store().overwrite(key, GARBAGE);
    }
    eventually("the batches fail in which their time is over", async || {
        let log = gateway.log();
        let failed = |lane: &str| {
            let names = |line: &&str| line.contains("failed twice") && line.contains(lane);
            log.lines().any(|line| names(&line))
        };
        match lanes.iter().all(|(lane, _, _)| failed(lane)) {
            true => Ok(()),
            false => Err(log),
        }
    })
    .await;
    for ((_, _, key), value) in lanes.iter().zip(&before) {
        gateway.store().overwrite(key, value);
    }
    for socket in &mut silent {
        assert_eq!(socket.next().await, turned_away());
    }
    for socket in &mut known {
        socket.ask(&json!({"type": "ping"})).await;
    }
}

#[tokio::test]
async fn who_does_not_show_a_key_takes_no_place_from_others() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let url = "/v1/audio/ws/crowded/teacher";
    // As many as a stream has places for clients, and more.
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(gateway.open_path(url).await.unwrap());
    }
    let socket = gateway
        .open_with(url, &[("x-api-key", WRITE)])
        .await
        .unwrap();
    let mut socket = socket.of("crowded", "teacher");
    socket.store(1, &vec![0; 32_000]).await;
    drop(crowd);
    socket.store(2, &vec![0; 32_000]).await;
}

#[tokio::test]
async fn a_viewer_with_a_key_in_its_first_frame_sees_what_others_see() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let mut viewer = gateway.open_path("/v1/sessions/seen/live").await.unwrap();
    viewer.send(&auth(READ)).await;
    assert_eq!(viewer.answer().await["type"], "auth_ok");
    let again = viewer.ask(&auth(READ)).await;
    assert_eq!(again["type"], "auth_ok");
    let socket = gateway
        .open_with("/v1/audio/ws/seen/teacher", &[("x-api-key", WRITE)])
        .await
        .unwrap();
    let mut socket = socket.of("seen", "teacher");
    for seq in 1..=4 {
        socket.store(seq, &vec![0; 32_000]).await;
    }
    let first = viewer.answer().await;
    assert_eq!(first["live_seq"], 1, "{first}");
    // Someone else's session is none of a token's.
    let foreign = token(&gateway, "another", &json!({"scope": "read"})).await;
    viewer.send(&auth(&foreign)).await;
    let end = async {
        loop {
            match viewer.next().await {
                Received::Frame(_) => {}
                end => return end,
            }
        }
    };
    assert_eq!(end.await, turned_away());
}

#[tokio::test]
async fn a_token_for_one_stream_has_nothing_to_do_with_the_others() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let narrow = json!({"scope": "write", "roles": ["teacher"]});
    let narrow = token(&gateway, "narrow", &narrow).await;
    let url = "/v1/audio/ws/narrow/teacher";
    let mut by_frame = gateway.open_path(url).await.unwrap();
    by_frame.send(&auth(&narrow)).await;
    assert_eq!(by_frame.answer().await["type"], "auth_ok");
    let by_header = gateway
        .open_with(url, &[("x-api-key", &narrow)])
        .await
        .unwrap();
    for socket in [by_frame, by_header] {
        let mut socket = socket.of("narrow", "teacher");
        assert_eq!(socket.ask(&json!({"type": "hello"})).await["type"], "ready");
        for more in [
            json!({"type": "hello", "subscribe": ["utterances"]}),
            json!({"type": "hello", "interviewer_name": "Ada"}),
        ] {
            let error = socket.ask(&more).await;
            assert_eq!(
                error["detail"], "this API key does not allow that",
                "{more}"
            );
        }
        // The connection stays, and so does the stream.
        let ack = socket
            .ask(&chunk_frame("narrow", "teacher", 1, &vec![0; 32_000]))
            .await;
        assert_eq!(ack["type"], "ack", "{ack}");
    }
    // The state knows of both: one more thing that reads who is connected.
    eventually("it is being recorded", async || {
        let path = "/v1/sessions/narrow";
        match ask(&gateway, Some(ADMIN), "DELETE", path, None)
            .await
            .status
        {
            409 => Err("connected"),
            200 => Ok(()),
            _ => Err("?"),
        }
    })
    .await;
}
