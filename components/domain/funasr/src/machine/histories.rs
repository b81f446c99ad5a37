//! The state machine against random histories: a service that hears every second exactly as it is
//! sent, a network that breaks at random, a client whose seconds come in any order or not at all, a clock
//! that is set, a process that dies, and windows that make up for what came late.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests_support::Stream;
use super::{Action, Input};
use crate::phase::Connection;
use crate::settings::MAX_SILENCE_SECONDS;

#[derive(Debug, Clone)]
enum Fate {
    Chunk,
    /// So many seconds are missing before the next one.
    Skip(u32),
    /// One of the missing seconds comes after all.
    Late(prop::sample::Index),
    /// A window hears the first late seconds.
    Recover,
    /// The recording ends in order; the next second begins it again.
    End,
    Answer,
    Break,
    Refuse,
    Wait(u64),
    /// The process dies with its sockets and timers.
    Crash,
    /// The clock is set, by an hour back or forth.
    SetClock(bool),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Chunk),
        1 => (1u32..4).prop_map(Fate::Skip),
        1 => (8u32..60).prop_map(Fate::Skip),
        2 => any::<prop::sample::Index>().prop_map(Fate::Late),
        1 => Just(Fate::Recover),
        1 => Just(Fate::End),
        4 => Just(Fate::Answer),
        1 => Just(Fate::Break),
        1 => Just(Fate::Refuse),
        3 => (1u64..8_000).prop_map(Fate::Wait),
        1 => Just(Fate::Crash),
        1 => any::<bool>().prop_map(Fate::SetClock),
    ];
    proptest::collection::vec(fate, 1..200)
}

proptest! {
    #[test]
    fn every_stored_second_is_final_once_and_in_order_or_is_listed_as_late(fates in fates()) {
        let mut world = World::new();
        for fate in fates {
            world.suffer(fate);
        }
        world.settle();
        prop_assert_eq!(world.stream.state.untranscribed(), 0);
        let mut at = 0;
        for (start, end) in &world.finals {
            prop_assert!(*start >= at && end > start);
            at = *end;
        }
        // Every millisecond of what is stored was heard exactly once, and nothing that is listed was.
        let late = &world.stream.state.late;
        for seq in &world.stored {
            let expected = if late.contains(*seq) { 0 } else { 1000 };
            prop_assert_eq!(world.heard.get(seq).copied().unwrap_or(0), expected, "second {}", seq);
        }
        prop_assert!(late.ranges().all(|(f, l)| (f..=l).all(|seq| world.stored.contains(&seq))));
        // A flush says how many are listed.
        let untranscribed = late.count();
        world.give(Input::Flush("f".into()));
        for _ in 0..100 {
            world.stream.now += 700;
            world.give(Input::Timer);
            world.answer();
        }
        prop_assert_eq!(world.flushed, Some(untranscribed));
        let status = world.stream.state.status();
        prop_assert_eq!(status.connection, Connection::Disconnected);
        prop_assert_eq!((status.last_error, status.consecutive_failures), (None, 0));
    }
}

/// A second as it was sent.
struct Sent {
    is_silence: bool,
    mute_ms: u64,
}

struct World {
    stream: Stream,
    stored: BTreeSet<u32>,
    /// Milliseconds of each second that became final as they were recorded.
    heard: BTreeMap<u32, u64>,
    /// Of the current task: its audio.
    audio: BTreeMap<u32, Sent>,
    /// Of the current task: its socket, and the second its audio begins with, once some was sent.
    socket: Option<String>,
    opening: bool,
    task_base: Option<u32>,
    heard_to: u32,
    answered_ms: u64,
    finishing: bool,
    sockets: u32,
    finals: Vec<(u64, u64)>,
    flushed: Option<u32>,
}

