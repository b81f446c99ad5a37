//! The host as Spin's external trigger: the test plays the part of `spin up`.

mod locked_app;

use std::path::Path;
use std::process::{Output, Stdio};

use end_to_end::{Asr, Gateway, gateway};
use serde_json::{Value, json};

use super::smoke;

#[tokio::test]
async fn an_app_that_spin_locked_is_served_and_ends_with_status_0() {
    let asr = Asr::start().await;
    let mut gateway = start(locked_app::of_this_workspace(), &asr).await;
    smoke::play(&gateway, "through-spin").await;
    assert_eq!(
        gateway.get("/health").await.ok()["asr_provider"],
        "dashscope"
    );
    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
    gateway.restart().await;
    assert_eq!(
        gateway.state("through-spin").await["ingest"]["received_chunks"],
        6
    );
}

#[tokio::test]
async fn triggers_of_other_types_are_left_to_their_own() {
    let asr = Asr::start().await;
    let mut app = locked_app::of_this_workspace();
    let other = json!({"id": "other", "trigger_type": "redis", "trigger_config": {"channel": "c"}});
    app["triggers"].as_array_mut().unwrap().push(other);
    let gateway = start(app, &asr).await;
    assert_eq!(gateway.get("/health").await.ok()["status"], "ok");
}

#[tokio::test]
async fn spin_is_told_which_options_there_are() {
    let asked = run(|command| command.arg("--launch-metadata-only")).await;
    assert!(asked.status.success(), "{asked:?}");
    let metadata: Value = serde_json::from_slice(&asked.stderr).expect("JSON, on standard error");
    let flags = metadata["all_flags"].as_array().unwrap();
    for long in [
        "--listen",
        "--state-dir",
        "--runtime-config-file",
        "--variable",
    ] {
        assert!(
            flags.iter().any(|flag| flag["long"] == long),
            "{long} in {metadata:#}"
        );
    }

    let asked = run(|command| command.arg("--help-args-only")).await;
    assert!(asked.status.success(), "{asked:?}");
    assert!(
        String::from_utf8_lossy(&asked.stdout).contains("--listen"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn an_app_that_cannot_be_run_ends_with_an_error_that_says_what_to_do() {
    let good = locked_app::of_this_workspace();
    let without_triggers = {
        let mut app = good.clone();
        app["triggers"] = json!([]);
        app
    };
    let unknown_need = {
        let mut app = good.clone();
        app["must_understand"] = json!(["something_new"]);
        app
    };
    let without_component = {
        let mut app = good.clone();
        let missing = "file:///there/is/no/such/component.wasm";
        let components = app["components"].as_array_mut().unwrap();
        let entry = components
            .iter_mut()
            .find(|component| component["id"] == "http-routes");
        entry.unwrap()["source"]["source"] = json!(missing);
        app
    };
    let cases = [
        ("{not json".to_owned(), "not a locked app"),
        (without_triggers.to_string(), "[[trigger.websocket]]"),
        (unknown_need.to_string(), "something_new"),
        (
            without_component.to_string(),
            "/there/is/no/such/component.wasm",
        ),
    ];
    for (locked, why) in cases {
        let folder = tempfile::tempdir().unwrap();
        let url = locked_app::write(&locked, folder.path());
        let ended = run(|command| {
            command
                .env("SPIN_LOCKED_URL", url)
                .args(["--listen", "127.0.0.1:0", "--state-dir"])
                .arg(folder.path())
        })
        .await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            said.contains("error: ") && said.contains(why),
            "{why} in {said}"
        );
        assert!(
            ended.stdout.is_empty(),
            "it does not say that it listens: {ended:?}"
        );
    }

    let ended = run(|command| command.env("SPIN_LOCKED_URL", "http://example.com/app.json")).await;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && said.contains("file://"),
        "{said}"
    );
    let ended = run(|command| command).await;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && said.contains("trigger-websocket up"),
        "{said}"
    );
}

/// As `spin up` starts it, after it has locked the app.
async fn start(app: Value, asr: &Asr) -> Gateway {
    let asr_url = asr.url();
    Gateway::start_by(move |state: &Path| {
        let mut command = gateway::host();
        command
            .env(
                "SPIN_LOCKED_URL",
                locked_app::write(&app.to_string(), state),
            )
            .env("SPIN_WORKING_DIR", state)
            .env("SPIN_LOCAL_APP_DIR", "")
            .env("SPIN_VARIABLE_ASR_WS_URL", &asr_url)
            .env("SPIN_VARIABLE_ALIYUN_DASHSCOPE_API_KEY", "a-key")
            .args(["--listen", "127.0.0.1:0", "--state-dir"])
            .arg(state);
        command
    })
    .await
}

/// Runs the host until it ends by itself.
async fn run(how: impl FnOnce(&mut std::process::Command) -> &mut std::process::Command) -> Output {
    let mut command = gateway::host();
    how(&mut command);
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    end_to_end::wait::in_time("the host ends by itself", command.output())
        .await
        .unwrap()
}
