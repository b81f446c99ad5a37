//! What the simulator does wrong, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;

use std::time::{Duration, Instant};

use asr_simulator::{Faults, Options, Outcome, Simulator, mark};
use client::{Client, Event, PATIENCE, refusal};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

async fn simulator(faults: &str) -> Simulator {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    set(&simulator, faults);
    simulator
}

fn set(simulator: &Simulator, faults: &str) {
    simulator
        .set_faults(Faults::parse(faults.as_bytes()).unwrap())
        .unwrap();
}

/// A client with a running task.
async fn running(simulator: &Simulator) -> Client {
    let mut client = Client::connect(simulator, "k").await.unwrap();
    client.run().await;
    client
}

#[tokio::test]
async fn handshakes_are_refused_so_often() {
    let simulator = simulator(r#"{"refuse": 503, "connections": 2}"#).await;
    assert_eq!(refusal(Client::connect(&simulator, "k").await), 503);
    assert_eq!(refusal(Client::connect(&simulator, "k").await), 503);
    assert!(Client::connect(&simulator, "k").await.is_ok());
    set(&simulator, r#"{"unauthorized": true}"#);
    assert_eq!(refusal(Client::connect(&simulator, "k").await), 401);
    set(&simulator, r#"{"refuse": "drop"}"#);
    let dropped = Client::connect(&simulator, "k")
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(!matches!(dropped, Error::Http(_)), "{dropped:?}");
    set(&simulator, "{}");
    assert!(Client::connect(&simulator, "k").await.is_ok());
}

#[tokio::test]
async fn a_connection_is_closed_with_1011_before_the_task_starts() {
    let simulator = simulator(r#"{"close_before_start": true}"#).await;
    let mut client = Client::connect(&simulator, "k").await.unwrap();
    client.ask().await;
    assert_eq!(
        client.next().await,
        Event::Closed(Some(CloseCode::Error.into()))
    );
}

#[tokio::test]
async fn a_task_is_never_started_and_its_connection_answers_pings() {
    let simulator = simulator(r#"{"never_start": true}"#).await;
    let mut client = Client::connect(&simulator, "k").await.unwrap();
    client.ask().await;
    client.ping().await;
    assert_eq!(client.next().await, Event::Pong);
}

#[tokio::test]
async fn a_connection_is_reset_in_the_middle_of_a_task() {
    let simulator = simulator(r#"{"close_after_seconds": 2, "close_with": "reset"}"#).await;
    let mut client = running(&simulator).await;
    for seq in 1..=2 {
        client.send(mark::second(1, seq)).await;
    }
    let reset = loop {
        match client.next().await {
            Event::Json(_) => {}
            other => break other,
        }
    };
    assert_eq!(reset, Event::Closed(None));
}

#[tokio::test]
async fn a_failed_task_is_followed_by_a_stale_final_and_a_late_close() {
    let faults = r#"{"tasks": 1, "fail_after_seconds": 1, "late_close_ms": 300}"#;
    let simulator = simulator(faults).await;
    let mut client = running(&simulator).await;
    client.send(mark::second(1, 1)).await;
    let names: Vec<_> = [client.json().await, client.json().await]
        .iter()
        .map(|event| event["header"]["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["result-generated", "task-failed"]);
    let failed = Instant::now();
    let stale = client.json().await;
    assert_eq!(stale["payload"]["output"]["sentence"]["text"], "s1t1e.");
    assert_eq!(client.next().await, Event::Closed(Some(1000)));
    assert!(
        failed.elapsed() >= Duration::from_millis(250),
        "{:?}",
        failed.elapsed()
    );
    // The next task is well.
    let mut client = running(&simulator).await;
    client.send(mark::second(1, 1)).await;
    assert_eq!(client.finish().await, ["s1t1e."]);
    assert!(matches!(simulator.log()[0].outcome, Outcome::Failed(_)));
    assert_eq!(simulator.log()[1].outcome, Outcome::Finished);
}

#[tokio::test]
async fn a_client_that_closes_is_answered_late() {
    let simulator = simulator(r#"{"late_close_ms": 300}"#).await;
    let mut client = running(&simulator).await;
    let closed = Instant::now();
    client.close().await;
    assert!(
        closed.elapsed() >= Duration::from_millis(300),
        "{:?}",
        closed.elapsed()
    );
    assert!(closed.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_half_open_connection_reads_on_and_answers_nothing() {
    let simulator = simulator(r#"{"half_open_after_seconds": 1}"#).await;
    let mut ended = simulator.task_log().ended();
    let mut client = running(&simulator).await;
    // More than fits into the buffers of a socket that is not read.
    for seq in 1..=500 {
        client.send(mark::second(1, seq)).await;
    }
    client.ping().await;
    client.says_nothing(Duration::from_millis(300)).await;
    drop(client);
    let record = timeout(PATIENCE, ended.recv()).await.unwrap().unwrap();
    assert_eq!((record.outcome, record.mute), (Outcome::Lost, true));
}

#[tokio::test]
async fn results_come_late_and_audio_is_taken_meanwhile() {
    let simulator = simulator(r#"{"delay_results_ms": 500}"#).await;
    let mut client = running(&simulator).await;
    let sent = Instant::now();
    for seq in 1..=6 {
        client.send(mark::second(1, seq)).await;
    }
    let heard = async {
        while simulator.log()[0].heard.len() < 6 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, heard).await.expect("all audio is taken");
    let all = client.finish().await.join(" ");
    assert!(
        sent.elapsed() >= Duration::from_millis(500),
        "{:?}",
        sent.elapsed()
    );
    let expected: Vec<_> = (1..=6).map(|seq| (1, seq)).collect();
    assert_eq!(mark::seconds_in(&all), expected);
}

#[tokio::test]
async fn garbage_is_sent_and_the_task_goes_on() {
    let simulator = simulator(r#"{"garbage": true, "duplicate_finals": true}"#).await;
    let mut client = running(&simulator).await;
    for seq in 1..=3 {
        client.send(mark::second(1, seq)).await;
    }
    let (mut binary, mut no_json, mut finals) = (0, 0, 0);
    while finals < 2 {
        match client.next().await {
            Event::Binary(_) => binary += 1,
            Event::Text(_) => no_json += 1,
            Event::Json(event) => {
                let sentence = &event["payload"]["output"]["sentence"];
                finals += usize::from(sentence["text"] == "s1t1e s1t2e s1t3e.");
            }
            other => panic!("{other:?}"),
        }
        // The task is not over: intermediate results have other texts.
    }
    assert!(binary > 0 && no_json > 0, "{binary} {no_json}");
}

#[tokio::test]
async fn a_slow_reader_takes_its_time_for_each_frame() {
    let simulator = simulator(r#"{"slow_read_ms": 100}"#).await;
    let mut client = running(&simulator).await;
    let sent = Instant::now();
    for seq in 1..=3 {
        client.send(mark::second(1, seq)).await;
    }
    assert_eq!(client.finish().await, ["s1t1e s1t2e s1t3e."]);
    // After run-task and each second.
    assert!(
        sent.elapsed() >= Duration::from_millis(350),
        "{:?}",
        sent.elapsed()
    );
}

#[tokio::test]
async fn a_slow_flush_ends_after_so_long() {
    let simulator = simulator(r#"{"slow_flush_ms": 400}"#).await;
    let mut client = running(&simulator).await;
    client.send(mark::second(1, 1)).await;
    let asked = Instant::now();
    assert_eq!(client.finish().await, ["s1t1e."]);
    assert!(
        asked.elapsed() >= Duration::from_millis(400),
        "{:?}",
        asked.elapsed()
    );
    client.run().await;
}

#[tokio::test]
async fn a_simulator_stops_while_connections_are_held() {
    for faults in [
        r#"{"half_open_after_seconds": 0}"#,
        r#"{"fail_after_seconds": 0, "late_close_ms": 600000}"#,
        r#"{"delay_results_ms": 600000}"#,
        r#"{"slow_read_ms": 600000}"#,
    ] {
        let simulator = simulator(faults).await;
        let mut client = running(&simulator).await;
        client.send(mark::second(1, 1)).await;
        let taken = async {
            while simulator.log()[0].audio_bytes == 0 && !faults.contains("slow_read") {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, taken).await.unwrap();
        timeout(PATIENCE, simulator.stop()).await.expect(faults);
    }
}

#[tokio::test]
async fn what_is_late_when_a_task_fails_is_never_sent() {
    let simulator = simulator(r#"{"delay_results_ms": 300, "fail_after_seconds": 3}"#).await;
    let mut client = running(&simulator).await;
    for seq in 1..=3 {
        client.send(mark::second(1, seq)).await;
    }
    let failed = client.json().await;
    assert_eq!(failed["header"]["event"], "task-failed");
    assert_eq!(client.next().await, Event::Closed(Some(1000)));
}
