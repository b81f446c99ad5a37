//! The windows' machine against random histories: inputs in any order, stored seconds that grow, a
//! realtime path that takes seconds of its own, a network that breaks, resets, and processes that die
//! with their sockets and come back in the other mode.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::phase::Phase;
use super::tests_support::Windows;
use super::*;
use crate::machine::{Input as BridgeInput, step as step_bridge};

#[derive(Debug, Clone)]
enum Fate {
    Store(u32),
    /// The realtime path makes so many milliseconds final, if it runs.
    Realtime(u64),
    Run(bool),
    Flush,
    /// The service does what it owes.
    Answer,
    /// It does all that it owes for one window.
    Hear,
    /// One of the ways in which a connection breaks.
    Break(u8),
    /// A connection that was given up opens after all.
    LateOpen,
    /// A frame of a task that is over.
    LateFrame,
    Room(u32),
    Wait(u64),
    Reset,
    /// The process dies; the next one runs in this mode.
    Crash {
        realtime: bool,
    },
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => (1u32..16).prop_map(Fate::Store),
        4 => (1u64..20_000).prop_map(Fate::Realtime),
        4 => any::<bool>().prop_map(Fate::Run),
        2 => Just(Fate::Flush),
        8 => Just(Fate::Answer),
        6 => Just(Fate::Hear),
        2 => (0u8..5).prop_map(Fate::Break),
        1 => Just(Fate::LateOpen),
        1 => Just(Fate::LateFrame),
        2 => (0u32..60).prop_map(Fate::Room),
        4 => (1u64..40_000).prop_map(Fate::Wait),
        1 => Just(Fate::Reset),
        4 => any::<bool>().prop_map(|realtime| Fate::Crash { realtime }),
    ];
    proptest::collection::vec(fate, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn whatever_happens_seconds_are_heard_in_order_and_a_flush_leaves_none(
        realtime in any::<bool>(), fates in fates(),
    ) {
        let mut world = World::new(realtime);
        for fate in fates {
            world.suffer(fate);
        }
        world.settle();
    }
}

struct World {
    windows: Windows,
    /// Open sockets and their tasks.
    sockets: BTreeMap<String, String>,
    /// Tasks that were ordered to connect and did neither open nor fail.
    connecting: BTreeSet<String>,
    /// Tasks that are over.
    over: Vec<String>,
    /// Sent of the file in hand.
    sent: u32,
    finish_sent: bool,
    /// When the one timer rings.
    timer_at: Option<u64>,
    /// Seconds that windows of this life heard.
    heard: BTreeSet<u32>,
    /// Seconds that the realtime path made final in this life.
    by_realtime: BTreeSet<u32>,
    /// Asked by this process and not answered.
    asked: BTreeSet<String>,
    answers: Vec<Ran>,
    count: u32,
}

impl World {
    fn new(realtime: bool) -> World {
        let mut windows = Windows::new(0);
        windows.realtime = realtime;
        windows.settings.automatic = !realtime;
        World {
            windows,
            sockets: BTreeMap::new(),
            connecting: BTreeSet::new(),
            over: Vec::new(),
            sent: 0,
            finish_sent: false,
            timer_at: None,
            heard: BTreeSet::new(),
            by_realtime: BTreeSet::new(),
            asked: BTreeSet::new(),
            answers: Vec::new(),
            count: 0,
        }
    }

    fn name(&mut self, of: &str) -> String {
        self.count += 1;
        format!("{of}{}", self.count)
    }

    fn bridge(&mut self, input: BridgeInput) {
        // The realtime path itself is not under test: it is told what was stored, covered and reset.
        let settings = crate::Settings {
            enabled: false,
            ..self.windows.settings.service.clone()
        };
        let state = std::mem::take(&mut self.windows.bridge);
        let missing = Missing::default();
        let now = self.windows.now;
        (self.windows.bridge, _) = step_bridge(state, missing, &settings, now, 1, 0, [input]);
    }

    fn give(&mut self, mut inputs: Vec<Input>) {
        // As the lane does it: a socket that the host does not know is told first of all.
        let socket = self.windows.state.status().socket;
        if socket.is_some_and(|socket| !self.sockets.contains_key(&socket)) {
            inputs.push(Input::SendFailed("it is gone".into()));
        }
        let before = self.windows.state.clone();
        let actions = self.windows.give(inputs);
        self.take(&before, actions);
    }

