//! A raw utterance: one final sentence of one stream, or the text of one backfilled window, as the
//! HTTP API shows it. Never changed once it is made.

use serde::{Deserialize, Serialize};

/// One final sentence, or the text of one window, of one stream. The fields are those of the HTTP API, in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Utterance {
    /// `<session>-<role>-<end_seq, 8 digits>-<suffix>`; that of a window has no suffix, but for one that may
    /// end with the same second as another window: `-w<number>`.
    pub utterance_id: String,
    /// The session it belongs to.
    pub session_id: String,
    /// `mixed`, `teacher` or `students`.
    pub stream_role: String,
    /// What was said; never blank.
    pub text: String,
    /// The first second of audio it covers, from 1.
    pub start_seq: u32,
    /// The last second of audio it covers; at least `start_seq`.
    pub end_seq: u32,
    /// Session time of its first word, in ms.
    pub start_ms: u64,
    /// Session time of the end of its last word, in ms; at least `start_ms`.
    pub end_ms: u64,
    /// `end_ms - start_ms`.
    pub duration_ms: u64,
    /// The model that heard it.
    pub asr_model: String,
    /// Who ran the model.
    pub asr_provider: String,
    /// 0 to 1; null when the service does not say.
    pub confidence: Option<f64>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// From the storing of its last second to its making, in ms; null when unknown. Of a window: how
    /// long its task took.
    pub latency_ms: Option<u64>,
}

/// What an utterance of the realtime path is made from.
#[derive(Debug, Clone, Copy)]
pub struct FinalSentence<'a> {
    /// The session id as the client gave it.
    pub session_id: &'a str,
    /// `mixed`, `teacher` or `students`.
    pub stream_role: &'a str,
    /// What was said. White space around it is cut.
    pub text: &'a str,
    /// Session time of its first word, in ms.
    pub start_ms: u64,
    /// Session time of the end of its last word, in ms. Earlier than `start_ms` counts as equal to
    /// it: a wrong time is no reason to lose the text.
    pub end_ms: u64,
    /// The model that heard it.
    pub asr_model: &'a str,
    /// Who ran the model.
    pub asr_provider: &'a str,
    /// 0 to 1, if known. Not a number becomes null.
    pub confidence: Option<f64>,
    /// RFC 3339, the time now.
    pub created_at: &'a str,
    /// From the storing of its last second to now, in ms, if known.
    pub latency_ms: Option<u64>,
    /// Ends the id. Random, so that an id is never used twice (after a reset the seconds are).
    pub suffix: &'a str,
}

/// What the utterance of a backfilled window is made from.
#[derive(Debug, Clone, Copy)]
pub struct WindowText<'a> {
    /// The session id as the client gave it.
    pub session_id: &'a str,
    /// `mixed`, `teacher` or `students`.
    pub stream_role: &'a str,
    /// All that was said in the window. White space around it is cut.
    pub text: &'a str,
    /// The window's first second, from 1. 0 counts as 1.
    pub start_seq: u32,
    /// Its last second. Earlier than `start_seq` counts as equal to it.
    pub end_seq: u32,
    /// None: no window before it ended with this second or a later one. Otherwise it is in the id, and no two
    /// windows of a stream have the same until a reset.
    pub number: Option<u32>,
    /// The model that heard it.
    pub asr_model: &'a str,
    /// Who ran the model.
    pub asr_provider: &'a str,
    /// RFC 3339, the time now.
    pub created_at: &'a str,
    /// How long the window's task took, in ms.
    pub took_ms: u64,
}

/// Why a final makes no utterance. Nothing is lost by dropping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no text in it.
    #[error("the sentence has no text")]
    Blank,
    /// Its times lie beyond the last second that a stream can have.
    #[error("the sentence ends after the last possible second of a stream")]
    BeyondLastSecond,
}

