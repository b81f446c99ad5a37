//! Requests that take long, from few addresses: others are answered, and so is whether the gateway is well.

use end_to_end::inference::Asked;
use end_to_end::wait::eventually;
use end_to_end::{Gateway, Inference, Reply};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{MIB, Scene, connect_from, hits, rest};

/// The requests of one address that are answered at one time, unless the operator says otherwise; two
/// addresses have all that there are.
const PER_ADDRESS: usize = 64;

/// Asks something of an address of this machine.
async fn begin(gateway: &Gateway, address: &str, request: &str) -> TcpStream {
    let mut tcp = connect_from(gateway, address).await.expect("a connection");
    let sent = tcp.write_all(request.as_bytes()).await;
    sent.expect("it is sent");
    tcp
}

/// Asks who speaks, of a service that does not answer.
async fn resolve(gateway: &Gateway, address: &str, number: usize) -> TcpStream {
    let question = json!({"audio": {"content_b64": "UklGRg==", "format": "wav"}}).to_string();
    let request = format!(
        "POST /v1/sessions/held-{number}/resolve?stream_role=mixed HTTP/1.1\r\nhost: x\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{question}",
        question.len()
    );
    begin(gateway, address, &request).await
}

async fn get(gateway: &Gateway, address: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut tcp = begin(gateway, address, &request).await;
    rest(&mut tcp).await
}

async fn asked(inference: &Inference, requests: usize) {
    eventually("the service is asked", async || {
        let asked = inference.asked();
        let held = |asked: &&Asked| asked.body.to_string().contains("held-");
        let asked = asked.iter().filter(held).count();
        (asked == requests).then_some(()).ok_or(asked)
    })
    .await;
}

#[tokio::test]
async fn requests_of_one_address_leave_places_to_others_and_health_has_its_own() {
    let inference = Inference::start_closed(|_: &Value| Reply::ok(json!({}))).await;
    let settings = [
        ("INFERENCE_BASE_URL", inference.url()),
        ("INFERENCE_TIMEOUT_MS", "50000".to_owned()),
    ];
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let scene = Scene::start_with("requests", &[], &settings, None).await;
    let gateway = &scene.gateway;
    let state = "/v1/sessions/requests/state";
    let mut held = Vec::new();
    for number in 0..PER_ADDRESS {
        held.push(resolve(gateway, "127.0.0.8", number).await);
    }
    asked(&inference, PER_ADDRESS).await;
    let mut waiting = resolve(gateway, "127.0.0.8", PER_ADDRESS).await;
    // Who is elsewhere does not notice.
    let answer = get(gateway, "127.0.0.9", state).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for address in ["127.0.0.8", "127.0.0.9"] {
        let health = get(gateway, address, "/health").await;
        assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    }
    let refused = rest(&mut waiting).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("from this address"), "{refused}");
    assert_eq!(hits(gateway, "requests-per-address").await, 1.0);
    assert_eq!(hits(gateway, "requests").await, 0.0);

    // When two of them have all places nobody else is answered, but for this.
    for number in 0..PER_ADDRESS {
        held.push(resolve(gateway, "127.0.0.7", number).await);
    }
    asked(&inference, 2 * PER_ADDRESS).await;
    let health = get(gateway, "127.0.0.9", "/health").await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    let refused = get(gateway, "127.0.0.9", state).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert_eq!(hits(gateway, "requests").await, 1.0);
    // What was held up ends, and its places come free.
    inference.let_go(4 * PER_ADDRESS);
    for tcp in &mut held {
        rest(tcp).await;
    }
    let answer = get(gateway, "127.0.0.9", state).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    scene.end(512 * MIB).await;
}
