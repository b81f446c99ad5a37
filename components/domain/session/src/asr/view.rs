//! What operators see of a stream's way to the ASR service.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{AsrFigures, quantile};
use crate::ingest::IngestRecord;
use crate::js;
use crate::time::{EpochMs, Rfc3339};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Seconds that came after silence had been sent for them, and are not transcribed.
    pub late: u32,
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

/// What the windows of the `asr-bridge` say of themselves. The default is that of a stream that never
/// had one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WindowFigures {
    /// Of the connection.
    pub ws_state: WsState,
    /// Seconds that came after the windows that should have heard them.
    pub late: u32,
    /// Failed windows in a row.
    pub consecutive_failures: u32,
    /// When the next attempt is due.
    pub retry_at: Option<EpochMs>,
    /// The last error, until a window is done.
    pub last_error: Option<String>,
}

/// What [`AsrView`] is made from.
#[derive(Debug, Clone, Copy)]
pub struct AsrParts<'a> {
    /// The same for all streams. Where the ASR path is disabled nothing is a backlog.
    pub settings: &'a AsrSettings,
    /// Of utterances and windows.
    pub figures: &'a AsrFigures,
    /// Of the realtime path: its cursors, and in realtime mode its connection.
    pub bridge: &'a BridgeFigures,
    /// Which seconds are missing: they are no backlog.
    pub ingest: &'a IngestRecord,
    /// Of the windows: in windowed mode their connection is the one that is shown.
    pub windows: &'a WindowFigures,
    /// What pauses are counted from.
    pub now: EpochMs,
    /// The time shown for a stream of which nothing is stored: the session's creation if that is
    /// known, else now.
    pub never: EpochMs,
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
    /// Seconds that are not transcribed because they came too late: a backfill run hears them. This
    /// gateway's own; left out when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub late_chunks: u32,
    /// When the last utterance was made.
    pub last_emit_at: Option<Rfc3339>,
    /// Median of the recent latencies.
    pub ingest_to_utterance_p50_ms: Option<u64>,
    /// Their 95th percentile.
    pub ingest_to_utterance_p95_ms: Option<u64>,
    /// The last [`super::RECENT_LATENCIES`], oldest first.
    pub recent_ingest_to_utterance_ms: &'a VecDeque<u64>,
    /// Of a backfill window.
    pub window_seconds: u32,
    /// Between two backfill windows.
    pub hop_seconds: u32,
    /// The furthest second of an utterance or a window.
    pub last_window_end_seq: u32,
    /// Raw utterances.
    pub utterance_count: u32,
    /// In the realtime path every utterance is a window; backfill windows count with and without text.
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
    /// When the service last gave an utterance, or heard a window to its end.
    pub last_success_at: Option<Rfc3339>,
    /// When any of this last changed.
    pub updated_at: Rfc3339,
}

impl<'a> AsrView<'a> {
    /// The connection of the path that the mode drives. In realtime mode a backfill that failed is told
    /// as well, when the realtime path has no error of its own.
    pub fn new(parts: AsrParts<'a>) -> Self {
        let AsrParts {
            settings,
            figures,
            bridge,
            ingest,
            windows,
            now,
            never,
        } = parts;
        let (ws_state, failures, retry_at, last_error) = match settings.realtime {
            true => (
                bridge.ws_state,
                bridge.consecutive_failures,
                bridge.retry_at,
                bridge.last_error.as_ref().or(windows.last_error.as_ref()),
            ),
            false => (
                windows.ws_state,
                windows.consecutive_failures,
                windows.retry_at,
                windows.last_error.as_ref(),
            ),
        };
        let mut sorted: Vec<u64> = figures.recent_latencies.iter().copied().collect();
        sorted.sort_unstable();
        let mean = |of: u64, by: f64| (figures.timed_windows > 0).then(|| of as f64 / by);
        let final_seq = u32::try_from(bridge.final_ms / 1000).unwrap_or(u32::MAX);
        let behind = |done: u32| match settings.enabled {
            true => {
                let behind = bridge.stored.saturating_sub(done);
                behind.saturating_sub(ingest.missing_after(done))
            }
            false => 0,
        };
        Self {
            enabled: settings.enabled,
            provider: &settings.provider,
            model: &settings.model,
            mode: settings.mode(),
            asr_ws_state: ws_state,
            backlog_chunks: behind(bridge.sent.max(final_seq)),
            ingest_lag_seconds: behind(final_seq),
            late_chunks: bridge.late.saturating_add(windows.late),
            last_emit_at: figures.last_emit_at.map(Rfc3339),
            ingest_to_utterance_p50_ms: quantile(&sorted, 0.5),
            ingest_to_utterance_p95_ms: quantile(&sorted, 0.95),
            recent_ingest_to_utterance_ms: &figures.recent_latencies,
            window_seconds: settings.window_seconds,
            hop_seconds: settings.hop_seconds,
            last_window_end_seq: figures.last_window_end_seq,
            utterance_count: figures.utterance_count,
            total_windows_processed: figures.windows(),
            total_audio_seconds_processed: figures.total_audio_seconds,
            last_window_latency_ms: figures.last_latency_ms,
            avg_window_latency_ms: mean(figures.timed_latency_ms, f64::from(figures.timed_windows)),
            avg_rtf: mean(
                figures.timed_latency_ms,
                figures.timed_seconds as f64 * 1000.0,
            ),
            consecutive_failures: failures,
            next_retry_after_ms: retry_at.map_or(0, |at| at.since(now)),
            last_error: last_error.map(String::as_str),
            last_success_at: figures
                .last_success_at
                .max(figures.last_emit_at)
                .map(Rfc3339),
            updated_at: Rfc3339(figures.updated_at.max(bridge.updated_at).unwrap_or(never)),
        }
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
