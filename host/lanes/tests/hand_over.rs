//! A lane that goes on at another host: what this one has of it ends, and nothing of it is handled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{close_frame, eventually, server};
use futures::{SinkExt, StreamExt};
use lanes::{Event, HandleError, LaneError, Limits, Target};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_batch_of_a_lane_that_moved_is_not_repeated_and_its_sockets_end() {
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", service.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (tcp, _) = service.accept().await.unwrap();
        let mut socket = accept_async(tcp).await.unwrap();
        while let Some(message) = socket.next().await {
            if let Ok(Message::Close(Some(frame))) = message {
                return u16::from(frame.code);
            }
        }
        0
    });
    let moved = Arc::new(AtomicBool::new(false));
    let handled_after = Arc::new(AtomicUsize::new(0));
    let script = {
        let (moved, handled_after) = (Arc::clone(&moved), Arc::clone(&handled_after));
        let opened = Mutex::new(false);
        move |lanes: &lanes::Lanes, lane: &str, _: &[Event]| {
            if moved.load(Ordering::SeqCst) {
                handled_after.fetch_add(1, Ordering::SeqCst);
                // As a component does that tries again later.
                lanes
                    .set_timer(lane, "retry", Duration::from_millis(1))
                    .unwrap();
                return Err(HandleError::Moved);
            }
            let mut opened = opened.lock().unwrap();
            if !*opened {
                *opened = true;
                let target = Target {
                    url: url.clone(),
                    headers: Vec::new(),
                    lane: lane.to_owned(),
                    context: "service".to_owned(),
                    connect_timeout: Duration::from_secs(10),
                };
                lanes.open(target).unwrap();
                lanes
                    .set_timer(lane, "far", Duration::from_secs(600))
                    .unwrap();
            }
            Ok(())
        }
    };
    let server = server(Limits::default(), script).await;
    let mut client = server.client().await;
    server
        .wait_for("the service is there", |events| {
            events
                .iter()
                .any(|event| matches!(event, Event::Opened { .. }))
        })
        .await;
    moved.store(true, Ordering::SeqCst);
    client.send(Message::text("frame")).await.unwrap();

    let frame = close_frame(&mut client).await;
    assert_eq!(u16::from(frame.code), 1012);
    assert!(frame.reason.contains("connect again"), "{frame:?}");
    assert_eq!(served.await.unwrap(), 1001);
    eventually("nothing is left", || {
        let stats = server.lanes.stats();
        (
            stats.lanes,
            stats.timers,
            stats.sockets_in,
            stats.sockets_out,
        ) == (0, 0, 0, 0)
    })
    .await;
    assert_eq!(
        handled_after.load(Ordering::SeqCst),
        1,
        "once, and no end of a socket"
    );
    let stats = server.lanes.stats();
    assert_eq!(
        (stats.handed_over, stats.retries, stats.failed_batches),
        (1, 0, 0)
    );

    // Whoever comes again finds a lane.
    moved.store(false, Ordering::SeqCst);
    let before = server.recorder.events("lane").len();
    let _again = server.client().await;
    server
        .wait_for("it is handled again", |events| events.len() > before)
        .await;
}

#[tokio::test]
async fn of_what_waits_in_a_lane_that_is_handed_over_only_messages_are_handled() {
    let server = server(Limits::default(), reply_to_calls).await;
    server.recorder.gate.forget_permits(1000);
    let mut client = server.client().await;
    server.lanes.post("other", vec![1].into()).unwrap();
    eventually("both lanes are at work", || {
        server.recorder.running.load(Ordering::SeqCst) == 2
    })
    .await;
    client.send(Message::text("waits")).await.unwrap();
    let asking = {
        let lanes = server.lanes.clone();
        tokio::spawn(async move {
            let limit = Duration::from_secs(600);
            lanes.ask("lane", vec![1].into(), limit).await
        })
    };
    eventually("they wait", || server.lanes.stats().queued_events == 4).await;
    server.lanes.hand_over("nobody's");
    server.lanes.hand_over("lane");
    server.recorder.gate.add_permits(1000);
    assert_eq!(asking.await.unwrap(), Ok(vec![1].into()));
    assert_eq!(u16::from(close_frame(&mut client).await.code), 1012);
    eventually("nothing is left", || server.lanes.stats().lanes == 0).await;
    let events = server.recorder.events("lane");
    assert!(
        matches!(events[..], [Event::Accepted { .. }, Event::Message { .. }]),
        "{events:?}"
    );
    assert_eq!(
        server.recorder.events("other").len(),
        1,
        "another lane is not touched"
    );
}

/// Answers each call with what it says.
fn reply_to_calls(lanes: &lanes::Lanes, _: &str, events: &[Event]) -> Result<(), HandleError> {
    for event in events {
        if let Event::Message {
            call: Some(call),
            body,
        } = event
        {
            lanes.reply(call, body.clone()).unwrap();
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_message_to_a_lane_that_moved_is_handled_here_once_more() {
    let moves = Arc::new(AtomicUsize::new(0));
    let script = {
        let moves = Arc::clone(&moves);
        move |lanes: &lanes::Lanes, lane: &str, events: &[Event]| {
            let left = moves.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
            match left {
                Ok(_) => Err(HandleError::Moved),
                Err(_) => reply_to_calls(lanes, lane, events),
            }
        }
    };
    let server = server(Limits::default(), script).await;
    let ask = || {
        let limit = Duration::from_secs(600);
        server.lanes.ask("lane", vec![1].into(), limit)
    };
    moves.store(1, Ordering::SeqCst);
    assert_eq!(ask().await, Ok(vec![1].into()));
    assert_eq!(server.recorder.events("lane").len(), 2);
    // Not for ever.
    moves.store(2, Ordering::SeqCst);
    let answer = ask().await;
    assert!(matches!(answer, Err(LaneError::Failed(_))), "{answer:?}");
    assert_eq!(server.recorder.events("lane").len(), 4);
    assert_eq!(server.lanes.stats().failed_batches, 0);
}
