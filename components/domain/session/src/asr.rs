//! ASR figures of a stream: what is counted with every utterance and every backfill window
//! ([`AsrFigures`]), and what operators see ([`AsrView`]).

mod view;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::seq::Seq;
use crate::stored::{self, Damaged};
use crate::time::EpochMs;

pub use view::{AsrParts, AsrSettings, AsrView, BridgeFigures, WindowFigures, WsState};

/// How many latencies are kept for the quantiles.
pub const RECENT_LATENCIES: usize = 200;

/// What is stored of a stream's utterances and windows; in the realtime path every utterance counts as
/// a window. Belongs to the stream's lane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AsrFigures {
    /// From a chunk's arrival to its utterance, in ms, oldest first; at most [`RECENT_LATENCIES`].
    recent_latencies: VecDeque<u64>,
    utterance_count: u32,
    /// Backfill windows that gave no text.
    silent_windows: u32,
    last_window_end_seq: u32,
    total_audio_seconds: u64,
    last_latency_ms: Option<u64>,
    /// Of the windows whose latency is known: how many, their latencies, their seconds.
    #[serde(alias = "timed_utterances")]
    timed_windows: u32,
    timed_latency_ms: u64,
    timed_seconds: u64,
    last_emit_at: Option<EpochMs>,
    last_success_at: Option<EpochMs>,
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

