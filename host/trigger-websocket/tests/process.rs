//! The program as a shell and as Spin see it: options, messages, statuses. No component is needed.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

fn host() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trigger-websocket"));
    for name in [
        "SPIN_LOCKED_URL",
        "SPIN_LOCAL_APP_DIR",
        "SPIN_HTTP_LISTEN_ADDR",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

fn up(manifest: &str, more: &[&str]) -> (tempfile::TempDir, Output) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
    let output = host()
        .args(["up", "--listen", "127.0.0.1:0", "--from"])
        .arg(folder.path())
        .args(more)
        .output()
        .unwrap();
    (folder, output)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An app whose component is not there.
const APP: &str = r#"
spin_manifest_version = 2
[application]
name = "test"
[[trigger.websocket]]
route = "/..."
component = "entry"
[component.entry]
source = "entry.wasm"
"#;

#[test]
fn spin_is_told_the_options() {
    let output = host().arg("--launch-metadata-only").output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout.is_empty());
    let metadata: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let flags = metadata["all_flags"].as_array().unwrap();
    for flag in [
        "--listen",
        "--state-dir",
        "--runtime-config-file",
        "--quiet",
    ] {
        assert!(
            flags.iter().any(|known| known["long"] == flag),
            "{flag}: {metadata}"
        );
    }
}

#[test]
fn spin_is_told_the_help_of_the_options() {
    let output = host().arg("--help-args-only").output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("--state-dir"));
}

#[test]
fn help_has_examples_and_says_what_is_stored_where() {
    let output = host().args(["up", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "Examples:",
        "sqlite_key_value.db",
        "SPIN_VARIABLE_<NAME>",
        "--shutdown-timeout",
    ] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
}

#[test]
fn without_a_command_and_without_spin_it_says_what_to_say() {
    let output = host().output().unwrap();
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("trigger-websocket up"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_option_that_does_not_exist_is_a_usage_error() {
    let output = host().args(["up", "--nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_missing_manifest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    let output = host()
        .args(["up", "--from"])
        .arg(&missing)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("none.toml"), "{}", stderr(&output));
}

#[test]
fn a_component_that_is_not_built_is_named_with_advice() {
    let (_folder, output) = up(APP, &[]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.contains("entry.wasm") && message.contains("--build"),
        "{message}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_file_that_is_no_component_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), APP).unwrap();
    std::fs::write(folder.path().join("entry.wasm"), "no code").unwrap();
    let output = host()
        .args(["up", "--listen", "127.0.0.1:0", "--from"])
        .arg(folder.path())
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("'entry'"), "{}", stderr(&output));
}

#[test]
fn an_app_without_websocket_triggers_is_refused() {
    let (_folder, output) = up(&APP.replace("trigger.websocket", "trigger.http"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("websocket"), "{}", stderr(&output));
}

#[test]
fn a_failed_build_gives_its_status() {
    let manifest = format!("{APP}[component.entry.build]\ncommand = \"exit 42\"\n");
    let (_folder, output) = up(&manifest, &["--build"]);
    assert_eq!(output.status.code(), Some(42));
    assert!(stderr(&output).contains("exit 42"), "{}", stderr(&output));
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), APP).unwrap();
    let output = host()
        .args(["up", "--listen", &address, "--from"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.contains(&address) && message.contains("--listen"),
        "{message}"
    );
}

/// An app that asks for keys.
const LOCKED: &str = r#"
spin_manifest_version = 2
[application]
name = "test"
[application.trigger.websocket]
loopback_unless = "keys"
[variables]
keys = { default = "", secret = true }
[[trigger.websocket]]
route = "/..."
component = "entry"
[component.entry]
source = "entry.wasm"
"#;

#[test]
fn without_keys_nobody_but_this_machine_is_served_unless_it_is_said() {
    let anywhere = ["--listen", "0.0.0.0:0"];
    let figures = ["--listen", "127.0.0.1:0", "--metrics-listen", "0.0.0.0:0"];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), LOCKED).unwrap();
    let run = |options: &[&str], more: &[&str], keys: &str| {
        let output = host()
            .arg("up")
            .args(options)
            .args(more)
            .arg("--from")
            .arg(folder.path())
            .env("KEYS", keys)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    for (options, option) in [(&anywhere[..], "--listen"), (&figures, "--metrics-listen")] {
        let message = run(options, &[], "");
        let loopback = format!("({option} 127.0.0.1:0)");
        for part in ["KEYS is empty", &loopback, "--insecure"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        // These come as far as the code, which is not there.
        for (more, keys) in [(&["--insecure"][..], ""), (&[], "a-key")] {
            let message = run(options, more, keys);
            assert!(message.contains("entry.wasm"), "{message}");
            assert!(!message.contains("a-key"), "{message}");
        }
    }
}

#[test]
fn a_certificate_that_is_none_ends_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.pem");
    std::fs::write(&file, "nothing").unwrap();
    let file = file.to_str().unwrap();
    let (_app, output) = up(APP, &["--tls-cert", file, "--tls-key", file]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.contains("certificate.pem") && message.contains("BEGIN CERTIFICATE"),
        "{message}"
    );
}

#[test]
fn limits_that_do_not_go_together_end_the_start() {
    let (_folder, output) = up(APP, &["--limit-message-bytes", "8000000"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("--limit-lane-bytes"), "{message}");
    let (_folder, output) = up(APP, &["--limit-connections", "0"]);
    assert_eq!(output.status.code(), Some(2));
    let mut by_environment = host();
    by_environment
        .args(["up", "--from", "nowhere"])
        .env("HOST_LIMIT_CONNECTIONS", "none");
    assert_eq!(by_environment.output().unwrap().status.code(), Some(2));
}

#[test]
fn too_few_open_files_end_the_start_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), APP).unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 32; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_trigger-websocket"))
        .args(["up", "--listen", "127.0.0.1:0", "--from"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    for part in ["may have 32 files open", "ulimit -n"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn an_unknown_variable_is_refused() {
    let (_folder, output) = up(APP, &["--variable", "asr_modle=x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("asr_modle"), "{}", stderr(&output));
}

#[test]
fn a_locked_app_of_spin_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked.json");
    let source = folder.path().join("entry.wasm");
    let json = serde_json::json!({
        "spin_lock_version": 1,
        "metadata": {"name": "test"},
        "triggers": [{
            "id": "trigger--entry", "trigger_type": "websocket",
            "trigger_config": {"component": "entry", "route": "/..."}
        }],
        "components": [{
            "id": "entry",
            "source": {"content_type": "application/wasm", "source": file_url(&source)}
        }]
    });
    std::fs::write(&locked, json.to_string()).unwrap();
    let output = host()
        .args(["--listen", "127.0.0.1:0"])
        .env("SPIN_LOCKED_URL", file_url(&locked))
        .env("SPIN_WORKING_DIR", folder.path())
        .env("SPIN_LOCAL_APP_DIR", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    // It came as far as the code, which is not there.
    assert!(
        stderr(&output).contains("entry.wasm"),
        "{}",
        stderr(&output)
    );
}

fn file_url(path: &Path) -> String {
    url::Url::from_file_path(path).unwrap().to_string()
}
