//! What the simulator does wrong, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;

use std::time::{Duration, Instant};

use asr_simulator::{Faults, Options, Outcome, Simulator, mark};
use client::{Client, Event, PATIENCE, refusal};
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
