//! The realtime path against a service, a host and a clock that do anything: whatever comes, text is
//! made final in order and once, nothing is sent twice or into a socket that is gone, what waits is
//! answered, and the state stays small and survives its own JSON.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use funasr::{Action, Connection, Input, Missing, Settings, State, step};
use gateway_fuzz::service::Frame;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// The largest time that a clock is given: what JSON keeps exactly.
const LAST_MS: u64 = (1 << 53) - 1;

/// The last second that is stored: 45 days. A stream cannot get further than about 136 years.
const LAST_SECOND: u32 = 1 << 22;

/// What the stored state may take, in bytes: 180 arrivals, 256 ranges
/// of late seconds, 16 gaps, 16 flushes, one error text, one odd frame, one sentence, two names.
const MAX_STATE_BYTES: usize = 28 * 1024;

#[derive(Debug, Arbitrary)]
struct History<'a> {
    speed: f64,
    start_timeout_ms: u16,
    is_disabled: bool,
    begins_at: u32,
    steps: Vec<Step<'a>>,
}

#[derive(Debug, Arbitrary)]
struct Step<'a> {
    clock: Clock,
    room: Option<u8>,
    first: Happening<'a>,
    then: Option<Happening<'a>>,
    right: Option<Right>,
}

/// Afterwards host and service do what is right next: open, start, hear a sentence that begins a little
/// before what is final, finish. What the rest breaks into would seldom be reached without it.
#[derive(Debug, Arbitrary, Clone, Copy)]
struct Right {
    back: u8,
    length: u8,
}

#[derive(Debug, Arbitrary)]
enum Clock {
    Still,
    Tick(u8),
    Second,
    Wait(u16),
    Jump(u64),
    Back(u32),
}

