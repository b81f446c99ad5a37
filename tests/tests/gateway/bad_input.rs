//! Whatever comes in: it is answered as the contract says, and connection and session go on.

use asr_simulator::mark;
use bytes::Bytes;
use end_to_end::client::chunk_frame;
use end_to_end::http::request;
use end_to_end::{AudioSocket, Received, Shared};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

/// The largest frame that is taken.
const FRAME_LIMIT: usize = 1 << 20;

async fn is_refused(stream: &mut AudioSocket, what: &str, detail: &str) {
    let answer = stream.answer().await;
    assert_eq!(answer, json!({"type": "error", "detail": detail}), "{what}");
}

#[tokio::test]
async fn fault_27_a_bad_frame_is_answered_and_the_stream_goes_on() {
    let gateway = Shared::gateway().await;
    let session = "bad-frames";
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(1, 1..=1).await;

    let texts = [
        ("hello", "websocket frame is not valid JSON"),
        ("", "websocket frame is not valid JSON"),
        ("{\"type\":\"ping\"", "websocket frame is not valid JSON"),
        ("5", "websocket frame must be an object"),
        ("null", "websocket frame must be an object"),
        ("{\"type\":\"chunkx\"}", "unsupported message type: chunkx"),
        ("{}", "unsupported message type: "),
    ];
    for (text, detail) in texts {
        stream.send_text(text).await;
        is_refused(&mut stream, text, detail).await;
    }
    stream.send_binary(vec![0; 32_000]).await;
    is_refused(&mut stream, "binary", "websocket frame must be text JSON").await;

    let chunk = chunk_frame(session, "teacher", 2, &mark::second(1, 2));
    let short = chunk_frame(session, "teacher", 2, &[0; 100])["content_b64"].clone();
    let fields = [
        ("meeting_id", Value::Null, "frame.meeting_id is required"),
        (
            "meeting_id",
            json!("other"),
            "meeting_id mismatch: expected bad-frames",
        ),
        ("seq", json!(0), "frame.seq must be a positive integer"),
        ("seq", json!(1.5), "frame.seq must be a positive integer"),
        ("seq", json!("2"), "frame.seq must be a positive integer"),
        (
            "timestamp_ms",
            json!(-1),
            "frame.timestamp_ms must be a positive number",
        ),
        (
            "sample_rate",
            json!(8000),
            "frame.sample_rate must be 16000",
        ),
        ("channels", json!(2), "frame.channels must be 1"),
        ("format", json!("wav"), "frame.format must be pcm_s16le"),
        ("content_b64", Value::Null, "frame.content_b64 is required"),
        (
            "content_b64",
            short,
            "chunk byte length must be 32000, got 100",
        ),
        (
            "stream_role",
            json!("students"),
            "chunk.stream_role mismatch: expected teacher, got students",
        ),
        (
            "stream_role",
            json!("nobody"),
            "unsupported stream_role: nobody",
        ),
        (
            "seq",
            json!(1_000_000_000),
            "frame.seq jumps from 1 to 1000000000: at most 3600 seconds may be skipped",
        ),
    ];
    for (field, value, detail) in fields {
        let mut bad = chunk.clone();
        bad[field] = value;
        stream.send(&bad).await;
        is_refused(&mut stream, field, detail).await;
    }
    let mut bad = chunk.clone();
    bad["content_b64"] = json!("@@@@");
    let answer = stream.ask(&bad).await;
    assert_eq!(answer["type"], "error", "{answer}");

    let others = [
        (
            json!({"type": "hello", "stream_role": "students"}),
            "hello.stream_role mismatch: expected teacher, got students",
        ),
        (
            json!({"type": "capture_status"}),
            "capture_status.payload must be an object",
        ),
        (
            json!({"type": "capture_status", "payload": {"capture_state": "paused"}}),
            "capture_status.capture_state must be idle|running|recovering|failed",
        ),
    ];
    for (frame, detail) in others {
        stream.send(&frame).await;
        is_refused(&mut stream, &frame.to_string(), detail).await;
    }

    // What no client should send and every parser must survive.
    let deep = "[".repeat(100_000);
    let long_number = format!("{{\"type\":\"chunk\",\"seq\":{}}}", "9".repeat(5_000));
    for text in [
        deep.as_str(),
        long_number.as_str(),
        r#"{"type":"\ud800"}"#,
        "{\"type\":\"a\\u0000b\"}",
    ] {
        stream.send_text(text).await;
        let answer = stream.answer().await;
        assert_eq!(answer["type"], "error", "{answer}");
    }

    assert_eq!(stream.ask(&json!({"type": "ping"})).await["type"], "pong");
    stream.store_marked(1, 2..=3).await;
    stream.close().await;
    gateway.finalize(session).await;
    gateway.transcribed(session, "teacher", 1, 3).await;
    let ingest = &gateway.state(session).await["ingest_by_stream"]["teacher"];
    assert_eq!(
        (&ingest["received_chunks"], &ingest["missing_chunks"]),
        (&json!(3), &json!(0)),
        "{ingest}"
    );
}

