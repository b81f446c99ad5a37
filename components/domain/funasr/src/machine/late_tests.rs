//! Missing and late seconds: what is waited for, what is sent in its place, what is listed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::tests_support::{Stream, sent};
use super::*;
use crate::settings::{GAP_HOLD_MS, IDLE_FINISH_MS};

fn flushed(actions: &[Action]) -> Option<u32> {
    let of = |action: &Action| match action {
        Action::Flushed { untranscribed, .. } => Some(*untranscribed),
        _ => None,
    };
    actions.iter().find_map(of)
}

/// A running task that got `1..=last`.
fn running(last: u32) -> Stream {
    let mut stream = Stream::new();
    for seq in 1..=last {
        stream.store(seq);
    }
    stream.start("s1");
    stream
}

/// Second 4 is missing, and silence was sent for it.
fn passed() -> Stream {
    let mut stream = running(3);
    stream.store(5);
    stream.now += GAP_HOLD_MS;
    assert_eq!(sent(&stream.give([Input::Timer])), [(4, 5, 0)]);
    stream
}

fn replay(stream: &mut Stream) -> Vec<(u32, u32, u32)> {
    stream.closed();
    stream.now += 20_000;
    stream.give([Input::Timer]);
    sent(&stream.start("s2"))
}

#[test]
fn a_second_that_comes_a_little_late_goes_out_in_its_place() {
    let mut stream = running(3);
    assert!(sent(&stream.store(5)).is_empty());
    assert!(sent(&stream.store(6)).is_empty());
    stream.now += GAP_HOLD_MS - 1;
    assert!(sent(&stream.give([Input::Timer])).is_empty());
    assert_eq!(sent(&stream.store(4)), [(4, 6, 0)]);
    assert_eq!(stream.state.status().late, 0);
}

#[test]
fn a_second_that_does_not_come_is_silence_after_a_timer_not_after_a_chunk() {
    let mut stream = running(3);
    stream.now += 20;
    let came = stream.now;
    let actions = stream.store(5);
    assert!(
        actions.contains(&Action::SetTimer(GAP_HOLD_MS)),
        "{actions:?}"
    );
    stream.now = came + GAP_HOLD_MS;
    assert_eq!(sent(&stream.give([Input::Timer])), [(4, 5, 0)]);
}

#[test]
fn a_stream_without_a_gap_waits_for_nothing_and_several_seconds_may_come_at_once() {
    let mut stream = running(3);
    let arrived = stream.now;
    let batch = [4, 5, 6].map(|seq| Input::Stored { seq, arrived });
    assert_eq!(sent(&stream.give(batch)), [(4, 6, 0)]);
    // Nor one whose seconds came in another order, but together.
    let batch = [9, 7, 8].map(|seq| Input::Stored { seq, arrived });
    assert_eq!(sent(&stream.give(batch)), [(7, 9, 0)]);
}

#[test]
fn a_flush_ends_the_wait() {
    let mut stream = running(3);
    stream.store(5);
    let actions = stream.give([Input::Flush("f".into())]);
    assert_eq!(sent(&actions), [(4, 5, 0)]);
}

#[test]
fn a_gap_in_an_old_backlog_is_not_waited_for_again() {
    let mut stream = running(3);
    stream.store(5);
    assert_eq!(replay(&mut stream), [(1, 5, 0)]);
}

#[test]
fn a_second_that_came_after_its_silence_is_listed_and_told() {
    let mut stream = passed();
    let actions = stream.store(4);
    assert!(sent(&actions).is_empty());
    assert!(actions.iter().any(|a| matches!(a, Action::Note(_))));
    assert_eq!(stream.state.status().late, 1);
    stream.sentence(0, 5_000, "all");
    stream.give([Input::Flush("f".into())]);
    assert_eq!(flushed(&stream.finished()), Some(1));
    // A window hears it.
    stream.give([Input::Recovered { first: 4, last: 4 }]);
    assert_eq!(stream.state.status().late, 0);
    let actions = stream.give([Input::Flush("g".into())]);
    assert_eq!(flushed(&actions), Some(0));
}

#[test]
fn a_second_that_comes_when_its_silence_is_final_is_listed() {
    let mut stream = passed();
    stream.sentence(0, 5_000, "all");
    stream.now += IDLE_FINISH_MS;
    stream.give([Input::Timer]);
    stream.finished();
    stream.store(4);
    assert_eq!(stream.state.status().late, 1);
    assert_eq!(
        stream.state.untranscribed(),
        0,
        "nothing to open a task for"
    );
}

#[test]
fn a_late_second_that_is_sent_again_is_not_listed_any_more() {
    let mut stream = passed();
    stream.store(4);
    stream.sentence(0, 2_500, "one");
    assert_eq!(replay(&mut stream), [(3, 5, 500)]);
    assert_eq!(stream.state.status().late, 0);
}

#[test]
fn a_late_second_whose_silence_is_partly_final_is_not_heard_by_halves() {
    let mut stream = passed();
    stream.store(4);
    stream.sentence(0, 3_500, "one");
    assert_eq!(replay(&mut stream), [(4, 5, 1_000)]);
    assert_eq!(stream.state.status().late, 1);
}

#[test]
fn what_is_not_this_path_s_is_not_its_late_second() {
    let mut stream = passed();
    stream.give([Input::Reset]);
    stream.store(4);
    assert_eq!(stream.state.status().late, 0);
    // And one that was is forgotten with the transcript.
    let mut stream = passed();
    stream.store(4);
    stream.give([Input::Reset]);
    assert_eq!(stream.state.status().late, 0);
}

#[test]
fn a_client_that_sends_late_seconds_for_ever_opens_no_task_for_them() {
    let mut stream = running(1);
    let mut opens = 0;
    for seq in (3..600).step_by(2) {
        stream.store(seq);
        stream.now += GAP_HOLD_MS;
        stream.give([Input::Timer]);
        let actions = stream.store(seq - 1);
        opens += actions
            .iter()
            .filter(|a| matches!(a, Action::Open { .. }))
            .count();
        stream.sentence(0, u64::from(seq) * 1_000, "x");
    }
    assert_eq!(opens, 0);
    assert!(stream.state.status().late >= 299);
    let bytes = serde_json::to_string(&stream.state).unwrap().len();
    assert!(bytes < 16_384, "{bytes}");
}
