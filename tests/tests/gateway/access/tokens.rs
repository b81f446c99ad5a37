//! Tokens as an operator's server gets them, and what becomes of them after a restart.

use end_to_end::wait::in_time;
use end_to_end::{Asr, Gateway, Settings, build};
use serde_json::json;

use super::{ADMIN, READ, WRITE, WRONG, ask, token, with_keys};

#[tokio::test]
async fn a_token_says_what_it_is_for_and_wrong_requests_are_told() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let path = "/v1/sessions/a%2Fb/tokens";
    let body =
        json!({"roles": ["students", "teacher"], "scope": "write", "expires_in_seconds": 7200});
    let issued = ask(&gateway, Some(ADMIN), "POST", path, Some(&body))
        .await
        .ok();
    assert_eq!(issued["session_id"], "a/b");
    assert_eq!(issued["roles"], json!(["teacher", "students"]));
    assert_eq!(issued["scope"], "write");
    let expires_at: jiff::Timestamp = issued["expires_at"].as_str().unwrap().parse().unwrap();
    let lifetime = expires_at.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((7000..=7200).contains(&lifetime), "{lifetime}");

    for (body, detail) in [
        (json!({}), "scope must be read or write"),
        (json!({"scope": "admin"}), "scope must be read or write"),
        (json!([]), "request body must be valid JSON"),
        (
            json!({"scope": "read", "role": "teacher"}),
            "fields other than roles, scope and expires_in_seconds are not allowed",
        ),
        (
            json!({"scope": "read", "expires_in_seconds": 43_201}),
            "expires_in_seconds must be a whole number from 1 to 43200",
        ),
    ] {
        let answer = ask(&gateway, Some(ADMIN), "POST", path, Some(&body)).await;
        assert_eq!(
            (answer.status, answer.detail().as_str()),
            (400, detail),
            "{body}"
        );
    }
    // A token makes no tokens, nor do other keys.
    let write = token(&gateway, "s", &json!({"scope": "write"})).await;
    for shown in [write.as_str(), WRITE, READ] {
        let body = json!({"scope": "read"});
        let answer = ask(
            &gateway,
            Some(shown),
            "POST",
            "/v1/sessions/s/tokens",
            Some(&body),
        )
        .await;
        assert_eq!(answer.status, 403);
    }
    // Making one begins no session.
    let sessions = ask(&gateway, Some(ADMIN), "GET", "/v1/sessions", None)
        .await
        .ok();
    assert_eq!(sessions["items"], json!([]));
}

#[tokio::test]
async fn a_session_is_recorded_and_finalized_with_a_token_alone() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let token = token(&gateway, "by-token", &json!({"scope": "write"})).await;
    let socket = gateway
        .open_with("/v1/audio/ws/by-token/teacher", &[("x-api-key", &token)])
        .await
        .unwrap();
    let mut socket = socket.of("by-token", "teacher");
    socket.store(1, &vec![0; 32_000]).await;
    socket.close().await;
    let path = "/v1/sessions/by-token/finalize";
    let _ = ask(&gateway, Some(&token), "POST", path, Some(&json!({})))
        .await
        .ok();
    let path = "/v1/sessions/by-token/result";
    let result = ask(&gateway, Some(&token), "GET", path, None).await.ok();
    assert_eq!(result["ingest_by_stream"]["teacher"]["received_chunks"], 1);
}

#[tokio::test]
async fn feed_plays_a_file_with_a_token() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let token = token(&gateway, "played", &json!({"scope": "write"})).await;
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../samples/interviewer.wav");
    let feed = |key: &str| {
        let mut feed = tokio::process::Command::new(build::feed());
        feed.args(["--url", &format!("http://{}", gateway.address())])
            .args(["--session", "played", "--teacher", samples, "--fast"])
            .env("GATEWAY_API_KEY", key)
            .kill_on_drop(true);
        feed
    };
    let fed = in_time("feed ends", feed(&token).output()).await.unwrap();
    assert!(fed.status.success(), "{fed:?}");
    let fed = in_time("feed ends", feed(WRONG).output()).await.unwrap();
    let said = String::from_utf8_lossy(&fed.stderr).into_owned();
    assert!(
        !fed.status.success() && said.contains("a valid API key"),
        "{said}"
    );
    assert!(!said.contains(WRONG), "{said}");
}

#[tokio::test]
async fn tokens_outlive_a_restart_but_not_their_key() {
    let asr = Asr::start().await;
    let path = "/v1/sessions/kept/state";
    let mut gateway = Gateway::start(with_keys(&asr)).await;
    let token = token(&gateway, "kept", &json!({"scope": "read"})).await;
    gateway.terminate().await;
    gateway.restart().await;
    assert_eq!(
        ask(&gateway, Some(&token), "GET", path, None).await.status,
        200
    );
    let other = Settings::with_asr(&asr).set("GATEWAY_API_KEYS", WRITE);
    let gateway = Gateway::start(other).await;
    assert_eq!(
        ask(&gateway, Some(&token), "GET", path, None).await.status,
        401
    );
    assert_eq!(
        ask(&gateway, Some(WRITE), "GET", path, None).await.status,
        200
    );
}

#[tokio::test]
async fn without_keys_there_are_no_tokens() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let body = json!({"scope": "read"});
    let answer = gateway.post("/v1/sessions/s/tokens", &body).await;
    assert_eq!(answer.status, 409, "{answer:?}");
}
