//! A setting that is wrong ends the start, and the operator is told which, what it is and what it may
//! be; of a secret only that it is wrong.

use std::path::Path;
use std::process::{Output, Stdio};

use end_to_end::{Asr, Gateway, Inference, Reply, Settings, build, gateway};
use serde_json::{Value, json};

/// Starts a gateway that ends by itself.
async fn refused(settings: &[(&str, &str)], arguments: &[&str]) -> (Output, String) {
    let state = tempfile::tempdir().unwrap();
    share_compiled_code(state.path());
    let mut command = gateway::up(state.path());
    command.envs(settings.iter().copied()).args(arguments);
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ended = end_to_end::wait::in_time("the gateway ends by itself", command.output()).await;
    let ended = ended.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{settings:?}: {said}");
    assert!(
        ended.stdout.is_empty(),
        "it does not say that it listens: {ended:?}"
    );
    (ended, said)
}

/// As all gateways of the tests have it.
fn share_compiled_code(state: &Path) {
    let shared = build::target_dir().join("end-to-end-cache");
    std::fs::create_dir_all(&shared).unwrap();
    std::os::unix::fs::symlink(shared, state.join("cache")).unwrap();
}

#[tokio::test]
async fn settings_that_are_wrong_end_the_start_and_are_all_named() {
    let (_, said) = refused(
        &[
            ("ASR_HOP_SECONDS", "0"),
            ("INFERENCE_TIMEOUT_MS", "x"),
            ("ASR_WS_URL", "http://asr.example/"),
            ("ASR_ENABLED", "maybe"),
            ("ASR_WINDOW_SECONDS", "10s"),
            ("ASR_STREAM_CHUNK_BYTES", "12801"),
            ("INFERENCE_RESOLVE_PATH", "/a#b"),
            ("ASR_MODEL", "a-model"),
        ],
        &[],
    )
    .await;
    for (name, value, allowed) in [
        ("ASR_HOP_SECONDS", "0", "a whole number from 1 to 60"),
        (
            "INFERENCE_TIMEOUT_MS",
            "x",
            "a whole number from 1 to 50000",
        ),
        ("ASR_WS_URL", "http://asr.example/", "ws:// or wss://"),
        ("ASR_ENABLED", "maybe", "true or false"),
        ("ASR_WINDOW_SECONDS", "10s", "a whole number from 1 to 60"),
        ("ASR_STREAM_CHUNK_BYTES", "12801", "an even whole number"),
        ("INFERENCE_RESOLVE_PATH", "/a#b", "/speaker/resolve"),
    ] {
        let lines: Vec<_> = said.lines().filter(|line| line.contains(name)).collect();
        let is_said = |line: &&str| {
            line.trim_start()
                .starts_with(&format!("{name} is \"{value}\": write "))
                && line.contains(allowed)
        };
        assert!(lines.iter().any(is_said), "{name}: {said}");
    }
    assert!(!said.contains("ASR_MODEL"), "that one is right: {said}");
}

#[tokio::test]
async fn a_hop_over_the_window_ends_the_start() {
    let settings = [("ASR_HOP_SECONDS", "12"), ("ASR_WINDOW_SECONDS", "11")];
    let (_, said) = refused(&settings, &[]).await;
    let line =
        "ASR_HOP_SECONDS is \"12\": write a whole number from 1 to 11, which is ASR_WINDOW_SECONDS";
    assert!(said.contains(line), "{said}");
}

#[tokio::test]
async fn it_does_not_matter_how_a_wrong_setting_is_given() {
    let line = "ASR_TIMEOUT_MS is \"45s\": write a whole number from 1 to 600000";
    let wrong = ("SPIN_VARIABLE_ASR_TIMEOUT_MS", "45s");
    let (_, said) = refused(&[wrong, ("ASR_TIMEOUT_MS", "45000")], &[]).await;
    assert!(said.contains(line), "{said}");
    let right = ("SPIN_VARIABLE_ASR_TIMEOUT_MS", "45000");
    let (_, said) = refused(&[right], &["--variable", "asr_timeout_ms=45s"]).await;
    assert!(said.contains(line), "{said}");
}

