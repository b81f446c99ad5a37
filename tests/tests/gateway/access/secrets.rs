//! Keys and tokens are shown nowhere: not in the log, however much it says, not in answers, figures or
//! frames, and not in the stores.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use end_to_end::{Asr, Gateway, Received, Settings, gateway};
use serde_json::json;

use super::{ADMIN, READ, WRITE, WRONG, ask, keys, token, with_keys};

/// Every file below a directory, whole.
fn files(below: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        // Compiled components are shared by all tests.
        if path.is_symlink() {
            continue;
        }
        match path.is_dir() {
            true => files(&path, found),
            false => found.push((path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes
        .windows(secret.len())
        .any(|part| part == secret.as_bytes())
}

#[tokio::test]
async fn no_key_and_no_token_is_shown_anywhere() {
    let asr = Asr::start().await;
    let settings = with_keys(&asr)
        .set("RUST_LOG", "debug")
        .set("ASR_DEBUG_LOG_EVENTS", "1");
    let mut gateway = Gateway::start_with_options(settings, &["--metrics", "on"]).await;
    let session = "secretive";
    let write = token(&gateway, session, &json!({"scope": "write"})).await;
    let read = token(&gateway, "another", &json!({"scope": "read"})).await;
    let mut said = String::new();
    for key in [ADMIN, WRITE, READ, WRONG, &write, &read, "x"] {
        for (method, path) in [
            ("GET", "/health"),
            ("GET", "/v1/sessions"),
            ("GET", "/v1/sessions/secretive/state"),
            ("POST", "/v1/sessions/secretive/config"),
            ("POST", "/v1/sessions/secretive/resolve"),
            ("GET", "/nothing"),
            ("PATCH", "/v1/sessions/secretive"),
        ] {
            let answer = ask(&gateway, Some(key), method, path, Some(&json!({}))).await;
            said.push_str(&format!("{answer:?}\n"));
        }
        // In a frame, in the handshake, and where it is no key.
        for url in [
            "/v1/audio/ws/secretive/teacher",
            "/v1/sessions/secretive/live",
        ] {
            let mut socket = gateway.open_path(url).await.unwrap();
            socket.send(&json!({"type": "auth", "key": key})).await;
            said.push_str(&format!("{:?}\n", socket.next().await));
            socket.send(&json!({"type": "chunk", "key": key})).await;
            socket
                .send(&json!({"type": "hello", "interviewer_name": {"key": key}}))
                .await;
            socket.send(&json!({"type": "close"})).await;
            loop {
                match socket.next().await {
                    Received::Frame(frame) => said.push_str(&format!("{frame}\n")),
                    end => break said.push_str(&format!("{end:?}\n")),
                }
                if url.ends_with("live") {
                    break;
                }
            }
            let offered = format!("gateway, gateway-key.{}", URL_SAFE_NO_PAD.encode(key));
            for shown in [("x-api-key", key), ("sec-websocket-protocol", &offered)] {
                match gateway.open_with(url, &[shown]).await {
                    Ok(mut socket) => {
                        said.push_str(&format!("{:?}\n", socket.protocol));
                        socket.send(&json!({"type": "auth", "key": WRONG})).await;
                        said.push_str(&format!("{:?}\n", socket.next().await));
                    }
                    Err(refused) => said.push_str(&format!("{refused:?}\n")),
                }
            }
        }
    }
    let path = "/v1/sessions/secretive/finalize";
    let finalized = ask(&gateway, Some(&write), "POST", path, Some(&json!({}))).await;
    said.push_str(&format!("{finalized:?}\n"));
    let metrics = end_to_end::http::raw_get(gateway.address(), "/metrics").await;
    assert!(
        metrics.contains("gateway_access_failures_total{"),
        "{metrics}"
    );
    said.push_str(&metrics);
    gateway.terminate().await;
    // It says a lot.
    gateway.says("DEBUG").await;
    gateway
        .says("the admin's key #1 has fewer than 32 characters")
        .await;
    let log = gateway.log();
    let mut stored = vec![
        ("answers".to_owned(), said.into_bytes()),
        ("log".to_owned(), log.into_bytes()),
    ];
    files(gateway.state_dir(), &mut stored);
    for (key, value) in gateway.store().entries("") {
        stored.push((key, value.into_bytes()));
    }
    for key in gateway.blobs().keys("") {
        let bytes = gateway.blobs().read(&key).unwrap();
        stored.push((key, bytes));
    }
    assert!(stored.len() > 3, "there are stores");
    let (payload, signature) = write.split_once('.').unwrap();
    for secret in [ADMIN, WRITE, READ, WRONG, &write, &read, payload, signature] {
        // As it is, and as it is offered as a protocol.
        for secret in [secret, &URL_SAFE_NO_PAD.encode(secret)] {
            for (place, bytes) in &stored {
                assert!(!holds(bytes, secret), "{secret} is in {place}");
            }
        }
    }
}

#[tokio::test]
async fn keys_that_are_wrong_end_the_start_and_are_named_by_their_place() {
    for (set, said) in [
        (
            format!("{} hush-short", keys()),
            "entry 4 has a key of less than 16",
        ),
        (format!("hush:{ADMIN}"), "entry 1 is neither"),
        // Keys that are set and are none must not open the doors.
        (
            ",".to_owned(),
            "entry 1 is missing: there are only separators",
        ),
        (
            format!("{ADMIN} hush:hushed:hush-hush-hush-hush"),
            "entry 2 has scopes",
        ),
    ] {
        let state = tempfile::tempdir().unwrap();
        let shared = end_to_end::build::target_dir().join("end-to-end-cache");
        std::os::unix::fs::symlink(shared, state.path().join("cache")).unwrap();
        let mut command = gateway::up(state.path());
        command
            .env("GATEWAY_API_KEYS", &set)
            .env("ALIYUN_DASHSCOPE_API_KEY", "a-key")
            .env("RUST_LOG", "debug");
        let mut command = tokio::process::Command::from(command);
        command
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let ended = end_to_end::wait::in_time("it ends by itself", command.output())
            .await
            .unwrap();
        let all = format!(
            "{}{}",
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        );
        assert_eq!(ended.status.code(), Some(1), "{all}");
        let line = format!("GATEWAY_API_KEYS is a secret and not shown ({said}");
        assert!(all.contains(&line), "{all}");
        assert!(!all.contains("hush") && !all.contains(ADMIN), "{all}");
    }
}

/// A setting that nobody would think of as secret, next to one that is.
#[tokio::test]
async fn an_origin_that_is_wrong_is_shown() {
    let _ = Settings::default();
    let state = tempfile::tempdir().unwrap();
    let shared = end_to_end::build::target_dir().join("end-to-end-cache");
    std::os::unix::fs::symlink(shared, state.path().join("cache")).unwrap();
    let mut command = gateway::up(state.path());
    command.env("CORS_ALLOWED_ORIGINS", "https://app.example, *");
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let ended = end_to_end::wait::in_time("it ends by itself", command.output())
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains(
            "CORS_ALLOWED_ORIGINS is \"https://app.example, *\" (entry 2 is no origin): write"
        ),
        "{said}"
    );
}
