//! Reset and covered seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::tests_support::Stream;
use super::*;
use crate::phase::Connection;

fn sent(actions: &[Action]) -> Vec<(u32, u32)> {
    let of = |action: &Action| match action {
        Action::SendSeconds { first, last, .. } => Some((*first, *last)),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

fn close(socket: &str) -> Action {
    let socket = socket.into();
    Action::Close { socket }
}

#[test]
fn a_reset_gives_up_what_is_stored_and_goes_on_with_the_next_second() {
    let mut stream = Stream::new();
    for seq in 1..=3 {
        stream.store(seq);
    }
    stream.start("s1");
    stream.sentence(0, 1_500, "one");
    stream.give([Input::Flush("f".into())]);
    let actions = stream.give([Input::Reset]);
    let id = "f".into();
    let untranscribed = 0;
    assert_eq!(
        actions,
        [close("s1"), Action::Flushed { id, untranscribed }]
    );
    let status = stream.state.status();
    assert_eq!((status.from_ms, status.final_ms), (3_000, 3_000));
    assert_eq!(status.connection, Connection::Disconnected);
    stream.store(4);
    assert_eq!(sent(&stream.start("s2")), [(4, 4)]);
}

#[test]
fn a_reset_forgets_failures_and_the_pause_after_them() {
    let mut stream = Stream::new();
    stream.store(1);
    let task = stream.task();
    let reason = "down".into();
    let status = None;
    stream.give([Input::OpenFailed {
        task,
        status,
        reason,
    }]);
    stream.give([Input::Reset]);
    let status = stream.state.status();
    assert_eq!(
        (
            status.consecutive_failures,
            status.retry_at,
            status.last_error
        ),
        (0, None, None)
    );
    let actions = stream.store(2);
    assert!(matches!(&actions[0], Action::Open { .. }), "{actions:?}");
}

#[test]
fn a_reset_while_connecting_closes_the_socket_when_it_opens() {
    let mut stream = Stream::new();
    stream.store(1);
    let task = stream.task();
    assert!(stream.give([Input::Reset]).is_empty());
    let socket = "s1".into();
    let actions = stream.give([Input::Opened { task, socket }]);
    assert_eq!(actions, [close("s1")]);
    assert_eq!(stream.state.untranscribed(), 0);
}

#[test]
fn covered_seconds_are_not_sent() {
    let mut stream = Stream::new();
    stream.settings.enabled = false;
    for seq in 1..=9 {
        stream.store(seq);
    }
    stream.give([Input::Covered(6)]);
    // Neither a step back nor what is not stored counts.
    stream.give([Input::Covered(4)]);
    let status = stream.state.status();
    assert_eq!((status.from_ms, status.final_ms), (6_000, 6_000));
    stream.settings.enabled = true;
    stream.give([Input::Timer]);
    assert_eq!(sent(&stream.start("s1")), [(7, 9)]);
    let mut ahead = Stream::new();
    ahead.settings.enabled = false;
    ahead.store(2);
    ahead.give([Input::Covered(70)]);
    assert_eq!(ahead.state.status().final_ms, 2_000);
}

#[test]
fn what_realtime_made_final_itself_stays_its_own() {
    let mut stream = Stream::new();
    for seq in 1..=5 {
        stream.store(seq);
    }
    stream.start("s1");
    stream.sentence(0, 3_200, "one");
    stream.give([Input::Covered(3)]);
    let status = stream.state.status();
    assert_eq!((status.from_ms, status.final_ms), (0, 3_200));
}

#[test]
fn a_task_goes_on_when_what_it_was_sent_is_covered_and_ends_when_more_is() {
    let mut stream = Stream::new();
    for seq in 1..=5 {
        stream.store(seq);
    }
    stream.start("s1");
    assert!(!stream.give([Input::Covered(4)]).contains(&close("s1")));
    let actions = stream.sentence(0, 4_600, "late");
    let begins = |a: &Action| matches!(a, Action::Sentence(s) if s.start_ms == 4_000);
    assert!(actions.iter().any(begins), "{actions:?}");

    let mut slow = Stream::new();
    for seq in 1..=30 {
        slow.store(seq);
    }
    assert_eq!(sent(&slow.start("s1")), [(1, 10)]);
    let actions = slow.give([Input::Covered(20)]);
    assert!(actions.contains(&close("s1")), "{actions:?}");
    assert_eq!(slow.state.status().consecutive_failures, 0);
    slow.now += 10_000;
    assert_eq!(sent(&slow.start("s2")), [(21, 30)]);
}

/// Found by fuzzing: a record that has lost how much is stored.
#[test]
fn final_time_does_not_go_back_with_a_reset() {
    let mut stream = Stream::new();
    stream.state =
        serde_json::from_str(r#"{"final_ms":3500,"sent":9,"phase":{"at":"idle"}}"#).unwrap();
    stream.give([Input::Reset]);
    assert_eq!(stream.state.status().final_ms, 3_500);
}