    fn take(&mut self, before: &State, actions: Vec<Action>) {
        let mut last_end = before.last_end;
        for action in actions {
            match action {
                Action::Open { task, .. } => {
                    assert_eq!(self.sockets.len(), 0, "two tasks at once");
                    assert!(self.connecting.insert(task), "a task's name is used twice");
                    self.check_choice();
                }
                Action::SendText { socket, text } => {
                    assert!(self.sockets.contains_key(&socket), "a frame into no socket");
                    if text.contains("finish-task") {
                        let Phase::Finishing { task, .. } = &self.windows.state.phase else {
                            panic!("not finishing");
                        };
                        assert_eq!(self.sent, task.file_bytes(), "the file is not whole");
                        self.finish_sent = true;
                    } else {
                        assert!(text.contains("run-task"));
                        assert_eq!(self.sockets.len(), 1, "two tasks at once");
                        (self.sent, self.finish_sent) = (0, false);
                    }
                }
                Action::SendPiece {
                    socket,
                    first_byte,
                    bytes,
                    range,
                } => {
                    assert!(self.sockets.contains_key(&socket), "audio into no socket");
                    assert_eq!(first_byte, self.sent, "a hole in the file");
                    assert!(bytes > 0 && range.last <= self.windows.bridge.stored);
                    self.sent += bytes;
                    let room = self.windows.room * self.windows.settings.piece_bytes;
                    assert!(bytes <= room, "more than the socket takes");
                }
                Action::Close { socket } => {
                    // One that died is closed as well: the host knows it no more.
                    self.over.extend(self.sockets.remove(&socket));
                }
                Action::SetTimer(delay_ms) => {
                    assert!(delay_ms > 0);
                    self.timer_at = Some(self.windows.now + delay_ms);
                }
                Action::Window { range, .. } => {
                    self.check_window(last_end, range);
                    last_end = range.last;
                }
                Action::Ran(ran) => {
                    // Those of an old process are nobody's.
                    if self.asked.remove(&ran.id) {
                        self.answers.push(ran);
                    }
                }
                Action::Note(_) | Action::Failed { .. } => {}
            }
        }
        let task = self.windows.state.phase.task();
        assert!(
            self.sockets
                .values()
                .all(|of| task.is_some_and(|task| task.id == *of)),
            "a socket that nobody uses is open"
        );
    }

    fn check_window(&mut self, last_end: u32, range: Range) {
        let settings = &self.windows.settings;
        assert!(range.last > last_end, "ends rise");
        assert!(range.seconds() <= settings.window_seconds);
        assert!(range.first >= 1 && range.last <= self.windows.bridge.stored);
        for second in range.first..=range.last {
            assert!(
                !self.by_realtime.contains(&second),
                "{second} was heard in realtime already"
            );
        }
        if self.windows.realtime {
            let from = self.windows.bridge.from_ms;
            assert!(u64::from(range.last) * 1000 <= from, "it is realtime's");
        }
        // No second is stepped over, but those of the realtime path.
        for second in last_end + 1..range.first {
            assert!(self.is_heard(second), "{second} is left out");
        }
        if !self.windows.realtime {
            self.bridge(BridgeInput::Covered(range.last));
        }
        self.heard.extend(range.first..=range.last);
    }

    /// The window that is begun now is the next one by the rule.
    fn check_choice(&self) {
        let (cursor, from) = (self.windows.state.last_end, self.windows.state.from);
        let range = self.windows.state.phase.task().unwrap().range;
        let stretches = self.windows_stretches();
        let at = stretches.iter().position(|of| of.contains(range)).unwrap();
        let (stretch, later) = (stretches[at], stretches.len() > at + 1);
        let floor = stretch.first.max(from);
        let whole_end = (cursor + 3).max(floor + 9);
        assert_eq!(range.first, floor.max(whole_end - 9));
        if range.last != whole_end {
            assert!(range.last == stretch.last && range.last < whole_end);
            assert!(later || !self.windows.state.waiting.is_empty());
        }
    }

    fn windows_stretches(&self) -> Vec<Range> {
        let missing = Missing::default();
        stretch::for_windows(&self.windows.bridge, self.windows.realtime, missing)
    }

    fn is_heard(&self, second: u32) -> bool {
        self.heard.contains(&second) || self.by_realtime.contains(&second)
    }

    fn suffer(&mut self, fate: Fate) {
        match fate {
            Fate::Store(seconds) => {
                let seq = self.windows.bridge.stored + seconds;
                let arrived = self.windows.now;
                self.bridge(BridgeInput::Stored { seq, arrived });
                self.give(Vec::new());
            }
            Fate::Realtime(ms) => self.realtime(ms),
            Fate::Run(flush) => {
                let id = self.name("run");
                self.asked.insert(id.clone());
                self.give(vec![Input::Run { id, flush }]);
            }
            Fate::Flush => {
                let id = self.name("flush");
                self.asked.insert(id.clone());
                self.give(vec![Input::Flush(id)]);
            }
            Fate::Answer => self.answer(),
            Fate::Hear => (0..6).for_each(|_| self.answer()),
            Fate::Break(way) => self.break_connection(way),
            Fate::LateOpen => {
                let current = self.windows.task();
                let late = self.connecting.iter().find(|task| **task != current);
                if let Some(task) = late.cloned() {
                    self.open(task);
                }
            }
            Fate::LateFrame => {
                let current = self.windows.task();
                let task = self.over.last().filter(|task| **task != current);
                if let Some(task) = task.cloned() {
                    let text = json!({"header": {"event": "task-finished"}}).to_string();
                    let before = self.windows.state.last_end;
                    self.give(vec![Input::Text { task, text }]);
                    assert_eq!(self.windows.state.last_end, before);
                }
            }
            Fate::Room(room) => self.windows.room = room,
            Fate::Wait(ms) => self.wait(ms),
            Fate::Reset => {
                self.bridge(BridgeInput::Reset);
                self.give(vec![Input::Reset]);
                assert!(self.sockets.is_empty() && self.asked.is_empty());
                assert_eq!(self.windows.state, State::default());
                self.heard.clear();
                self.by_realtime.clear();
            }
            Fate::Crash { realtime } => {
                self.over
                    .extend(std::mem::take(&mut self.sockets).into_values());
                self.connecting.clear();
                self.asked.clear();
                self.timer_at = None;
                self.windows.realtime = realtime;
                self.windows.settings.automatic = !realtime;
            }
        }
    }

