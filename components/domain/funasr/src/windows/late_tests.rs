//! Seconds that came late, and the windows that hear them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::tests_support::{Windows, bridge, done, opens, ran};
use super::*;

fn listed(windows: &Windows) -> Vec<(u32, u32)> {
    let ranges = uncovered(
        &windows.bridge,
        &windows.state,
        Missing::new(&windows.missing),
    );
    ranges
        .iter()
        .map(|range| (range.first, range.last))
        .collect()
}

/// A running realtime path that made so many seconds final, of which these came late.
fn realtime(seconds: u32, late: &[u32]) -> Windows {
    let mut windows = Windows::new(seconds);
    windows.realtime = true;
    windows.bridge = bridge(seconds, 0, u64::from(seconds) * 1_000);
    for seq in late {
        windows.bridge.late.insert(*seq);
    }
    windows
}

/// What the caller does with a window that is done.
fn recover(windows: &mut Windows, actions: &[Action]) {
    for (first, last, _) in done(actions) {
        windows.bridge.late.remove(first, last);
    }
}

#[test]
fn late_seconds_of_the_realtime_path_are_listed_until_a_run_has_heard_them() {
    let mut windows = realtime(40, &[7, 8, 20]);
    assert_eq!(listed(&windows), [(7, 8), (20, 20)]);
    windows.run("a", false);
    let actions = windows.hear("late");
    assert_eq!(done(&actions), [(7, 8, "late")]);
    let of = |id: &str, at_end| Ran {
        id: id.into(),
        windows: 1,
        generated: 1,
        at_end,
        failed: None,
    };
    assert_eq!(ran(&actions), [of("a", false)]);
    recover(&mut windows, &actions);
    windows.run("b", false);
    let actions = windows.hear("later");
    assert_eq!(done(&actions), [(20, 20, "later")]);
    assert_eq!(ran(&actions), [of("b", true)]);
    recover(&mut windows, &actions);
    assert_eq!(listed(&windows), []);
    assert_eq!(windows.state.status().last_end, 0, "no cursor has moved");
    let actions = windows.run("c", true);
    assert_eq!(ran(&actions)[0].windows, 0);
}

#[test]
fn many_late_seconds_are_heard_window_by_window_after_the_others() {
    let late: Vec<u32> = (51..=75).collect();
    let mut windows = realtime(90, &late);
    windows.bridge.from_ms = 12_000;
    windows.flush("f");
    let mut heard = Vec::new();
    while opens(&windows.look()) > 0 || windows.state.phase.task().is_some() {
        let actions = windows.hear("x");
        heard.extend(done(&actions).iter().map(|&(first, last, _)| (first, last)));
        recover(&mut windows, &actions);
        // The next window was begun in the step before the caller could tell the other path.
    }
    assert_eq!(heard, [(1, 10), (4, 12), (51, 60), (61, 70), (71, 75)]);
}

#[test]
fn a_late_second_that_the_realtime_path_may_yet_send_again_is_left_to_it() {
    let mut windows = realtime(40, &[39]);
    windows.bridge.final_ms = 38_500;
    assert_eq!(listed(&windows), [(39, 40)]);
    let actions = windows.run("a", true);
    assert_eq!(opens(&actions), 0);
}

#[test]
fn a_second_that_comes_behind_the_cursor_is_heard_in_a_window_of_its_own() {
    let mut windows = Windows::new(10);
    windows.run("a", false);
    windows.hear("x");
    // One before all windows to come, one that the next window hears, and one ahead of the cursor.
    windows.bridge = bridge(30, 0, 0);
    windows.give([Input::Late(2), Input::Late(5), Input::Late(22)]);
    assert_eq!(windows.state.status().late, 2);
    assert_eq!(listed(&windows), [(2, 2), (5, 5), (11, 30)]);
    let mut heard = Vec::new();
    windows.flush("f");
    while windows.state.phase.task().is_some() {
        heard.extend(done(&windows.hear("x")).iter().map(|&(f, l, _)| (f, l)));
    }
    let last = heard.last();
    assert_eq!(last, Some(&(2, 2)), "{heard:?}");
    assert!(!heard.contains(&(5, 5)), "{heard:?}");
    assert_eq!(listed(&windows), []);
}

#[test]
fn a_second_that_comes_while_its_window_is_heard_is_listed_after_it() {
    let mut windows = Windows::new(10);
    windows.run("a", false);
    windows.start("s");
    windows.give([Input::Late(5)]);
    windows.sentence(0, 900, "x");
    windows.finished();
    assert_eq!(listed(&windows), [(5, 5)]);

    // Begun again after a failure, the window hears it.
    let mut windows = Windows::new(10);
    windows.run("a", false);
    windows.start("s");
    windows.give([Input::Late(5)]);
    windows.give([Input::SendFailed("gone".into())]);
    assert_eq!(listed(&windows), [(1, 10)]);
    windows.run("b", false);
    windows.hear("x");
    assert_eq!(listed(&windows), []);
}

#[test]
fn a_late_window_that_fails_is_begun_again_and_keeps_its_seconds() {
    let mut windows = realtime(40, &[7]);
    windows.run("a", false);
    windows.start("s");
    windows.give([Input::SendFailed("gone".into())]);
    assert_eq!(listed(&windows), [(7, 7)]);
    windows.run("b", false);
    assert_eq!(done(&windows.hear("x")), [(7, 7, "x")]);
}

#[test]
fn the_windowed_mode_makes_up_for_late_seconds_by_itself() {
    let mut windows = Windows::new(10);
    windows.settings.automatic = true;
    windows.look();
    windows.hear("x");
    windows.give([Input::Late(5)]);
    assert_eq!(
        windows.state.phase.task().map(|task| task.range.first),
        Some(5)
    );
    windows.hear("late");
    assert_eq!(listed(&windows), []);
    assert_eq!(opens(&windows.look()), 0);
}

#[test]
fn a_reset_forgets_late_seconds() {
    let mut windows = Windows::new(10);
    windows.run("a", false);
    windows.hear("x");
    windows.give([Input::Late(5)]);
    windows.give([Input::Reset]);
    assert_eq!(windows.state.status().late, 0);
}

#[test]
fn a_clock_that_is_set_back_stalls_no_window() {
    let mut windows = Windows::new(10);
    windows.settings.automatic = true;
    windows.now = 10_000_000;
    windows.look();
    windows.refuse();
    windows.now -= 3_600_000;
    windows.look();
    windows.now += settings::RETRY_CAP_MS;
    assert_eq!(opens(&windows.give([Input::Timer])), 1);
    windows.now -= 3_600_000;
    windows.look();
    windows.now += windows.settings.timeout_ms;
    windows.give([Input::Timer]);
    assert_eq!(windows.state.status().consecutive_failures, 2);
}