#[tokio::test]
async fn the_value_of_a_secret_is_not_shown_when_it_is_wrong() {
    let (ended, said) = refused(
        &[
            ("ALIYUN_DASHSCOPE_API_KEY", "sk hush-1"),
            ("INFERENCE_API_KEY", "hush-2-\u{e9}"),
            (
                "INFERENCE_BASE_URL",
                "https://user:hush-3@inference.example",
            ),
            ("ASR_WS_URL", "wss://hush-4:x@asr.example"),
            ("RUST_LOG", "debug"),
        ],
        &[],
    )
    .await;
    for name in [
        "ALIYUN_DASHSCOPE_API_KEY",
        "INFERENCE_API_KEY",
        "INFERENCE_BASE_URL",
        "ASR_WS_URL",
    ] {
        assert!(said.contains(&format!("{name} is ")), "{name}: {said}");
    }
    let all = format!("{said}{}", String::from_utf8_lossy(&ended.stdout));
    assert!(!all.contains("hush"), "{all}");
}

#[tokio::test]
async fn secrets_audio_and_texts_are_neither_in_the_log_nor_in_an_answer() {
    let asr = Asr::start().await;
    let inference = Inference::start(|_| Reply::status(500, json!("try later"))).await;
    let settings = Settings::with_asr(&asr)
        .set("ALIYUN_DASHSCOPE_API_KEY", "sk-hush-asr")
        .set("INFERENCE_API_KEY", "hush-inference")
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("ASR_DEBUG_LOG_EVENTS", "true")
        .set(
            "RUST_LOG",
            "info,trigger_websocket=debug,lanes=debug,listener=debug",
        );
    let mut gateway = Gateway::start(settings).await;
    let session = "settings-secrets";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(9, 1..=3).await;
    students.close().await;
    gateway.finalize(session).await;
    let question = json!({"audio": {"content_b64": "aHVzaC1hdWRpbw==", "format": "wav"}, "asr_text": "hush-text"});
    let mut request = end_to_end::http::request(
        "POST",
        &format!("/v1/sessions/{session}/resolve"),
        Some(&question),
    );
    let key = "hush-key".parse().unwrap();
    request.headers_mut().insert("x-idempotency-key", key);
    let failed = gateway.send(request).await;
    assert_eq!(failed.status, 502, "{failed:?}");
    assert_eq!(inference.asked()[0].headers["x-api-key"], "hush-inference");

    let mut answers = vec![failed];
    for path in [
        "/health",
        "/v1/sessions",
        "/v1/sessions/settings-secrets/state",
    ] {
        answers.push(gateway.get(path).await);
    }
    for answer in answers {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!body.contains("hush"), "{body}");
    }
    let raw = gateway.utterances(session, "students", "raw").await;
    let text = raw[0]["text"].as_str().unwrap().to_owned();
    gateway.terminate().await;
    gateway.says("result-generated").await;
    let log = gateway.log();
    for secret in ["hush", "aHVzaC1hdWRpbw", text.as_str()] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn health_shows_what_is_set() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr)
        .set("ASR_MODEL", " another-model ")
        .set("ASR_REALTIME_ENABLED", "OFF")
        .set("ASR_WINDOW_SECONDS", "8")
        .set("ASR_HOP_SECONDS", "8")
        .set("ASR_TIMEOUT_MS", "");
    let gateway = Gateway::start(settings).await;
    let health = gateway.get("/health").await.ok();
    for (field, value) in [
        ("asr_model", json!("another-model")),
        ("asr_realtime_enabled", json!(false)),
        ("asr_mode", json!("windowed")),
        ("asr_window_seconds", json!(8)),
        ("asr_hop_seconds", json!(8)),
        ("asr_enabled", json!(true)),
    ] {
        assert_eq!(health[field], value, "{health:#}");
    }
    let state = gateway.state("settings-shown").await;
    let shown = &state["asr_by_stream"]["teacher"];
    assert_eq!(shown["model"], "another-model", "{shown:#}");
    assert_eq!(
        (&shown["window_seconds"], &shown["hop_seconds"]),
        (&json!(8), &json!(8))
    );
    assert_eq!(shown["last_error"], Value::Null);
}

