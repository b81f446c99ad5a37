//! Backfill windows against the same service: whatever comes, windows lie in what is left to them and
//! move forward, each run and flush is answered once, and the state stays bounded and survives its own
//! JSON.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use funasr::windows::{Action, Input, Range, State, WindowSettings, step};
use funasr::{Connection, Missing, Settings, State as Bridge};
use gateway_fuzz::service::Frame;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// The largest time that a clock is given: what JSON keeps exactly.
const LAST_MS: u64 = (1 << 53) - 1;

/// What the stored state may take, in bytes: the text of a window is at most 64 KiB, and JSON may write
/// a character of it as six.
const MAX_STATE_BYTES: usize = 6 * 64 * 1024 + 64 * 1024;

#[derive(Debug, Arbitrary)]
struct History<'a> {
    window_seconds: u8,
    hop_seconds: u8,
    piece_bytes: u16,
    pacing_ms: u8,
    timeout_ms: u16,
    is_automatic: bool,
    realtime: bool,
    steps: Vec<Step<'a>>,
}

#[derive(Debug, Arbitrary)]
struct Step<'a> {
    after_ms: u16,
    room: u8,
    /// What changes of the stream's realtime path: seconds stored, and from where to where it is final.
    more: u8,
    final_to: Option<(u16, u16)>,
    happens: Option<Happening<'a>>,
    right: Option<Right>,
}

/// Afterwards host and service do what is right next, as in `asr_event`.
#[derive(Debug, Arbitrary, Clone, Copy)]
enum Right {
    Sentence(u16),
    End,
}

