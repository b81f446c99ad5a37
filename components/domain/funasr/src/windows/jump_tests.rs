//! Windows of a stream in which seconds are missing: many in a row are in no window and in no list.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests_support::{Windows, bridge, done, ran};
use super::*;
use crate::settings::MAX_SILENCE_SECONDS;

fn listed(windows: &Windows) -> Vec<(u32, u32)> {
    let missing = Missing::new(&windows.missing);
    let ranges = uncovered(&windows.bridge, &windows.state, missing);
    ranges
        .iter()
        .map(|range| (range.first, range.last))
        .collect()
}

/// The seconds and numbers of all windows that a flush makes.
fn flushed(windows: &mut Windows) -> Vec<(u32, u32)> {
    windows.flush("f");
    let mut heard = Vec::new();
    while windows.state.phase.task().is_some() {
        let actions = windows.hear("x");
        heard.extend(done(&actions).iter().map(|&(first, last, _)| (first, last)));
        for (first, last, _) in done(&actions) {
            windows.bridge.late.remove(first, last);
        }
    }
    heard
}

#[test]
fn an_hour_that_was_never_recorded_is_in_no_window_and_in_no_list() {
    let mut windows = Windows::new(3603);
    windows.missing = vec![(2, 3601)];
    assert_eq!(listed(&windows), [(1, 1), (3602, 3603)]);
    assert_eq!(flushed(&mut windows), [(1, 1), (3602, 3603)]);
    assert_eq!(listed(&windows), []);
}

#[test]
fn little_silence_is_within_a_window_and_is_not_listed() {
    let mut windows = Windows::new(12);
    windows.missing = vec![(4, 6)];
    assert_eq!(listed(&windows), [(1, 3), (7, 12)]);
    assert_eq!(flushed(&mut windows), [(1, 10), (4, 12)]);
    assert_eq!(listed(&windows), []);
}

#[test]
fn what_comes_of_a_jump_later_is_listed_and_heard() {
    let mut windows = Windows::new(100);
    windows.missing = vec![(11, 90)];
    flushed(&mut windows);
    windows.missing = vec![(11, 49), (51, 90)];
    windows.give([Input::Late(50)]);
    assert_eq!(listed(&windows), [(50, 50)]);
    assert_eq!(flushed(&mut windows), [(50, 50)]);
    assert_eq!(listed(&windows), []);
}

#[test]
fn what_comes_of_a_jump_while_the_window_behind_it_is_heard_is_not_stepped_over() {
    let mut windows = Windows::new(100);
    windows.missing = vec![(11, 90)];
    windows.flush("f");
    windows.hear("x");
    assert_eq!(windows.state.phase.task().unwrap().range.first, 91);
    windows.missing = vec![(11, 49), (51, 90)];
    windows.give([Input::Late(50)]);
    windows.hear("x");
    assert_eq!(
        windows.state.phase.task().unwrap().range,
        Range {
            first: 50,
            last: 50
        }
    );
    windows.hear("x");
    assert_eq!(listed(&windows), []);
    // The window behind it failed: it is ahead of the cursor, and heard in its turn.
    let mut windows = Windows::new(100);
    windows.missing = vec![(11, 90)];
    windows.flush("f");
    windows.hear("x");
    windows.missing = vec![(11, 49), (51, 90)];
    windows.give([Input::Late(50)]);
    windows.refuse();
    assert_eq!(flushed(&mut windows), [(50, 50), (91, 100)]);
    assert_eq!(listed(&windows), []);
}

#[test]
fn a_window_that_ends_like_one_before_it_has_a_number() {
    let numbers = |actions: &[Action]| {
        let of = |action: &Action| match action {
            Action::Window { range, number, .. } => Some((range.last, *number)),
            _ => None,
        };
        actions.iter().filter_map(of).collect::<Vec<_>>()
    };
    // Seconds 1 to 9 and 11, then the tenth.
    let mut windows = Windows::new(11);
    windows.missing = vec![(10, 10)];
    windows.flush("f");
    assert_eq!(numbers(&windows.hear("x")), [(10, None)]);
    assert_eq!(numbers(&windows.hear("x")), [(11, None)]);
    windows.missing = Vec::new();
    windows.give([Input::Late(10)]);
    windows.run("a", false);
    assert_eq!(numbers(&windows.hear("x")), [(10, Some(3))]);
    // A batch that is repeated gives the same one.
    windows.bridge = bridge(12, 0, 0);
    windows.give([Input::Late(9)]);
    windows.run("b", false);
    windows.start("s");
    let before = windows.state.clone();
    let first = numbers(&windows.finished());
    windows.state = before;
    assert_eq!(numbers(&windows.finished()), first);
    // A reset begins anew.
    windows.give([Input::Reset]);
    windows.flush("g");
    assert_eq!(numbers(&windows.hear("x")), [(10, None)]);
}

#[test]
fn a_connection_that_is_gone_is_no_failure_when_it_said_that_it_is_over() {
    let mut windows = Windows::new(10);
    windows.run("a", false);
    windows.start("s");
    assert!(ran(&windows.give([Input::Gone])).is_empty());
    windows.sentence(0, 900, "said");
    let actions = windows.finished();
    assert_eq!(done(&actions), [(1, 10, "said")]);
    assert_eq!(ran(&actions)[0].failed, None);
    // One that never says so is given up.
    let mut windows = Windows::new(10);
    windows.run("a", false);
    windows.start("s");
    windows.give([Input::Gone]);
    windows.now += crate::settings::GONE_WAIT_MS;
    assert!(ran(&windows.give([Input::Timer]))[0].failed.is_some());
}

proptest! {
    /// Whatever is missing: a flush hears every stored second, no missing one of a long run, and lists none.
    #[test]
    fn a_flush_hears_what_is_stored_and_nothing_else(
        runs in proptest::collection::vec((1u32..25, 1u32..40), 1..8), late in any::<prop::sample::Index>(),
    ) {
        let (mut at, mut missing) = (0, Vec::new());
        for (stored, skipped) in runs {
            missing.push((at + stored + 1, at + stored + skipped));
            at += stored + skipped;
        }
        let mut windows = Windows::new(at + 1);
        windows.missing = missing;
        let mut heard = flushed(&mut windows);
        // One of the missing seconds comes after all.
        let gone: Vec<u32> = windows.missing.iter().flat_map(|&(f, l)| f..=l).collect();
        let seq = *late.get(&gone);
        windows.missing = Missing::new(&windows.missing.clone())
            .split(1, windows.bridge.stored, 0)
            .into_iter()
            .flat_map(|(f, l)| f..=l)
            .chain([seq])
            .collect::<BTreeSet<u32>>()
            .into_iter()
            .fold((Vec::new(), 1), |(mut ranges, next), stored| {
                if next < stored {
                    ranges.push((next, stored - 1));
                }
                (ranges, stored + 1)
            })
            .0;
        windows.give([Input::Late(seq)]);
        heard.extend(flushed(&mut windows));
        let heard: BTreeSet<u32> = heard.into_iter().flat_map(|(f, l)| f..=l).collect();
        for second in 1..=windows.bridge.stored {
            let range = Missing::new(&windows.missing).range_of(second);
            match range {
                None => prop_assert!(heard.contains(&second), "{second} is stored and not heard"),
                Some((f, l)) if l - f + 1 > MAX_SILENCE_SECONDS => {
                    let was_short = gone.contains(&second) && heard.contains(&second);
                    // Before the late one came its run was as long or longer.
                    prop_assert!(!was_short, "{second} was never stored and is heard");
                }
                Some(_) => {}
            }
        }
        prop_assert_eq!(listed(&windows), []);
    }
}
