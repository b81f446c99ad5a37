//! ASR figures of a stream: what is counted with every utterance, and what operators see.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::js;
use crate::seq::Seq;
use crate::stored::{self, Damaged};
use crate::time::{EpochMs, Rfc3339};

/// How many latencies are kept for the quantiles.
pub const RECENT_LATENCIES: usize = 200;

/// What is stored of a stream's utterances. Belongs to the stream's lane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AsrFigures {
    /// From a chunk's arrival to its utterance, in ms, oldest first; at most [`RECENT_LATENCIES`].
    recent_latencies: VecDeque<u64>,
    utterance_count: u32,
    last_window_end_seq: u32,
    total_audio_seconds: u64,
    last_latency_ms: Option<u64>,
    /// Of the utterances whose latency is known: how many, their latencies, their seconds.
    timed_utterances: u32,
    timed_latency_ms: u64,
    timed_seconds: u64,
    last_emit_at: Option<EpochMs>,
    updated_at: Option<EpochMs>,
}

/// One utterance, for the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emitted {
    /// Its first second.
    pub start: Seq,
    /// Its last second, not before the first.
    pub end: Seq,
    /// From the arrival of its last second to now; none when the arrival is not known any more.
    pub latency_ms: Option<u64>,
    /// Now.
    pub at: EpochMs,
}

impl AsrFigures {
    /// Reads the stored figures; none were never written.
    pub fn load(stored: Option<&str>) -> Result<Self, Damaged> {
        stored.map_or(Ok(Self::default()), |document| {
            stored::read("ASR figures", document)
        })
    }

    /// The document to store.
    pub fn to_document(&self) -> String {
        stored::to_json(self)
    }

    /// Counts an utterance.
    pub fn push(&mut self, emitted: Emitted) {
        let seconds = u64::from(emitted.end.get().saturating_sub(emitted.start.get())) + 1;
        self.utterance_count = self.utterance_count.saturating_add(1);
        self.total_audio_seconds = self.total_audio_seconds.saturating_add(seconds);
        self.last_window_end_seq = self.last_window_end_seq.max(emitted.end.get());
        self.last_latency_ms = emitted.latency_ms;
        self.last_emit_at = Some(emitted.at);
        self.updated_at = Some(emitted.at);
        if let Some(latency) = emitted.latency_ms {
            self.timed_utterances = self.timed_utterances.saturating_add(1);
            self.timed_latency_ms = self.timed_latency_ms.saturating_add(latency);
            self.timed_seconds = self.timed_seconds.saturating_add(seconds);
            while self.recent_latencies.len() >= RECENT_LATENCIES {
                self.recent_latencies.pop_front();
            }
            self.recent_latencies.push_back(latency);
        }
    }

    /// Utterances so far.
    pub const fn utterance_count(&self) -> u32 {
        self.utterance_count
    }

    /// The furthest second of an utterance; 0 for none.
    pub const fn last_window_end_seq(&self) -> u32 {
        self.last_window_end_seq
    }
}

/// Quantile `q` (0 to 1) of `sorted`: the value at `floor((n-1)*q)`; none of nothing.
pub fn quantile(sorted: &[u64], q: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    // A float casts saturating.
    let index = (last as f64 * q).floor() as usize;
    sorted.get(index.min(last)).copied()
}

/// How the ASR path is set up, the same for all streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsrSettings {
    /// Enabled, and there is a service to ask.
    pub enabled: bool,
    /// `dashscope`, `simulator`, ...
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// Realtime or windowed.
    pub realtime: bool,
    /// Of a backfill window, in seconds.
    pub window_seconds: u32,
    /// Between two backfill windows, in seconds.
    pub hop_seconds: u32,
}

impl AsrSettings {
    /// `realtime` or `windowed`.
    pub const fn mode(&self) -> &'static str {
        if self.realtime {
            "realtime"
        } else {
            "windowed"
        }
    }
}

/// The state of a stream's connection to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WsState {
    /// None, and none is needed.
    #[default]
    Disconnected,
    /// On its way, up to the task's start.
    Connecting,
    /// A task runs.
    Running,
    /// It failed; the next attempt is due later.
    Error,
}

/// What the `asr-bridge` says of itself. The default is that of a stream it never saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BridgeFigures {
    /// Of the connection.
    pub ws_state: WsState,
    /// The last second that is stored.
    pub stored: u32,
    /// The last second that was sent in the current task.
    pub sent: u32,
    /// All before this session time is final.
    pub final_ms: u64,
    /// Failed attempts in a row.
    pub consecutive_failures: u32,
    /// When the next attempt is due.
    pub retry_at: Option<EpochMs>,
    /// The last error, until a task ends in good order.
    pub last_error: Option<String>,
    /// When its state last changed, if the caller knows.
    pub updated_at: Option<EpochMs>,
}

