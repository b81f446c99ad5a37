//! A raw utterance: one final sentence of one stream, as the HTTP API shows it. Never changed once
//! it is made.

use serde::{Deserialize, Serialize};

/// One final sentence of one stream. The fields are those of the HTTP API, in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Utterance {
    /// `<session>-<role>-<end_seq, 8 digits>-<suffix>`.
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
    /// From the storing of its last second to its making, in ms; null when unknown.
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

fn seconds(count: u64) -> Result<u32, Refused> {
    u32::try_from(count).map_err(|_| Refused::BeyondLastSecond)
}
