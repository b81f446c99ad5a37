//! What every task was sent and how it ended: the evidence that tests look at. Bounded in tasks and
//! in seconds for each; never holds audio or keys.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::protocol::Format;

/// How many marked seconds the record of one task keeps; later ones are only counted.
pub const MAX_HEARD_SECONDS: usize = 10 * 3600;
/// How many ended tasks a slow reader of [`TaskLog::ended`] may be behind.
const ENDED_BACKLOG: usize = 256;

/// A marked second as a task heard it. See [`crate::mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardSecond {
    /// Which stream its mark names.
    pub stream: u16,
    /// Which second of that stream.
    pub seq: u32,
    /// Where its first heard tenth lies in the task's audio, in ms.
    pub begin_ms: u64,
    /// How many of its tenths were heard, 1 to 10.
    pub tenths: u8,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not.
    Running,
    /// `finish-task` was answered by `task-finished`.
    Finished,
    /// `task-failed` was sent, with this error code and message.
    Failed(String),
    /// The connection was lost or closed in the middle of it.
    Lost,
}

/// What one task was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Which connection it ran on, counted from 1.
    pub connection: u64,
    /// As the client named it.
    pub task_id: String,
    /// What stands before the UUID that the task id ends with, such as `asr-realtime-teacher`; none
    /// when it ends otherwise.
    pub prefix: Option<String>,
    /// When the simulator was asked for it, in ms since 1970.
    pub began_unix_ms: u64,
    /// When it ended, in ms since 1970; none while it has not.
    pub ended_unix_ms: Option<u64>,
    /// As the client asked.
    pub model: String,
    /// `pcm` or `wav`.
    pub format: String,
    /// The parameters of `run-task`, whole.
    pub parameters: serde_json::Value,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it was told to fall silent in the middle of the task, or never to start it.
    pub mute: bool,
    /// PCM received, in bytes; 32000 are a second.
    pub audio_bytes: u64,
    /// How many whole seconds of it, from the start of the task, were zeros only.
    pub silent_seconds: u64,
    /// The marked seconds, in the order they were heard. A second that was sent twice is here twice.
    pub heard: Vec<HeardSecond>,
    /// Marked seconds beyond [`MAX_HEARD_SECONDS`], not in `heard`.
    pub heard_unlisted: u64,
    /// How many final sentences there were, each counted once; their texts are not kept.
    pub finals: u32,
    /// How many intermediate results there were.
    pub intermediates: u32,
}

impl TaskRecord {
    /// A task that begins.
    pub(crate) fn new(
        connection: u64,
        task_id: String,
        model: String,
        format: Format,
        parameters: serde_json::Value,
    ) -> Self {
        Self {
            connection,
            prefix: prefix(&task_id).map(str::to_owned),
            task_id,
            began_unix_ms: 0,
            ended_unix_ms: None,
            model,
            format: format.as_str().to_owned(),
            parameters,
            outcome: Outcome::Running,
            mute: false,
            audio_bytes: 0,
            silent_seconds: 0,
            heard: Vec::new(),
            heard_unlisted: 0,
            finals: 0,
            intermediates: 0,
        }
    }

    pub(crate) fn hear(&mut self, seconds: impl IntoIterator<Item = HeardSecond>) {
        for second in seconds {
            if self.heard.len() < MAX_HEARD_SECONDS {
                self.heard.push(second);
            } else {
                self.heard_unlisted += 1;
            }
        }
    }
}

/// What stands before a UUID at the end of a task id, and before the dash between them.
fn prefix(task_id: &str) -> Option<&str> {
    let (prefix, uuid) = task_id.split_at_checked(task_id.len().checked_sub(36)?)?;
    let groups: Vec<&str> = uuid.split('-').collect();
    let is_uuid = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|b| b.is_ascii_hexdigit());
    is_uuid
        .then(|| prefix.strip_suffix('-'))
        .flatten()
        .filter(|prefix| !prefix.is_empty())
}

/// The time of day.
pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// Names a task in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskKey(u64);

/// The records of all tasks of a simulator; clones share them.
#[derive(Debug, Clone)]
pub struct TaskLog {
    entries: Arc<Mutex<Entries>>,
    ended: broadcast::Sender<TaskRecord>,
}

#[derive(Debug)]
struct Entries {
    records: VecDeque<TaskRecord>,
    capacity: usize,
    /// How many were forgotten, and so the key of the first that is left.
    forgotten: u64,
}

