//! In which order entries of the streams' logs get their numbers: by the time at which they were
//! made, each log in its own order, an utterance before what is said about it.

use std::collections::VecDeque;

use interview_session::role::StreamRole;
use interview_session::time::EpochMs;
use serde::Deserialize;

use crate::entry::{EntryName, Log};
use crate::record::Span;

/// An entry with what the order and the partials need to know of it.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub name: EntryName,
    pub document: String,
    /// Of an utterance.
    pub span: Option<Span>,
    made_at: EpochMs,
    /// An utterance's own, or the one that an event is about.
    utterance_id: Option<String>,
}

/// The unnumbered entries of one log that were read, oldest first.
#[derive(Debug)]
pub(crate) struct Queue {
    pub role: StreamRole,
    pub log: Log,
    pub items: VecDeque<Item>,
    /// There are more, which were not read.
    pub goes_on: bool,
}

/// What is looked at in an utterance or an event. Anything else in its place says nothing.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Peek {
    created_at: Option<String>,
    ts: Option<String>,
    utterance_id: Option<String>,
    start_ms: Option<u64>,
    end_ms: Option<u64>,
}

impl Queue {
    /// Adds the log's next entry.
    pub fn push(&mut self, name: EntryName, document: String) {
        let peek: Peek = serde_json::from_str(&document).unwrap_or_default();
        let written = peek.created_at.or(peek.ts);
        let before = self.items.back().map_or(EpochMs(0), |item| item.made_at);
        // A log stays in its order when the clock stepped back or an entry has no time.
        let made_at = written
            .and_then(|text| EpochMs::parse_rfc3339(&text).ok())
            .unwrap_or_default()
            .max(before);
        let span = match (self.log, peek.start_ms, peek.end_ms) {
            (Log::Utterances, Some(start_ms), Some(end_ms)) => Some(Span { start_ms, end_ms }),
            _ => None,
        };
        self.items.push_back(Item {
            name,
            document,
            span,
            made_at,
            utterance_id: peek.utterance_id,
        });
    }
}

/// Puts in order as much as can be told: it ends where a log goes on that was not read further.
pub(crate) fn merge(mut queues: Vec<Queue>) -> Vec<Item> {
    let mut ordered = Vec::new();
    loop {
        if queues.iter().any(|q| q.items.is_empty() && q.goes_on) {
            return ordered;
        }
        let Some(at) = oldest(&queues) else {
            return ordered;
        };
        let at = own_utterance(&queues, at).unwrap_or(at);
        ordered.extend(queues.get_mut(at).and_then(|queue| queue.items.pop_front()));
    }
}

fn oldest(queues: &[Queue]) -> Option<usize> {
    let heads = queues
        .iter()
        .enumerate()
        .filter_map(|(at, queue)| Some((queue.items.front()?.made_at, queue.log, queue.role, at)));
    heads.min().map(|(.., at)| at)
}

/// The queue that still holds the utterance which the event at the head of queue `at` is about.
fn own_utterance(queues: &[Queue], at: usize) -> Option<usize> {
    let events = queues.get(at).filter(|queue| queue.log == Log::Events)?;
    let id = events.items.front()?.utterance_id.as_deref()?;
    queues.iter().position(|queue| {
        queue.log == Log::Utterances
            && queue.role == events.role
            && queue
                .items
                .iter()
                .any(|item| item.utterance_id.as_deref() == Some(id))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const MIXED: StreamRole = StreamRole::Mixed;
    const TEACHER: StreamRole = StreamRole::Teacher;

    fn queue(role: StreamRole, log: Log, goes_on: bool, documents: &[(u64, &str)]) -> Queue {
        let mut queue = Queue {
            role,
            log,
            items: VecDeque::new(),
            goes_on,
        };
        for (index, (ms, id)) in (0..).zip(documents) {
            let name = EntryName {
                role,
                log,
                life: 0,
                index,
            };
            let time = match log {
                Log::Utterances => "created_at",
                Log::Events => "ts",
            };
            let document = serde_json::json!({time: EpochMs(*ms).rfc3339(), "utterance_id": id});
            queue.push(name, document.to_string());
        }
        queue
    }

    fn order(queues: Vec<Queue>) -> Vec<(StreamRole, Log, u32)> {
        let items = merge(queues).into_iter();
        items
            .map(|item| (item.name.role, item.name.log, item.name.index))
            .collect()
    }

    #[test]
    fn by_time_an_utterance_before_its_event() {
        use Log::{Events, Utterances};
        assert_eq!(
            order(vec![
                queue(TEACHER, Events, false, &[(10, "a"), (20, "b")]),
                queue(TEACHER, Utterances, false, &[(10, "a"), (20, "b")]),
                queue(MIXED, Utterances, false, &[(15, "c"), (20, "d")]),
            ]),
            [
                (TEACHER, Utterances, 0),
                (TEACHER, Events, 0),
                (MIXED, Utterances, 0),
                (MIXED, Utterances, 1),
                (TEACHER, Utterances, 1),
                (TEACHER, Events, 1),
            ]
        );
    }

    #[test]
    fn a_clock_that_steps_back_changes_no_order_within_a_log() {
        use Log::{Events, Utterances};
        assert_eq!(
            order(vec![
                queue(TEACHER, Utterances, false, &[(50, "a"), (10, "b")]),
                queue(TEACHER, Events, false, &[(5, "b"), (6, "x")]),
                queue(MIXED, Utterances, false, &[(49, "c"), (51, "d")]),
            ]),
            [
                (TEACHER, Utterances, 0),
                (TEACHER, Utterances, 1),
                (TEACHER, Events, 0),
                (TEACHER, Events, 1),
                (MIXED, Utterances, 0),
                (MIXED, Utterances, 1),
            ]
        );
    }

    #[test]
    fn it_ends_where_a_log_was_not_read_further() {
        use Log::Utterances;
        assert_eq!(
            order(vec![
                queue(TEACHER, Utterances, true, &[(10, "a")]),
                queue(MIXED, Utterances, false, &[(9, "c"), (11, "d")]),
            ]),
            [(MIXED, Utterances, 0), (TEACHER, Utterances, 0)]
        );
        assert!(
            order(vec![
                queue(TEACHER, Utterances, true, &[]),
                queue(MIXED, Utterances, false, &[(9, "c")]),
            ])
            .is_empty()
        );
    }

    #[test]
    fn what_is_no_utterance_keeps_its_place() {
        let mut queue = queue(MIXED, Log::Utterances, false, &[(9, "c")]);
        for (index, document) in (1..).zip(["{", "[]", r#"{"created_at":5,"start_ms":-1}"#]) {
            let name = EntryName {
                role: MIXED,
                log: Log::Utterances,
                life: 0,
                index,
            };
            queue.push(name, document.into());
        }
        let indexes: Vec<_> = order(vec![queue]).into_iter().map(|(.., n)| n).collect();
        assert_eq!(indexes, [0, 1, 2, 3]);
    }
}