#[derive(Debug, Arbitrary)]
enum Happening<'a> {
    Chunk,
    Chunks(u8),
    Skip(u8),
    /// One of the seconds that were skipped, the first or the last.
    Late(bool),
    Opened(Whose),
    Refused(Whose, Option<u16>, &'a str),
    Frame(Whose, Whose, Frame<'a>),
    Closed(Whose, u16, &'a str),
    Timer,
    SendFailed(&'a str),
    Gone,
    Flush,
    Reset,
    Covered(u16),
    Recovered(u16, u8),
}

/// Which task is meant.
#[derive(Debug, Arbitrary, Clone, Copy)]
enum Whose {
    Current,
    Older,
    Nobody,
}

#[derive(Default)]
struct World {
    state: State,
    now: u64,
    random: u64,
    tasks: Vec<String>,
    /// Open ones, with the task each was opened for.
    sockets: BTreeMap<String, String>,
    /// Tasks whose connections end with this step.
    gone: Vec<String>,
    opened: u32,
    stored: u32,
    /// Seconds before it that are not stored.
    missing: BTreeSet<u32>,
    timer: bool,
    waiting: BTreeSet<String>,
    flushes: u32,
    /// The end of the last sentence.
    heard_ms: u64,
    /// What was final before this step.
    final_ms: u64,
    /// The last second that went to the task, and which socket that was.
    last_sent: Option<(String, u32)>,
    /// The second with which the task's clock begins, once it got audio.
    base: u32,
}

fuzz_target!(|history: History<'_>| {
    let settings = Settings {
        enabled: !history.is_disabled,
        url: "ws://asr.test/".into(),
        api_key: "k".into(),
        model: "m".into(),
        start_timeout_ms: 1 + u64::from(history.start_timeout_ms),
        catch_up_speed: history.speed,
        task_prefix: "asr-realtime-teacher-".into(),
        vocabulary_id: None,
        language_hint: None,
        max_sentence_silence_ms: None,
        semantic_punctuation: None,
        wants_partials: true,
        notes_events: true,
    };
    let mut world = World {
        now: history.begins_at.into(),
        ..World::default()
    };
    for step in history.steps.iter().take(400) {
        world.step(&settings, step);
    }
});

impl World {
    fn step(&mut self, settings: &Settings, happens: &Step<'_>) {
        self.now = match happens.clock {
            Clock::Still => self.now,
            Clock::Tick(ms) => self.now + u64::from(ms),
            Clock::Second => self.now + 1000,
            Clock::Wait(ms) => self.now + u64::from(ms),
            Clock::Jump(to) => to,
            Clock::Back(ms) => self.now.saturating_sub(ms.into()),
        }
        .min(LAST_MS);
        let room = happens.room.map_or(64, u32::from);
        let inputs: Vec<Input> = [Some(&happens.first), happens.then.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|happening| self.inputs(happening))
            .collect();
        self.apply(settings, room, inputs);
        if let Some(right) = happens.right {
            let input = self.right(right);
            self.apply(settings, 64, vec![input]);
        }
    }

    fn apply(&mut self, settings: &Settings, room: u32, inputs: Vec<Input>) {
        self.random += 1;
        self.final_ms = self.state.status().final_ms;
        let state = std::mem::take(&mut self.state);
        let ranges = self.missing_ranges();
        let (missing, now) = (Missing::new(&ranges), self.now);
        let (state, actions) = step(state, missing, settings, now, self.random, room, inputs);
        self.state = round_trip(state);
        let after = self.state.status();

        assert!(after.final_ms >= self.final_ms, "final text was undone");
        assert!(
            after.final_ms <= u64::from(after.stored) * 1000,
            "text of audio that is not stored"
        );
        assert_eq!(after.stored, self.stored);
        assert!(after.sent <= after.stored);
        for action in actions {
            self.carry_out(action, settings, room);
        }
        for task in std::mem::take(&mut self.gone) {
            self.sockets.retain(|_, of| *of != task);
        }
        if let Some(socket) = &after.socket {
            self.is_open(socket);
        }
        let is_idle = after.connection == Connection::Disconnected;
        assert!(is_idle || self.timer, "nothing would wake it: {after:?}");
        assert!(
            !is_idle || self.waiting.is_empty(),
            "who waits for a flush is forgotten"
        );
    }

    fn missing_ranges(&self) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for &seq in &self.missing {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == seq => *last = seq,
                _ => ranges.push((seq, seq)),
            }
        }
        ranges
    }

    fn task(&self, whose: Whose) -> String {
        match whose {
            Whose::Current => self.tasks.last().cloned().unwrap_or_default(),
            Whose::Older => self.tasks.iter().rev().nth(1).cloned().unwrap_or_default(),
            Whose::Nobody => "nobody's".into(),
        }
    }

    fn store(&mut self, seconds: u32) -> Input {
        let before = self.stored;
        self.stored = (before + seconds).min(LAST_SECOND);
        self.missing.extend(before + 1..self.stored);
        Input::Stored {
            seq: self.stored,
            arrived: self.now,
        }
    }

    fn open(&mut self, whose: Whose) -> Input {
        self.opened += 1;
        let socket = format!("s{}", self.opened);
        let task = self.task(whose);
        self.sockets.insert(socket.clone(), task.clone());
        Input::Opened { task, socket }
    }

    fn right(&mut self, Right { back, length }: Right) -> Input {
        let status = self.state.status();
        let task = self.task(Whose::Current);
        let frame = match status.connection {
            Connection::Disconnected | Connection::Error => {
                self.now = status.retry_at.map_or(self.now, |at| at.max(self.now));
                self.timer = false;
                return Input::Timer;
            }
            Connection::Connecting if status.socket.is_none() => return self.open(Whose::Current),
            Connection::Connecting => json!({"header": {"event": "task-started"}}),
            Connection::Running => {
                let base_ms = u64::from(self.base.saturating_sub(1)) * 1000;
                let sent_ms = (u64::from(status.sent) * 1000).saturating_sub(base_ms);
                let final_ms = status.final_ms.saturating_sub(base_ms);
                let begin = final_ms.saturating_sub(u64::from(back) * 10);
                let end = (final_ms + 1 + u64::from(length) * 20).min(sent_ms);
                if final_ms >= sent_ms {
                    json!({"header": {"event": "task-finished"}})
                } else {
                    json!({"header": {"event": "result-generated"}, "payload": {"output":
                        {"sentence": {"begin_time": begin, "end_time": end, "text": "one two"}}}})
                }
            }
        };
        let text = frame.to_string();
        Input::Text { task, text }
    }

    fn inputs(&mut self, happening: &Happening<'_>) -> Vec<Input> {
        let input = match happening {
            Happening::Chunk => self.store(1),
            Happening::Chunks(count) => {
                return (0..*count).map(|_| self.store(1)).collect();
            }
            Happening::Skip(seconds) => self.store((*seconds).into()),
            Happening::Late(is_first) => {
                let seq = match is_first {
                    true => self.missing.pop_first(),
                    false => self.missing.pop_last(),
                };
                let Some(seq) = seq else { return Vec::new() };
                Input::Stored {
                    seq,
                    arrived: self.now,
                }
            }
            Happening::Opened(whose) => self.open(*whose),
            Happening::Refused(whose, status, reason) => Input::OpenFailed {
                task: self.task(*whose),
                status: *status,
                reason: (*reason).into(),
            },
            Happening::Frame(whose, named, frame) => {
                let named = match named {
                    Whose::Nobody => None,
                    whose => Some(self.task(*whose)),
                };
                Input::Text {
                    task: self.task(*whose),
                    text: frame.text(named.as_deref()),
                }
            }
            Happening::Closed(whose, code, reason) => {
                let task = self.task(*whose);
                self.gone.push(task.clone());
                Input::Closed {
                    task,
                    code: *code,
                    reason: (*reason).into(),
                }
            }
            Happening::Timer => {
                self.timer = false;
                Input::Timer
            }
            Happening::SendFailed(reason) => Input::SendFailed((*reason).into()),
            Happening::Gone => Input::Gone,
            Happening::Flush => {
                self.flushes += 1;
                let id = format!("f{}", self.flushes);
                self.waiting.insert(id.clone());
                Input::Flush(id)
            }
            Happening::Reset => Input::Reset,
            Happening::Covered(seq) => Input::Covered((*seq).into()),
            Happening::Recovered(first, more) => Input::Recovered {
                first: u32::from(*first) + 1,
                last: u32::from(*first) + 1 + u32::from(*more),
            },
        };
        vec![input]
    }

    fn carry_out(&mut self, action: Action, settings: &Settings, room: u32) {
        match action {
            Action::Open { task, .. } => {
                assert!(settings.enabled);
                assert!(!self.tasks.contains(&task), "a task's name came twice");
                self.tasks.push(task);
                self.last_sent = None;
            }
            Action::SendText { socket, .. } => self.is_open(&socket),
            Action::SendSeconds {
                socket,
                first,
                last,
                mute_ms,
            } => {
                self.is_open(&socket);
                assert!(first <= last && last <= self.stored, "{first}..={last}");
                assert!(last - first < room, "more than there is room for");
                let final_ms = self.state.status().final_ms;
                let first_ms = u64::from(first - 1) * 1000;
                assert!(first_ms + 1000 > final_ms, "a final second is sent again");
                // All of a second that came late and is partly final is muted: a window will hear it.
                let final_part = final_ms.saturating_sub(first_ms);
                let is_whole = final_part > 0 && mute_ms == 1000;
                assert!(u64::from(mute_ms) == final_part || is_whole, "{mute_ms} ms");
                if let Some((of, sent)) = &self.last_sent
                    && *of == socket
                {
                    assert_eq!(sent + 1, first, "a hole in the audio");
                }
                if self.last_sent.is_none() {
                    self.base = first;
                }
                self.last_sent = Some((socket, last));
            }
            Action::Close { socket } => {
                self.is_open(&socket);
                self.sockets.remove(&socket);
            }
            Action::SetTimer(delay_ms) => {
                assert!(delay_ms > 0);
                self.timer = true;
            }
            Action::Sentence(said) => {
                assert!(said.start_ms < said.end_ms, "an empty range: {said:?}");
                assert!(said.start_ms >= self.heard_ms, "ranges fall: {said:?}");
                assert!(said.end_ms <= self.state.status().final_ms);
                assert!(!said.text.trim().is_empty());
                self.heard_ms = said.end_ms;
            }
            Action::Partial { start_ms, text } => {
                assert!(start_ms >= self.final_ms, "a partial of final seconds");
                assert!(!text.trim().is_empty());
            }
            Action::Flushed { id, untranscribed } => {
                assert!(self.waiting.remove(&id), "a flush was answered twice");
                assert!(untranscribed <= self.stored);
            }
            // Lines for the log.
            _ => {}
        }
    }

    fn is_open(&self, socket: &str) {
        assert!(self.sockets.contains_key(socket), "{socket} is gone");
    }
}

fn round_trip(state: State) -> State {
    let document = serde_json::to_string(&state).expect("a state is written");
    assert!(
        document.len() <= MAX_STATE_BYTES,
        "{} bytes",
        document.len()
    );
    let read: State = serde_json::from_str(&document).expect("a state is read");
    assert_eq!(read, state);
    read
}