#[tokio::test]
async fn an_empty_asr_key_means_no_invented_transcripts_where_keys_are_set() {
    let keys = [("GATEWAY_API_KEYS", "a-key-of-more-than-32-characters-0001")];
    let (_, said) = refused(&keys, &[]).await;
    for part in [
        "ALIYUN_DASHSCOPE_API_KEY is empty",
        "GATEWAY_API_KEYS is set",
        "--asr simulator",
        "ASR_ENABLED=false",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Asked for, it stands in; and it says so.
    let [(name, key)] = keys;
    let settings = Settings::default().set(name, key);
    let gateway = Gateway::start_with_options(settings, &["--asr", "simulator"]).await;
    assert_eq!(
        gateway.get("/health").await.ok()["asr_provider"],
        "simulator"
    );
    gateway.says("transcripts are INVENTED").await;
    // Without recognition nothing stands in.
    let settings = Settings::default()
        .set(name, key)
        .set("ASR_ENABLED", "false");
    let gateway = Gateway::start(settings).await;
    assert_eq!(gateway.get("/health").await.ok()["asr_enabled"], false);
}

const KEY: &str = "a-key-that-stands-in-a-file-only";

/// The status that the list of sessions has for whoever shows this.
async fn shown(gateway: &Gateway, key: &str) -> u16 {
    let request = end_to_end::http::request("GET", "/v1/sessions", None);
    let request = end_to_end::http::with_header(request, "x-api-key", key);
    gateway.send(request).await.status
}

#[tokio::test]
async fn a_value_that_names_a_file_is_its_content_however_it_is_given() {
    let asr = Asr::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("keys"), format!("{KEY}\n")).unwrap();
    std::fs::write(at("set.toml"), format!("gateway_api_keys = \"{KEY}\"\n")).unwrap();
    std::fs::write(
        at("set.json"),
        format!("{{\"gateway_api_keys\": \"{KEY}\"}}"),
    )
    .unwrap();
    std::fs::write(at(".env"), "GATEWAY_API_KEYS=@keys\n").unwrap();
    let value = format!("@{}", at("keys"));
    let plain = Settings::with_asr(&asr);
    for (settings, options) in [
        (
            plain.clone(),
            vec!["--variable".to_owned(), format!("gateway_api_keys={value}")],
        ),
        (
            plain.clone(),
            vec!["--variable".to_owned(), format!("@{}", at("set.toml"))],
        ),
        (
            plain.clone(),
            vec!["--variable".to_owned(), format!("@{}", at("set.json"))],
        ),
        (plain.clone().set("GATEWAY_API_KEYS", &value), vec![]),
        (
            plain.clone().set("SPIN_VARIABLE_GATEWAY_API_KEYS", &value),
            vec![],
        ),
        (plain.clone(), vec!["--env-file".to_owned(), at(".env")]),
    ] {
        let arguments: Vec<&str> = options.iter().map(String::as_str).collect();
        let gateway = Gateway::start_with_options(settings, &arguments).await;
        assert_eq!(shown(&gateway, KEY).await, 200, "{options:?}");
        for wrong in [value.as_str(), "@keys", "nothing"] {
            assert_eq!(shown(&gateway, wrong).await, 401, "{wrong}: {options:?}");
        }
        let log = gateway.log();
        assert!(!log.contains(KEY), "{log}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_and_a_key_that_is_the_name_of_one_end_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let value = format!("@{}", file.display());
    let variable = format!("gateway_api_keys={value}");
    let given = ["--variable", variable.as_str()];
    let (_, said) = refused(&[], &given).await;
    for part in [
        "--variable gateway_api_keys",
        "keys cannot be read: No such file",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("os error 2").count(), 1, "{said}");
    std::fs::write(&file, format!("{KEY}\u{0}").repeat(3_000)).unwrap();
    let (_, said) = refused(&[("GATEWAY_API_KEYS", &value)], &[]).await;
    assert!(
        said.contains("GATEWAY_API_KEYS in the environment"),
        "{said}"
    );
    assert!(
        said.contains("larger than 65536 bytes") && !said.contains(KEY),
        "{said}"
    );
    let path = "/run/secrets/gateway_api_keys";
    let with_asr = ("ALIYUN_DASHSCOPE_API_KEY", "a-key");
    let (_, said) = refused(&[("GATEWAY_API_KEYS", path), with_asr], &[]).await;
    assert!(said.contains("looks like the name of a file"), "{said}");
}