#[tokio::test]
async fn fault_14_a_frame_over_1_mib_closes_with_1009_and_the_session_goes_on() {
    let gateway = Shared::gateway().await;
    let session = "large-frames";
    let mut stream = gateway.open(session, "mixed").await;
    stream.store_marked(1, 1..=1).await;
    let padded = |bytes: usize| {
        let (head, end) = (r#"{"type":"ping","pad":""#, r#""}"#);
        format!("{head}{}{end}", "x".repeat(bytes - head.len() - end.len()))
    };
    stream.send_text(padded(FRAME_LIMIT)).await;
    assert_eq!(
        stream.answer().await["type"],
        "pong",
        "exactly 1 MiB is taken"
    );
    stream.send_text(padded(FRAME_LIMIT + 1)).await;
    let end = stream.next().await;
    assert!(
        matches!(end, Received::Closed { code: 1009, .. }),
        "{end:?}"
    );

    let mut stream = gateway.open(session, "mixed").await;
    stream.send_binary(vec![0; 33 << 20]).await;
    // So much is unread when the connection ends that the close frame may be lost on the way.
    let end = stream.next().await;
    assert!(
        matches!(end, Received::Closed { code: 1009, .. } | Received::Lost),
        "{end:?}"
    );

    let mut stream = gateway.open(session, "mixed").await;
    let status = stream.ask(&json!({"type": "status"})).await;
    assert_eq!(status["received_chunks"], 1, "{status}");
    stream.store_marked(1, 2..=2).await;
    stream.close().await;
}

#[tokio::test]
async fn fault_27_bad_requests_are_4xx_with_a_reason_and_change_nothing() {
    let gateway = Shared::gateway().await;
    let session = "/v1/sessions/bad-requests";
    let post = |path: &str, body: &str| {
        let request =
            Request::post(format!("{session}{path}")).body(Full::new(Bytes::from(body.to_owned())));
        gateway.send(request.unwrap())
    };
    for path in ["/config", "/finalize"] {
        for body in ["", "{nope", "\u{1}", "{\"a\":"] {
            let answer = post(path, body).await;
            assert_eq!(
                (answer.status, answer.detail().as_str()),
                (400, "request body must be valid JSON"),
                "{path} {body:?}"
            );
        }
        let answer = post(path, "null").await;
        assert_eq!(answer.status, 400, "{path} null: {}", answer.detail());
        let deep = "[".repeat(200_000);
        assert_eq!(post(path, &deep).await.status, 400, "{path}: deep nesting");
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20));
        let answer = post(path, &large).await;
        assert_eq!(answer.status, 413, "{path}: 2 MiB");
        assert!(answer.detail().contains("1048576"), "{}", answer.detail());
    }

    let gets = [
        ("/utterances?view=best", 400, "view must be raw or merged"),
        (
            "/utterances?stream_role=nobody",
            400,
            "unsupported stream_role: nobody",
        ),
        (
            "/events?stream_role=nobody",
            400,
            "unsupported stream_role: nobody",
        ),
        ("/nothing", 404, "route not found"),
        ("/config", 405, "method not allowed"),
        ("/finalize", 405, "method not allowed"),
    ];
    for (path, status, detail) in gets {
        let answer = gateway.get(&format!("{session}{path}")).await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (status, detail),
            "{path}"
        );
        let content_type = answer.headers["content-type"].to_str().unwrap();
        assert_eq!(content_type, "application/json; charset=utf-8", "{path}");
    }
    for (query, limit) in [
        ("limit=0", 50),
        ("limit=-1", 50),
        ("limit=x", 50),
        ("limit=99999", 1000),
        ("limit=7", 7),
    ] {
        let answer = gateway
            .get(&format!("{session}/utterances?{query}"))
            .await
            .ok();
        assert_eq!(answer["limit"], limit, "{query}");
    }
    let no_audio = "audio.content_b64 and audio.format are required";
    for (body, detail) in [
        ("{\"audio\":", "request body must be valid JSON"),
        ("null", no_audio),
        ("[]", no_audio),
        (
            "{\"audio\":{\"content_b64\":7,\"format\":\"wav\"}}",
            no_audio,
        ),
    ] {
        let answer = post("/resolve", body).await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (400, detail),
            "{body}"
        );
    }
    for path in ["/resolve", "/asr-run", "/asr-reset"] {
        let answer = post(&format!("{path}?stream_role=nobody"), "{}").await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (400, "unsupported stream_role: nobody"),
            "{path}"
        );
    }

    let ids = [
        "%00",
        "a%00b",
        "%ff",
        "%",
        "%20",
        &"a".repeat(129),
        "%ed%a0%80",
    ];
    for id in ids {
        let answer = gateway.get(&format!("/v1/sessions/{id}/state")).await;
        assert_eq!(answer.status, 400, "{id}: {answer:?}");
        assert!(!answer.detail().is_empty(), "{id}");
        let refused = gateway
            .open_path(&format!("/v1/audio/ws/{id}"))
            .await
            .unwrap_err();
        assert_eq!(refused.status, 400, "{id}: {refused:?}");
    }

    for path in ["state", "utterances", "events"] {
        let path = format!("{session}/{path}");
        let (get, head) = (
            gateway.get(&path).await,
            gateway.send(request("HEAD", &path, None)).await,
        );
        assert_eq!(
            (get.status, head.status, head.body.len()),
            (200, 200, 0),
            "HEAD {path}"
        );
    }
    let state = gateway.get(&format!("{session}/state")).await.ok();
    assert_eq!(state["updated_at"], Value::Null, "nothing was written");
}

#[tokio::test]
async fn fault_26_ids_with_one_safe_id_never_meet() {
    let gateway = Shared::gateway().await;
    let mut keys = Vec::new();
    for (id, mark) in [
        ("a%2Fb", 1),
        ("a_b", 2),
        ("%E4%BC%9A", 3),
        ("%E8%AE%AE", 4),
        ("%252e%252e", 5),
    ] {
        let path = format!("/v1/audio/ws/{id}");
        let mut stream = gateway.open_path(&path).await.unwrap();
        let ready = stream.ask(&json!({"type": "hello"})).await;
        let session = ready["session_id"].as_str().unwrap().to_owned();
        let pcm = asr_simulator::mark::second(mark, 1);
        let ack = stream.ask(&chunk_frame(&session, "mixed", 1, &pcm)).await;
        assert_eq!(ack["status"], "stored", "{id}: {ack}");
        keys.push((ack["key"].as_str().unwrap().to_owned(), pcm));
        stream.close().await;
    }
    for (key, pcm) in &keys {
        assert!(
            gateway.blobs().read(key).unwrap() == *pcm,
            "{key} holds its own audio"
        );
    }
}
