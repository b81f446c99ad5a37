//! Which stored seconds are left to windows, and which window comes next. Pure arithmetic on ranges.

use serde::{Deserialize, Serialize};

use super::settings::WindowSettings;
use super::{Bridge, State};
use crate::settings::MAX_SILENCE_SECONDS;
use crate::{Missing, SECOND_MS};

/// Seconds `first..=last` of a stream, from 1; not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first one.
    pub first: u32,
    /// The last one.
    pub last: u32,
}

impl Range {
    pub(super) fn new(first: u32, last: u32) -> Option<Range> {
        (first <= last).then_some(Range { first, last })
    }

    /// How many seconds.
    pub fn seconds(self) -> u32 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    pub(super) fn contains(self, other: Range) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub(super) fn holds(self, seq: u32) -> bool {
        self.first <= seq && seq <= self.last
    }
}

/// The seconds that are not the realtime path's, oldest first, without the missing ones where they are too
/// many in a row to send silence for.
pub fn for_windows(bridge: &Bridge, realtime: bool, missing: Missing<'_>) -> Vec<Range> {
    without(
        &not_realtime(bridge, realtime),
        missing,
        MAX_SILENCE_SECONDS,
    )
}

/// What is left of ranges when runs of more than so many missing seconds are taken out.
fn without(ranges: &[Range], missing: Missing<'_>, limit: u32) -> Vec<Range> {
    let split = |range: &Range| missing.split(range.first, range.last, limit);
    let pieces = ranges.iter().flat_map(split);
    pieces
        .filter_map(|(first, last)| Range::new(first, last))
        .collect()
}

/// While the realtime path runs everything from its first second on is its own; when it does not, only the
/// whole seconds that it made final are.
fn not_realtime(bridge: &Bridge, realtime: bool) -> Vec<Range> {
    let (from, until) = (whole(bridge.from_ms), whole(bridge.final_ms));
    let before = Range::new(1, bridge.stored.min(from));
    if realtime {
        return before.into_iter().collect();
    }
    if until <= from {
        return Range::new(1, bridge.stored).into_iter().collect();
    }
    let after = Range::new(until.saturating_add(1), bridge.stored);
    before.into_iter().chain(after).collect()
}

/// Stored seconds that neither path has covered, oldest first; those that came late are among them.
pub fn uncovered(bridge: &Bridge, windows: &State, missing: Missing<'_>) -> Vec<Range> {
    let done = windows.last_end.saturating_add(1);
    let ahead = not_realtime(bridge, false)
        .into_iter()
        .filter_map(|stretch| Range::new(stretch.first.max(done), stretch.last));
    let late = (bridge.late.ranges().chain(windows.late.ranges()))
        .filter_map(|(first, last)| Range::new(first, last));
    let mut all: Vec<Range> = ahead.chain(late).collect();
    all.sort_by_key(|range| range.first);
    let mut disjoint: Vec<Range> = Vec::new();
    for range in all {
        match disjoint.last_mut() {
            Some(before) if range.first <= before.last => before.last = before.last.max(range.last),
            _ => disjoint.push(range),
        }
    }
    without(&disjoint, missing, 0)
}

/// A window, and the first second that it and those after it may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    pub range: Range,
    pub from: u32,
    /// It is made of seconds that came late.
    pub is_late: bool,
}

/// The window after the cursor. Without `flush` a last, shorter one is given only where a whole one of a
/// later stretch follows: the stretch will not grow then, and the cursor must not step over seconds.
pub fn next_window(
    state: &State,
    stretches: &[Range],
    settings: &WindowSettings,
    flush: bool,
) -> Option<Next> {
    let (window, hop) = (settings.window(), settings.hop());
    let (mut cursor, mut from) = (state.last_end, state.from);
    // The first shorter one: the next, if a whole one follows.
    let mut shorter: Option<Next> = None;
    for stretch in stretches {
        // The realtime path forgets what it covered when windows go on after it; windows do not.
        let from_here = stretch.first.max(from);
        if cursor >= stretch.last || from_here > stretch.last {
            continue;
        }
        let whole_end = (cursor.saturating_add(hop)).max((from_here - 1).saturating_add(window));
        let last = whole_end.min(stretch.last);
        let next = Next {
            range: Range::new(from_here.max((whole_end - window).saturating_add(1)), last)?,
            from: from_here,
            is_late: false,
        };
        if flush || whole_end <= stretch.last {
            return shorter.or(Some(next));
        }
        shorter = shorter.or(Some(next));
        (cursor, from) = (stretch.last, from_here);
    }
    None
}