#[derive(Debug, Arbitrary)]
enum Happening<'a> {
    Opened(Whose),
    Refused(Whose, Option<u16>, &'a str),
    Frame(Whose, Whose, Frame<'a>),
    Closed(Whose, u16, &'a str),
    Timer,
    SendFailed(&'a str),
    Run { flush: bool },
    Flush,
    Late(u16),
    Reset,
    Disable,
}

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
    stored: u32,
    path: (u64, u64),
    tasks: Vec<String>,
    sockets: BTreeMap<String, String>,
    gone: Vec<String>,
    opened: u32,
    waiting: BTreeSet<String>,
    asked: u32,
    last_end: u32,
    /// Where the windows of this step end.
    done: BTreeSet<u32>,
    /// Bytes of the file that went to the socket.
    sent: BTreeMap<String, (Range, u32)>,
}

fuzz_target!(|history: History<'_>| {
    let mut settings = WindowSettings {
        service: Settings {
            enabled: true,
            url: "ws://asr.test/".into(),
            api_key: "k".into(),
            model: "m".into(),
            start_timeout_ms: 1,
            catch_up_speed: 1.0,
            task_prefix: "asr-window-teacher-".into(),
            vocabulary_id: None,
            language_hint: None,
            max_sentence_silence_ms: None,
            semantic_punctuation: None,
            wants_partials: false,
            notes_events: true,
        },
        timeout_ms: 1 + u64::from(history.timeout_ms),
        window_seconds: history.window_seconds.into(),
        hop_seconds: history.hop_seconds.into(),
        piece_bytes: history.piece_bytes.into(),
        pacing_ms: history.pacing_ms.into(),
        automatic: history.is_automatic,
    };
    let mut world = World::default();
    for step in history.steps.iter().take(400) {
        settings.service.enabled = !matches!(step.happens, Some(Happening::Disable));
        world.step(&settings, history.realtime, step);
    }
});

impl World {
    fn step(&mut self, settings: &WindowSettings, realtime: bool, happens: &Step<'_>) {
        self.now = (self.now + u64::from(happens.after_ms)).min(LAST_MS);
        self.stored += u32::from(happens.more);
        if let Some((from, until)) = happens.final_to {
            let end_ms = u64::from(self.stored) * 1000;
            let from_ms = (u64::from(from) * 1000).min(end_ms);
            self.path = (from_ms, (from_ms + u64::from(until) * 10).min(end_ms));
        }
        let input = happens.happens.as_ref().and_then(|it| self.input(it));
        self.apply(settings, realtime, happens.room.into(), input);
        if let Some(right) = happens.right {
            let input = self.right(right);
            self.apply(settings, realtime, 64, Some(input));
        }
    }

    fn apply(
        &mut self,
        settings: &WindowSettings,
        realtime: bool,
        room: u32,
        input: Option<Input>,
    ) {
        self.random += 1;
        let document = json!({"stored": self.stored, "from_ms": self.path.0,
            "final_ms": self.path.1});
        let bridge: Bridge = serde_json::from_value(document).expect("the realtime path's state");
        let was_reset = matches!(input, Some(Input::Reset));
        let state = std::mem::take(&mut self.state);
        let (state, actions) = step(
            state,
            &bridge,
            realtime,
            Missing::default(),
            settings,
            self.now,
            self.random,
            room,
            input,
        );
        self.state = round_trip(state);
        if was_reset {
            self.last_end = 0;
        }
        for action in actions {
            self.carry_out(action, settings);
        }
        for task in std::mem::take(&mut self.gone) {
            self.sockets.retain(|_, of| *of != task);
        }
        let status = self.state.status();
        if status.last_end != self.last_end {
            // A window of late seconds lies behind the cursor and moves nothing.
            assert!(status.last_end > self.last_end, "the cursor went back");
            assert!(self.done.contains(&status.last_end), "no window ends there");
            self.last_end = status.last_end;
        }
        self.done.clear();
        if let Some(socket) = &status.socket {
            self.is_open(socket);
        }
    }

    fn task(&self, whose: Whose) -> String {
        match whose {
            Whose::Current => self.tasks.last().cloned().unwrap_or_default(),
            Whose::Older => self.tasks.iter().rev().nth(1).cloned().unwrap_or_default(),
            Whose::Nobody => "nobody's".into(),
        }
    }

    fn open(&mut self, whose: Whose) -> Input {
        self.opened += 1;
        let socket = format!("s{}", self.opened);
        let task = self.task(whose);
        self.sockets.insert(socket.clone(), task.clone());
        Input::Opened { task, socket }
    }

    fn right(&mut self, right: Right) -> Input {
        let status = self.state.status();
        let frame = match (status.connection, right) {
            (Connection::Disconnected, _) => {
                let id = self.ask();
                return Input::Run { id, flush: true };
            }
            (Connection::Error, _) => {
                self.now = status.retry_at.map_or(self.now, |at| at.max(self.now));
                return Input::Timer;
            }
            (Connection::Connecting, _) if status.socket.is_none() => {
                return self.open(Whose::Current);
            }
            (Connection::Connecting, _) => json!({"header": {"event": "task-started"}}),
            (Connection::Running, Right::End) => json!({"header": {"event": "task-finished"}}),
            (Connection::Running, Right::Sentence(begin)) => {
                let end = u32::from(begin) + 500;
                json!({"header": {"event": "result-generated"}, "payload": {"output":
                    {"sentence": {"begin_time": begin, "end_time": end, "text": "one two"}}}})
            }
        };
        Input::Text {
            task: self.task(Whose::Current),
            text: frame.to_string(),
        }
    }

    fn ask(&mut self) -> String {
        self.asked += 1;
        let id = format!("r{}", self.asked);
        self.waiting.insert(id.clone());
        id
    }

    fn input(&mut self, happening: &Happening<'_>) -> Option<Input> {
        Some(match happening {
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
            Happening::Timer => Input::Timer,
            Happening::SendFailed(reason) => Input::SendFailed((*reason).into()),
            Happening::Run { flush } => Input::Run {
                id: self.ask(),
                flush: *flush,
            },
            Happening::Flush => Input::Flush(self.ask()),
            Happening::Late(seq) => Input::Late(u32::from(*seq).clamp(1, self.stored.max(1))),
            Happening::Reset => Input::Reset,
            Happening::Disable => return None,
        })
    }

    fn carry_out(&mut self, action: Action, settings: &WindowSettings) {
        match action {
            Action::Open { task, .. } => {
                assert!(settings.service.enabled);
                assert!(!self.tasks.contains(&task), "a task's name came twice");
                self.tasks.push(task);
            }
            Action::SendText { socket, .. } => self.is_open(&socket),
            Action::SendPiece {
                socket,
                range,
                first_byte,
                bytes,
            } => {
                self.is_open(&socket);
                assert!(bytes > 0);
                self.is_within(range);
                let sent = self.sent.entry(socket).or_insert((range, 0));
                assert_eq!(*sent, (range, first_byte), "a hole in the file");
                sent.1 += bytes;
            }
            Action::Close { socket } => {
                self.is_open(&socket);
                self.sockets.remove(&socket);
            }
            Action::SetTimer(delay_ms) => assert!(delay_ms > 0),
            Action::Window { range, text, .. } => {
                self.is_within(range);
                assert!(range.seconds() <= settings.window_seconds.max(1));
                assert!(text.len() <= 65 * 1024, "{} bytes of text", text.len());
                self.done.insert(range.last);
            }
            Action::Ran(ran) => {
                assert!(self.waiting.remove(&ran.id), "a run was answered twice");
                assert!(ran.generated <= ran.windows);
            }
            // Lines for the log.
            _ => {}
        }
    }

    fn is_within(&self, range: Range) {
        assert!(range.first >= 1 && range.first <= range.last, "{range:?}");
        assert!(range.last <= self.stored, "{range:?} of {}", self.stored);
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
