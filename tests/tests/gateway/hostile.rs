//! What no well-behaved client sends, in bodies, ids, headers, queries and frames: a 4xx and never a
//! 5xx (faults.md 27); HEAD works where GET does, and 405 says what is allowed.

use bytes::Bytes;
use end_to_end::http::{Answer, request};
use end_to_end::wait::in_time;
use end_to_end::{Asr, Gateway, Inference, Reply, Settings, Shared};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kept;

const MARK: u16 = 8;

async fn post(gateway: &Gateway, path: &str, body: impl Into<Bytes>) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    gateway
        .send(request.body(Full::new(body.into())).unwrap())
        .await
}

/// Bodies that are no JSON.
fn no_json() -> Vec<Bytes> {
    let nested = |open: &str, close: &str| {
        Bytes::from(format!("{}{}", open.repeat(20_000), close.repeat(20_000)))
    };
    let mut bodies = vec![
        nested("[", "]"),
        nested("{\"a\":", "}"),
        nested("[{\"audio\":", "}]"),
        Bytes::from("{\"metadata\":".repeat(30_000)),
        Bytes::from(vec![b'['; 1 << 20]),
    ];
    let texts: [&[u8]; 12] = [
        b"",
        b" ",
        b"\0",
        b"{}\0",
        b"{\"a\":\"\0\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"\\udc00\\ud800\":1}",
        b"{\"interviewer_name\":\"\\ud83d\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"\xff\xfe{\0}\0",
        b"{\"a\":1e99999}",
        b"NaN",
    ];
    bodies.extend(texts.map(Bytes::from_static));
    bodies
}

#[tokio::test]
async fn fault_27_a_body_that_is_no_json_is_a_400_on_every_route_that_reads_one() {
    let gateway = Shared::gateway().await;
    let session = "/v1/sessions/hostile-bodies";
    for body in no_json() {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        for route in ["config", "finalize", "resolve"] {
            let answer = post(&gateway, &format!("{session}/{route}"), body.clone()).await;
            assert_eq!(answer.status, 400, "{route} {shown:?}: {answer:?}");
            let detail = answer.detail();
            assert_eq!(
                detail, "request body must be valid JSON",
                "{route} {shown:?}"
            );
        }
        // These two read none.
        for route in ["asr-run", "asr-reset"] {
            let answer = post(&gateway, &format!("{session}/{route}"), body.clone()).await;
            assert!(answer.status < 500, "{route} {shown:?}: {answer:?}");
        }
    }
    let listed = kept::listed(&gateway).await;
    assert!(!listed.iter().any(|id| id == "hostile-bodies"));
}

