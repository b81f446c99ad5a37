//! A run of backfill windows: when it is over, and what `POST asr-run` answers then. It runs nothing.

use serde::Serialize;

use crate::asr::AsrView;
use crate::id::SessionId;
use crate::js;
use crate::lane::WindowAnswer;
use crate::role::StreamRole;
use crate::stored;

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// No window is left.
    End,
    /// As many as were asked for are done.
    MaxWindows,
    /// It took as long as a request may. Asking again goes on.
    Time,
    /// For this reason. What was done before is kept.
    Failed(String),
    /// There is no ASR service.
    Disabled,
}

impl Stopped {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::MaxWindows => "max_windows",
            Self::Time => "time",
            Self::Failed(_) => "failed",
            Self::Disabled => "disabled",
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Failed(why) => Some(why),
            // The original's words.
            Self::Disabled => Some("ASR disabled or API key missing"),
            Self::End | Self::MaxWindows | Self::Time => None,
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsrRun {
    /// None: as many as there are.
    max_windows: Option<u32>,
    windows: u32,
    generated: u32,
}

impl AsrRun {
    /// A run of at most so many windows.
    pub const fn new(max_windows: Option<u32>) -> Self {
        Self {
            max_windows,
            windows: 0,
            generated: 0,
        }
    }

    /// Utterances that it made.
    pub const fn generated(&self) -> u32 {
        self.generated
    }

    /// Counts what became of one more window. None: the next one may be asked for.
    pub fn ran(&mut self, answer: WindowAnswer) -> Option<Stopped> {
        self.windows = self.windows.saturating_add(answer.windows);
        self.generated = self.generated.saturating_add(answer.generated);
        if let Some(why) = answer.failed {
            Some(Stopped::Failed(why))
        } else if answer.at_end {
            Some(Stopped::End)
        } else if answer.windows == 0 {
            // Asking on could go on for ever.
            Some(Stopped::Failed("no window was run: try again".to_owned()))
        } else {
            let is_enough = self.max_windows.is_some_and(|most| self.windows >= most);
            is_enough.then_some(Stopped::MaxWindows)
        }
    }

