//! The state machine against random histories: a service that hears every second exactly as it is
//! sent, and a network that breaks at random.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::tests_support::Stream;
use super::{Action, Input};

#[derive(Debug, Clone)]
enum Fate {
    Chunk,
    Skip,
    Answer,
    Break,
    Refuse,
    Wait(u64),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Chunk),
        1 => Just(Fate::Skip),
        4 => Just(Fate::Answer),
        1 => Just(Fate::Break),
        1 => Just(Fate::Refuse),
        3 => (1u64..8_000).prop_map(Fate::Wait),
    ];
    proptest::collection::vec(fate, 1..200)
}

proptest! {
    #[test]
    fn whatever_breaks_every_stored_second_is_final_once_and_in_order(fates in fates()) {
        let mut world = World::new();
        for fate in fates {
            world.suffer(fate);
        }
        world.settle();
        prop_assert_eq!(world.stream.state.untranscribed(), 0);
        // Every millisecond up to the end was heard as final exactly once, in order.
        let mut at = 0;
        for (start, end) in &world.finals {
            prop_assert_eq!(*start, at);
            at = *end;
        }
        prop_assert_eq!(at, u64::from(world.stored) * 1000);
    }
}

struct World {
    stream: Stream,
    stored: u32,
    /// Of the current task: its socket, and the second its audio begins with, once some was sent.
    socket: Option<String>,
    opening: bool,
    task_base: Option<u32>,
    heard_to: u32,
    answered_ms: u64,
    finishing: bool,
    sockets: u32,
    finals: Vec<(u64, u64)>,
}

impl World {
    fn new() -> World {
        World {
            stream: Stream::new(),
            stored: 0,
            socket: None,
            opening: false,
            task_base: None,
            heard_to: 0,
            answered_ms: 0,
            finishing: false,
            sockets: 0,
            finals: Vec::new(),
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
                    self.heard_to = last;
                }
                Action::SendText { text, .. } => self.finishing |= text.contains("finish-task"),
                Action::Close { socket } if self.socket.as_ref() == Some(&socket) => self.hang_up(),
                Action::Sentence(s) => self.finals.push((s.start_ms, s.end_ms)),
                _ => {}
            }
        }
    }

    fn hang_up(&mut self) {
        self.socket = None;
        self.task_base = None;
        self.finishing = false;
    }

    fn give(&mut self, input: Input) {
        let actions = self.stream.give([input]);
        self.take(actions);
    }

    fn suffer(&mut self, fate: Fate) {
        match fate {
            Fate::Chunk | Fate::Skip => {
                self.stored += if matches!(fate, Fate::Skip) { 2 } else { 1 };
                let (seq, arrived) = (self.stored, self.stream.now);
                self.give(Input::Stored { seq, arrived });
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
        for _ in 0..5_000 {
            if self.stream.state.untranscribed() == 0 {
                return;
            }
            self.stream.now += 700;
            self.give(Input::Timer);
            self.answer();
        }
    }
}