impl World {
    fn new() -> World {
        World {
            stream: Stream::new(),
            stored: BTreeSet::new(),
            heard: BTreeMap::new(),
            audio: BTreeMap::new(),
            socket: None,
            opening: false,
            task_base: None,
            heard_to: 0,
            answered_ms: 0,
            finishing: false,
            sockets: 0,
            finals: Vec::new(),
            flushed: None,
        }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Open { .. } => self.opening = true,
                Action::SendSeconds {
                    first,
                    last,
                    mute_ms,
                    ref socket,
                } => {
                    assert_eq!(
                        Some(socket),
                        self.socket.as_ref(),
                        "audio into a dead socket"
                    );
                    let base = *self.task_base.get_or_insert(first);
                    assert!(
                        first == base || first == self.heard_to + 1,
                        "a hole in the audio"
                    );
                    if first == base {
                        self.answered_ms = u64::from(mute_ms);
                    }
                    assert!(
                        first != base || self.stored.contains(&first),
                        "a task begins with silence"
                    );
                    for seq in first..=last {
                        let is_silence = !self.stored.contains(&seq);
                        let mute_ms = if seq == first { u64::from(mute_ms) } else { 0 };
                        let sent = Sent {
                            is_silence,
                            mute_ms,
                        };
                        self.audio.insert(seq, sent);
                        self.check_silence(seq);
                    }
                    self.heard_to = last;
                }
                Action::SendText { text, .. } => self.finishing |= text.contains("finish-task"),
                Action::Close { socket } if self.socket.as_ref() == Some(&socket) => self.hang_up(),
                Action::Flushed { untranscribed, .. } => self.flushed = Some(untranscribed),
                Action::Sentence(s) => self.hear(s.start_ms, s.end_ms),
                _ => {}
            }
        }
    }

    /// Silence that was sent up to this second is not longer than its limit.
    fn check_silence(&self, seq: u32) {
        let sent = self.audio.range(..=seq).rev();
        let in_a_row = sent.take_while(|(_, sent)| sent.is_silence).count();
        assert!(in_a_row <= MAX_SILENCE_SECONDS as usize, "{in_a_row} s");
    }

    fn hear(&mut self, start_ms: u64, end_ms: u64) {
        self.finals.push((start_ms, end_ms));
        for (seq, sent) in self.audio.iter().filter(|(_, sent)| !sent.is_silence) {
            let begin = u64::from(seq - 1) * 1000;
            let from = start_ms.max(begin + sent.mute_ms);
            let ms = end_ms.min(begin + 1000).saturating_sub(from);
            *self.heard.entry(*seq).or_default() += ms;
        }
    }

    fn last(&self) -> u32 {
        self.stored.last().copied().unwrap_or(0)
    }

    fn store(&mut self, seq: u32) {
        self.stored.insert(seq);
        let arrived = self.stream.now;
        self.give(Input::Stored { seq, arrived });
    }

    fn hang_up(&mut self) {
        self.socket = None;
        self.task_base = None;
        self.finishing = false;
        self.audio.clear();
    }

    fn give(&mut self, input: Input) {
        let actions = self.stream.give([input]);
        self.take(actions);
    }

    fn suffer(&mut self, fate: Fate) {
        match fate {
            Fate::Chunk => self.store(self.last() + 1),
            Fate::Skip(seconds) => self.store(self.last() + 1 + seconds),
            Fate::Late(which) => {
                let is_missing = |seq: &u32| !self.stored.contains(seq);
                let missing: Vec<u32> = (1..self.last()).filter(is_missing).collect();
                if !missing.is_empty() {
                    self.store(*which.get(&missing));
                }
            }
            Fate::Recover => {
                let late = self.stream.state.late_for_good();
                let first_range = late.ranges().next();
                if let Some((first, last)) = first_range {
                    for seq in first..=last {
                        *self.heard.entry(seq).or_default() += 1000;
                    }
                    self.give(Input::Recovered { first, last });
                }
            }
            Fate::End => self.give(Input::Ended),
            Fate::Crash => {
                self.hang_up();
                self.opening = false;
                self.give(Input::SendFailed("it is gone".into()));
            }
            Fate::SetClock(ahead) => {
                let now = self.stream.now;
                let hour = 3_600_000;
                self.stream.now = if ahead {
                    now + hour
                } else {
                    now.saturating_sub(hour)
                };
            }
            Fate::Answer => self.answer(),
            Fate::Break if self.socket.is_none() => {}
            Fate::Break => {
                let task = self.stream.task();
                self.hang_up();
                self.give(Input::Closed {
                    task,
                    code: 1006,
                    reason: String::new(),
                });
            }
            Fate::Refuse => {
                if std::mem::take(&mut self.opening) {
                    let task = self.stream.task();
                    self.give(Input::OpenFailed {
                        task,
                        status: None,
                        reason: "no".into(),
                    });
                }
            }
            Fate::Wait(ms) => {
                self.stream.now += ms;
                self.give(Input::Timer);
            }
        }
    }

    /// The service does the next thing it owes.
    fn answer(&mut self) {
        if std::mem::take(&mut self.opening) {
            self.sockets += 1;
            let socket = format!("s{}", self.sockets);
            self.socket = Some(socket.clone());
            let task = self.stream.task();
            self.give(Input::Opened { task, socket });
            let actions = self
                .stream
                .event(&serde_json::json!({"header": {"event": "task-started"}}));
            self.take(actions);
            return;
        }
        let Some(base) = self.task_base else {
            if self.finishing {
                let actions = self.stream.finished();
                self.take(actions);
            }
            return;
        };
        let heard_ms = u64::from(self.heard_to + 1 - base) * 1000;
        if self.answered_ms < heard_ms {
            // A sentence of odd length, at most what was heard.
            let end = (self.answered_ms + 1_700).min(heard_ms);
            let begin = self.answered_ms;
            self.answered_ms = end;
            let actions = self.stream.sentence(begin, end, "words");
            self.take(actions);
        } else if self.finishing {
            let actions = self.stream.finished();
            self.take(actions);
        }
    }

    /// Nothing breaks any more: everything must come to its end.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.stream.state.untranscribed() == 0 {
                return;
            }
            self.stream.now += 700;
            self.give(Input::Timer);
            self.answer();
        }
    }
}