impl Utterance {
    /// Makes an utterance from a final sentence of the realtime path.
    ///
    /// # Errors
    /// [`Refused::Blank`] when there is no text, [`Refused::BeyondLastSecond`] when its times do
    /// not fit a stream.
    pub fn realtime(sentence: &FinalSentence<'_>) -> Result<Self, Refused> {
        let text = sentence.text.trim();
        if text.is_empty() {
            return Err(Refused::Blank);
        }
        let start_ms = sentence.start_ms;
        let end_ms = sentence.end_ms.max(start_ms);
        let start_seq = seconds(start_ms / 1000)?
            .checked_add(1)
            .ok_or(Refused::BeyondLastSecond)?;
        let end_seq = seconds(end_ms.div_ceil(1000))?.max(start_seq);
        let FinalSentence {
            session_id,
            stream_role,
            suffix,
            ..
        } = sentence;
        Ok(Utterance {
            utterance_id: format!("{session_id}-{stream_role}-{end_seq:08}-{suffix}"),
            session_id: (*session_id).to_owned(),
            stream_role: (*stream_role).to_owned(),
            text: text.to_owned(),
            start_seq,
            end_seq,
            start_ms,
            end_ms,
            duration_ms: end_ms - start_ms,
            asr_model: sentence.asr_model.to_owned(),
            asr_provider: sentence.asr_provider.to_owned(),
            confidence: sentence
                .confidence
                .filter(|confidence| confidence.is_finite()),
            created_at: sentence.created_at.to_owned(),
            latency_ms: sentence.latency_ms,
        })
    }
}

impl Utterance {
    /// Makes an utterance of all that was said in a backfilled window. It covers the whole of it.
    ///
    /// # Errors
    /// [`Refused::Blank`] when there is no text.
    pub fn window(window: &WindowText<'_>) -> Result<Self, Refused> {
        let text = window.text.trim();
        if text.is_empty() {
            return Err(Refused::Blank);
        }
        let start_seq = window.start_seq.max(1);
        let end_seq = window.end_seq.max(start_seq);
        let start_ms = u64::from(start_seq - 1) * 1000;
        let end_ms = u64::from(end_seq) * 1000;
        let WindowText {
            session_id,
            stream_role,
            ..
        } = window;
        Ok(Utterance {
            utterance_id: match window.number {
                None => format!("{session_id}-{stream_role}-{end_seq:08}"),
                Some(number) => format!("{session_id}-{stream_role}-{end_seq:08}-w{number}"),
            },
            session_id: (*session_id).to_owned(),
            stream_role: (*stream_role).to_owned(),
            text: text.to_owned(),
            start_seq,
            end_seq,
            start_ms,
            end_ms,
            duration_ms: end_ms - start_ms,
            asr_model: window.asr_model.to_owned(),
            asr_provider: window.asr_provider.to_owned(),
            confidence: None,
            created_at: window.created_at.to_owned(),
            latency_ms: Some(window.took_ms),
        })
    }
}

