//! A recording that has ended: its task does not wait for what will not come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::tests_support::Stream;
use super::*;
use crate::phase::Connection;
use crate::settings::IDLE_FINISH_MS;

/// The seconds that are sent, and whether the task is finished after them.
fn sent(actions: &[Action]) -> (Vec<u32>, bool) {
    let mut seconds = Vec::new();
    let mut finished = false;
    for action in actions {
        match action {
            Action::SendSeconds { first, last, .. } => {
                assert!(!finished, "audio after the end: {actions:?}");
                seconds.extend(*first..=*last);
            }
            Action::SendText { text, .. } => finished |= text.contains("finish-task"),
            _ => {}
        }
    }
    (seconds, finished)
}

#[test]
fn its_task_is_finished_at_once() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    assert_eq!(sent(&stream.give([Input::Ended])), (vec![], true));
    stream.sentence(0, 800, "done");
    stream.finished();
    assert_eq!(
        stream.state.status().connection,
        Connection::Disconnected,
        "and no other is begun"
    );
    assert!(!stream.state.ended);
}

#[test]
fn its_backlog_is_sent_first() {
    let mut stream = Stream::new();
    for seq in 1..=30 {
        stream.store(seq);
    }
    stream.give([Input::Ended]);
    let (mut seconds, mut finished) = sent(&stream.start("s1"));
    while !finished {
        stream.now += 250;
        let (more, is_finished) = sent(&stream.give([Input::Timer]));
        seconds.extend(more);
        finished = is_finished;
    }
    assert_eq!(seconds, (1..=30).collect::<Vec<_>>());
    // 20 s after the burst, at four times real time.
    assert!(stream.now <= 1_000_000 + IDLE_FINISH_MS + 250);
}

#[test]
fn a_second_that_comes_all_the_same_takes_it_back() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.give([Input::Ended]);
    stream.store(2);
    assert_eq!(sent(&stream.start("s1")), (vec![1, 2], false));
    assert_eq!(sent(&stream.store(3)), (vec![3], false));
}

#[test]
fn a_missing_second_is_not_waited_for() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    assert_eq!(sent(&stream.store(3)), (vec![], false));
    assert_eq!(sent(&stream.give([Input::Ended])), (vec![2, 3], true));
}

#[test]
fn it_is_remembered_when_the_task_fails() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    stream.give([Input::Ended]);
    stream.closed();
    stream.now = stream.state.status().retry_at.unwrap();
    stream.give([Input::Timer]);
    assert_eq!(sent(&stream.start("s2")), (vec![1], true));
}

#[test]
fn of_one_that_never_was_nothing_is_left() {
    let mut stream = Stream::new();
    assert!(stream.give([Input::Ended]).is_empty());
    assert_eq!(stream.state, State::default());
}