impl TaskLog {
    /// Keeps `capacity` tasks, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: Arc::new(Mutex::new(Entries {
                records: VecDeque::new(),
                capacity: capacity.max(1),
                forgotten: 0,
            })),
            ended: broadcast::Sender::new(ENDED_BACKLOG),
        }
    }

    /// All that are kept, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<TaskRecord> {
        self.lock().records.iter().cloned().collect()
    }

    /// How many tasks had to be forgotten to keep the log short.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    /// The records of tasks that end from now on. A reader that is slow misses some and is told.
    #[must_use]
    pub fn ended(&self) -> broadcast::Receiver<TaskRecord> {
        self.ended.subscribe()
    }

    pub(crate) fn begin(&self, mut record: TaskRecord) -> TaskKey {
        record.began_unix_ms = unix_ms();
        let mut entries = self.lock();
        if entries.records.len() == entries.capacity {
            entries.records.pop_front();
            entries.forgotten += 1;
        }
        entries.records.push_back(record);
        TaskKey(entries.forgotten + entries.records.len() as u64 - 1)
    }

    pub(crate) fn update(&self, key: TaskKey, change: impl FnOnce(&mut TaskRecord)) {
        let mut entries = self.lock();
        if let Some(record) = entries.get_mut(key) {
            change(record);
        }
    }

    pub(crate) fn end(&self, key: TaskKey, outcome: Outcome) {
        let mut entries = self.lock();
        if let Some(record) = entries.get_mut(key) {
            record.outcome = outcome;
            record.ended_unix_ms = Some(unix_ms());
            if self.ended.receiver_count() > 0 {
                // An error only says that the last reader has just gone.
                let _ = self.ended.send(record.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing that holds the lock leaves a record half changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn get_mut(&mut self, key: TaskKey) -> Option<&mut TaskRecord> {
        let index = key.0.checked_sub(self.forgotten)?;
        self.records.get_mut(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn record(task_id: &str) -> TaskRecord {
        let (model, parameters) = ("m".to_owned(), serde_json::Value::Null);
        TaskRecord::new(1, task_id.to_owned(), model, Format::Pcm, parameters)
    }

    #[test]
    fn the_oldest_is_forgotten_and_counted() {
        let log = TaskLog::new(2);
        let first = log.begin(record("a"));
        let second = log.begin(record("b"));
        log.begin(record("c"));
        log.update(first, |record| record.finals = 9);
        log.end(second, Outcome::Lost);
        let kept: Vec<_> = log.records();
        assert_eq!(log.forgotten(), 1);
        assert_eq!(
            kept.iter().map(|r| &*r.task_id).collect::<Vec<_>>(),
            ["b", "c"]
        );
        assert_eq!(kept[0].outcome, Outcome::Lost);
        assert!(kept.iter().all(|r| r.finals == 0));
    }

    #[test]
    fn seconds_beyond_the_limit_are_counted() {
        let mut record = record("a");
        let second = HeardSecond {
            stream: 1,
            seq: 1,
            begin_ms: 0,
            tenths: 10,
        };
        record.hear(std::iter::repeat_n(second, MAX_HEARD_SECONDS + 2));
        assert_eq!(
            (record.heard.len(), record.heard_unlisted),
            (MAX_HEARD_SECONDS, 2)
        );
    }

    #[test]
    fn readers_are_told_of_ended_tasks() {
        let log = TaskLog::new(2);
        let mut ended = log.ended();
        let key = log.begin(record("a"));
        assert!(log.records()[0].ended_unix_ms.is_none());
        log.end(key, Outcome::Finished);
        let ended = ended.try_recv().unwrap();
        assert_eq!(ended.outcome, Outcome::Finished);
        assert!(ended.began_unix_ms > 0 && ended.ended_unix_ms >= Some(ended.began_unix_ms));
    }

    #[test]
    fn a_prefix_is_what_stands_before_a_uuid() {
        let uuid = "0a1b2c3d-0000-4000-8000-0123456789ab";
        let named = format!("asr-realtime-teacher-{uuid}");
        assert_eq!(prefix(&named), Some("asr-realtime-teacher"));
        for none in [
            uuid,
            "t",
            "",
            &named[..named.len() - 1],
            &format!("a{uuid}"),
        ] {
            assert_eq!(prefix(none), None, "{none}");
        }
        assert_eq!(prefix("asr-é0a1b2c3d-0000-4000-8000-0123456789a"), None);
    }
}
