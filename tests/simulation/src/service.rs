//! The ASR service, well-behaved or not. It hears content, not numbers: a sentence names the pieces of
//! content that could be heard, under the times of its task. It speaks the frames of the protocol.

use std::fmt::Write;

use crate::lane::{Payload, Second};
use crate::outbound::FromService;
use crate::world::{Happening, World};

/// The service fails a task that it hears nothing of for so long.
const NO_AUDIO_MS: u64 = 23_000;
const SECOND_MS: u64 = 1000;

/// What is never a final sentence; it must not be found in a transcript.
pub const NEVER_FINAL: &str = "NEVER-FINAL";

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connected,
    Starting,
    Running,
    Finishing,
    /// Failed, finished or closed by the service: what still comes is thrown away.
    Over,
}

/// One connection, seen from the service.
#[derive(Debug)]
pub struct Connection {
    task: String,
    stage: Stage,
    says_nothing: bool,
    heard: Vec<Second>,
    /// Before this time of the task all is said.
    said_ms: u64,
    next_end_ms: u64,
    said: Vec<String>,
}

impl Connection {
    fn heard_ms(&self) -> u64 {
        self.heard.len() as u64 * SECOND_MS
    }

    /// What can be heard between two times of the task.
    fn audible(&self, from: u64, to: u64) -> Vec<(Second, u64, u64)> {
        let mut pieces = Vec::new();
        for (index, second) in self.heard.iter().enumerate() {
            let begin = index as u64 * SECOND_MS;
            let first = from.max(begin + u64::from(second.muted_ms));
            let last = to.min(begin + SECOND_MS);
            if second.content.is_some_and(|content| content != SILENT) && first < last {
                pieces.push((*second, first - begin, last - begin));
            }
        }
        pieces
    }
}

/// The content of a second in which nobody speaks.
pub const SILENT: u32 = 0;

impl World {
    pub(crate) fn service_is_gone(&self) -> bool {
        !self.is_calm() && self.now() < self.service_gone_until
    }

    pub(crate) fn service_goes(&mut self, for_ms: u64) {
        self.service_gone_until = self.now() + for_ms;
        self.trace.reach("the service is gone");
        self.write(format_args!("the ASR service is gone for {for_ms} ms"));
        let sockets: Vec<u32> = self.connections.keys().copied().collect();
        for socket in sockets {
            self.service_closes(socket, 1012, "restarting");
        }
    }

    pub(crate) fn service_accepts(&mut self, socket: u32) {
        let connection = Connection {
            task: String::new(),
            stage: Stage::Connected,
            says_nothing: false,
            heard: Vec::new(),
            said_ms: 0,
            next_end_ms: 0,
            said: Vec::new(),
        };
        self.connections.insert(socket, connection);
    }

    /// A frame on its way to the host.
    fn say(&mut self, socket: u32, said: FromService) {
        let Some(outbound) = self.outbound.get_mut(&socket) else {
            return;
        };
        if outbound.is_half_open {
            return;
        }
        outbound.from_service.push_back(said);
        if outbound.from_service.len() == 1 {
            let after = self.delay(self.profile.delay_ms);
            self.later(after, Happening::FromService(socket));
        }
    }

    fn say_text(&mut self, socket: u32, text: String) {
        self.say(socket, FromService::Text(text));
    }

    fn service_closes(&mut self, socket: u32, code: u16, reason: &'static str) {
        if let Some(connection) = self.connections.get_mut(&socket) {
            connection.stage = Stage::Over;
            self.say(socket, FromService::Close(code, reason));
        }
    }

    fn task_fails(&mut self, socket: u32, code: &'static str) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        connection.stage = Stage::Over;
        let text = format!(
            r#"{{"header":{{"event":"task-failed","task_id":"{}","error_code":"{code}","error_message":"m"}},"payload":{{}}}}"#,
            connection.task
        );
        self.say_text(socket, text);
        self.say(socket, FromService::Close(1000, "failed"));
    }