#[tokio::test]
async fn fault_27_json_of_another_kind_is_refused_or_sets_nothing() {
    let asr = Asr::start().await;
    let inference = Inference::start(|_| Reply::ok(json!({"decision": "auto"}))).await;
    let settings = Settings::with_asr(&asr).set("INFERENCE_BASE_URL", &inference.url());
    let gateway = Gateway::start(settings).await;
    let session = "hostile-kinds";
    let route = |route: &str| format!("/v1/sessions/{session}/{route}");
    for route in ["config", "finalize", "resolve"] {
        let answer = post(&gateway, &format!("/v1/sessions/{session}/{route}"), "null").await;
        assert_eq!(answer.status, 400, "{route}: {answer:?}");
    }
    assert_eq!(kept::listed(&gateway).await, Vec::<String>::new());

    // As the original does, an array or a number is a body without fields.
    for body in ["[]", "[null]", "[[{}]]", "7", "true", "\"\\u0000\"", "{}"] {
        let answer = post(&gateway, &route("config"), body).await;
        assert_eq!(answer.clone().ok()["config"], json!({}), "{body}");
        let answer = post(&gateway, &route("resolve"), body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    let odd = [
        Value::Null,
        json!([]),
        json!([[null]]),
        json!({}),
        json!(7),
        json!("\u{0}"),
    ];
    for value in &odd {
        let config = json!({
            "teams_participants": value, "teams_interviewer_name": [value], "interviewer_name": {"name": value},
        });
        let answer = gateway.post(&route("config"), &config).await;
        assert_eq!(answer.ok()["config"], json!({}), "{value}");
        let config = json!({"teams_participants": [value, {"name": [value]}, {"name": null}, " "]});
        let answer = gateway.post(&route("config"), &config).await;
        assert!(answer.status < 500, "{value}: {answer:?}");
        let finalize = json!({"metadata": value});
        let answer = gateway.post(&route("finalize"), &finalize).await;
        assert!(answer.status < 500, "{value}: {answer:?}");
        let result = gateway.get(&route("result")).await.ok();
        assert!(result["metadata"].is_object(), "{value}: {result:#}");
        for audio in [
            value.clone(),
            json!({"content_b64": value, "format": []}),
            json!({"content_b64": [value], "format": "wav"}),
            json!({"content_b64": "AA==", "format": null}),
        ] {
            let answer = gateway
                .post(&route("resolve"), &json!({"audio": audio}))
                .await;
            assert_eq!(answer.status, 400, "{audio}: {answer:?}");
        }
        // Text and roster are the service's to judge.
        let audio = json!({"content_b64": "AA==", "format": "wav"});
        let question = json!({"audio": audio, "asr_text": value, "roster": value});
        let answer = gateway.post(&route("resolve"), &question).await;
        assert!(answer.status < 500, "{value}: {answer:?}");
    }
    let state = gateway.state(session).await;
    assert_eq!(state["state"]["config"], json!({}), "{state:#}");

    // NUL is a character like any other where a name is stored.
    let name = "A\u{0}da \u{1f600} \u{fffd}";
    let config = json!({"interviewer_name": name, "teams_participants": [name]});
    let answer = gateway.post(&route("config"), &config).await;
    assert!(answer.status < 500, "{answer:?}");
    if answer.status == 200 {
        let state = gateway.state(session).await;
        assert_eq!(state["state"]["config"]["interviewer_name"], name);
        assert_eq!(state["state"]["roster"][0]["name"], name);
    }
}

#[tokio::test]
async fn fault_27_ids_that_are_none_are_a_400_on_every_route() {
    let gateway = Shared::gateway().await;
    let long = "%E4%BC%9A".repeat(129);
    let ids = [
        "%00",
        "a%00b",
        "%0a",
        "%7f",
        "%c2%85",
        "%ed%a0%80",
        "%ff",
        "%",
        "a%2",
        "%zz",
        "%20%09",
        &long,
    ];
    for id in ids {
        let session = format!("/v1/sessions/{id}");
        for (method, action) in [
            ("GET", "/state"),
            ("HEAD", "/state"),
            ("GET", "/events"),
            ("GET", "/utterances"),
            ("GET", "/result"),
            ("GET", "/live"),
            ("POST", "/config"),
            ("POST", "/resolve"),
            ("POST", "/asr-run"),
            ("POST", "/asr-reset"),
            ("POST", "/finalize"),
            ("DELETE", ""),
        ] {
            let request = request(method, &format!("{session}{action}"), Some(&json!({})));
            let answer = gateway.send(request).await;
            // Without an upgrade a WebSocket's path may say so first.
            let is_refused = answer.status == 400 || (action == "/live" && answer.status == 426);
            assert!(is_refused, "{method} {id} {action}: {answer:?}");
        }
        for path in [
            format!("/v1/audio/ws/{id}/teacher"),
            format!("{session}/live"),
        ] {
            let refused = gateway.open_path(&path).await.unwrap_err();
            assert_eq!(refused.status, 400, "{path}: {refused:?}");
        }
    }
    for role in ["%00", "%ff", "null", "[]", "te%00acher", "%ed%a0%80"] {
        let path = format!("/v1/audio/ws/hostile-role/{role}");
        let refused = gateway.open_path(&path).await.unwrap_err();
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
    }
}

#[tokio::test]
async fn fault_27_query_values_that_are_none_are_a_4xx_or_the_default() {
    let gateway = Shared::gateway().await;
    let session = "/v1/sessions/hostile-queries";
    let odd = [
        "%00",
        "%ff",
        "%zz",
        "null",
        "[]",
        "%5B%5D",
        "{}",
        "%ed%a0%80",
        "%22",
        "-0",
        "1e3",
        "%F0%9F%98%80",
    ];
    for value in odd {
        for (method, path, refused) in [
            ("GET", format!("{session}/events?stream_role={value}"), true),
            (
                "GET",
                format!("{session}/utterances?stream_role={value}"),
                true,
            ),
            ("GET", format!("{session}/utterances?view={value}"), true),
            ("GET", format!("{session}/utterances?limit={value}"), false),
            ("GET", format!("{session}/events?limit={value}"), false),
            ("GET", format!("{session}/state?{value}={value}"), false),
            ("GET", format!("/v1/sessions?cursor={value}"), true),
            ("GET", format!("/v1/sessions?limit={value}"), false),
            (
                "POST",
                format!("{session}/asr-run?stream_role={value}"),
                true,
            ),
            (
                "POST",
                format!("{session}/asr-run?max_windows={value}&flush={value}"),
                false,
            ),
            (
                "POST",
                format!("{session}/asr-reset?stream_role={value}"),
                true,
            ),
            (
                "POST",
                format!("{session}/resolve?stream_role={value}"),
                true,
            ),
            ("DELETE", format!("{session}?force={value}"), false),
        ] {
            let Ok(uri) = path.parse::<http::Uri>() else {
                continue;
            };
            let mut request = request(method, "/", Some(&json!({})));
            *request.uri_mut() = uri;
            let answer = gateway.send(request).await;
            let expected = if refused { 400 } else { 200 };
            assert_eq!(answer.status, expected, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn fault_27_odd_idempotency_keys_are_keys_or_a_400() {
    let asr = Asr::start().await;
    let inference = Inference::start(|_| Reply::ok(json!({"decision": "auto"}))).await;
    let settings = Settings::with_asr(&asr).set("INFERENCE_BASE_URL", &inference.url());
    let gateway = Gateway::start(settings).await;
    let question = json!({"audio": {"content_b64": "AA==", "format": "wav"}});
    let ask = |key: Vec<u8>| {
        let mut request = request("POST", "/v1/sessions/hostile-keys/resolve", Some(&question));
        let key = http::HeaderValue::from_bytes(&key).unwrap();
        request.headers_mut().insert("x-idempotency-key", key);
        gateway.send(request)
    };
    let keys: [&[u8]; 8] = [
        b"null",
        b"[]",
        b"\xff",
        b"\xfe",
        b"\xed\xa0\x80",
        b"a/../b",
        "会议".as_bytes(),
        &[b'k'; 8192],
    ];
    for key in keys {
        let first = ask(key.to_vec()).await;
        assert_eq!(first.status, 200, "{key:?}: {first:?}");
        assert!(
            !first.headers.contains_key("x-idempotent-replay"),
            "{key:?}"
        );
        let second = ask(key.to_vec()).await;
        assert_eq!(second.status, 200, "{key:?}: {second:?}");
        assert_eq!(second.headers["x-idempotent-replay"], "true", "{key:?}");
    }
    assert_eq!(inference.asked().len(), keys.len(), "no two are one");
    // A blank one is none.
    for key in ["", "  "] {
        let answer = ask(key.into()).await;
        assert!(
            !answer.headers.contains_key("x-idempotent-replay"),
            "{key:?}"
        );
        assert_eq!(answer.status, 200);
    }
    let long = ask(vec![b'k'; 8193]).await;
    assert_eq!(long.status, 400, "{long:?}");
    assert_eq!(inference.asked().len(), keys.len() + 2);
}

#[tokio::test]
async fn fault_27_bytes_that_are_no_request_are_a_4xx() {
    let gateway = Shared::gateway().await;
    let heads: [&[u8]; 7] = [
        b"POST /v1/sessions/raw/resolve HTTP/1.1\r\nhost: x\r\nx-idempotency-key: a\0b\r\n\r\n",
        b"GET /v1/sessions/\0/state HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/sessions/a\xffb/state HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/sessions/raw/state?limit=\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/sessions/raw/state?\"<>` HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /v1/sessions/raw/config HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ];
    for head in heads {
        let shown = String::from_utf8_lossy(head).into_owned();
        let mut client = TcpStream::connect(gateway.address()).await.unwrap();
        client.write_all(head).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Closing without an answer will do as well.
        let _ = in_time(&shown, client.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        let is_fine = answer.is_empty()
            || answer.starts_with("HTTP/1.1 4")
            || answer.starts_with("HTTP/1.1 200");
        assert!(is_fine, "{shown:?}: {answer}");
    }
    assert_eq!(gateway.get("/health").await.status, 200);
}

#[tokio::test]
async fn fault_27_odd_frames_are_answered_and_the_connection_goes_on() {
    let gateway = Shared::gateway().await;
    let session = "hostile-frames";
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(MARK, 1..=1).await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let refused = [
        "[]".to_owned(),
        "[[[]]]".to_owned(),
        "\u{0}".to_owned(),
        deep("[", "]"),
        deep("{\"type\":", "}"),
        format!(
            "{{\"type\":\"hello\",\"teams_participants\":{}}}",
            deep("[", "]")
        ),
        r#"{"type":null}"#.to_owned(),
        r#"{"type":[]}"#.to_owned(),
        r#"{"type":{"type":"ping"}}"#.to_owned(),
        r#"{"type":"ping\u0000"}"#.to_owned(),
        r#"{"type":"hello","interviewer_name":"\ud800"}"#.to_owned(),
        r#"{"type":"hello","stream_role":"\u0000"}"#.to_owned(),
        r#"{"type":"capture_status","payload":null}"#.to_owned(),
        r#"{"type":"capture_status","payload":{"capture_state":["idle"]}}"#.to_owned(),
        r#"{"type":"capture_status","payload":{"capture_state":"\u0000"}}"#.to_owned(),
        r#"{"type":"chunk"}"#.to_owned(),
        r#"{"type":"chunk","meeting_id":null,"seq":null,"content_b64":null}"#.to_owned(),
        r#"{"type":"chunk","meeting_id":["hostile-frames"],"seq":[2]}"#.to_owned(),
        r#"{"type":"chunk","meeting_id":"hostile-frames","seq":1e300}"#.to_owned(),
        r#"{"type":"chunk","meeting_id":"hostile-frames","seq":2,"timestamp_ms":1e999}"#.to_owned(),
        r#"{"type":"chunk","meeting_id":"hostile-frames\u0000","seq":2}"#.to_owned(),
    ];
    for frame in refused {
        stream.send_text(frame.clone()).await;
        let answer = stream.answer().await;
        let shown: String = frame.chars().take(80).collect();
        assert_eq!(answer["type"], "error", "{shown}: {answer}");
        assert_ne!(answer["detail"], "", "{shown}");
    }
    // What may be taken or refused, but is answered.
    for frame in [
        r#"{"type":"hello","teams_participants":[null,[],{},{"name":null},{"name":"\u0000"}]}"#,
        r#"{"type":"hello","interviewer_name":"\u0000","teams_interviewer_name":[]}"#,
        r#"{"type":"capture_status","payload":[]}"#,
        r#"{"type":"capture_status","payload":{"recover_attempts":1e300,"echo_suppression_recent_rate":-7,"last_recover_error":"\u0000"}}"#,
        r#"{"type":"capture_status","payload":{"recover_attempts":null,"last_recover_at":[],"echo_suppressed_chunks":"7"}}"#,
        // As JavaScript writes it out, it is this text.
        r#"{"type":"hello","stream_role":["teacher"]}"#,
        // A field that nobody reads.
        r#"{"type":"ping","x":"\udfff"}"#,
        r#"{"type":"ping","type":"ping"}"#,
    ] {
        stream.send_text(frame).await;
        stream.answer().await;
    }
    stream.store_marked(MARK, 2..=3).await;
    let ingest = gateway.state(session).await["ingest_by_stream"]["teacher"].clone();
    assert_eq!(ingest["received_chunks"], 3, "{ingest:#}");
    assert_eq!(ingest["missing_chunks"], 0, "{ingest:#}");

    let reason = format!("{}\u{0}", "会".repeat(200));
    let closing = stream
        .ask(&json!({"type": "close", "reason": reason}))
        .await;
    assert_eq!(closing["type"], "closing", "{closing}");
    let end = stream.next().await;
    match end {
        end_to_end::Received::Closed { code, reason } => {
            assert_eq!(code, 1000, "{reason}");
            assert!(reason.len() <= 123 && reason.starts_with('会'), "{reason}");
        }
        end => panic!("{end:?}"),
    }
}

#[tokio::test]
async fn fault_27_head_is_get_without_the_body() {
    let gateway = Shared::gateway().await;
    let session = "hostile-head";
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(MARK, 1..=3).await;
    stream.close().await;
    gateway.finalize(session).await;
    let of = |path: &str| format!("/v1/sessions/{session}/{path}");
    for (path, status) in [
        ("/health".to_owned(), 200),
        ("/openapi.json".to_owned(), 200),
        ("/asyncapi.json".to_owned(), 200),
        ("/v1/sessions".to_owned(), 200),
        ("/v1/sessions?cursor=x".to_owned(), 400),
        (of("state"), 200),
        (of("state/"), 200),
        (of("events"), 200),
        (of("utterances?stream_role=teacher&view=merged"), 200),
        (of("utterances?view=x"), 400),
        (of("result"), 200),
        (of("live"), 426),
        (of("config"), 405),
        ("/v1/sessions/hostile-head-never/result".to_owned(), 404),
        ("/v1/sessions/%ff/state".to_owned(), 400),
        (format!("/v1/audio/ws/{session}"), 426),
        (format!("/v1/audio/ws/{session}/nobody"), 426),
        ("/nothing".to_owned(), 404),
    ] {
        let get = gateway.get(&path).await;
        let head = gateway.send(request("HEAD", &path, None)).await;
        assert_eq!((get.status, head.status), (status, status), "{path}");
        assert_eq!(head.body.len(), 0, "{path}");
        for headers in [&get.headers, &head.headers] {
            let content_type = headers.get("content-type");
            let json = "application/json; charset=utf-8";
            assert_eq!(content_type.unwrap(), json, "{path}");
        }
        let named = |answer: &Answer| {
            let mut names: Vec<_> = answer.headers.keys().map(|name| name.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(named(&get), named(&head), "{path}");
        // What is counted between the two may differ by a digit, lists of others' sessions by more.
        if status != 200
            || path == "/health"
            || path.ends_with("api.json")
            || path.ends_with("result")
        {
            let length = |answer: &Answer| answer.headers["content-length"].clone();
            assert_eq!(length(&get), length(&head), "{path}");
            assert_eq!(length(&get), get.body.len().to_string(), "{path}");
        }
    }
}

#[tokio::test]
async fn other_methods_of_a_path_are_405_with_those_that_it_takes() {
    let gateway = Shared::gateway().await;
    let session = "/v1/sessions/hostile-methods";
    let of = |action: &str| format!("{session}/{action}");
    let paths = [
        ("/health".to_owned(), "GET, HEAD"),
        ("/openapi.json".to_owned(), "GET, HEAD"),
        ("/asyncapi.json".to_owned(), "GET, HEAD"),
        ("/v1/sessions".to_owned(), "GET, HEAD"),
        ("/v1/audio/ws/hostile-methods".to_owned(), "GET, HEAD"),
        (
            "/v1/audio/ws/hostile-methods/teacher/".to_owned(),
            "GET, HEAD",
        ),
        (session.to_owned(), "DELETE"),
        (of("state"), "GET, HEAD"),
        (of("events"), "GET, HEAD"),
        (of("utterances"), "GET, HEAD"),
        (of("result"), "GET, HEAD"),
        (of("live"), "GET, HEAD"),
        (of("config"), "POST"),
        (of("resolve"), "POST"),
        (of("asr-run"), "POST"),
        (of("asr-reset"), "POST"),
        (of("finalize"), "POST"),
    ];
    for (path, allowed) in paths {
        let all = [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "BREW",
        ];
        for method in all {
            if allowed.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = gateway.send(request(method, &path, None)).await;
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            assert_eq!(answer.headers["allow"], allowed, "{method} {path}");
            if method != "HEAD" {
                assert_eq!(answer.detail(), "method not allowed", "{method} {path}");
            }
        }
    }
}
