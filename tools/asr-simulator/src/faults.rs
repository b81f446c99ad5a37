//! How the simulator can be told to misbehave: the fault set as it stands in JSON, and its limits.
//! It only describes; [`crate::conversation`] does what is protocol, `server` what is sockets, and
//! [`crate::fault_control`] says whom a set applies to.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::garbage::Garbage;

/// The longest of any time of a fault set, in ms: ten minutes.
pub const MAX_FAULT_MS: u64 = 600_000;
/// The most tasks or connections that a fault set can be meant for.
pub const MAX_COUNT: u32 = 1_000_000;

/// What to do wrong. Everything is off by default; in JSON what is off is left out, and an unknown
/// field is an error.
///
/// A set with neither `connections` nor `tasks` applies to everything until it is replaced, also to
/// connections and tasks that are there already: from their next frame on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Only the next so many connections (WebSocket handshakes, refused ones count); then the set
    /// clears itself. They keep it as long as they last or until another set is made. At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Only so many tasks, then the set clears itself: those that begin, and, unless the fault is
    /// one of the beginning of a task, those that are running, at their next frame. At least 1; not
    /// together with `connections`, nor with what refuses a handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u32>,

    /// Handshakes are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse: Option<Refusal>,
    /// Handshakes are answered 401, whatever the key.
    #[serde(skip_serializing_if = "is_off")]
    pub unauthorized: bool,

    /// `run-task` is answered by closing, as `close_with` says; no `task-started`.
    #[serde(skip_serializing_if = "is_off")]
    pub close_before_start: bool,
    /// `run-task` is not answered, nor anything after it; pings are. The connection stays until the
    /// client closes it, at most [`crate::conversation::MAX_MUTE`].
    #[serde(skip_serializing_if = "is_off")]
    pub never_start: bool,

    /// The connection is closed, as `close_with` says, when the task has this many seconds of audio
    /// or more; what was heard by then is reported before. 0: with the first audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_after_seconds: Option<u32>,
    /// How `close_before_start` and `close_after_seconds` close.
    #[serde(skip_serializing_if = "CloseWith::is_default")]
    pub close_with: CloseWith,
    /// As `close_after_seconds`, but the task fails: `task-failed`, then the connection is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_after_seconds: Option<u32>,
    /// When the task has this many seconds of audio or more, the simulator goes on reading and says
    /// nothing any more, not even a pong, until the client closes the TCP connection, at most
    /// [`crate::MAX_HALF_OPEN`]. What it reads then is not logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_open_after_seconds: Option<u32>,

    /// Results are sent so much later, in ms, in their order; audio is taken meanwhile.
    /// `task-finished` comes after them; what is still late when a task fails or a connection breaks
    /// off is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_results_ms: Option<u64>,
    /// Every final sentence is sent twice, the same frame. (The same text with other times is
    /// another sentence; a client gets one by sending the same marked second again.)
    #[serde(skip_serializing_if = "is_off")]
    pub duplicate_finals: bool,
    /// Garbage before results: before a task's first one all of these kinds, then one before each.
    /// In JSON a list of kinds, or `true` for all.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "kinds_of_garbage"
    )]
    pub garbage: Vec<Garbage>,
    /// So long, in ms, nothing is read after each text or audio frame of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_read_ms: Option<u64>,
    /// `task-finished` comes so long after `finish-task`, in ms. The last results come meanwhile,
    /// word by word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_flush_ms: Option<u64>,

    /// When a task fails, by this or any other fault, or finishes, the connection is not read any
    /// more and not closed for this long, in ms; half-way a stale final of the old task is sent:
    /// of what it had heard and not yet reported, or else its last one again. Also how late the
    /// client's own close is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_close_ms: Option<u64>,
}

/// How a handshake is refused. In JSON a number or a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Refusal {
    /// With this HTTP status, 400 to 599.
    Status(u16),
    /// `"drop"`: the connection is closed without an answer.
    Word(RefusalWord),
}