    fn event(&mut self, socket: u32, event: &str) {
        if let Some(connection) = self.connections.get(&socket) {
            let text = format!(
                r#"{{"header":{{"event":"{event}","task_id":"{}"}},"payload":{{}}}}"#,
                connection.task
            );
            self.say_text(socket, text);
        }
    }

    pub(crate) fn service_reads(&mut self, socket: u32, payload: Payload) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        match (payload, connection.stage) {
            (_, Stage::Over) => {}
            (Payload::Text(text), Stage::Connected) if text.contains("run-task") => {
                connection.stage = Stage::Starting;
                connection.task = task_in(&text);
                self.service_is_asked_to_start(socket);
            }
            (Payload::Text(text), Stage::Running) if text.contains("finish-task") => {
                connection.stage = Stage::Finishing;
                self.service_is_asked_to_finish(socket);
            }
            (Payload::Audio(second), Stage::Running) => {
                connection.heard.push(second);
                self.service_hears(socket);
            }
            (payload, stage) => {
                self.violation(format!(
                    "the service gets {payload:?} while it is {stage:?}"
                ));
            }
        }
    }

    fn service_is_asked_to_start(&mut self, socket: u32) {
        let start = self.profile.start_pm;
        match self.pick(&start) {
            Some(0) => self.trace.reach("a task never starts"),
            Some(1) => {
                self.trace.reach("a task is closed before it starts");
                self.service_closes(socket, 1011, "busy");
            }
            Some(2) => {
                self.trace.reach("a task fails before it starts");
                self.task_fails(socket, "Busy");
            }
            Some(3) => {
                self.trace.reach("a task starts late");
                let after = self.between(5_000, 20_000);
                self.later(after, Happening::TaskStarts(socket));
            }
            _ => {
                let after = self.delay(300);
                self.later(after, Happening::TaskStarts(socket));
            }
        }
    }

    pub(crate) fn task_starts(&mut self, socket: u32) {
        let next_end_ms = self.sentence_ms();
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        if connection.stage != Stage::Starting {
            return;
        }
        connection.stage = Stage::Running;
        connection.next_end_ms = next_end_ms;
        self.garbage(socket);
        self.event(socket, "task-started");
        if self.chance(self.profile.says_pm[1]) {
            self.event(socket, "task-started");
        }
        self.later(NO_AUDIO_MS, Happening::HearsNothing(socket, 0));
    }

    pub(crate) fn hears_nothing(&mut self, socket: u32, heard: usize) {
        let Some(connection) = self.connections.get(&socket) else {
            return;
        };
        if connection.stage == Stage::Running && connection.heard.len() == heard {
            self.task_fails(socket, "NoAudio");
        }
    }

    fn service_hears(&mut self, socket: u32) {
        let hears = self.profile.hears_pm;
        match self.pick(&hears) {
            Some(0) => {
                self.trace.reach("a connection is closed in a task");
                self.service_closes(socket, 1006, "");
            }
            Some(1) => {
                self.trace.reach("a task fails");
                self.task_fails(socket, "Internal");
            }
            Some(2) => {
                self.trace.reach("a connection is half open");
                self.goes_half_open(socket);
            }
            Some(3) => {
                self.trace.reach("a service says nothing more");
                if let Some(connection) = self.connections.get_mut(&socket) {
                    connection.says_nothing = true;
                }
            }
            Some(4) => {
                self.trace.reach("a task is finished by the service");
                self.event(socket, "task-finished");
                if let Some(connection) = self.connections.get_mut(&socket) {
                    connection.stage = Stage::Over;
                    let task = connection.task.clone();
                    self.oracle.excuse(task);
                }
            }
            _ => {}
        }
        let heard = self
            .connections
            .get(&socket)
            .map_or(0, |connection| connection.heard.len());
        self.later(NO_AUDIO_MS, Happening::HearsNothing(socket, heard));
        let after = self.delay(self.profile.result_lag_ms);
        self.later(after, Happening::Recognises(socket));
    }

    /// How long the next sentence is.
    fn sentence_ms(&mut self) -> u64 {
        if self.is_heads() {
            self.between(1, 4) * SECOND_MS
        } else {
            self.between(150, 6_000)
        }
    }

    pub(crate) fn recognises(&mut self, socket: u32) {
        // Sometimes it waits for more before it is sure.
        let unsure_ms = self.below(2_500);
        loop {
            let length = self.sentence_ms();
            let Some(connection) = self.connections.get_mut(&socket) else {
                return;
            };
            let is_heard = connection.next_end_ms + unsure_ms <= connection.heard_ms();
            let speaks = matches!(connection.stage, Stage::Running | Stage::Finishing);
            if !speaks || !is_heard || connection.says_nothing {
                return;
            }
            let (from, to) = (connection.said_ms, connection.next_end_ms);
            connection.said_ms = to;
            connection.next_end_ms = to + length;
            if let Some(sentence) = self.sentence(socket, from, to) {
                self.say_partial(socket, from);
                self.say_sentence(socket, &sentence);
            }
        }
    }

    /// What it takes the sentence that begins there for, before it is sure.
    fn say_partial(&mut self, socket: u32, from: u64) {
        if !self.is_heads() {
            return;
        }
        if let Some(connection) = self.connections.get(&socket) {
            let sentence = format!(
                r#"{{"begin_time":{from},"end_time":null,"text":"{NEVER_FINAL}","sentence_end":false}}"#
            );
            let text = result(&connection.task, &sentence);
            self.say_text(socket, text);
        }
    }

    fn say_sentence(&mut self, socket: u32, sentence: &str) {
        let says = self.profile.says_pm;
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        let text = result(&connection.task, sentence);
        connection.said.push(text.clone());
        let earlier = connection.said.clone();
        self.say_text(socket, text);
        if self.chance(says[0]) {
            self.trace.reach("a final comes twice");
            let which = self.below(earlier.len() as u64) as usize;
            if let Some(text) = earlier.get(which) {
                self.say_text(socket, text.clone());
            }
        }
        self.garbage(socket);
        if self.chance(says[2]) {
            self.trace.reach("a frame names another task");
            let sentence = format!(
                r#"{{"begin_time":0,"end_time":900000,"text":"{NEVER_FINAL}","sentence_end":true}}"#
            );
            self.say_text(socket, result("another", &sentence));
        }
    }

    /// Something that means nothing.
    fn garbage(&mut self, socket: u32) {
        if !self.chance(self.profile.says_pm[1]) {
            return;
        }
        self.trace.reach("garbage");
        let Some(connection) = self.connections.get(&socket) else {
            return;
        };
        let task = connection.task.clone();
        let text = match self.below(6) {
            0 => "not JSON".to_owned(),
            1 => format!(
                r#"{{"header":{{"event":"weather","task_id":"{task}"}},"payload":{{"text":"{NEVER_FINAL}"}}}}"#
            ),
            2 => result(
                &task,
                &format!(
                    r#"{{"begin_time":9,"end_time":99,"text":"{NEVER_FINAL}","heartbeat":true,"sentence_end":true}}"#
                ),
            ),
            3 => result(
                &task,
                &format!(r#"{{"begin_time":0,"end_time":null,"text":"{NEVER_FINAL}"}}"#),
            ),
            4 => result(
                &task,
                &format!(
                    r#"{{"begin_time":8,"end_time":"NaN","text":"{NEVER_FINAL}","sentence_end":false}}"#
                ),
            ),
            _ => "[1,2]".to_owned(),
        };
        self.say_text(socket, text);
    }

    /// A sentence of what was heard between two times, if anything was.
    fn sentence(&mut self, socket: u32, from: u64, to: u64) -> Option<String> {
        let is_trimmed = self.is_heads();
        let is_flagged = self.is_heads();
        let end_is_unknown = self.chance(self.profile.says_pm[3]);
        let end_is_beyond = self.is_heads();
        let connection = self.connections.get(&socket)?;
        let pieces = connection.audible(from, to);
        let (first, last) = (pieces.first()?, pieces.last()?);
        let task_ms = |second: &Second, ms: u64| {
            let index = connection
                .heard
                .iter()
                .position(|one| one.seq == second.seq);
            index.unwrap_or(0) as u64 * SECOND_MS + ms
        };
        let (mut begin, mut end) = (from, to);
        if is_trimmed {
            begin = task_ms(&first.0, first.1);
            end = task_ms(&last.0, last.2);
        }
        let mut text = String::new();
        for (second, from, to) in &pieces {
            let content = second.content.unwrap_or(SILENT);
            // Writing into a String does not fail.
            let _ = write!(text, "{content}:{from}-{to} ");
        }
        let flag = if is_flagged || end_is_unknown {
            r#","sentence_end":true"#
        } else {
            ""
        };
        let end = match (end_is_unknown, end_is_beyond) {
            (false, _) => end.to_string(),
            (true, true) => "90000000".to_owned(),
            (true, false) => "null".to_owned(),
        };
        if end_is_unknown {
            self.trace.reach("a final without an end that can be");
        }
        Some(format!(
            r#"{{"begin_time":{begin},"end_time":{end},"text":"{}"{flag}}}"#,
            text.trim_end()
        ))
    }

    fn service_is_asked_to_finish(&mut self, socket: u32) {
        let finish = self.profile.finish_pm;
        let after = match self.pick(&finish) {
            Some(0) => {
                self.trace.reach("a finish is slow");
                self.between(3_000, 14_000)
            }
            Some(1) => {
                self.trace.reach("a finish is too slow");
                self.between(16_000, 40_000)
            }
            Some(2) => {
                self.trace
                    .reach("a connection is closed instead of a finish");
                return self.service_closes(socket, 1006, "");
            }
            Some(3) => {
                self.trace.reach("a task fails instead of a finish");
                return self.task_fails(socket, "Internal");
            }
            _ => self.delay(1_500),
        };
        self.later(after, Happening::TaskFinishes(socket));
    }

    pub(crate) fn task_finishes(&mut self, socket: u32) {
        loop {
            let length = self.sentence_ms();
            let Some(connection) = self.connections.get_mut(&socket) else {
                return;
            };
            if connection.stage != Stage::Finishing || connection.says_nothing {
                return;
            }
            let (from, heard_ms) = (connection.said_ms, connection.heard_ms());
            let to = connection.next_end_ms.min(heard_ms);
            connection.said_ms = to;
            connection.next_end_ms = to + length;
            let is_last = to >= heard_ms;
            let sentence = self.sentence(socket, from, to);
            if is_last {
                return self.say_finished(socket, sentence);
            }
            if let Some(sentence) = sentence {
                self.say_sentence(socket, &sentence);
            }
        }
    }

    fn say_finished(&mut self, socket: u32, last: Option<String>) {
        let in_the_end = self.is_heads();
        let mut payload = "{}".to_owned();
        if let Some(sentence) = last {
            if in_the_end {
                self.trace.reach("a text comes with task-finished");
                payload = format!(r#"{{"output":{{"sentence":{sentence}}}}}"#);
            } else {
                self.say_sentence(socket, &sentence);
            }
        }
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        connection.stage = Stage::Over;
        let text = format!(
            r#"{{"header":{{"event":"task-finished","task_id":"{}"}},"payload":{payload}}}"#,
            connection.task
        );
        self.trace.reach("a task finishes");
        self.say_text(socket, text);
        if self.chance(self.profile.closes_after_pm) {
            self.trace.reach("a connection is closed after the finish");
            self.say(socket, FromService::Close(1000, "bye"));
        }
    }
}

fn result(task: &str, sentence: &str) -> String {
    format!(
        r#"{{"header":{{"event":"result-generated","task_id":"{task}"}},"payload":{{"output":{{"sentence":{sentence}}}}}}}"#
    )
}

/// The task that a frame of ours names.
fn task_in(text: &str) -> String {
    let frame: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let task = frame["header"]["task_id"].as_str();
    task.unwrap_or_default().to_owned()
}