/// One backfill window that is done, for the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowDone {
    /// Its last second.
    pub end: Seq,
    /// How many seconds of audio it had.
    pub seconds: u32,
    /// How long its task took.
    pub took_ms: u64,
    /// Now.
    pub at: EpochMs,
    /// It gave an utterance.
    pub with_text: bool,
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

    /// Counts an utterance of the realtime path. One that was made from a window is counted by
    /// [`AsrFigures::push_window`] alone.
    pub fn push(&mut self, emitted: Emitted) {
        let seconds = u64::from(emitted.end.get().saturating_sub(emitted.start.get())) + 1;
        self.utterance_count = self.utterance_count.saturating_add(1);
        self.last_emit_at = Some(emitted.at);
        self.count(emitted.end, seconds, emitted.latency_ms, emitted.at);
        if let Some(latency) = emitted.latency_ms {
            while self.recent_latencies.len() >= RECENT_LATENCIES {
                self.recent_latencies.pop_front();
            }
            self.recent_latencies.push_back(latency);
        }
    }

    /// Counts a backfill window, and its utterance if it gave one. Its latency is not one of those
    /// from arrival to utterance: its seconds came long ago.
    pub fn push_window(&mut self, window: WindowDone) {
        if window.with_text {
            self.utterance_count = self.utterance_count.saturating_add(1);
            self.last_emit_at = Some(window.at);
        } else {
            self.silent_windows = self.silent_windows.saturating_add(1);
        }
        let seconds = u64::from(window.seconds);
        self.count(window.end, seconds, Some(window.took_ms), window.at);
    }

    /// What both paths count alike.
    fn count(&mut self, end: Seq, seconds: u64, latency_ms: Option<u64>, at: EpochMs) {
        self.total_audio_seconds = self.total_audio_seconds.saturating_add(seconds);
        self.last_window_end_seq = self.last_window_end_seq.max(end.get());
        self.last_latency_ms = latency_ms;
        self.last_success_at = Some(at);
        self.updated_at = Some(at);
        if let Some(latency) = latency_ms {
            self.timed_windows = self.timed_windows.saturating_add(1);
            self.timed_latency_ms = self.timed_latency_ms.saturating_add(latency);
            self.timed_seconds = self.timed_seconds.saturating_add(seconds);
        }
    }

    /// Utterances so far.
    pub const fn utterance_count(&self) -> u32 {
        self.utterance_count
    }

    /// Windows so far: utterances, and backfill windows in which nothing was said.
    pub const fn windows(&self) -> u32 {
        self.utterance_count.saturating_add(self.silent_windows)
    }

    /// The furthest second of an utterance or a window; 0 for none.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::ingest::IngestRecord;
    use proptest::prelude::*;

    fn emitted(start: u32, end: u32, latency_ms: Option<u64>) -> Emitted {
        Emitted {
            start: Seq::new(start).unwrap(),
            end: Seq::new(end).unwrap(),
            latency_ms,
            at: EpochMs(1_795_382_476_332),
        }
    }

    fn settings() -> AsrSettings {
        AsrSettings {
            enabled: true,
            provider: "dashscope".into(),
            model: "m".into(),
            realtime: true,
            window_seconds: 10,
            hop_seconds: 3,
        }
    }

    fn shown(figures: &AsrFigures, bridge: &BridgeFigures) -> String {
        shown_with(&settings(), figures, bridge, &WindowFigures::default())
    }

    fn shown_with(
        settings: &AsrSettings,
        figures: &AsrFigures,
        bridge: &BridgeFigures,
        windows: &WindowFigures,
    ) -> String {
        stored::to_json(&AsrView::new(AsrParts {
            settings,
            figures,
            bridge,
            ingest: &IngestRecord::new(EpochMs(0)),
            windows,
            now: EpochMs(1000),
            never: EpochMs(0),
        }))
    }

    fn window(end: u32, took_ms: u64, with_text: bool) -> WindowDone {
        WindowDone {
            end: Seq::new(end).unwrap(),
            seconds: 10,
            took_ms,
            at: EpochMs(1_795_382_476_332),
            with_text,
        }
    }

    #[test]
    fn windows_count_and_only_text_makes_an_utterance() {
        let mut figures = AsrFigures::default();
        figures.push_window(window(10, 500, true));
        figures.push_window(window(13, 1500, false));
        let text = shown(&figures, &BridgeFigures::default());
        for part in [
            r#""last_emit_at":"2026-11-22T21:21:16.332Z","ingest_to_utterance_p50_ms":null,"ingest_to_utterance_p95_ms":null,"recent_ingest_to_utterance_ms":[],"#,
            r#""last_window_end_seq":13,"utterance_count":1,"total_windows_processed":2,"total_audio_seconds_processed":20,"last_window_latency_ms":1500,"avg_window_latency_ms":1000,"avg_rtf":0.1,"#,
            r#""last_success_at":"2026-11-22T21:21:16.332Z","#,
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(AsrFigures::load(Some(&figures.to_document())), Ok(figures));
    }

    #[test]
    fn a_silent_window_is_a_success_but_nothing_that_was_emitted() {
        let mut figures = AsrFigures::default();
        figures.push_window(window(10, 500, false));
        let text = shown(&figures, &BridgeFigures::default());
        assert!(text.contains(r#""last_emit_at":null"#), "{text}");
        assert!(text.contains(r#""last_success_at":"2026"#), "{text}");
    }

    #[test]
    fn the_furthest_second_is_that_of_both_paths() {
        let mut figures = AsrFigures::default();
        figures.push(emitted(30, 32, Some(4)));
        figures.push_window(window(10, 500, true));
        assert_eq!(figures.last_window_end_seq(), 32);
        figures.push_window(window(40, 500, true));
        assert_eq!((figures.last_window_end_seq(), figures.windows()), (40, 3));
    }

    #[test]
    fn figures_that_were_stored_before_windows_were_counted_are_read() {
        let old =
            r#"{"utterance_count":2,"timed_utterances":2,"timed_latency_ms":8,"timed_seconds":4}"#;
        let figures = AsrFigures::load(Some(old)).unwrap();
        let text = shown(&figures, &BridgeFigures::default());
        assert!(text.contains(r#""avg_window_latency_ms":4,"#), "{text}");
    }

    #[test]
    fn in_windowed_mode_the_windows_connection_is_shown() {
        let windowed = AsrSettings {
            realtime: false,
            ..settings()
        };
        let windows = WindowFigures {
            ws_state: WsState::Error,
            late: 0,
            consecutive_failures: 3,
            retry_at: Some(EpochMs(9000)),
            last_error: Some("windows".into()),
        };
        let bridge = BridgeFigures {
            ws_state: WsState::Running,
            consecutive_failures: 1,
            last_error: Some("bridge".into()),
            ..BridgeFigures::default()
        };
        let figures = AsrFigures::default();
        let text = shown_with(&windowed, &figures, &bridge, &windows);
        for part in [
            r#""mode":"windowed","asr_ws_state":"error","#,
            r#""consecutive_failures":3,"next_retry_after_ms":8000,"last_error":"windows","#,
        ] {
            assert!(text.contains(part), "{text}");
        }
        let fine = WindowFigures::default();
        let text = shown_with(&windowed, &figures, &bridge, &fine);
        assert!(text.contains(r#""last_error":null"#), "{text}");
    }

    #[test]
    fn in_realtime_mode_a_backfill_s_error_is_shown_when_there_is_no_other() {
        let windows = WindowFigures {
            ws_state: WsState::Error,
            late: 0,
            consecutive_failures: 3,
            retry_at: None,
            last_error: Some("windows".into()),
        };
        let (figures, mut bridge) = (AsrFigures::default(), BridgeFigures::default());
        let text = shown_with(&settings(), &figures, &bridge, &windows);
        for part in [
            r#""asr_ws_state":"disconnected","#,
            r#""consecutive_failures":0,"next_retry_after_ms":0,"last_error":"windows","#,
        ] {
            assert!(text.contains(part), "{text}");
        }
        bridge.last_error = Some("bridge".into());
        let text = shown_with(&settings(), &figures, &bridge, &windows);
        assert!(text.contains(r#""last_error":"bridge""#), "{text}");
    }

    #[test]
    fn a_stream_without_anything() {
        assert_eq!(
            shown(&AsrFigures::load(None).unwrap(), &BridgeFigures::default()),
            r#"{"enabled":true,"provider":"dashscope","model":"m","mode":"realtime","asr_ws_state":"disconnected","backlog_chunks":0,"ingest_lag_seconds":0,"last_emit_at":null,"ingest_to_utterance_p50_ms":null,"ingest_to_utterance_p95_ms":null,"recent_ingest_to_utterance_ms":[],"window_seconds":10,"hop_seconds":3,"last_window_end_seq":0,"utterance_count":0,"total_windows_processed":0,"total_audio_seconds_processed":0,"last_window_latency_ms":null,"avg_window_latency_ms":null,"avg_rtf":null,"consecutive_failures":0,"next_retry_after_ms":0,"last_error":null,"last_success_at":null,"updated_at":"1970-01-01T00:00:00.000Z"}"#
        );
    }

    #[test]
    fn figures_of_the_records() {
        let mut figures = AsrFigures::default();
        figures.push(emitted(1, 5, Some(4)));
        figures.push(emitted(4, 8, Some(1)));
        figures.push(emitted(7, 11, Some(2)));
        assert_eq!(
            AsrFigures::load(Some(&figures.to_document())),
            Ok(figures.clone())
        );
        let text = shown(
            &figures,
            &BridgeFigures {
                stored: 11,
                sent: 11,
                final_ms: 11_000,
                ..BridgeFigures::default()
            },
        );
        for part in [
            r#""last_emit_at":"2026-11-22T21:21:16.332Z","ingest_to_utterance_p50_ms":2,"ingest_to_utterance_p95_ms":2,"recent_ingest_to_utterance_ms":[4,1,2],"#,
            r#""last_window_end_seq":11,"utterance_count":3,"total_windows_processed":3,"total_audio_seconds_processed":15,"last_window_latency_ms":2,"avg_window_latency_ms":2.3333333333333335,"avg_rtf":0.00046666666666666666,"#,
            r#""backlog_chunks":0,"ingest_lag_seconds":0,"#,
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_backlog_and_a_retry() {
        let bridge = BridgeFigures {
            ws_state: WsState::Error,
            stored: 20,
            late: 0,
            sent: 0,
            final_ms: 7_400,
            consecutive_failures: 2,
            retry_at: Some(EpochMs(3500)),
            last_error: Some("503".into()),
            updated_at: Some(EpochMs(900)),
        };
        let text = shown(&AsrFigures::default(), &bridge);
        assert!(
            text.contains(r#""asr_ws_state":"error","backlog_chunks":13,"ingest_lag_seconds":13,"#),
            "{text}"
        );
        assert!(
            text.contains(r#""next_retry_after_ms":2500,"last_error":"503","#),
            "{text}"
        );
        assert!(
            text.ends_with(r#""updated_at":"1970-01-01T00:00:00.900Z"}"#),
            "{text}"
        );
    }

    #[test]
    fn missing_seconds_are_no_backlog() {
        let mut ingest = IngestRecord::new(EpochMs(0));
        for seq in [1, 3602, 3603] {
            ingest.stored(Seq::new(seq).unwrap(), EpochMs(0));
        }
        let bridge = BridgeFigures {
            stored: 3603,
            sent: 1,
            ..BridgeFigures::default()
        };
        let text = stored::to_json(&AsrView::new(AsrParts {
            settings: &settings(),
            figures: &AsrFigures::default(),
            bridge: &bridge,
            ingest: &ingest,
            windows: &WindowFigures::default(),
            now: EpochMs(1000),
            never: EpochMs(0),
        }));
        assert!(
            text.contains(r#""backlog_chunks":2,"ingest_lag_seconds":3,"#),
            "{text}"
        );
    }

    #[test]
    fn seconds_that_came_too_late_are_told_when_there_are_some() {
        let bridge = BridgeFigures {
            late: 2,
            ..BridgeFigures::default()
        };
        let windows = WindowFigures {
            late: 1,
            ..WindowFigures::default()
        };
        let figures = AsrFigures::default();
        let text = shown_with(&settings(), &figures, &bridge, &windows);
        let part = r#""ingest_lag_seconds":0,"late_chunks":3,"last_emit_at""#;
        assert!(text.contains(part), "{text}");
        let text = shown(&figures, &BridgeFigures::default());
        assert!(!text.contains("late_chunks"), "{text}");
    }

    #[test]
    fn an_utterance_without_a_known_arrival() {
        let mut figures = AsrFigures::default();
        figures.push(emitted(1, 1, None));
        let text = shown(&figures, &BridgeFigures::default());
        assert!(text.contains(r#""utterance_count":1"#) && text.contains(r#""avg_rtf":null"#));
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7], 0.95), Some(7));
        let hundred: Vec<u64> = (0..100).collect();
        assert_eq!(quantile(&hundred, 0.5), Some(49));
        assert_eq!(quantile(&hundred, 0.95), Some(94));
        assert_eq!(quantile(&hundred, 1.0), Some(99));
    }

    proptest! {
        #[test]
        fn recent_latencies_are_the_last_ones(latencies in prop::collection::vec(0u64..100_000, 0..450)) {
            let mut figures = AsrFigures::default();
            for latency in &latencies {
                figures.push(emitted(1, 2, Some(*latency)));
            }
            let from = latencies.len().saturating_sub(RECENT_LATENCIES);
            prop_assert_eq!(Vec::from(figures.recent_latencies.clone()), latencies[from..].to_vec());
            prop_assert_eq!(figures.utterance_count() as usize, latencies.len());
        }
    }
}
