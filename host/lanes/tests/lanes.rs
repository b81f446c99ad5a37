//! Batches, failures, timers, messages and calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{PATIENCE, close_frame, echo, eventually, next, server, text};
use futures::SinkExt;
use lanes::{Event, HandleError, LaneError, Limits, Observer, TimerError};
use tokio_tungstenite::tungstenite::Message;

fn failure() -> HandleError {
    HandleError::Failed("it traps".to_owned())
}

fn names(events: &[Event]) -> Vec<String> {
    let timers = events.iter().filter_map(|event| match event {
        Event::Timer { name } => Some(name.to_string()),
        _ => None,
    });
    timers.collect()
}

#[tokio::test]
async fn one_batch_at_a_time_in_a_lane_while_other_lanes_go_on() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    server.recorder.gate.forget_permits(1000);
    for number in 0..40u8 {
        server.lanes.post("a", vec![number].into()).unwrap();
        server.lanes.post("b", vec![number].into()).unwrap();
    }
    eventually("both lanes are at work", || {
        server.recorder.running.load(Ordering::SeqCst) == 2
    })
    .await;
    server.recorder.gate.add_permits(1000);
    eventually("all is handled", || server.lanes.stats().lanes == 0).await;
    for lane in ["a", "b"] {
        let bodies: Vec<_> = server
            .recorder
            .events(lane)
            .iter()
            .map(|event| match event {
                Event::Message { call: None, body } => body[0],
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(bodies, (0..40).collect::<Vec<u8>>());
    }
    for (_, events) in server.recorder.batches.lock().unwrap().iter() {
        assert!(events.len() <= Limits::default().batch_events);
    }
}

#[derive(Default)]
struct Waits(Mutex<Vec<Duration>>);

impl Observer for Waits {
    fn waited(&self, time: Duration) {
        self.0.lock().unwrap().push(time);
    }
}

#[tokio::test]
async fn how_long_batches_wait_is_told_and_how_much_waits_is_counted() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let waits = Arc::new(Waits::default());
    server
        .lanes
        .observe(Arc::clone(&waits) as Arc<dyn Observer>);
    server.recorder.gate.forget_permits(1000);
    let post = |lane| server.lanes.post(lane, vec![0].into()).unwrap();
    post("a");
    eventually("the first is at work", || {
        server.recorder.running.load(Ordering::SeqCst) == 1
    })
    .await;
    post("a");
    let posted = Instant::now();
    post("a");
    post("b");
    let stats = server.lanes.stats();
    assert_eq!((stats.queued_events, stats.longest_queue), (4, 3));
    let waited = posted.elapsed();
    server.recorder.gate.add_permits(1000);
    eventually("all is handled", || server.lanes.stats().lanes == 0).await;
    let waits = waits.0.lock().unwrap();
    assert_eq!(waits.len(), 3, "{waits:?}");
    assert!(waits.iter().any(|wait| *wait >= waited), "{waits:?}");
}

#[tokio::test]
async fn a_batch_that_fails_once_is_handled_again() {
    let failures = AtomicUsize::new(1);
    let server = server(Limits::default(), move |lanes, lane, events| {
        if events.iter().any(|event| text(event).contains(&"x".into()))
            && failures.swap(0, Ordering::SeqCst) == 1
        {
            return Err(failure());
        }
        echo(lanes, lane, events)
    })
    .await;
    let mut client = server.client().await;
    client.send(Message::text("x")).await.unwrap();
    assert_eq!(next(&mut client).await.unwrap(), Message::text("x"));
    let stats = server.lanes.stats();
    assert_eq!((stats.retries, stats.failed_batches), (1, 0));
}

#[tokio::test]
async fn a_batch_that_fails_twice_closes_its_sockets_and_fails_its_calls() {
    let limits = Limits {
        retry_first: PATIENCE,
        ..Limits::default()
    };
    let server = server(limits, |_, lane, events| {
        let bad = events.iter().any(|event| text(event).contains(&"x".into()));
        if bad || lane == "bad" {
            return Err(failure());
        }
        Ok(())
    })
    .await;
    let mut client = server.client().await;
    client.send(Message::text("x")).await.unwrap();
    let frame = close_frame(&mut client).await;
    assert_eq!(u16::from(frame.code), 1011);
    assert_eq!(
        frame.reason.as_str(),
        "the gateway could not handle this, reconnect and resend"
    );
    let answer = server.lanes.ask("bad", "question".into(), PATIENCE).await;
    assert!(matches!(answer, Err(LaneError::Failed(_))), "{answer:?}");
    // The lanes themselves go on.
    let mut client = server.client().await;
    client.send(Message::text("y")).await.unwrap();
    server
        .wait_for("y", |events| {
            events.iter().any(|event| text(event).contains(&"y".into()))
        })
        .await;
    eventually("the counters", || {
        let stats = server.lanes.stats();
        (stats.retries, stats.failed_batches) == (2, 2)
    })
    .await;
}

