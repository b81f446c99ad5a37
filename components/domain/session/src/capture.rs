//! Capture status: what a client's recorder says of itself, per stream.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use unicode_text::at_most_utf16;

use crate::js;
use crate::role::{ByRole, StreamRole};
use crate::time::{EpochMs, Rfc3339};

/// Longest text kept of a recorder's error or time, in UTF-16 units; more is cut.
pub const MAX_CAPTURE_TEXT: usize = 500;

/// What the recorder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureState {
    /// Nothing.
    #[default]
    Idle,
    /// It records.
    Running,
    /// It lost its device and tries again.
    Recovering,
    /// It gave up.
    Failed,
}

impl CaptureState {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "idle" => Some(Self::Idle),
            "running" => Some(Self::Running),
            "recovering" => Some(Self::Recovering),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

/// What is stored of one stream's recorder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaptureRecord {
    /// What it does.
    pub capture_state: CaptureState,
    /// How often it tried to recover.
    pub recover_attempts: u64,
    /// When it last did, as the client wrote it.
    pub last_recover_at: Option<String>,
    /// Why that failed.
    pub last_recover_error: Option<String>,
    /// Chunks in which echo was suppressed.
    pub echo_suppressed_chunks: u64,
    /// Their recent share, 0 to 1.
    pub echo_suppression_recent_rate: f64,
    /// When any of this was last said.
    pub updated_at: EpochMs,
}

impl CaptureRecord {
    /// Of a recorder that never said anything.
    pub fn new(at: EpochMs) -> Self {
        Self {
            capture_state: CaptureState::Idle,
            recover_attempts: 0,
            last_recover_at: None,
            last_recover_error: None,
            echo_suppressed_chunks: 0,
            echo_suppression_recent_rate: 0.0,
            updated_at: at,
        }
    }

    /// What clients see.
    pub fn view(&self) -> CaptureView<'_> {
        CaptureView {
            capture_state: self.capture_state,
            recover_attempts: self.recover_attempts,
            last_recover_at: self.last_recover_at.as_deref(),
            last_recover_error: self.last_recover_error.as_deref(),
            echo_suppressed_chunks: self.echo_suppressed_chunks,
            echo_suppression_recent_rate: self.echo_suppression_recent_rate,
            updated_at: Rfc3339(self.updated_at),
        }
    }
}

/// The capture object of the HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaptureView<'a> {
    capture_state: CaptureState,
    recover_attempts: u64,
    last_recover_at: Option<&'a str>,
    last_recover_error: Option<&'a str>,
    echo_suppressed_chunks: u64,
    #[serde(serialize_with = "js::serialize_number")]
    echo_suppression_recent_rate: f64,
    updated_at: Rfc3339,
}

/// A `capture_status` frame that is refused; nothing was changed.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum BadCapture {
    /// `payload` is missing, null or no object.
    #[error("capture_status.payload must be an object")]
    NotObject,
    /// Any other `capture_state`.
    #[error("capture_status.capture_state must be idle|running|recovering|failed")]
    State,
}

/// What a `capture_status` payload names. None: leave it as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CapturePatch {
    capture_state: Option<CaptureState>,
    recover_attempts: Option<u64>,
    last_recover_at: Option<Option<String>>,
    last_recover_error: Option<Option<String>>,
    echo_suppressed_chunks: Option<u64>,
    echo_suppression_recent_rate: Option<f64>,
}

impl CapturePatch {
    /// Reads a payload. Counts and the rate may be numbers in strings; `null` resets a field; blank,
    /// negative or ill-typed values change nothing. An array is an object that names nothing.
    pub fn from_value(payload: &Value) -> Result<Self, BadCapture> {
        if !payload.is_object() && !payload.is_array() {
            return Err(BadCapture::NotObject);
        }
        Ok(Self {
            capture_state: state(payload.get("capture_state"))?,
            recover_attempts: count(payload.get("recover_attempts")),
            last_recover_at: text(payload.get("last_recover_at")),
            last_recover_error: text(payload.get("last_recover_error")),
            echo_suppressed_chunks: count(payload.get("echo_suppressed_chunks")),
            echo_suppression_recent_rate: rate(payload.get("echo_suppression_recent_rate")),
        })
    }

    /// Sets what is named, and when.
    pub fn apply(&self, record: &mut CaptureRecord, now: EpochMs) {
        if let Some(state) = self.capture_state {
            record.capture_state = state;
        }
        if let Some(count) = self.recover_attempts {
            record.recover_attempts = count;
        }
        if let Some(at) = &self.last_recover_at {
            record.last_recover_at.clone_from(at);
        }
        if let Some(error) = &self.last_recover_error {
            record.last_recover_error.clone_from(error);
        }
        if let Some(count) = self.echo_suppressed_chunks {
            record.echo_suppressed_chunks = count;
        }
        if let Some(rate) = self.echo_suppression_recent_rate {
            record.echo_suppression_recent_rate = rate;
        }
        record.updated_at = now;
    }
}

fn state(value: Option<&Value>) -> Result<Option<CaptureState>, BadCapture> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => match js::trim(name) {
            "" => Ok(None),
            name => CaptureState::parse(name).map(Some).ok_or(BadCapture::State),
        },
        Some(_) => Err(BadCapture::State),
    }
}

fn count(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Null => Some(0),
        value => js::to_count(value),
    }
}

fn rate(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Null => Some(0.0),
        // Adding 0 makes -0 a 0.
        value => js::to_number(value).map(|rate| rate.clamp(0.0, 1.0) + 0.0),
    }
}

fn text(value: Option<&Value>) -> Option<Option<String>> {
    match value? {
        Value::Null => Some(None),
        value => js::non_blank_string(value)
            .map(|text| Some(at_most_utf16(text, MAX_CAPTURE_TEXT).to_owned())),
    }
}

/// The record of `mixed`, which follows the other two: recovering if either is, else running if
/// either is, else failed if either is, else idle; its echo figures are the teacher's. What it said
/// of its own recovery stays.
pub fn derive_mixed(
    own: CaptureRecord,
    teacher: &CaptureRecord,
    students: &CaptureRecord,
) -> CaptureRecord {
    let states = [teacher.capture_state, students.capture_state];
    let capture_state = [
        CaptureState::Recovering,
        CaptureState::Running,
        CaptureState::Failed,
    ]
    .into_iter()
    .find(|state| states.contains(state))
    .unwrap_or(CaptureState::Idle);
    CaptureRecord {
        capture_state,
        echo_suppressed_chunks: teacher.echo_suppressed_chunks,
        echo_suppression_recent_rate: teacher.echo_suppression_recent_rate,
        updated_at: own
            .updated_at
            .max(teacher.updated_at)
            .max(students.updated_at),
        ..own
    }
}

/// All three as clients see them, from what is stored. `never` is the time shown for a recorder
/// that said nothing: the session's creation if that is known, else now.
pub fn capture_by_stream(
    mut stored: ByRole<Option<CaptureRecord>>,
    never: EpochMs,
) -> ByRole<CaptureRecord> {
    let mut take = |role| {
        stored
            .get_mut(role)
            .take()
            .unwrap_or_else(|| CaptureRecord::new(never))
    };
    let teacher = take(StreamRole::Teacher);
    let students = take(StreamRole::Students);
    ByRole {
        mixed: derive_mixed(take(StreamRole::Mixed), &teacher, &students),
        teacher,
        students,
    }
}

impl ByRole<CaptureRecord> {
    /// `capture_by_stream`.
    pub fn view(&self) -> ByRole<CaptureView<'_>> {
        ByRole::new(|role| self.get(role).view())
    }
}
