//! One port for HTTP and WebSockets.

use end_to_end::Shared;
use end_to_end::http::request;
use serde_json::json;

#[tokio::test]
async fn one_port_serves_http_and_websockets_side_by_side() {
    let gateway = Shared::gateway().await;
    let mut stream = gateway.open("one-port", "mixed").await;
    assert_eq!(gateway.get("/health").await.ok()["status"], "ok");
    assert_eq!(stream.ask(&json!({"type": "ping"})).await["type"], "pong");
    assert_eq!(gateway.get("/v1/audio/ws/one-port").await.status, 426);
    stream.close().await;
}

#[tokio::test]
async fn an_upgrade_that_is_asked_of_an_http_path_is_passed_over() {
    let gateway = Shared::gateway().await;
    let mut request = request("GET", "/health", None);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = gateway.send(request).await;
    assert_eq!(answer.ok()["status"], "ok");
}

#[tokio::test]
async fn a_websocket_path_with_a_query_is_the_same_stream() {
    let gateway = Shared::gateway().await;
    let mut stream = gateway
        .open_path("/v1/audio/ws/with-query/teacher?token=x")
        .await
        .unwrap();
    let ready = stream.ask(&json!({"type": "hello"})).await;
    assert_eq!(
        (&ready["session_id"], &ready["stream_role"]),
        (&json!("with-query"), &json!("teacher"))
    );
    stream.close().await;
}