impl Refusal {
    /// The connection is closed without an answer.
    pub const DROP: Self = Self::Word(RefusalWord::Drop);
}

/// The refusals that are no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalWord {
    /// The TCP connection is closed without an answer.
    Drop,
}

/// How a connection is broken off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseWith {
    /// A close frame with code 1011.
    #[default]
    InternalError,
    /// TCP reset, nothing said.
    Reset,
}

impl CloseWith {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

// What serde asks for takes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_off(value: &bool) -> bool {
    !value
}

fn kinds_of_garbage<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Garbage>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "true, or a list of kinds of garbage")]
    enum Kinds {
        All(bool),
        List(Vec<Garbage>),
    }
    Ok(match Kinds::deserialize(input)? {
        Kinds::All(true) => Garbage::ALL.to_vec(),
        Kinds::All(false) => Vec::new(),
        Kinds::List(list) => list,
    })
}

/// A fault set that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Not the JSON of a fault set.
    #[error("not a fault set: {0}")]
    Json(String),
    /// A field has a value out of its range.
    #[error("{field} must be {range}")]
    Range {
        /// Which one.
        field: &'static str,
        /// What it can be.
        range: String,
    },
    /// Two fields that exclude each other.
    #[error("{0}")]
    Conflict(&'static str),
}

impl Faults {
    /// Reads a fault set and checks it.
    ///
    /// # Errors
    /// It is not JSON, has a field that is unknown, or a value out of range.
    pub fn parse(json: &[u8]) -> Result<Self, FaultError> {
        // An object first: serde would take a list of the fields' values, too.
        let object = serde_json::from_slice(json);
        Self::from_object(object.map_err(|error| FaultError::Json(error.to_string()))?)
    }

    /// As [`Self::parse`], of JSON that is read already.
    ///
    /// # Errors
    /// A field is unknown or has a value out of range.
    pub fn from_object(
        object: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, FaultError> {
        let faults: Self = serde_json::from_value(object.into())
            .map_err(|error| FaultError::Json(error.to_string()))?;
        faults.check()?;
        Ok(faults)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// What is out of range, or excludes something else.
    pub fn check(&self) -> Result<(), FaultError> {
        for (field, count) in [("connections", self.connections), ("tasks", self.tasks)] {
            if count.is_some_and(|count| !(1..=MAX_COUNT).contains(&count)) {
                let range = format!("1 to {MAX_COUNT}");
                return Err(FaultError::Range { field, range });
            }
        }
        for (field, ms) in self.times() {
            if ms.is_some_and(|ms| ms > MAX_FAULT_MS) {
                let range = format!("at most {MAX_FAULT_MS}");
                return Err(FaultError::Range { field, range });
            }
        }
        if self.garbage.len() > Garbage::ALL.len() {
            let range = format!("at most {} kinds", Garbage::ALL.len());
            let field = "garbage";
            return Err(FaultError::Range { field, range });
        }
        if let Some(Refusal::Status(status)) = self.refuse
            && !(400..=599).contains(&status)
        {
            let range = "a status of 400 to 599, or \"drop\"".to_owned();
            let field = "refuse";
            return Err(FaultError::Range { field, range });
        }
        if self.tasks.is_some() && self.connections.is_some() {
            return Err(FaultError::Conflict(
                "either connections or tasks can be counted, not both",
            ));
        }
        if self.tasks.is_some() && (self.refuse.is_some() || self.unauthorized) {
            return Err(FaultError::Conflict(
                "a handshake belongs to no task: count refuse and unauthorized by connections",
            ));
        }
        Ok(())
    }

    fn times(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("delay_results_ms", self.delay_results_ms),
            ("slow_read_ms", self.slow_read_ms),
            ("slow_flush_ms", self.slow_flush_ms),
            ("late_close_ms", self.late_close_ms),
        ]
    }

    /// Whether nothing is done wrong.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let counts_only = Self {
            connections: self.connections,
            tasks: self.tasks,
            ..Self::default()
        };
        *self == counts_only
    }

    /// Whether it is about the beginning of a task, so that running ones have nothing of it.
    #[must_use]
    pub fn is_of_the_start(&self) -> bool {
        self.close_before_start || self.never_start
    }

    /// How long a connection is held open at its end.
    #[must_use]
    pub fn late_close(&self) -> Duration {
        ms(self.late_close_ms)
    }

    /// How much later results come.
    #[must_use]
    pub fn delay_results(&self) -> Duration {
        ms(self.delay_results_ms)
    }

    /// How long nothing is read after a frame.
    #[must_use]
    pub fn slow_read(&self) -> Duration {
        ms(self.slow_read_ms)
    }

    /// How long the end of a task takes.
    #[must_use]
    pub fn slow_flush(&self) -> Duration {
        ms(self.slow_flush_ms)
    }
}