fn seconds(count: u64) -> Result<u32, Refused> {
    u32::try_from(count).map_err(|_| Refused::BeyondLastSecond)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    pub(crate) fn sentence(start_ms: u64, end_ms: u64, text: &str) -> FinalSentence<'_> {
        FinalSentence {
            session_id: "s-1",
            stream_role: "teacher",
            text,
            start_ms,
            end_ms,
            asr_model: "model",
            asr_provider: "dashscope",
            confidence: None,
            created_at: "2026-02-11T09:30:00.123Z",
            latency_ms: Some(420),
            suffix: "ab12",
        }
    }

    /// Seconds `start..=end`.
    pub(crate) fn window(start_seq: u32, end_seq: u32, text: &str) -> WindowText<'_> {
        WindowText {
            session_id: "s-1",
            stream_role: "students",
            text,
            start_seq,
            end_seq,
            number: None,
            asr_model: "model",
            asr_provider: "dashscope",
            created_at: "2026-02-11T09:30:00.123Z",
            took_ms: 900,
        }
    }

    #[test]
    fn a_window_s_utterance_covers_all_of_it_and_has_no_suffix() {
        let utterance = Utterance::window(&window(4, 13, " One. Two. ")).unwrap();
        assert_eq!(
            serde_json::to_string(&utterance).unwrap(),
            concat!(
                r#"{"utterance_id":"s-1-students-00000013","session_id":"s-1","#,
                r#""stream_role":"students","text":"One. Two.","start_seq":4,"end_seq":13,"#,
                r#""start_ms":3000,"end_ms":13000,"duration_ms":10000,"asr_model":"model","#,
                r#""asr_provider":"dashscope","confidence":null,"#,
                r#""created_at":"2026-02-11T09:30:00.123Z","latency_ms":900}"#
            )
        );
    }

    #[test]
    fn a_window_that_may_end_with_another_one_has_its_number_in_the_id() {
        let numbered = WindowText {
            number: Some(3),
            ..window(10, 10, "late")
        };
        let id = Utterance::window(&numbered).unwrap().utterance_id;
        assert_eq!(id, "s-1-students-00000010-w3");
    }

    #[test]
    fn a_window_without_text_is_no_utterance_and_odd_seconds_lose_none() {
        assert_eq!(
            Utterance::window(&window(1, 10, " \n")),
            Err(Refused::Blank)
        );
        let odd = Utterance::window(&window(0, 0, "x")).unwrap();
        assert_eq!((odd.start_seq, odd.end_seq, odd.duration_ms), (1, 1, 1000));
        let back = Utterance::window(&window(7, 3, "x")).unwrap();
        assert_eq!((back.start_seq, back.end_seq), (7, 7));
        let last = Utterance::window(&window(u32::MAX, u32::MAX, "x")).unwrap();
        assert_eq!(last.end_ms, u64::from(u32::MAX) * 1000);
    }

    pub(crate) fn utterance(start_ms: u64, end_ms: u64, text: &str) -> Utterance {
        Utterance::realtime(&sentence(start_ms, end_ms, text)).unwrap()
    }

    #[test]
    fn json_has_the_fields_of_the_api_in_its_order() {
        let utterance = utterance(1200, 3400, " Hello. ");
        let json = serde_json::to_string(&utterance).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"utterance_id":"s-1-teacher-00000004-ab12","session_id":"s-1","#,
                r#""stream_role":"teacher","text":"Hello.","start_seq":2,"end_seq":4,"#,
                r#""start_ms":1200,"end_ms":3400,"duration_ms":2200,"asr_model":"model","#,
                r#""asr_provider":"dashscope","confidence":null,"#,
                r#""created_at":"2026-02-11T09:30:00.123Z","latency_ms":420}"#
            )
        );
        assert_eq!(serde_json::from_str::<Utterance>(&json).unwrap(), utterance);
    }

    #[test]
    fn it_covers_the_seconds_its_times_touch() {
        let seconds = |start_ms, end_ms| {
            let utterance = utterance(start_ms, end_ms, "x");
            (utterance.start_seq, utterance.end_seq)
        };
        assert_eq!(seconds(0, 1000), (1, 1));
        assert_eq!(seconds(0, 1001), (1, 2));
        assert_eq!(seconds(999, 2000), (1, 2));
        assert_eq!(seconds(1000, 2000), (2, 2));
        // Empty, on the border of two seconds.
        assert_eq!(seconds(0, 0), (1, 1));
        assert_eq!(seconds(2000, 2000), (3, 3));
    }

    #[test]
    fn an_end_before_the_start_loses_no_text() {
        let utterance = utterance(5000, 200, "x");
        assert_eq!(
            (utterance.start_ms, utterance.end_ms, utterance.duration_ms),
            (5000, 5000, 0)
        );
        assert_eq!((utterance.start_seq, utterance.end_seq), (6, 6));
    }

    #[test]
    fn blank_text_and_impossible_times_are_refused() {
        for blank in ["", " \n", "\u{3000}"] {
            assert_eq!(
                Utterance::realtime(&sentence(0, 1, blank)),
                Err(Refused::Blank)
            );
        }
        let last = u64::from(u32::MAX) * 1000;
        assert_eq!(utterance(last - 1, last, "x").end_seq, u32::MAX);
        for (start, end) in [(0, last + 1), (last, last), (u64::MAX, u64::MAX)] {
            assert_eq!(
                Utterance::realtime(&sentence(start, end, "x")),
                Err(Refused::BeyondLastSecond)
            );
        }
    }

    #[test]
    fn a_confidence_that_is_no_number_is_null() {
        let with = |confidence| {
            Utterance::realtime(&FinalSentence {
                confidence,
                ..sentence(0, 1, "x")
            })
            .unwrap()
            .confidence
        };
        assert_eq!(with(Some(f64::NAN)), None);
        assert_eq!(with(Some(0.5)), Some(0.5));
    }
}
