//! The simulator over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;

use std::time::Duration;

use asr_simulator::{Options, Outcome, Simulator, mark};
use client::{Client, PATIENCE, refusal};
use futures::SinkExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn two_tasks_on_one_connection_are_heard_and_logged() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let mut client = Client::connect(&simulator, "any").await.unwrap();
    for stream in [1, 2] {
        client.run().await;
        let pcm: Vec<u8> = (1..=5).flat_map(|seq| mark::second(stream, seq)).collect();
        for piece in pcm.chunks(4567) {
            client
                .0
                .send(Message::binary(piece.to_vec()))
                .await
                .unwrap();
        }
        let text = client.finish().await.join(" ");
        let expected: Vec<_> = (1..=5).map(|seq| (stream, seq)).collect();
        assert_eq!(mark::seconds_in(&text), expected);
    }
    let log = simulator.log();
    assert_eq!(log.len(), 2);
    for (record, stream) in log.iter().zip([1, 2]) {
        assert_eq!(record.outcome, Outcome::Finished);
        assert_eq!(record.audio_bytes, 5 * 32_000);
        let heard: Vec<_> = record
            .heard
            .iter()
            .map(|h| (h.stream, h.seq, h.tenths))
            .collect();
        assert_eq!(
            heard,
            (1..=5).map(|seq| (stream, seq, 10)).collect::<Vec<_>>()
        );
    }
    timeout(PATIENCE, simulator.stop()).await.unwrap();
    assert!(client.event().await.is_none());
}

#[tokio::test]
async fn a_wrong_key_fails_the_handshake() {
    let options = Options {
        api_key: Some("right".to_owned()),
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    assert_eq!(refusal(Client::connect(&simulator, "wrong").await), 401);
    assert_eq!(refusal(Client::connect(&simulator, "").await), 401);
    assert!(Client::connect(&simulator, "right").await.is_ok());
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let first = Client::connect(&simulator, "k").await.unwrap();
    assert_eq!(refusal(Client::connect(&simulator, "k").await), 503);
    drop(first);
    let again = async {
        while Client::connect(&simulator, "k").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, again)
        .await
        .expect("room after the first has gone");
}

#[tokio::test]
async fn a_task_without_audio_fails_in_time() {
    let options = Options {
        audio_timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let mut client = Client::connect(&simulator, "k").await.unwrap();
    client.run().await;
    let event = client.event().await.unwrap();
    assert_eq!(event["header"]["event"], "task-failed");
    assert!(client.event().await.is_none());
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let options = Options {
        idle_timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let mut client = Client::connect(&simulator, "k").await.unwrap();
    assert!(client.event().await.is_none());
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_connection_and_the_task() {
    let options = Options {
        max_message_bytes: 40_000,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let mut ended = simulator.task_log().ended();
    let mut client = Client::connect(&simulator, "k").await.unwrap();
    client.run().await;
    // The simulator may be gone before all of it is sent.
    let _ = client.0.send(Message::binary(vec![0; 40_001])).await;
    assert!(client.event().await.is_none());
    let record = timeout(PATIENCE, ended.recv()).await.unwrap().unwrap();
    assert_eq!(record.outcome, Outcome::Lost);
}