fn ms(ms: Option<u64>) -> Duration {
    Duration::from_millis(ms.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn parse(json: &str) -> Result<Faults, String> {
        Faults::parse(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_wrong_by_default_and_what_is_off_is_left_out() {
        assert_eq!(parse("{}").unwrap(), Faults::default());
        assert!(Faults::default().is_none());
        assert!(parse(r#"{"tasks": 3}"#).unwrap().is_none());
        assert_eq!(serde_json::to_string(&Faults::default()).unwrap(), "{}");
        let set = r#"{"connections":2,"refuse":503,"close_after_seconds":3,"close_with":"reset"}"#;
        assert_eq!(serde_json::to_string(&parse(set).unwrap()).unwrap(), set);
    }

    #[test]
    fn a_refusal_is_a_status_or_a_drop() {
        let refusal = |json: &str| parse(json).unwrap().refuse;
        assert_eq!(refusal(r#"{"refuse": 429}"#), Some(Refusal::Status(429)));
        assert_eq!(refusal(r#"{"refuse": "drop"}"#), Some(Refusal::DROP));
        for bad in ["200", "1000", "-1", "\"close\"", "true"] {
            assert!(parse(&format!(r#"{{"refuse": {bad}}}"#)).is_err(), "{bad}");
        }
    }

    #[test]
    fn garbage_is_a_list_or_all() {
        let garbage = |json: &str| parse(json).unwrap().garbage;
        assert_eq!(garbage(r#"{"garbage": true}"#), Garbage::ALL);
        assert!(garbage(r#"{"garbage": false}"#).is_empty());
        let list = r#"{"garbage":["not_json","huge"]}"#;
        assert_eq!(garbage(list), [Garbage::NotJson, Garbage::Huge]);
        assert_eq!(serde_json::to_string(&parse(list).unwrap()).unwrap(), list);
        assert!(parse(r#"{"garbage": ["dirt"]}"#).is_err());
        let long = format!(r#"{{"garbage": {:?}}}"#, ["huge"; 11]);
        assert!(parse(&long).unwrap_err().contains("at most 10 kinds"));
    }

    #[test]
    fn what_cannot_be_is_refused_and_said() {
        for (json, part) in [
            ("[]", "not a fault set"),
            (r#"{"refuze": 503}"#, "refuze"),
            (r#"{"tasks": 0}"#, "tasks must be 1 to"),
            (r#"{"connections": 1000001}"#, "connections must be 1 to"),
            (
                r#"{"delay_results_ms": 600001}"#,
                "delay_results_ms must be at most",
            ),
            (
                r#"{"late_close_ms": 600001}"#,
                "late_close_ms must be at most",
            ),
            (r#"{"close_after_seconds": -1}"#, "not a fault set"),
            (r#"{"tasks": 1, "connections": 1}"#, "not both"),
            (r#"{"tasks": 1, "refuse": 503}"#, "by connections"),
            (r#"{"tasks": 1, "unauthorized": true}"#, "by connections"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}
