//! Who may come in, where keys are set: every route and every frame with every kind of credential, the
//! ways to show one, what web pages of elsewhere may do, and that no secret is shown anywhere.
//! Without keys nothing of this is noticed: `conformance` says so.

mod limits;
mod matrix;
mod origins;
mod secrets;
mod services;
mod sockets;
mod tokens;

use end_to_end::http::{Answer, raw_get, request, with_header};
use end_to_end::{Asr, Gateway, Settings};
use serde_json::{Value, json};

const ADMIN: &str = "admin-key-f0e1d2c3b4a59687";
const WRITE: &str = "write-key-f0e1d2c3b4a59687";
const READ: &str = "read-key-f0e1d2c3b4a596877";
const WRONG: &str = "wrong-key-f0e1d2c3b4a59687";

/// The keys, as the operator sets them.
fn keys() -> String {
    format!("{ADMIN},\n desk:write:{WRITE} look:read:{READ}")
}

fn with_keys(asr: &Asr) -> Settings {
    Settings::with_asr(asr).set("GATEWAY_API_KEYS", &keys())
}

/// A request with a key, if there is one.
async fn ask(
    gateway: &Gateway,
    key: Option<&str>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let plain = request(method, path, body);
    gateway
        .send(match key {
            Some(key) => with_header(plain, "authorization", &format!("Bearer {key}")),
            None => plain,
        })
        .await
}

/// A token, made with the admin's key.
async fn token(gateway: &Gateway, session: &str, body: &Value) -> String {
    let path = format!("/v1/sessions/{session}/tokens");
    let issued = ask(gateway, Some(ADMIN), "POST", &path, Some(body)).await;
    issued.ok()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_way_to_show_a_key_works_and_health_needs_none() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    assert_eq!(gateway.get("/health").await.status, 200);
    let state = "/v1/sessions/shown/state";
    for (name, value) in [
        ("authorization", format!("Bearer {READ}")),
        ("authorization", format!("bearer   {READ}")),
        ("x-api-key", READ.to_owned()),
    ] {
        let answer = gateway
            .send(with_header(request("GET", state, None), name, &value))
            .await;
        assert_eq!(answer.status, 200, "{name}: {value}");
        let head = with_header(request("HEAD", state, None), name, &value);
        assert_eq!(gateway.send(head).await.status, 200);
    }

    // Whatever is wrong, the answer is the same; also where there is nothing.
    let mut bodies = Vec::new();
    for (path, name, value) in [
        (state, "x-nothing", String::new()),
        (state, "authorization", format!("Bearer {WRONG}")),
        (state, "authorization", format!("Basic {READ}")),
        (state, "authorization", READ.to_owned()),
        (state, "x-api-key", String::new()),
        (state, "x-api-key", format!("{READ}x")),
        (state, "x-api-key", "é".to_owned()),
        (state, "x-api-key", "x".repeat(20_000)),
        (state, "cookie", format!("key={READ}")),
        (
            "/v1/sessions/shown/state?key=read-key-f0e1d2c3b4a596877",
            "x",
            String::new(),
        ),
        ("/nothing", "x-nothing", String::new()),
        ("/", "x-nothing", String::new()),
        ("/v1/sessions/%00/state", "x-nothing", String::new()),
        ("/v1/sessions/../state", "x-nothing", String::new()),
    ] {
        let answer = gateway
            .send(with_header(request("GET", path, None), name, &value))
            .await;
        assert_eq!(answer.status, 401, "{path} {name}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    // Who may come in is told what is wrong.
    for (path, status) in [("/nothing", 404), ("/v1/sessions/%00/state", 400)] {
        assert_eq!(
            ask(&gateway, Some(READ), "GET", path, None).await.status,
            status
        );
    }
    // What is wrong with a body is no more told.
    let path = "/v1/sessions/shown/config";
    let body = json!(null);
    assert_eq!(
        ask(&gateway, None, "POST", path, Some(&body)).await.status,
        401
    );
    assert_eq!(
        ask(&gateway, Some(WRITE), "POST", path, Some(&body))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn no_cache_keeps_what_was_answered_to_a_key() {
    let asr = Asr::start().await;
    let closed = Gateway::start(with_keys(&asr)).await;
    let open = Gateway::start(Settings::with_asr(&asr)).await;
    for (gateway, expected) in [(&closed, Some("no-store")), (&open, None)] {
        let socket = gateway
            .open_with("/v1/audio/ws/kept/teacher", &[("x-api-key", WRITE)])
            .await
            .unwrap();
        let mut socket = socket.of("kept", "teacher");
        socket.store(1, &vec![0; 32_000]).await;
        socket.close().await;
        for (method, path) in [
            ("POST", "/v1/sessions/kept/finalize"),
            ("GET", "/v1/sessions/kept/state"),
            // Sent in pieces.
            ("GET", "/v1/sessions/kept/result"),
            ("POST", "/v1/sessions/kept/asr-run?stream_role=teacher"),
            ("GET", "/health"),
            ("GET", "/nothing"),
            ("PATCH", "/v1/sessions/kept"),
        ] {
            let body = (method == "POST").then(|| json!({}));
            for key in [ADMIN, WRONG] {
                let answer = ask(gateway, Some(key), method, path, body.as_ref()).await;
                let given = answer.headers.get("cache-control");
                let given = given.map(|value| value.to_str().unwrap());
                assert_eq!(given, expected, "{method} {path}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn figures_are_not_at_a_port_that_asks_for_keys_unless_it_is_said() {
    const SHOWN: &str = "HTTP/1.0 200 ";
    let asr = Asr::start().await;
    let get = async |gateway: &Gateway| raw_get(gateway.address(), "/metrics").await;
    let open = Gateway::start(Settings::with_asr(&asr)).await;
    assert!(get(&open).await.starts_with(SHOWN), "as it was");
    let closed = Gateway::start(with_keys(&asr)).await;
    // It is the app's path then, and needs a key as every other.
    let answer = get(&closed).await;
    assert!(answer.starts_with("HTTP/1.0 401 "), "{answer}");
    let with_key = ask(&closed, Some(ADMIN), "GET", "/metrics", None).await;
    assert_eq!(with_key.status, 404, "{with_key:?}");
    for told in [
        "no figures at /metrics",
        "GATEWAY_API_KEYS is set",
        "--metrics-listen",
        "--metrics on",
    ] {
        closed.says(told).await;
    }
    let log = closed.log();
    assert_eq!(log.matches("no figures at /metrics").count(), 1, "{log}");
    let shown = Gateway::start_with_options(with_keys(&asr), &["--metrics", "on"]).await;
    assert!(get(&shown).await.starts_with(SHOWN));
}

#[tokio::test]
async fn a_key_can_be_replaced_without_a_gap() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr);
    let both = format!("old:admin:{ADMIN} new:admin:{WRONG}");
    let gateway = Gateway::start(settings.set("GATEWAY_API_KEYS", &both)).await;
    for key in [ADMIN, WRONG] {
        let answer = ask(&gateway, Some(key), "GET", "/v1/sessions", None).await;
        assert_eq!(answer.status, 200);
    }
}