    /// Rings the timer where it is set.
    fn wait(&mut self, ms: u64) {
        let until = self.windows.now + ms;
        while let Some(at) = self.timer_at.filter(|at| *at <= until) {
            self.windows.now = at;
            self.timer_at = None;
            self.give(vec![Input::Timer]);
        }
        self.windows.now = until;
    }

    fn realtime(&mut self, ms: u64) {
        if !self.windows.realtime {
            return;
        }
        let bridge = &mut self.windows.bridge;
        let end = (bridge.final_ms + ms).min(u64::from(bridge.stored) * 1000);
        let whole = |ms: u64| u32::try_from(ms / 1000).unwrap();
        self.by_realtime
            .extend(whole(bridge.from_ms) + 1..=whole(end));
        bridge.final_ms = end;
        self.give(Vec::new());
    }

    fn open(&mut self, task: String) {
        self.connecting.remove(&task);
        let socket = self.name("s");
        self.sockets.insert(socket.clone(), task.clone());
        self.give(vec![Input::Opened { task, socket }]);
    }

    fn answer(&mut self) {
        let task = self.windows.task();
        let frame = match &self.windows.state.phase {
            Phase::Connecting { .. } => {
                // After a crash nobody connects any more.
                if self.connecting.contains(&task) {
                    self.open(task);
                }
                return;
            }
            Phase::Starting { .. } => json!({"header": {"event": "task-started"}}),
            Phase::Finishing { task, .. } if task.heard.is_empty() => {
                json!({"header": {"event": "result-generated"}, "payload": {"output":
                    {"sentence": {"begin_time": 0, "end_time": 9, "text": "words"}}}})
            }
            Phase::Finishing { .. } => json!({"header": {"event": "task-finished"}}),
            Phase::Sending { .. } => return self.wait(300),
            Phase::Idle | Phase::Waiting { .. } => return,
        };
        if self.sockets.values().any(|of| *of == task) {
            let text = frame.to_string();
            self.give(vec![Input::Text { task, text }]);
        }
    }

    fn break_connection(&mut self, way: u8) {
        let task = self.windows.task();
        if self.connecting.contains(&task) {
            if way < 3 {
                self.connecting.remove(&task);
                self.give(vec![Input::OpenFailed {
                    task,
                    status: Some(503),
                    reason: String::new(),
                }]);
            }
            return;
        }
        let Some(socket) = self.sockets.keys().next().cloned() else {
            return;
        };
        match way {
            0 | 1 => {
                self.sockets.remove(&socket);
                self.over.push(task.clone());
                self.give(vec![Input::Closed {
                    task,
                    code: 1006,
                    reason: String::new(),
                }]);
            }
            2 => {
                let text = json!({"header": {"event": "task-failed"}}).to_string();
                self.give(vec![Input::Text { task, text }]);
            }
            3 => self.give(vec![Input::SendFailed("slow".into())]),
            _ => {
                let text = json!({"header": {"event": "task-finished"}}).to_string();
                if !matches!(self.windows.state.phase, Phase::Finishing { .. }) {
                    self.give(vec![Input::Text { task, text }]);
                }
            }
        }
    }

    /// Nothing breaks any more: whoever asked is answered, and a flush covers everything.
    fn settle(&mut self) {
        self.windows.room = 100;
        for _ in 0..2 {
            // What an old process left may be in its way once.
            self.asked.insert("last".into());
            self.give(vec![Input::Flush("last".into())]);
            for _ in 0..2_000 {
                if self.asked.is_empty() {
                    break;
                }
                self.answer();
                self.wait(1_000);
            }
        }
        assert!(self.asked.is_empty(), "somebody waits for ever");
        let last = self.answers.last().unwrap();
        assert_eq!(
            (last.id.as_str(), &last.failed, last.at_end),
            ("last", &None, true)
        );
        let ours = match self.windows.realtime {
            true => u32::try_from(self.windows.bridge.from_ms / 1000).unwrap(),
            false => self.windows.bridge.stored,
        };
        let left = |range: &Range| range.first <= ours;
        let missing = Missing::default();
        let uncovered = uncovered(&self.windows.bridge, &self.windows.state, missing);
        assert!(!uncovered.iter().any(left), "{uncovered:?} of {ours}");
        for second in 1..=ours {
            assert!(self.is_heard(second), "{second} of {ours} was never heard");
        }
    }
}