/// `asr` of one stream. All fields of the contract, in its order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AsrView<'a> {
    /// Whether chunks are transcribed.
    pub enabled: bool,
    /// The service.
    pub provider: &'a str,
    /// The model.
    pub model: &'a str,
    /// `realtime` or `windowed`.
    pub mode: &'static str,
    /// The connection.
    pub asr_ws_state: WsState,
    /// Seconds that are stored and not sent.
    pub backlog_chunks: u32,
    /// Whole seconds that are stored and not final.
    pub ingest_lag_seconds: u32,
    /// When the last utterance was made.
    pub last_emit_at: Option<Rfc3339>,
    /// Median of the recent latencies.
    pub ingest_to_utterance_p50_ms: Option<u64>,
    /// Their 95th percentile.
    pub ingest_to_utterance_p95_ms: Option<u64>,
    /// The last [`RECENT_LATENCIES`], oldest first.
    pub recent_ingest_to_utterance_ms: &'a VecDeque<u64>,
    /// Of a backfill window.
    pub window_seconds: u32,
    /// Between two backfill windows.
    pub hop_seconds: u32,
    /// The furthest second of an utterance.
    pub last_window_end_seq: u32,
    /// Raw utterances.
    pub utterance_count: u32,
    /// In the realtime path every utterance is a window.
    pub total_windows_processed: u32,
    /// Their seconds.
    pub total_audio_seconds_processed: u64,
    /// Latency of the last one.
    pub last_window_latency_ms: Option<u64>,
    /// Mean latency.
    #[serde(serialize_with = "js::serialize_optional_number")]
    pub avg_window_latency_ms: Option<f64>,
    /// Latency per second of audio, both in the same unit.
    #[serde(serialize_with = "js::serialize_optional_number")]
    pub avg_rtf: Option<f64>,
    /// Failed attempts in a row.
    pub consecutive_failures: u32,
    /// Milliseconds until the next attempt; 0 when none is due.
    pub next_retry_after_ms: u64,
    /// The last error.
    pub last_error: Option<&'a str>,
    /// When the service last gave an utterance.
    pub last_success_at: Option<Rfc3339>,
    /// When any of this last changed.
    pub updated_at: Rfc3339,
}

impl<'a> AsrView<'a> {
    /// `never` is the time shown for a stream of which nothing is stored: the session's creation if
    /// that is known, else now. Where the ASR path is disabled nothing is a backlog.
    pub fn new(
        settings: &'a AsrSettings,
        figures: &'a AsrFigures,
        bridge: &'a BridgeFigures,
        now: EpochMs,
        never: EpochMs,
    ) -> Self {
        let mut sorted: Vec<u64> = figures.recent_latencies.iter().copied().collect();
        sorted.sort_unstable();
        let mean = |of: u64, by: f64| (figures.timed_utterances > 0).then(|| of as f64 / by);
        let final_seq = u32::try_from(bridge.final_ms / 1000).unwrap_or(u32::MAX);
        let behind = |done: u32| match settings.enabled {
            true => bridge.stored.saturating_sub(done),
            false => 0,
        };
        Self {
            enabled: settings.enabled,
            provider: &settings.provider,
            model: &settings.model,
            mode: settings.mode(),
            asr_ws_state: bridge.ws_state,
            backlog_chunks: behind(bridge.sent.max(final_seq)),
            ingest_lag_seconds: behind(final_seq),
            last_emit_at: figures.last_emit_at.map(Rfc3339),
            ingest_to_utterance_p50_ms: quantile(&sorted, 0.5),
            ingest_to_utterance_p95_ms: quantile(&sorted, 0.95),
            recent_ingest_to_utterance_ms: &figures.recent_latencies,
            window_seconds: settings.window_seconds,
            hop_seconds: settings.hop_seconds,
            last_window_end_seq: figures.last_window_end_seq,
            utterance_count: figures.utterance_count,
            total_windows_processed: figures.utterance_count,
            total_audio_seconds_processed: figures.total_audio_seconds,
            last_window_latency_ms: figures.last_latency_ms,
            avg_window_latency_ms: mean(
                figures.timed_latency_ms,
                f64::from(figures.timed_utterances),
            ),
            avg_rtf: mean(
                figures.timed_latency_ms,
                figures.timed_seconds as f64 * 1000.0,
            ),
            consecutive_failures: bridge.consecutive_failures,
            next_retry_after_ms: bridge.retry_at.map_or(0, |at| at.since(now)),
            last_error: bridge.last_error.as_deref(),
            last_success_at: figures.last_emit_at.map(Rfc3339),
            updated_at: Rfc3339(figures.updated_at.max(bridge.updated_at).unwrap_or(never)),
        }
    }
}