fn quick_retries(retries: u32) -> Limits {
    Limits {
        retry_first: Duration::from_millis(5),
        retry_cap: Duration::from_millis(20),
        retries,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_lane_whose_batch_is_given_up_is_told_to_look_again_until_it_succeeds() {
    // The message and two retries fail, each twice.
    let failures = AtomicUsize::new(6);
    let server = server(quick_retries(100), move |_, _, _| {
        let left = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() { Err(failure()) } else { Ok(()) }
    })
    .await;
    server.lanes.post("lane", "errand".into()).unwrap();
    eventually("the lane has nothing left", || {
        server.lanes.stats().lanes == 0
    })
    .await;
    let events = server.recorder.events("lane");
    let retries = |event: &&Event| **event == Event::Retry;
    assert_eq!(events.iter().filter(retries).count(), 5, "{events:?}");
    assert_eq!(events.len(), 7, "{events:?}");
    // It has begun anew: one more failure is the first one again.
    assert_eq!(server.lanes.stats().failed_batches, 3);
}

#[tokio::test]
async fn a_lane_whose_batches_always_fail_is_left_alone_in_the_end() {
    let server = server(quick_retries(3), |_, _, _| Err(failure())).await;
    server.lanes.post("lane", "errand".into()).unwrap();
    eventually("the lane has nothing left", || {
        server.lanes.stats().lanes == 0
    })
    .await;
    assert_eq!(server.lanes.stats().failed_batches, 4);
    assert_eq!(server.recorder.events("lane").len(), 8);
}

#[tokio::test]
async fn a_lane_that_was_handed_over_is_not_told_to_look_again() {
    let limits = Limits {
        retry_first: PATIENCE,
        ..Limits::default()
    };
    let server = server(limits, |_, _, _| Err(failure())).await;
    server.lanes.post("lane", "errand".into()).unwrap();
    eventually("it is given up", || {
        server.lanes.stats().failed_batches == 1
    })
    .await;
    server.lanes.hand_over("lane");
    eventually("the lane has nothing left", || {
        server.lanes.stats().lanes == 0
    })
    .await;
}

#[tokio::test]
async fn after_a_lost_frame_no_later_frame_of_the_socket_is_handled() {
    let server = server(Limits::default(), |_, _, events| {
        if events.iter().any(|event| text(event).contains(&"0".into())) {
            return Err(failure());
        }
        Ok(())
    })
    .await;
    server.recorder.gate.forget_permits(1000);
    let mut client = server.client().await;
    for number in 0..100 {
        client
            .send(Message::text(format!("{number}")))
            .await
            .unwrap();
    }
    eventually("all are queued", || server.lanes.stats().frames_in == 100).await;
    server.recorder.gate.add_permits(1000);
    assert_eq!(u16::from(close_frame(&mut client).await.code), 1011);
    server
        .wait_for("closed", |events| events.iter().any(common::is_closed))
        .await;
    // The batch that failed had some of them; the rest never comes.
    let most = Limits::default().batch_events;
    let seen: Vec<_> = server
        .recorder
        .events("lane")
        .iter()
        .flat_map(text)
        .collect();
    assert!(seen.len() <= 2 * most, "{seen:?}");
    eventually("no space leaks", || server.lanes.stats().lanes == 0).await;
}

#[tokio::test]
async fn a_mailbox_that_panics_has_failed() {
    let panics = AtomicUsize::new(0);
    let server = server(Limits::default(), move |_, _, _| {
        assert!(panics.fetch_add(1, Ordering::SeqCst) > 0, "a panic");
        Ok(())
    })
    .await;
    // The script runs inside `handle`, under the recorder's lock only while it records.
    server.lanes.post("lane", "x".into()).unwrap();
    eventually("it is handled again", || server.lanes.stats().batches == 1).await;
    assert_eq!(server.lanes.stats().retries, 1);
}

#[tokio::test]
async fn timers_fire_in_time_order_and_may_be_set_anew_or_cancelled() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let lanes = &server.lanes;
    let after = Duration::from_millis;
    lanes.set_timer("lane", "second", after(60)).unwrap();
    lanes.set_timer("lane", "first", after(30)).unwrap();
    lanes.set_timer("lane", "anew", after(1)).unwrap();
    lanes.set_timer("lane", "anew", after(90)).unwrap();
    lanes.set_timer("lane", "never", after(40)).unwrap();
    lanes.cancel_timer("lane", "never");
    lanes.cancel_timer("no such lane", "x");
    server
        .wait_for("three", |events| names(events).len() == 3)
        .await;
    let events = server.recorder.events("lane");
    assert_eq!(names(&events), ["first", "second", "anew"]);
    eventually("the lane is gone", || lanes.stats().lanes == 0).await;
}

#[tokio::test]
async fn timers_are_bounded_and_keep_a_lane_alive() {
    let limits = Limits {
        timers_per_lane: 2,
        lanes: 1,
        ..Limits::default()
    };
    let server = server(limits, |_, _, _| Ok(())).await;
    let (lanes, hour) = (&server.lanes, Duration::from_secs(3600));
    lanes.set_timer("lane", "a", hour).unwrap();
    lanes.set_timer("lane", "b", hour).unwrap();
    lanes.set_timer("lane", "b", hour).unwrap();
    assert_eq!(lanes.set_timer("lane", "c", hour), Err(TimerError::TooMany));
    assert_eq!(lanes.stats().timers, 2);
    // There may be only one lane.
    assert_eq!(
        lanes.set_timer("other", "a", hour),
        Err(TimerError::TooMany)
    );
    assert_eq!(lanes.post("other", "x".into()), Err(LaneError::Full));
    lanes.cancel_timer("lane", "a");
    lanes.cancel_timer("lane", "b");
    assert_eq!(lanes.stats().lanes, 0);
    lanes.post("other", "x".into()).unwrap();
}

#[tokio::test]
async fn a_timer_waits_for_space_in_a_full_lane() {
    let limits = Limits {
        queue_messages: 2,
        ..Limits::default()
    };
    let server = server(limits, |_, _, _| Ok(())).await;
    server.recorder.gate.forget_permits(1000);
    let lanes = &server.lanes;
    lanes.post("lane", "1".into()).unwrap();
    lanes.post("lane", "2".into()).unwrap();
    assert_eq!(lanes.post("lane", "3".into()), Err(LaneError::Full));
    lanes
        .set_timer("lane", "late", Duration::from_millis(1))
        .unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.recorder.gate.add_permits(1);
    server
        .wait_for("the timer", |events| names(events) == ["late"])
        .await;
}

#[tokio::test]
async fn a_call_is_answered_in_a_later_batch_or_times_out() {
    let waiting = Arc::new(std::sync::Mutex::new(None));
    let server = server(Limits::default(), move |lanes, _, events| {
        for event in events {
            match event {
                Event::Message {
                    call: Some(call),
                    body,
                } if body == "later" => *waiting.lock().unwrap() = Some(call.clone()),
                Event::Message { call: None, .. } => {
                    let call = waiting.lock().unwrap().take().unwrap();
                    lanes.reply(&call, "answer".into()).unwrap();
                    let again = lanes.reply(&call, "answer".into());
                    assert_eq!(again, Err(LaneError::UnknownCall));
                }
                _ => {}
            }
        }
        Ok(())
    })
    .await;
    let lanes = &server.lanes;
    let (answer, ()) = futures::join!(lanes.ask("lane", "later".into(), PATIENCE), async {
        eventually("it is asked", || lanes.stats().batches == 1).await;
        lanes.post("lane", "now".into()).unwrap();
    });
    assert_eq!(answer, Ok("answer".into()));
    let never = lanes.ask("lane", "never".into(), Duration::from_millis(20));
    assert_eq!(never.await, Err(LaneError::TimedOut));
    assert_eq!(lanes.stats().pending_calls, 0);
    let large = vec![0; Limits::default().body_bytes + 1];
    assert_eq!(lanes.post("lane", large.into()), Err(LaneError::TooLarge));
    assert_eq!(
        lanes.post(&"x".repeat(1000), "".into()),
        Err(LaneError::TooLarge)
    );
}

/// Lanes come and go under the hands of many posters: nothing is lost or put out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lanes_that_come_and_go_lose_nothing() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let posters = (0..4u8).map(|poster| {
        let lanes = server.lanes.clone();
        tokio::spawn(async move {
            for number in 0..500u32 {
                let lane = format!("{}", number % 3);
                let mut body = vec![poster];
                body.extend(number.to_be_bytes());
                while lanes.post(&lane, body.clone().into()).is_err() {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    for poster in posters.collect::<Vec<_>>() {
        poster.await.unwrap();
    }
    eventually("all is handled", || server.lanes.stats().lanes == 0).await;
    for lane in 0..3u32 {
        let mut of_poster = [const { Vec::new() }; 4];
        for event in server.recorder.events(&lane.to_string()) {
            let Event::Message { body, .. } = event else {
                panic!("{event:?}")
            };
            let number = u32::from_be_bytes(body[1..].try_into().unwrap());
            of_poster[usize::from(body[0])].push(number);
        }
        let expected: Vec<_> = (0..500).filter(|number| number % 3 == lane).collect();
        for numbers in of_poster {
            assert_eq!(numbers, expected);
        }
    }
}

#[tokio::test]
async fn a_batch_is_awaited_while_its_lane_has_a_socket_or_somebody_calls() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let unawaited = || server.recorder.unawaited.load(Ordering::SeqCst);
    server.lanes.post("alone", "x".into()).unwrap();
    eventually("a post to a lane without a socket is handled", || {
        server.recorder.events("alone").len() == 1
    })
    .await;
    assert_eq!(unawaited(), 1);

    let never_answered = server
        .lanes
        .ask("called", "x".into(), Duration::from_millis(1))
        .await;
    assert_eq!(never_answered, Err(LaneError::TimedOut));
    eventually("the call is handled", || {
        server.recorder.events("called").len() == 1
    })
    .await;

    let _client = server.client().await;
    server
        .wait_for("a client is accepted", |events| !events.is_empty())
        .await;
    assert_eq!(unawaited(), 1, "calls and clients are waited for");
}