fn whole(ms: u64) -> u32 {
    u32::try_from(ms / SECOND_MS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::tests_support::{bridge, settings};
    use super::*;

    fn ranges(ranges: &[(u32, u32)]) -> Vec<Range> {
        let range = |&(first, last)| Range { first, last };
        ranges.iter().map(range).collect()
    }

    fn at(last_end: u32) -> State {
        State {
            last_end,
            ..State::default()
        }
    }

    /// Every window that is left, in order.
    fn all(mut state: State, stretches: &[(u32, u32)], flush: bool) -> Vec<(u32, u32)> {
        let stretches = ranges(stretches);
        let mut windows = Vec::new();
        while let Some(next) = next_window(&state, &stretches, &settings(), flush) {
            (state.last_end, state.from) = (next.range.last, next.from);
            windows.push((next.range.first, next.range.last));
        }
        windows
    }

    #[test]
    fn a_new_stream_has_windows_that_end_with_10_13_16() {
        assert_eq!(all(at(0), &[(1, 9)], false), []);
        assert_eq!(all(at(0), &[(1, 18)], false), [(1, 10), (4, 13), (7, 16)]);
        assert_eq!(
            all(at(0), &[(1, 18)], true),
            [(1, 10), (4, 13), (7, 16), (10, 18)]
        );
        assert_eq!(all(at(16), &[(1, 16)], true), []);
    }

    #[test]
    fn a_short_stream_is_one_window_when_it_is_flushed_and_is_heard_whole_when_it_grew() {
        assert_eq!(all(at(0), &[(1, 4)], true), [(1, 4)]);
        assert_eq!(all(at(4), &[(1, 13)], false), [(1, 10), (4, 13)]);
        // After a longer stream's last, shorter window the next one ends a hop later.
        assert_eq!(
            all(at(18), &[(1, 30)], false),
            [(12, 21), (15, 24), (18, 27), (21, 30)]
        );
    }

    #[test]
    fn what_lies_between_stretches_is_in_no_window() {
        assert_eq!(
            all(at(0), &[(1, 12), (31, 44)], true),
            [(1, 10), (4, 12), (31, 40), (34, 43), (37, 44)]
        );
        // The rest of the first one comes first: it will not grow, and the cursor is one number.
        assert_eq!(
            all(at(0), &[(1, 12), (31, 44)], false),
            [(1, 10), (4, 12), (31, 40), (34, 43)]
        );
        assert_eq!(all(at(0), &[(1, 12), (31, 39)], false), [(1, 10)]);
        assert_eq!(
            all(at(25), &[(1, 12), (31, 44)], false),
            [(31, 40), (34, 43)]
        );
    }

    #[test]
    fn windows_remember_where_they_began_when_the_realtime_path_forgets() {
        let state = State {
            last_end: 24,
            from: 21,
            ..State::default()
        };
        assert_eq!(all(state, &[(1, 34)], false), [(21, 30), (24, 33)]);
    }

    #[test]
    fn a_hop_longer_than_the_window_leaves_nothing_out() {
        let mut settings = settings();
        (settings.window_seconds, settings.hop_seconds) = (5, 9);
        let next = next_window(&at(5), &ranges(&[(1, 20)]), &settings, false).unwrap();
        assert_eq!(next.range, Range { first: 6, last: 10 });
        (settings.window_seconds, settings.hop_seconds) = (0, 0);
        let next = next_window(&at(5), &ranges(&[(1, 20)]), &settings, false).unwrap();
        assert_eq!(next.range, Range { first: 6, last: 6 });
    }

    #[test]
    fn the_last_seconds_that_there_can_be_do_not_overflow() {
        let stretch = [(u32::MAX - 3, u32::MAX)];
        assert_eq!(
            all(at(u32::MAX - 1), &stretch, true),
            [(u32::MAX - 3, u32::MAX)]
        );
    }

    #[test]
    fn realtime_keeps_what_is_its_own() {
        let of = |stored, from, until, realtime| {
            for_windows(&bridge(stored, from, until), realtime, Missing::default())
        };
        assert_eq!(of(40, 0, 0, false), ranges(&[(1, 40)]));
        assert_eq!(of(40, 0, 0, true), []);
        assert_eq!(of(40, 0, 25_400, false), ranges(&[(26, 40)]));
        assert_eq!(of(40, 30_000, 36_000, true), ranges(&[(1, 30)]));
        assert_eq!(of(40, 30_000, 36_000, false), ranges(&[(1, 30), (37, 40)]));
        // Nothing of its own between the two: one stretch.
        assert_eq!(of(40, 30_000, 30_000, false), ranges(&[(1, 40)]));
        assert_eq!(of(0, 0, 0, false), []);
    }

    #[test]
    fn uncovered_is_what_neither_path_has() {
        let of = |last_end| {
            uncovered(
                &bridge(40, 30_000, 36_000),
                &at(last_end),
                Missing::default(),
            )
        };
        assert_eq!(of(0), ranges(&[(1, 30), (37, 40)]));
        assert_eq!(of(13), ranges(&[(14, 30), (37, 40)]));
        assert_eq!(of(30), ranges(&[(37, 40)]));
        assert_eq!(of(38), ranges(&[(39, 40)]));
        assert_eq!(of(40), []);
    }
}
