//! How the simulator can be told to misbehave: the fault set as it stands in JSON, and its limits.
//! It only describes; [`crate::conversation`] does what is protocol, `server` what is sockets, and
//! [`crate::fault_control`] says whom a set applies to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
        let not_json = |error: serde_json::Error| FaultError::Json(error.to_string());
        // An object first: serde would take a list of the fields' values, too.
        let object: serde_json::Map<_, _> = serde_json::from_slice(json).map_err(not_json)?;
        let faults: Self = serde_json::from_value(object.into()).map_err(not_json)?;
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

    fn times(&self) -> [(&'static str, Option<u64>); 1] {
        [("late_close_ms", self.late_close_ms)]
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
        Duration::from_millis(self.late_close_ms.unwrap_or(0))
    }
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
    fn what_cannot_be_is_refused_and_said() {
        for (json, part) in [
            ("[]", "not a fault set"),
            (r#"{"refuze": 503}"#, "refuze"),
            (r#"{"tasks": 0}"#, "tasks must be 1 to"),
            (r#"{"connections": 1000001}"#, "connections must be 1 to"),
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
