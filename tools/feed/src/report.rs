//! What came of a run, for people and for programs.

use serde_json::{Value, json};

use crate::api::{Finalized, Health};
use crate::printable::{printable, printable_json};
use crate::session::{Role, SessionId};
use crate::stream::{End, Outcome, Summary};

/// All that is said at the end.
#[derive(Debug)]
pub struct Report<'a> {
    /// The session that was streamed into.
    pub session: &'a SessionId,
    /// What the gateway said of itself.
    pub health: &'a Health,
    /// For each stream how it ended, and how many utterances it has, if the gateway still says so.
    pub streams: &'a [(Role, Outcome, Option<u64>)],
    /// None when it was not asked for, or did not succeed.
    pub finalized: Option<&'a Finalized>,
}

impl Report<'_> {
    /// Whether every second is acknowledged, and none met other audio.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.streams.iter().all(|(_, outcome, _)| {
            matches!(outcome.end, End::Complete) && outcome.summary.conflicting == 0
        })
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let streams: Vec<Value> = self
            .streams
            .iter()
            .map(|(role, outcome, utterances)| {
                json!({"stream_role": role, "delivery": outcome.summary, "utterances": utterances})
            })
            .collect();
        let result = json!({
            "session_id": self.session,
            "complete": self.is_complete(),
            "asr_provider": self.health.asr_provider,
            "transcripts_are_invented": self.health.is_simulated(),
            "streams": streams,
            "result_key": self.finalized.map(|finalized| &finalized.result_key),
            "event_count": self.finalized.map(|finalized| finalized.event_count),
        });
        printable_json(&result.to_string()) + "\n"
    }

    /// Lines of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: &str| {
            text.push_str(&printable(line));
            text.push('\n');
        };
        for (role, outcome, utterances) in self.streams {
            line(&of_stream(*role, &outcome.summary, *utterances));
        }
        if self.health.is_simulated() && self.streams.iter().any(|(_, _, count)| *count > Some(0)) {
            line("the utterances are INVENTED: the gateway runs its ASR simulator");
        }
        if let Some(finalized) = self.finalized {
            line(&format!(
                "result: {} in the gateway's blob store (by default the directory .spin/blobs/ beside its spin.toml)",
                finalized.result_key
            ));
        }
        text
    }
}

fn of_stream(role: Role, summary: &Summary, utterances: Option<u64>) -> String {
    let Summary {
        first_seq,
        chunks,
        stored,
        duplicate,
        conflicting,
        skipped,
        resent,
        reconnects,
        ..
    } = summary;
    let mut text = format!(
        "{role}: {chunks} s of audio acknowledged ({stored} stored, {duplicate} known from an earlier attempt, {resent} sent again, {reconnects} reconnects)"
    );
    if *first_seq > 1 {
        text.push_str(&format!(", from second {first_seq} on"));
    }
    if *skipped > 0 {
        text.push_str(&format!(", {skipped} s were there before"));
    }
    if *conflicting > 0 {
        text.push_str(&format!(
            ", {conflicting} of them were stored before they were sent, PERHAPS WITH OTHER AUDIO"
        ));
    }
    if let Some(utterances) = utterances {
        text.push_str(&format!(", {utterances} utterances"));
    }
    text
}
