//! What the operator decides about the service, and the limits that are not for the operator.

/// How to reach the service and what to ask of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// False: seconds are counted, nothing is opened.
    pub enabled: bool,
    /// `ws://` or `wss://`.
    pub url: String,
    /// Sent as `Authorization: bearer`.
    pub api_key: String,
    /// For example `fun-asr-realtime-2025-11-07`.
    pub model: String,
    /// How long connecting, and the wait for `task-started`, may take.
    pub start_timeout_ms: u64,
    /// How fast a backlog is sent: seconds of audio per second, at least 1.
    pub catch_up_speed: f64,
    /// Begins every task id.
    pub task_prefix: String,
    /// A hot-word list of the service.
    pub vocabulary_id: Option<String>,
    /// A language code; the service takes one.
    pub language_hint: Option<String>,
    /// How long a pause ends a sentence, 200 to 6000 ms.
    pub max_sentence_silence_ms: Option<u32>,
    /// Sentences by meaning and not by pauses.
    pub semantic_punctuation: Option<bool>,
    /// Give intermediate results as [`Action::Partial`](crate::Action::Partial).
    pub wants_partials: bool,
    /// A note for every frame of the service: event, task and times, never text.
    pub notes_events: bool,
}

/// First pause before a new connection is tried; it doubles up to [`RETRY_CAP_MS`].
pub const RETRY_FIRST_MS: u64 = 500;
/// Longest pause before a new connection is tried.
pub const RETRY_CAP_MS: u64 = 10_000;
/// The same after the service refused the key or the request for a reason that lasts; it grows five times as
/// long with each refusal, up to [`REJECTED_RETRY_CAP_MS`].
pub const REJECTED_RETRY_FIRST_MS: u64 = 2_000;
/// Longest pause after such a refusal. Other settings are tried at once.
pub const REJECTED_RETRY_CAP_MS: u64 = 300_000;
/// How long the end of a connection that the host does not know any more may wait to be told, with what the
/// service said before it.
pub const GONE_WAIT_MS: u64 = 5_000;
/// A task to which nothing was sent for this long is finished: the service would fail it after
/// about 23 s without audio.
pub const IDLE_FINISH_MS: u64 = 5_000;
/// How long `task-finished` may take after `finish-task`.
pub const FINISH_TIMEOUT_MS: u64 = 15_000;
/// How long it may take at most without a sentence that became final, whatever else the service says.
pub const FINISH_LIMIT_MS: u64 = 120_000;
/// A task that was sent this much audio without a final sentence is finished and begun anew, so that
/// what a broken connection costs stays bounded.
pub const QUIET_TASK_MS: u64 = 120_000;
/// How far ahead of the pace a burst may run, in seconds of audio.
pub const BURST_SECONDS: u64 = 10;
/// Flushes that may wait at the same time; one more is answered at once.
pub const MAX_FLUSHES: usize = 16;
/// How long a missing second is waited for, from when a later one came, before silence is sent for it.
pub const GAP_HOLD_MS: u64 = 2_000;
/// Missing seconds in a row for which silence is sent. Sent at 8 times real time it is over in 1.25 s, which
/// is about what ending a task and starting another one takes: where more are missing a new task is sooner at
/// the next stored second, and costs nothing for what was never recorded.
pub const MAX_SILENCE_SECONDS: u32 = 10;
/// Gaps that are waited for at the same time.
pub const MAX_HELD_GAPS: usize = 16;
/// Ranges of seconds that came too late, of one stream; they are stored with every change.
pub const MAX_LATE_RANGES: usize = 256;
/// Seconds whose time of arrival is remembered for the latency figures.
pub const MAX_ARRIVALS: usize = 180;
/// Of a final sentence without an end, in bytes: a longer one is not held until its end is known.
pub const MAX_OPEN_END_BYTES: usize = 4 * 1024;
/// Frames of one task that mean nothing are counted up to here.
pub const MAX_ODD_FRAMES: u32 = 1_000;
/// What is shown of the first of them, in characters.
pub const MAX_EVIDENCE_CHARS: usize = 120;
/// What is kept of an error text.
pub const MAX_ERROR_CHARS: usize = 300;
