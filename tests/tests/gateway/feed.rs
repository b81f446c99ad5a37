//! `feed` against the real gateway: several files in one session, keys, TLS, a restart at the end.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use asr_simulator::mark;
use end_to_end::session::number;
use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, Gateway, Settings, build};
use rcgen::generate_simple_self_signed;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// A file of these seconds of a marked stream.
fn file(folder: &TempDir, name: &str, seconds: impl IntoIterator<Item = u32>) -> PathBuf {
    let path = folder.path().join(name);
    let pcm: Vec<u8> = seconds
        .into_iter()
        .flat_map(|seq| mark::second(1, seq))
        .collect();
    std::fs::write(&path, pcm).unwrap();
    path
}

fn feed(url: &str, session: &str, file: &Path, more: &[&str]) -> Command {
    let mut feed = Command::new(build::feed());
    feed.args(["--url", url, "--session", session, "--fast", "--json"])
        .args(more)
        .arg("--teacher")
        .arg(file)
        .env_remove("GATEWAY_API_KEY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    feed
}

async fn output(mut feed: Command) -> Output {
    in_time("feed ends", feed.output()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn complete(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["complete"], true, "{report:#}");
    report
}

fn plain(gateway: &Gateway) -> String {
    format!("http://{}", gateway.address())
}

#[tokio::test]
async fn a_second_file_is_stored_behind_the_first() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let folder = tempfile::tempdir().unwrap();
    let session = "two-files";
    // The white space is the session's neither here nor there.
    for (given, name, seconds) in [
        ("two-files", "a.pcm", 1..=3),
        ("two-files ", "b.pcm", 4..=7),
    ] {
        let file = file(&folder, name, seconds.clone());
        let report =
            complete(&output(feed(&plain(&gateway), given, &file, &["--no-finalize"])).await);
        assert_eq!(report["session_id"], session);
        let delivery = &report["streams"][0]["delivery"];
        assert_eq!(number(delivery, "first_seq"), u64::from(*seconds.start()));
        assert_eq!(number(delivery, "stored"), seconds.count() as u64);
        assert_eq!(number(delivery, "duplicate"), 0);
    }
    let ingest = gateway.state(session).await["ingest_by_stream"]["teacher"].clone();
    assert_eq!(ingest["received_chunks"], 7, "{ingest:#}");
    assert_eq!(ingest["duplicate_chunks"], 0, "{ingest:#}");
    for seq in 1..=7 {
        let key = format!("sessions/{session}/chunks/teacher/{seq:08}.pcm");
        assert!(
            gateway.blobs().read(&key).unwrap() == mark::second(1, seq),
            "{seq}"
        );
    }
    gateway.transcribed(session, "teacher", 1, 7).await;
}

#[tokio::test]
async fn a_gateway_that_asks_for_a_key_refuses_at_once() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set(
        "GATEWAY_API_KEYS",
        "a-key-of-a-length-that-is-taken-1234567890",
    );
    let gateway = Gateway::start(settings).await;
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder, "a.pcm", 1..=3);
    let fed = output(feed(&plain(&gateway), "no-key", &file, &[])).await;
    let said = said(&fed);
    assert_eq!(fed.status.code(), Some(1), "{said}");
    assert!(said.contains("the gateway refuses the stream"), "{said}");
    assert!(said.contains("nothing is stored"), "{said}");
    assert!(!said.contains("connection lost"), "{said}");
}

#[tokio::test]
async fn tls_is_spoken_with_a_given_authority_and_the_other_scheme_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let write = |name: &str, content: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = write("certificate.pem", made.cert.pem());
    let key = write("key.pem", made.signing_key.serialize_pem());
    let asr = Asr::start().await;
    let options = ["--tls-cert", &certificate, "--tls-key", &key];
    let gateway = Gateway::start_with_options(Settings::with_asr(&asr), &options).await;
    let file = file(&folder, "a.pcm", 1..=3);
    let port = gateway.address().port();
    for scheme in ["https", "wss"] {
        let url = format!("{scheme}://localhost:{port}");
        let fed = output(feed(&url, "over-tls", &file, &["--ca-file", &certificate])).await;
        complete(&fed);
    }
    let untrusted = output(feed(&format!("https://localhost:{port}"), "s", &file, &[])).await;
    assert_eq!(untrusted.status.code(), Some(1));
    assert!(
        said(&untrusted).contains("certificate is not trusted"),
        "{}",
        said(&untrusted)
    );
    let unencrypted = output(feed(&plain(&gateway), "s", &file, &[])).await;
    assert_eq!(unencrypted.status.code(), Some(1));
    assert!(
        said(&unencrypted).contains("use https://"),
        "{}",
        said(&unencrypted)
    );

    let other = Gateway::start(Settings::with_asr(&asr)).await;
    let url = format!("https://localhost:{}", other.address().port());
    let encrypted = output(feed(&url, "s", &file, &["--ca-file", &certificate])).await;
    assert_eq!(encrypted.status.code(), Some(1));
    assert!(
        said(&encrypted).contains("use http://"),
        "{}",
        said(&encrypted)
    );
}

#[tokio::test]
async fn a_restart_while_the_last_words_are_waited_for_costs_nothing() {
    let mut asr = Asr::down();
    let mut gateway = Gateway::start_at_one_address(Settings::with_asr(&asr)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder, "a.pcm", 1..=5);
    let session = "restart-at-the-end";
    let fed = feed(&plain(&gateway), session, &file, &[]).spawn().unwrap();
    eventually("all is stored and the stream closed", async || {
        let state = gateway.state(session).await;
        let stored = number(&state["ingest_by_stream"]["teacher"], "received_chunks");
        if stored == 5 && state["phase"] != "recording" {
            Ok(())
        } else {
            Err(state["phase"].clone())
        }
    })
    .await;
    gateway.kill().await;
    asr.up().await;
    gateway.restart().await;
    let fed = in_time("feed ends", fed.wait_with_output()).await.unwrap();
    let report = complete(&fed);
    assert_eq!(
        report["result_key"],
        format!("sessions/{session}/result.json")
    );
    gateway.transcribed(session, "teacher", 1, 5).await;
}
