//! Settings and a small driver for the tests.

use std::collections::BTreeSet;

use super::*;

pub fn settings() -> Settings {
    Settings {
        enabled: true,
        url: "ws://asr.test/".into(),
        api_key: "k".into(),
        model: "m".into(),
        start_timeout_ms: 5_000,
        catch_up_speed: 4.0,
        task_prefix: "asr-realtime-teacher-".into(),
        vocabulary_id: None,
        language_hint: None,
        max_sentence_silence_ms: None,
        semantic_punctuation: None,
        wants_partials: false,
        notes_events: false,
    }
}

/// A stream under test: keeps the state, counts the randomness up.
pub struct Stream {
    pub state: State,
    pub settings: Settings,
    pub now: u64,
    pub random: u64,
    /// The seconds that are stored.
    pub stored: BTreeSet<u32>,
}

impl Stream {
    pub fn new() -> Stream {
        Stream {
            state: State::default(),
            settings: settings(),
            now: 1_000_000,
            random: 1,
            stored: BTreeSet::new(),
        }
    }

    pub fn give(&mut self, inputs: impl IntoIterator<Item = Input>) -> Vec<Action> {
        self.random += 1;
        let state = std::mem::take(&mut self.state);
        let inputs: Vec<Input> = inputs.into_iter().collect();
        self.stored
            .extend(inputs.iter().filter_map(|input| match input {
                Input::Stored { seq, .. } => Some(*seq),
                _ => None,
            }));
        let ranges = self.missing();
        let (settings, random) = (&self.settings, self.random);
        let missing = Missing::new(&ranges);
        let (state, actions) = step(state, missing, settings, self.now, random, 64, inputs);
        self.state = state;
        actions
    }

    /// The seconds before the last stored one that are not stored.
    pub fn missing(&self) -> Vec<(u32, u32)> {
        let mut ranges = Vec::new();
        let mut next = 1;
        for &seq in &self.stored {
            if next < seq {
                ranges.push((next, seq - 1));
            }
            next = seq + 1;
        }
        ranges
    }

    pub fn store(&mut self, seq: u32) -> Vec<Action> {
        let arrived = self.now;
        self.give([Input::Stored { seq, arrived }])
    }

    pub fn task(&self) -> String {
        self.state.phase.task().unwrap_or_default().to_owned()
    }

    /// Brings a connecting stream to a running task.
    pub fn start(&mut self, socket: &str) -> Vec<Action> {
        let task = self.task();
        self.give([Input::Opened {
            task: task.clone(),
            socket: socket.into(),
        }]);
        self.event(&serde_json::json!({"header": {"event": "task-started", "task_id": task}}))
    }

    pub fn event(&mut self, frame: &serde_json::Value) -> Vec<Action> {
        let task = self.task();
        self.give([Input::Text {
            task,
            text: frame.to_string(),
        }])
    }

    pub fn sentence(&mut self, begin: u64, end: u64, text: &str) -> Vec<Action> {
        let frame = serde_json::json!({"header": {"event": "result-generated", "task_id": self.task()},
            "payload": {"output": {"sentence":
                {"begin_time": begin, "end_time": end, "text": text, "sentence_end": true}}}});
        self.event(&frame)
    }

    pub fn partial(&mut self, begin: u64, text: &str) -> Vec<Action> {
        let frame = serde_json::json!({"header": {"event": "result-generated", "task_id": self.task()},
            "payload": {"output": {"sentence":
                {"begin_time": begin, "end_time": null, "text": text, "sentence_end": false}}}});
        self.event(&frame)
    }

    pub fn closed(&mut self) -> Vec<Action> {
        let task = self.task();
        self.give([Input::Closed {
            task,
            code: 1006,
            reason: String::new(),
        }])
    }

    pub fn finished(&mut self) -> Vec<Action> {
        let frame =
            serde_json::json!({"header": {"event": "task-finished", "task_id": self.task()}});
        self.event(&frame)
    }
}

/// Whether the task is told to finish.
pub fn is_finish(action: &Action) -> bool {
    matches!(action, Action::SendText { text, .. } if text.contains("finish-task"))
}

/// How many sockets are to be opened.
pub fn opens(actions: &[Action]) -> usize {
    let is_open = |action: &&Action| matches!(action, Action::Open { .. });
    actions.iter().filter(is_open).count()
}

/// A stream of so many stored seconds whose task has started.
pub fn running(last: u32) -> Stream {
    let mut stream = Stream::new();
    for seq in 1..=last {
        stream.store(seq);
    }
    stream.start("s1");
    stream
}

/// The seconds that are sent, as first, last and what of the first is silenced, in milliseconds.
pub fn sent(actions: &[Action]) -> Vec<(u32, u32, u32)> {
    let of = |action: &Action| match action {
        Action::SendSeconds {
            first,
            last,
            mute_ms,
            ..
        } => Some((*first, *last, *mute_ms)),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

/// The sentences with their times, in milliseconds.
pub fn sentences(actions: &[Action]) -> Vec<(u64, u64, &str)> {
    let of = |action| match action {
        &Action::Sentence(Sentence {
            start_ms,
            end_ms,
            ref text,
            ..
        }) => Some((start_ms, end_ms, text.as_str())),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}
