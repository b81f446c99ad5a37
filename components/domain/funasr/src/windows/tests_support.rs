//! Settings, bridges and a small driver for the tests.

use super::*;

pub fn settings() -> WindowSettings {
    WindowSettings {
        service: crate::Settings {
            task_prefix: "asr-run-teacher-".into(),
            ..crate::machine::tests_support::settings()
        },
        timeout_ms: 30_000,
        window_seconds: 10,
        hop_seconds: 3,
        piece_bytes: 12_800,
        pacing_ms: 0,
        automatic: false,
    }
}

/// A realtime path that has `from_ms..final_ms` of so many stored seconds.
pub fn bridge(stored: u32, from_ms: u64, final_ms: u64) -> Bridge {
    Bridge {
        stored,
        from_ms,
        final_ms,
        ..Bridge::default()
    }
}

/// A stream's windows under test: keeps the state, counts the randomness up.
pub struct Windows {
    pub state: State,
    pub bridge: Bridge,
    pub realtime: bool,
    pub missing: Vec<(u32, u32)>,
    pub settings: WindowSettings,
    pub now: u64,
    pub random: u64,
    pub room: u32,
}

impl Windows {
    /// So many stored seconds, and no realtime path.
    pub fn new(stored: u32) -> Windows {
        Windows {
            state: State::default(),
            bridge: bridge(stored, 0, 0),
            realtime: false,
            missing: Vec::new(),
            settings: settings(),
            now: 1_000_000,
            random: 1,
            room: 1_000,
        }
    }

    pub fn give(&mut self, inputs: impl IntoIterator<Item = Input>) -> Vec<Action> {
        self.random += 1;
        // What is stored is what counts.
        let stored = serde_json::to_string(&self.state).unwrap_or_default();
        let state: State = serde_json::from_str(&stored).unwrap_or_default();
        assert_eq!(state, self.state);
        let (state, actions) = step(
            state,
            &self.bridge,
            self.realtime,
            Missing::new(&self.missing),
            &self.settings,
            self.now,
            self.random,
            self.room,
            inputs,
        );
        self.state = state;
        actions
    }

    pub fn look(&mut self) -> Vec<Action> {
        self.give([])
    }

    pub fn run(&mut self, id: &str, flush: bool) -> Vec<Action> {
        let id = id.into();
        self.give([Input::Run { id, flush }])
    }

    pub fn flush(&mut self, id: &str) -> Vec<Action> {
        self.give([Input::Flush(id.into())])
    }

    pub fn task(&self) -> String {
        let task = self.state.phase.task();
        task.map(|task| task.id.clone()).unwrap_or_default()
    }

    pub fn open(&mut self, socket: &str) -> Vec<Action> {
        let (task, socket) = (self.task(), socket.into());
        self.give([Input::Opened { task, socket }])
    }

    pub fn refuse(&mut self) -> Vec<Action> {
        let task = self.task();
        let reason = "down".into();
        self.give([Input::OpenFailed {
            task,
            status: None,
            reason,
        }])
    }

    /// Brings a connecting window to its file.
    pub fn start(&mut self, socket: &str) -> Vec<Action> {
        let mut actions = self.open(socket);
        actions.extend(self.event(&serde_json::json!({"header": {"event": "task-started"}})));
        actions
    }

    pub fn event(&mut self, frame: &serde_json::Value) -> Vec<Action> {
        let (task, text) = (self.task(), frame.to_string());
        self.give([Input::Text { task, text }])
    }

    pub fn sentence(&mut self, begin: u64, end: u64, text: &str) -> Vec<Action> {
        let frame = serde_json::json!({"header": {"event": "result-generated"}, "payload": {"output":
            {"sentence": {"begin_time": begin, "end_time": end, "text": text, "sentence_end": true}}}});
        self.event(&frame)
    }

    pub fn finished(&mut self) -> Vec<Action> {
        self.event(&serde_json::json!({"header": {"event": "task-finished"}}))
    }

    /// The whole of a window that is connecting.
    pub fn hear(&mut self, text: &str) -> Vec<Action> {
        let mut actions = self.start("s");
        if !text.is_empty() {
            actions.extend(self.sentence(0, 900, text));
        }
        actions.extend(self.finished());
        actions
    }
}

pub fn done(actions: &[Action]) -> Vec<(u32, u32, &str)> {
    let of = |action| match action {
        &Action::Window {
            range, ref text, ..
        } => Some((range.first, range.last, text.as_str())),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

pub fn ran(actions: &[Action]) -> Vec<Ran> {
    let of = |action: &Action| match action {
        Action::Ran(ran) => Some(ran.clone()),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

pub fn opens(actions: &[Action]) -> usize {
    let is_open = |action: &&Action| matches!(action, Action::Open { .. });
    actions.iter().filter(is_open).count()
}

/// The bytes that were sent.
pub fn pieces(actions: &[Action]) -> Vec<(u32, u32)> {
    let of = |action: &Action| match action {
        &Action::SendPiece {
            first_byte, bytes, ..
        } => Some((first_byte, bytes)),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

pub fn timer(actions: &[Action]) -> Option<u64> {
    let of = |action: &Action| match action {
        Action::SetTimer(delay_ms) => Some(*delay_ms),
        _ => None,
    };
    actions.iter().find_map(of)
}

pub fn closes(actions: &[Action]) -> usize {
    let is_close = |action: &&Action| matches!(action, Action::Close { .. });
    actions.iter().filter(is_close).count()
}
