//! The simulator's own HTTP, and scripts, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;

use std::time::Duration;

use asr_simulator::{Options, Script, Simulator, mark};
use client::{Client, PATIENCE, refusal};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends a request, cut into pieces, and gives the status and the body.
async fn ask_in_pieces(simulator: &Simulator, head: &str, body: &str, cut: usize) -> (u16, Value) {
    let mut stream = TcpStream::connect(simulator.addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let length = body.len();
    let request = format!("{head}\r\nHost: s\r\nContent-Length: {length}\r\n\r\n{body}");
    for piece in request.as_bytes().chunks(cut) {
        // A refusal may come before all is sent.
        let _ = stream.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // What was refused before it was read may be reset.
    let _ = read.expect("an answer in time");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

async fn ask(simulator: &Simulator, head: &str, body: &str) -> (u16, Value) {
    ask_in_pieces(simulator, head, body, usize::MAX).await
}

async fn set(simulator: &Simulator, faults: &str) -> (u16, Value) {
    ask(simulator, "POST /control HTTP/1.1", faults).await
}

async fn get(simulator: &Simulator, path: &str) -> (u16, Value) {
    ask(simulator, &format!("GET {path} HTTP/1.1"), "").await
}

#[tokio::test]
async fn faults_are_set_and_cleared_by_http() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    assert_eq!(get(&simulator, "/control").await, (200, json!({})));
    let refused = json!({"connections": 1, "refuse": 429});
    assert_eq!(
        set(&simulator, &refused.to_string()).await,
        (200, refused.clone())
    );
    // These requests are no connections of the service.
    assert_eq!(get(&simulator, "/control").await, (200, refused));
    assert_eq!(refusal(Client::connect(&simulator, "k").await), 429);
    assert_eq!(get(&simulator, "/control").await, (200, json!({})));
    assert_eq!(set(&simulator, r#"{"refuse": "drop"}"#).await.0, 200);
    // They work while the service is away, too.
    assert!(Client::connect(&simulator, "k").await.is_err());
    assert_eq!(set(&simulator, "{}").await, (200, json!({})));
    assert!(Client::connect(&simulator, "k").await.is_ok());
    let statuses: Vec<_> = simulator.handshakes().iter().map(|h| h.status).collect();
    assert_eq!(statuses, [Some(429), None, Some(101)]);
}

#[tokio::test]
async fn what_is_wrong_is_said_and_changes_nothing() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    set(&simulator, r#"{"unauthorized": true}"#).await;
    for (body, part) in [
        ("", "not a fault set"),
        ("[]", "not a fault set"),
        (r#"{"refuze": 1}"#, "refuze"),
        (r#"{"tasks": 0}"#, "tasks must be"),
    ] {
        let (status, answer) = set(&simulator, body).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    }
    assert_eq!(set(&simulator, &" ".repeat(70_000)).await.0, 413);
    assert_eq!(get(&simulator, "/control/x").await.0, 404);
    assert_eq!(
        get(&simulator, "/control").await.1,
        json!({"unauthorized": true})
    );
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let faults = r#"{"never_start":true}"#;
    let head = "POST /control HTTP/1.1";
    let (status, answer) = ask_in_pieces(&simulator, head, faults, 1).await;
    assert_eq!((status, answer.to_string().as_str()), (200, faults));
}

#[tokio::test]
async fn the_key_that_the_service_wants_is_wanted_here() {
    let options = Options {
        api_key: Some("right".to_owned()),
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    for path in ["/control", "/log"] {
        assert_eq!(get(&simulator, path).await.0, 401);
        let head = format!("GET {path} HTTP/1.1\r\nAuthorization: bearer right");
        assert_eq!(ask(&simulator, &head, "").await.0, 200);
    }
}

#[tokio::test]
async fn the_log_names_the_seconds_of_each_task() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let mut client = Client::connect(&simulator, "k").await.unwrap();
    client.run().await;
    client.send(mark::second(1, 7)).await;
    client.send(vec![0; 32_000]).await;
    client.send(mark::second(1, 9)).await;
    client.finish().await;
    let (status, log) = get(&simulator, "/log").await;
    assert_eq!(status, 200);
    let task = &log["tasks"][0];
    let seconds: Vec<_> = task["heard"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| &h["seq"])
        .collect();
    assert_eq!(seconds, [&json!(7), &json!(9)]);
    assert_eq!(
        (&task["silent_seconds"], &task["outcome"], &task["mute"]),
        (&json!(1), &json!("finished"), &json!(false))
    );
    assert_eq!(
        (&task["connection"], &task["task_id"]),
        (&json!(1), &json!("t"))
    );
    assert!(task["ended_unix_ms"].as_u64() >= task["began_unix_ms"].as_u64());
    assert_eq!(log["handshakes"][0]["status"], 101);
    assert_eq!(log["forgotten_tasks"], 0);
}

#[tokio::test]
async fn a_script_sets_faults_by_the_clock() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    simulator.play(
        Script::parse(
            r#"{"after_ms": 0, "faults": {"unauthorized": true}}
               {"after_ms": 150, "faults": {"refuse": 503}}
               {"after_ms": 300, "faults": {}}"#,
        )
        .unwrap(),
    );
    let mut seen = Vec::new();
    let until_well = async {
        loop {
            let status = match Client::connect(&simulator, "k").await {
                Ok(_) => 101,
                refused => refusal(refused),
            };
            if seen.last() != Some(&status) {
                seen.push(status);
            }
            // The first step may come a moment after the first client.
            if status == 101 && seen.len() > 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, until_well).await.unwrap();
    assert!(seen.ends_with(&[401, 503, 101]), "{seen:?}");
}

#[tokio::test]
async fn a_script_ends_with_the_simulator() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    simulator.play(Script::parse(r#"{"after_ms": 3600000, "faults": {}}"#).unwrap());
    timeout(PATIENCE, simulator.stop()).await.unwrap();
}

#[tokio::test]
async fn dense_speech_is_so_many_sentences_a_second() {
    let options = Options {
        sentences_per_second: 4,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let mut client = Client::connect(&simulator, "k").await.unwrap();
    client.run().await;
    for seq in 1..=5 {
        client.send(mark::second(1, seq)).await;
    }
    let text = client.finish().await.join(" ");
    let all = (1..=5).flat_map(|seq| (1..=4).map(move |part| (1, seq, part)));
    assert_eq!(mark::parts_in(&text), all.collect::<Vec<_>>());
    assert_eq!(simulator.log()[0].finals, 20);
}
