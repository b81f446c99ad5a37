//! The orderly end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{PATIENCE, close_frame, eventually, next, server, text};
use futures::{SinkExt, StreamExt};
use lanes::{Event, LaneError, Limits, SocketError, Target, TimerError};
use tokio::net::TcpListener;
use tokio_tungstenite::{accept_async, tungstenite::Message};

#[tokio::test]
async fn clients_are_told_queued_events_are_handled_then_outbound_sockets_close() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    let codes = tokio::spawn(async move {
        let (tcp, _) = peer.accept().await.unwrap();
        let mut ws = accept_async(tcp).await.unwrap();
        loop {
            match ws.next().await {
                Some(Ok(Message::Close(frame))) => {
                    let _ = ws.next().await;
                    return u16::from(frame.unwrap().code);
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    let server = server(Limits::default(), common::echo).await;
    let mut client = server.client().await;
    client.send(Message::text("a")).await.unwrap();
    assert!(next(&mut client).await.is_some());
    let open = |server: &common::Server| {
        server.lanes.open(Target {
            url: format!("ws://{address}/"),
            headers: Vec::new(),
            lane: "lane".to_owned(),
            context: String::new(),
            connect_timeout: PATIENCE,
        })
    };
    open(&server).unwrap();
    server
        .wait_for("opened", |events| {
            matches!(events.last(), Some(Event::Opened { .. }))
        })
        .await;
    // Something is queued while the drain begins.
    server.recorder.gate.forget_permits(1000);
    for number in 0..30 {
        client
            .send(Message::text(format!("{number}")))
            .await
            .unwrap();
    }
    eventually("queued", || server.lanes.stats().frames_in == 31).await;

    let drained = tokio::spawn({
        let lanes = server.lanes.clone();
        async move { lanes.drain(PATIENCE).await }
    });
    assert_eq!(u16::from(close_frame(&mut client).await.code), 1001);
    assert!(matches!(open(&server), Err(SocketError::NotAllowed(_))));
    let mut late = server.client().await;
    assert_eq!(u16::from(close_frame(&mut late).await.code), 1001);
    assert!(!drained.is_finished());
    server.recorder.gate.add_permits(1000);
    let report = drained.await.unwrap();
    assert!(report.complete, "{report:?}");
    assert_eq!((report.client_sockets, report.outbound_sockets), (1, 1));
    assert_eq!((report.sockets_cut_off, report.events_left), (0, 0));
    assert_eq!(codes.await.unwrap(), 1000);
    let events = server.recorder.events("lane");
    assert_eq!(events.iter().flat_map(text).count(), 31);
    let ends = events.iter().filter(|event| common::is_closed(event));
    assert_eq!(ends.count(), 2);

    let after = Duration::from_millis(1);
    assert_eq!(
        server.lanes.set_timer("lane", "x", after),
        Err(TimerError::TooMany)
    );
    let post = server.lanes.post("lane", "x".into());
    assert!(matches!(post, Err(LaneError::Failed(_))));
}

#[tokio::test]
async fn at_the_deadline_whatever_is_left_is_cut_off() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    server.recorder.gate.forget_permits(1000);
    let client = server.client().await;
    eventually("at work", || server.lanes.stats().sockets_in == 1).await;
    server
        .lanes
        .set_timer("other", "x", Duration::from_secs(3600))
        .unwrap();
    let call = tokio::spawn({
        let lanes = server.lanes.clone();
        async move { lanes.ask("lane", "x".into(), PATIENCE).await }
    });
    eventually("asked", || server.lanes.stats().pending_calls == 1).await;
    let report = server.lanes.drain(Duration::from_millis(50)).await;
    assert!(!report.complete);
    assert_eq!(report.sockets_cut_off, 1);
    assert!(report.events_left > 0);
    let answer = call.await.unwrap();
    assert!(matches!(answer, Err(LaneError::Failed(_))), "{answer:?}");
    assert_eq!(server.lanes.stats().timers, 0);
    drop(client);
}

#[tokio::test]
async fn with_nothing_there_it_ends_at_once() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let report = server.lanes.drain(PATIENCE).await;
    assert!(report.complete);
}
