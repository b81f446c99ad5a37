//! The program as its user has it: what it prints and exits with, whoever reads it, whatever the gateway
//! does, and when it is asked to end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

mod fake;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fake::{Deed, Fake, PATIENCE, Rules, finalized};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A file of so many seconds, and the folder that it is in.
fn file(seconds: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a file.pcm");
    let pcm: Vec<u8> = (0..seconds * 32_000)
        .map(|i| (i / 7 + i / 32_000) as u8)
        .collect();
    std::fs::write(&path, pcm).unwrap();
    (folder, path)
}

/// `feed` without anything of this environment that it looks at.
fn command(fake: &Fake) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feed"));
    for name in ["GATEWAY_API_KEY", "CARGO"] {
        command.env_remove(name);
    }
    command
        .args(["--url", &fake.url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn feed(fake: &Fake, session: &str, path: &PathBuf, more: &[&str]) -> Command {
    let mut command = command(fake);
    command
        .args(["--session", session, "--teacher"])
        .arg(path)
        .args(more);
    command
}

async fn output(mut command: Command) -> Output {
    timeout(PATIENCE, command.output())
        .await
        .expect("an end in time")
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn signal(child: &Child, name: &str) {
    let Some(pid) = child.id() else { return };
    let status = std::process::Command::new("kill")
        .args([name, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn rules(deed: impl FnMut(u32) -> Deed + Send + 'static) -> Rules {
    Rules {
        deed: Box::new(deed),
        ..Rules::default()
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_and_a_full_disk_stop_no_recording() {
    for kind in ["closed pipes", "full disks"] {
        let fake = Fake::start(Rules::default()).await;
        let (_folder, path) = file(12);
        let mut command = feed(&fake, "s", &path, &["--fast", "--json"]);
        let sink = || match kind {
            "closed pipes" => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                Stdio::from(writer)
            }
            _ => Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap()),
        };
        command.stdout(sink()).stderr(sink());
        let status = timeout(PATIENCE, command.status()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0), "{kind}");
        assert_eq!(fake.seconds(), (1..=12).collect::<Vec<_>>(), "{kind}");
        assert_eq!(fake.finalizes(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_reader_that_stands_still_stops_no_recording() {
    // More than a pipe holds.
    let rules = Rules {
        errors: 2000,
        ..Rules::default()
    };
    let fake = Fake::start(rules).await;
    let (_folder, path) = file(12);
    let mut command = feed(&fake, "s", &path, &["--fast"]);
    let (_reader, writer) = std::io::pipe().unwrap();
    command.stderr(writer);
    let status = timeout(PATIENCE, command.status()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(fake.seconds().len(), 12);
    assert_eq!(fake.finalizes(), 1);
}

#[tokio::test]
async fn a_second_file_goes_on_where_the_first_ended() {
    let fake = Fake::start(Rules::default()).await;
    let (_first, first) = file(3);
    let (_second, second) = file(4);
    let fed = output(feed(
        &fake,
        "s",
        &first,
        &["--fast", "--no-finalize", "--json"],
    ))
    .await;
    assert_eq!(report(&fed)["streams"][0]["delivery"]["first_seq"], 1);
    assert_eq!(fake.finalizes(), 0);
    let fed = output(feed(&fake, "s", &second, &["--fast", "--json"])).await;
    assert!(fed.status.success(), "{}", said(&fed));
    let report = report(&fed);
    let delivery = &report["streams"][0]["delivery"];
    assert_eq!(report["complete"], true, "{report:#}");
    assert_eq!(delivery["first_seq"], 4, "{report:#}");
    assert_eq!(
        [&delivery["stored"], &delivery["duplicate"]],
        [&json!(4), &json!(0)]
    );
    assert_eq!(fake.seconds(), (1..=7).collect::<Vec<_>>());
    let content = std::fs::read(&second).unwrap();
    let stored = fake.stored.lock().unwrap();
    for seq in 4..=7usize {
        assert_eq!(
            stored[&(seq as u32)],
            content[(seq - 4) * 32_000..(seq - 3) * 32_000]
        );
    }
}

#[tokio::test]
async fn seconds_that_somebody_else_stored_are_not_called_known() {
    let fake = Fake::start(Rules::default()).await;
    let (_folder, path) = file(3);
    let child = feed(&fake, "s", &path, &["--json"]).spawn().unwrap();
    eventually("second 1 is stored", || !fake.seconds().is_empty()).await;
    // Another client, while this one plays.
    fake.stored
        .lock()
        .unwrap()
        .insert(3, b"of somebody else".to_vec());
    let fed = timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let report = report(&fed);
    let delivery = &report["streams"][0]["delivery"];
    assert_eq!(fed.status.code(), Some(1), "{report:#}");
    assert_eq!(report["complete"], false, "{report:#}");
    assert_eq!(
        [&delivery["duplicate"], &delivery["conflicting"]],
        [&json!(0), &json!(1)]
    );
}

#[tokio::test]
async fn a_signal_ends_in_order_and_the_command_that_it_tells_goes_on() {
    for (name, status) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let fake = Fake::start_with(Rules::default(), 1..=10).await;
        let (_folder, path) = file(30);
        let child = feed(&fake, "it's", &path, &[]).spawn().unwrap();
        eventually("two seconds are stored", || fake.seconds().len() >= 12).await;
        signal(&child, name);
        let ended = timeout(PATIENCE, child.wait_with_output())
            .await
            .unwrap()
            .unwrap();
        let said = said(&ended);
        assert_eq!(ended.status.code(), Some(status), "{said}");
        assert_eq!(*fake.closes.lock().unwrap(), 1, "{said}");
        assert_eq!(fake.finalizes(), 0, "{said}");
        let stored = fake.seconds().len();
        assert!((12..40).contains(&stored), "{stored}");
        assert!(
            said.contains(&format!("{} s of teacher are stored", stored - 10)),
            "{said}"
        );

        let (_, told) = said.split_once("to go on: feed ").expect("a command");
        let mut shell = Command::new("sh");
        let script = format!(
            "exec {} {} --fast --json",
            env!("CARGO_BIN_EXE_feed"),
            told.trim()
        );
        shell.arg("-c").arg(script).kill_on_drop(true);
        let fed = output(shell).await;
        let report = report(&fed);
        assert_eq!(report["complete"], true, "{report:#}");
        let delivery = &report["streams"][0]["delivery"];
        assert_eq!(delivery["skipped"], stored - 10, "{report:#}");
        assert_eq!(delivery["stored"], 40 - stored, "{report:#}");
        assert_eq!(fake.finalizes(), 1);
        let content = std::fs::read(&path).unwrap();
        let stored = fake.stored.lock().unwrap();
        assert_eq!(stored.len(), 40);
        for (i, second) in content.chunks(32_000).enumerate() {
            assert_eq!(stored[&(i as u32 + 11)], second, "{i}");
        }
    }
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let fake = Fake::start(rules(|_| Deed::Keep)).await;
    let (_folder, path) = file(3);
    let mut child = feed(&fake, "s", &path, &[]).spawn().unwrap();
    eventually("it is connected", || {
        !fake.hellos.lock().unwrap().is_empty()
    })
    .await;
    signal(&child, "-INT");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        if line.contains("stopping") {
            break;
        }
    }
    // Those that come together are one; the orderly end would be that of the first.
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        assert!(Instant::now() < deadline);
        signal(&child, "-TERM");
        if let Ok(status) = timeout(Duration::from_millis(50), child.wait()).await {
            break status.unwrap();
        }
    };
    assert_eq!(status.code(), Some(143));
}

#[tokio::test]
async fn a_refusal_is_said_at_once_and_nothing_is_finalized() {
    let refusing = Rules {
        refusal: Some("show a valid API key"),
        ..Rules::default()
    };
    let fake = Fake::start(refusing).await;
    let (_folder, path) = file(3);
    let fed = output(feed(&fake, "s", &path, &["--fast"])).await;
    let said = said(&fed);
    assert_eq!(fed.status.code(), Some(1));
    assert!(
        said.contains("refuses the stream: show a valid API key; a key is given by --key"),
        "{said}"
    );
    assert!(said.contains("nothing is stored"), "{said}");
    assert!(
        !said.contains("connection lost") && !said.contains("not finalized"),
        "{said}"
    );
    assert_eq!(fake.hellos.lock().unwrap().len(), 1);
    assert_eq!(fake.finalizes(), 0);
}

#[tokio::test]
async fn a_store_that_is_full_is_not_called_stored() {
    let fake = Fake::start(rules(|seq| if seq < 3 { Deed::Ack } else { Deed::Reject })).await;
    let (_folder, path) = file(5);
    let fed = output(feed(&fake, "s", &path, &["--fast", "--json"])).await;
    let said = said(&fed);
    assert_eq!(fed.status.code(), Some(1));
    assert!(
        said.contains("does not store second 3: could not be stored"),
        "{said}"
    );
    assert!(said.contains("2 s of teacher are stored"), "{said}");
    assert!(!said.contains("the audio is stored"), "{said}");
    assert_eq!(report(&fed)["complete"], false);
    // What is there is worth finalizing.
    assert_eq!(fake.finalizes(), 1);
}

#[tokio::test]
async fn a_gateway_that_restarts_while_the_last_words_are_waited_for_is_waited_for() {
    let calls = AtomicUsize::new(0);
    let restarting = Rules {
        finalize: Box::new(move || match calls.fetch_add(1, Ordering::Relaxed) {
            0 => None,
            1 => Some((503, json!({"detail": "starting"}))),
            _ => finalized(),
        }),
        ..Rules::default()
    };
    let fake = Fake::start(restarting).await;
    let (_folder, path) = file(2);
    let fed = output(feed(&fake, "s", &path, &["--fast", "--json"])).await;
    assert!(fed.status.success(), "{}", said(&fed));
    assert_eq!(report(&fed)["result_key"], "sessions/x/result.json");
}

#[tokio::test]
async fn a_finalize_that_is_refused_says_what_is_stored_and_how_to_go_on() {
    let refusing = Rules {
        finalize: Box::new(|| Some((401, json!({"detail": "a valid API key is needed"})))),
        ..Rules::default()
    };
    let fake = Fake::start(refusing).await;
    let (_folder, path) = file(2);
    let fed = output(feed(&fake, "s", &path, &["--fast"])).await;
    let said = said(&fed);
    assert_eq!(fed.status.code(), Some(1));
    assert!(
        said.contains("not finalized: the gateway answers 401: a valid API key"),
        "{said}"
    );
    assert!(said.contains("2 s of teacher are stored"), "{said}");
    assert!(said.contains("--session s --resume=teacher:1"), "{said}");
}

#[tokio::test]
async fn no_proxy_sees_what_stays_on_this_machine() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let fake = Fake::start(Rules::default()).await;
    let (_folder, path) = file(2);
    let mut command = feed(&fake, "s", &path, &["--fast"]);
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env(name, &address);
    }
    command
        .env("GATEWAY_API_KEY", "a-secret-key")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    let fed = tokio::select! {
        fed = output(command) => fed,
        _ = proxy.accept() => panic!("the proxy is asked"),
    };
    assert!(fed.status.success(), "{}", said(&fed));
}

#[tokio::test]
async fn what_a_terminal_would_obey_is_shown_as_escapes_and_inventions_are_called_so() {
    let inventing = Rules {
        provider: "simulator",
        text: "\u{1b}]0;owned\u{7}\u{202e}\r\nsession of another",
        ..Rules::default()
    };
    let fake = Fake::start(inventing).await;
    let (_folder, path) = file(2);
    let fed = output(feed(&fake, "s", &path, &["--fast", "--json"])).await;
    let said = said(&fed);
    assert!(
        said.contains(r"(invented) \u{1b}]0;owned\u{7}\u{202e}\u{d}\u{a}session"),
        "{said}"
    );
    assert!(
        !said.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']),
        "{said}"
    );
    assert!(said.contains("INVENTED"), "{said}");
    assert_eq!(report(&fed)["transcripts_are_invented"], true);

    let fake = Fake::start(Rules::default()).await;
    let fed = output(feed(&fake, "s", &path, &["--fast", "--json"])).await;
    assert!(!self::said(&fed).to_lowercase().contains("invented"));
    assert_eq!(report(&fed)["transcripts_are_invented"], false);
}

#[tokio::test]
async fn silence_shows_progress_without_a_terminal() {
    let fake = Fake::start(Rules::default()).await;
    let (_folder, path) = file(60);
    let mut child = feed(&fake, "s", &path, &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen = 0;
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        seen += usize::from(line.contains(" of 60 s acknowledged"));
        if seen == 2 {
            return;
        }
    }
    panic!("no progress");
}

#[tokio::test]
async fn a_session_is_named_as_the_gateway_reads_it() {
    let fake = Fake::start(Rules::default()).await;
    let (_folder, path) = file(2);
    let fed = output(feed(&fake, " x\u{feff} ", &path, &["--fast", "--json"])).await;
    assert!(fed.status.success(), "{}", said(&fed));
    assert_eq!(report(&fed)["session_id"], "x");
    let requests = fake.requests.lock().unwrap();
    assert!(
        requests
            .iter()
            .any(|request| request.contains("/sessions/x/state")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_pipe_is_played_as_it_comes() {
    let fake = Fake::start(Rules::default()).await;
    let (_folder, path) = file(40);
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\xff\xff\xff\xff".to_vec();
    wav.extend(std::fs::read(&path).unwrap());
    std::fs::write(&path, wav).unwrap();
    let mut command = command(&fake);
    command.args([
        "--session",
        "s",
        "--fast",
        "--json",
        "--teacher",
        "/dev/stdin",
    ]);
    let mut cat = std::process::Command::new("cat")
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    command.stdin(cat.stdout.take().unwrap());
    let fed = output(command).await;
    cat.wait().unwrap();
    assert!(fed.status.success(), "{}", said(&fed));
    assert_eq!(fake.seconds().len(), 40);
}

#[tokio::test]
async fn a_missing_file_is_said_before_anything_is_sent() {
    let fake = Fake::start(Rules::default()).await;
    let (_folder, path) = file(1);
    let fed = output(feed(&fake, "s", &path.with_extension("none"), &[])).await;
    assert_eq!(fed.status.code(), Some(1));
    assert!(said(&fed).contains("cannot read"), "{}", said(&fed));
    assert!(fake.requests.lock().unwrap().is_empty());
}
