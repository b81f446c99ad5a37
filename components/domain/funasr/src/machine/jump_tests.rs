//! Many missing seconds in a row: no silence is sent for them, a new task begins after them, and what comes
//! of them later is listed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::tests_support::{Stream, is_finish, sentences};
use super::*;
use crate::phase::Phase;
use crate::settings::{GAP_HOLD_MS, MAX_SILENCE_SECONDS};

fn sent(actions: &[Action]) -> Vec<(u32, u32)> {
    let of = |action: &Action| match action {
        Action::SendSeconds { first, last, .. } => Some((*first, *last)),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

/// After the time in which a missing second is waited for.
fn later(stream: &mut Stream) -> Vec<Action> {
    stream.now += GAP_HOLD_MS;
    stream.give([Input::Timer])
}

/// A task that got the only second before this one.
fn jumped_to(seq: u32) -> Stream {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    stream.store(seq);
    stream
}

#[test]
fn an_hour_that_was_never_recorded_costs_nothing_and_the_clock_stays_true() {
    let mut stream = jumped_to(3602);
    let actions = later(&mut stream);
    assert_eq!(sent(&actions), []);
    assert!(actions.iter().any(is_finish), "{actions:?}");
    stream.sentence(0, 900, "one");
    stream.finished();
    assert_eq!(sent(&stream.start("s2")), [(3602, 3602)]);
    let actions = stream.sentence(100, 800, "two");
    assert_eq!(sentences(&actions), [(3_601_100, 3_601_800, "two")]);
}

#[test]
fn silence_is_sent_up_to_the_limit_and_no_further() {
    let mut stream = jumped_to(2 + MAX_SILENCE_SECONDS);
    let mut heard = sent(&later(&mut stream));
    heard.extend(sent(&later(&mut stream)));
    let [(2, before), (next, last)] = heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!((before + 1, last), (next, 2 + MAX_SILENCE_SECONDS));
    let mut stream = jumped_to(3 + MAX_SILENCE_SECONDS);
    let actions = later(&mut stream);
    assert!(sent(&actions).is_empty() && actions.iter().any(is_finish));
}

#[test]
fn several_jumps_in_a_row_are_a_task_each_and_a_flush_ends_them() {
    let mut stream = Stream::new();
    for seq in [1, 3602, 7203, 10_804, 14_405] {
        stream.store(seq);
    }
    stream.give([Input::Flush("f".into())]);
    let mut heard = Vec::new();
    for nth in 0..5 {
        heard.extend(sent(&stream.start(&format!("s{nth}"))));
        let actions = stream.finished();
        let is_answer = |a: &Action| {
            matches!(
                a,
                Action::Flushed {
                    untranscribed: 0,
                    ..
                }
            )
        };
        assert_eq!(actions.iter().any(is_answer), nth == 4, "{actions:?}");
    }
    let each = [1, 3602, 7203, 10_804, 14_405].map(|seq| (seq, seq));
    assert_eq!(heard, each);
    assert_eq!(stream.state.status().finished_tasks, 5);
}

#[test]
fn a_stream_that_begins_late_begins_with_its_first_second() {
    let mut stream = Stream::new();
    stream.store(500);
    assert_eq!(
        sent(&stream.start("s1")),
        [],
        "the ones before may come yet"
    );
    assert_eq!(sent(&later(&mut stream)), [(500, 500)]);
    // Nor is there silence before the first second of a task where little is missing.
    let mut stream = Stream::new();
    stream.store(4);
    stream.start("s1");
    assert_eq!(sent(&later(&mut stream)), [(4, 4)]);
    // What comes in time is sent in its place.
    let mut stream = Stream::new();
    stream.store(4);
    stream.start("s1");
    let arrived = stream.now;
    let actions = stream.give([2, 3].map(|seq| Input::Stored { seq, arrived }));
    assert_eq!(sent(&actions), []);
    assert_eq!(sent(&later(&mut stream)), [(2, 4)]);
}

#[test]
fn what_comes_of_a_jump_before_the_next_task_begins_is_heard_in_its_place() {
    let mut stream = jumped_to(100);
    later(&mut stream);
    stream.store(50);
    stream.finished();
    let actions = stream.start("s2");
    assert_eq!(sent(&actions), [(50, 50)]);
    assert_eq!(stream.state.status().late, 0);
    // A task more for the rest.
    assert!(actions.iter().any(is_finish));
    stream.finished();
    assert_eq!(sent(&stream.start("s3")), [(100, 100)]);
}

#[test]
fn what_comes_of_a_jump_afterwards_is_listed_and_told() {
    let mut stream = jumped_to(100);
    later(&mut stream);
    stream.finished();
    stream.start("s2");
    stream.store(50);
    stream.sentence(0, 1_000, "a hundred");
    stream.store(60);
    assert_eq!(stream.state.status().late, 2);
    stream.give([Input::Flush("f".into())]);
    let (id, untranscribed) = ("f".into(), 2);
    assert!(
        stream
            .finished()
            .contains(&Action::Flushed { id, untranscribed })
    );
}

#[test]
fn a_task_that_dies_before_a_jump_is_replayed_and_one_after_it_begins_there_again() {
    let mut stream = jumped_to(100);
    later(&mut stream);
    stream.closed();
    stream.now += 20_000;
    stream.give([Input::Timer]);
    assert_eq!(sent(&stream.start("s2")), [(1, 1)]);
    assert!(matches!(stream.state.phase, Phase::Finishing { .. }));
    stream.finished();
    assert_eq!(sent(&stream.start("s3")), [(100, 100)]);
    stream.closed();
    stream.now += 20_000;
    stream.give([Input::Timer]);
    assert_eq!(sent(&stream.start("s4")), [(100, 100)]);
}

#[test]
fn a_reset_and_what_windows_have_covered_leave_nothing_of_a_jump_to_send() {
    let mut stream = jumped_to(100);
    stream.give([Input::Reset]);
    stream.store(101);
    assert_eq!(sent(&stream.start("s2")), [(101, 101)]);
    let mut stream = jumped_to(100);
    stream.give([Input::Covered(40)]);
    stream.store(101);
    later(&mut stream);
    assert_eq!(sent(&stream.start("s2")), [(100, 101)]);
}

#[test]
fn a_record_that_contradicts_the_state_stalls_nothing() {
    let mut stream = jumped_to(100);
    let task = stream.task();
    let ranges = [(1, u32::MAX)];
    let state = std::mem::take(&mut stream.state);
    let text = serde_json::json!({"header": {"event": "task-finished"}}).to_string();
    let (state, _) = step(
        state,
        Missing::new(&ranges),
        &stream.settings,
        stream.now + GAP_HOLD_MS,
        9,
        64,
        [Input::Text { task, text }],
    );
    assert!(state.status().final_ms <= 100_000);
    assert!(state.status().sent <= 100);
}