    /// The answer, in the order of the contract; `stopped` is this gateway's own. `asr` is the
    /// stream's as it is now.
    pub fn to_json(
        &self,
        session: &SessionId,
        role: StreamRole,
        asr: &AsrView<'_>,
        stopped: &Stopped,
    ) -> String {
        #[derive(Serialize)]
        struct Answer<'a> {
            session_id: &'a str,
            stream_role: StreamRole,
            generated: u32,
            last_window_end_seq: u32,
            utterance_count: u32,
            total_windows_processed: u32,
            total_audio_seconds_processed: u64,
            last_window_latency_ms: Option<u64>,
            #[serde(serialize_with = "js::serialize_optional_number")]
            avg_window_latency_ms: Option<f64>,
            #[serde(serialize_with = "js::serialize_optional_number")]
            avg_rtf: Option<f64>,
            last_error: Option<&'a str>,
            stopped: &'static str,
        }
        stored::to_json(&Answer {
            session_id: session.as_str(),
            stream_role: role,
            generated: self.generated,
            last_window_end_seq: asr.last_window_end_seq,
            utterance_count: asr.utterance_count,
            total_windows_processed: asr.total_windows_processed,
            total_audio_seconds_processed: asr.total_audio_seconds_processed,
            last_window_latency_ms: asr.last_window_latency_ms,
            avg_window_latency_ms: asr.avg_window_latency_ms,
            avg_rtf: asr.avg_rtf,
            last_error: stopped.error().or(asr.last_error),
            stopped: stopped.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::asr::{AsrFigures, AsrParts, AsrSettings, BridgeFigures, WindowDone, WindowFigures};
    use crate::ingest::IngestRecord;
    use crate::seq::Seq;
    use crate::time::EpochMs;
    use proptest::prelude::*;

    fn window(generated: u32) -> WindowAnswer {
        WindowAnswer {
            windows: 1,
            generated,
            at_end: false,
            failed: None,
        }
    }

    #[test]
    fn it_goes_on_until_no_window_is_left() {
        let mut run = AsrRun::new(None);
        assert_eq!(run.ran(window(1)), None);
        assert_eq!(run.ran(window(0)), None);
        let last = WindowAnswer {
            at_end: true,
            ..window(1)
        };
        assert_eq!(run.ran(last), Some(Stopped::End));
        assert_eq!(run.generated(), 2);
        let none_left = WindowAnswer {
            windows: 0,
            at_end: true,
            ..window(0)
        };
        assert_eq!(AsrRun::new(None).ran(none_left), Some(Stopped::End));
    }

    #[test]
    fn it_stops_at_as_many_as_were_asked_for() {
        let mut run = AsrRun::new(Some(2));
        assert_eq!(run.ran(window(1)), None);
        assert_eq!(run.ran(window(1)), Some(Stopped::MaxWindows));
    }

    #[test]
    fn a_failure_keeps_what_was_done_and_a_window_that_never_comes_is_one() {
        let mut run = AsrRun::new(None);
        run.ran(window(1));
        let failed = WindowAnswer {
            windows: 0,
            failed: Some("the service closed".into()),
            ..window(0)
        };
        assert_eq!(
            run.ran(failed),
            Some(Stopped::Failed("the service closed".into()))
        );
        assert_eq!(run.generated(), 1);
        let nothing = WindowAnswer {
            windows: 0,
            ..window(0)
        };
        assert!(matches!(run.ran(nothing), Some(Stopped::Failed(_))));
    }

    fn shown(run: &AsrRun, stopped: &Stopped, last_error: Option<&str>) -> String {
        let settings = AsrSettings {
            enabled: true,
            provider: "p".into(),
            model: "m".into(),
            realtime: true,
            window_seconds: 10,
            hop_seconds: 3,
        };
        let mut figures = AsrFigures::default();
        figures.push_window(WindowDone {
            end: Seq::new(10).unwrap(),
            seconds: 10,
            took_ms: 500,
            at: EpochMs(5),
            with_text: true,
        });
        let windows = WindowFigures {
            last_error: last_error.map(str::to_owned),
            ..WindowFigures::default()
        };
        let bridge = BridgeFigures::default();
        let ingest = IngestRecord::new(EpochMs(0));
        let asr = AsrView::new(AsrParts {
            settings: &settings,
            figures: &figures,
            bridge: &bridge,
            ingest: &ingest,
            windows: &windows,
            now: EpochMs(5),
            never: EpochMs(0),
        });
        let id = SessionId::parse("s-1").unwrap();
        run.to_json(&id, StreamRole::Teacher, &asr, stopped)
    }

    #[test]
    fn the_answer_has_the_fields_of_the_contract() {
        let mut run = AsrRun::new(None);
        run.ran(window(1));
        assert_eq!(
            shown(&run, &Stopped::End, None),
            concat!(
                r#"{"session_id":"s-1","stream_role":"teacher","generated":1,"#,
                r#""last_window_end_seq":10,"utterance_count":1,"total_windows_processed":1,"#,
                r#""total_audio_seconds_processed":10,"last_window_latency_ms":500,"#,
                r#""avg_window_latency_ms":500,"avg_rtf":0.05,"last_error":null,"stopped":"end"}"#
            )
        );
    }

    #[test]
    fn the_answer_says_why_it_stopped() {
        let run = AsrRun::new(None);
        let failed = Stopped::Failed("no".into());
        for (stopped, known, error, name) in [
            (&Stopped::MaxWindows, None, "null", "max_windows"),
            (&Stopped::Time, Some("before"), r#""before""#, "time"),
            (&failed, Some("before"), r#""no""#, "failed"),
            (
                &Stopped::Disabled,
                None,
                r#""ASR disabled or API key missing""#,
                "disabled",
            ),
        ] {
            let text = shown(&run, stopped, known);
            let end = format!(r#""last_error":{error},"stopped":"{name}"}}"#);
            assert!(text.ends_with(&end), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_run_never_does_more_than_was_asked_for(most in 1u32..20, there in 0u32..30) {
            let mut run = AsrRun::new(Some(most));
            let mut done = 0;
            let stopped = loop {
                let answer = WindowAnswer {
                    windows: u32::from(done < there),
                    generated: 0,
                    at_end: done + 1 >= there,
                    failed: None,
                };
                done += answer.windows;
                if let Some(stopped) = run.ran(answer) {
                    break stopped;
                }
            };
            prop_assert_eq!(done, most.min(there));
            let expected = if most < there { Stopped::MaxWindows } else { Stopped::End };
            prop_assert_eq!(stopped, expected);
        }
    }
}
