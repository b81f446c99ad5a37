//! What a final sentence or a window's text becomes: an utterance, a change of the merged view, a
//! teacher's event, and figures. All of it goes into the batch's one commit.

use std::cmp::Ordering;

use interview_session::asr::{AsrFigures, Emitted, WindowDone};
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use interview_session::seq::Seq;
use interview_session::session_document::SessionDocument;
use interview_session::stored::to_json;
use interview_session::time::EpochMs;
use interview_transcript::event::{KnownNames, teacher_event};
use interview_transcript::merge::order;
use interview_transcript::{FinalSentence, Merge, MergedEntry, Utterance, WindowText, merge_next};

use crate::bindings::interview::gateway::asr_bridge::{Sentence, Window};
use crate::bindings::interview::gateway::session_state::{self, MergedChange, SpeakerEvent};
use crate::roles;
use crate::stream::Stream;

/// The tail of a stream's transcript, as far as new utterances touch it.
pub struct Transcript {
    figures: AsrFigures,
    last: Option<Utterance>,
    last_merged: Option<MergedEntry>,
    /// The merged view is made when it is read.
    out_of_order: bool,
    /// Config and roster, for the teacher's name.
    people: Option<SessionDocument>,
}

impl Transcript {
    fn load(session: &SessionId, role: StreamRole) -> Result<Transcript, String> {
        let records = session_state::load_transcript(session.as_str(), roles::wit(role))
            .map_err(|error| format!("the transcript cannot be read: {error:?}"))?;
        let damaged = |error| format!("the transcript is damaged: {error}");
        let last = records.last_utterance.as_deref();
        let last_merged = records.last_merged.as_deref();
        let people = match role {
            StreamRole::Teacher => Some(load_people(session)?),
            StreamRole::Mixed | StreamRole::Students => None,
        };
        let figures = AsrFigures::load(records.figures.as_deref()).map_err(|e| e.to_string())?;
        Ok(Transcript {
            figures,
            last: last
                .map(serde_json::from_str)
                .transpose()
                .map_err(damaged)?,
            last_merged: last_merged
                .map(serde_json::from_str)
                .transpose()
                .map_err(damaged)?,
            out_of_order: records.out_of_order,
            people,
        })
    }

    /// What the utterance does to the merged view, which is kept as long as utterances come in order.
    fn merge(&mut self, utterance: &Utterance) -> Option<MergedChange> {
        if self.out_of_order {
            return None;
        }
        let before = self.last.as_ref();
        if before.is_some_and(|last| order(utterance, last) == Ordering::Less) {
            self.out_of_order = true;
            self.last_merged = None;
            return Some(MergedChange::GiveUp);
        }
        let (entry, extends) = match merge_next(self.last_merged.as_ref(), utterance) {
            Merge::Skip => return None,
            Merge::Extend(entry) => (entry, true),
            Merge::Append(entry) => (entry, false),
        };
        let document = to_json(&entry);
        self.last_merged = Some(entry);
        Some(match extends {
            true => MergedChange::ReplaceLast(document),
            false => MergedChange::Append(document),
        })
    }
}

impl Stream<'_> {
    fn transcript(&mut self) -> Result<&mut Transcript, String> {
        if self.transcript.is_none() {
            self.transcript = Some(Transcript::load(self.session, self.role)?);
        }
        self.transcript
            .as_mut()
            .ok_or_else(|| "the transcript is not there".to_owned())
    }

    /// A final sentence of the realtime path.
    pub fn sentence(&mut self, sentence: &Sentence) -> Result<(), String> {
        let created_at = self.now.rfc3339();
        let latency_ms = sentence
            .arrived
            .map(|arrived| self.now.since(EpochMs(arrived)));
        let utterance = Utterance::realtime(&FinalSentence {
            session_id: self.session.as_str(),
            stream_role: self.role.as_str(),
            text: &sentence.text,
            start_ms: sentence.start_ms,
            end_ms: sentence.end_ms,
            asr_model: &self.settings.bridge.model,
            asr_provider: &self.settings.provider,
            confidence: None,
            created_at: &created_at,
            latency_ms,
            suffix: &format!("{:08x}", crate::random()? >> 32),
        });
        let utterance = match utterance {
            Ok(utterance) => utterance,
            Err(refused) => {
                self.log(&format!("a sentence is left out: {refused}"));
                return Ok(());
            }
        };
        let (at, range) = (self.now, (utterance.start_seq, utterance.end_seq));
        let figures = &mut self.transcript()?.figures;
        if let (Some(start), Some(end)) = (Seq::new(range.0), Seq::new(range.1)) {
            figures.push(Emitted {
                start,
                end,
                latency_ms,
                at,
            });
        }
        self.counted.latency(latency_ms);
        self.write_down(utterance)
    }

    /// A window that is done; without text it only counts.
    pub fn window(&mut self, window: &Window) -> Result<(), String> {
        let (at, created_at) = (self.now, self.now.rfc3339());
        let utterance = Utterance::window(&WindowText {
            session_id: self.session.as_str(),
            stream_role: self.role.as_str(),
            text: &window.text,
            start_seq: window.range.first,
            end_seq: window.range.last,
            number: window.number,
            asr_model: &self.settings.bridge.model,
            asr_provider: &self.settings.provider,
            created_at: &created_at,
            took_ms: window.took_ms,
        })
        .ok();
        let figures = &mut self.transcript()?.figures;
        if let Some(end) = Seq::new(window.range.last) {
            figures.push_window(WindowDone {
                end,
                seconds: window.range.last.saturating_sub(window.range.first) + 1,
                took_ms: window.took_ms,
                at,
                with_text: utterance.is_some(),
            });
        }
        match utterance {
            Some(utterance) => self.write_down(utterance),
            None => {
                self.changes.figures = Some(self.transcript()?.figures.to_document());
                Ok(())
            }
        }
    }

    fn write_down(&mut self, utterance: Utterance) -> Result<(), String> {
        let now = self.now.rfc3339();
        self.counted.utterance();
        let transcript = self.transcript()?;
        let merged = transcript.merge(&utterance);
        let event = transcript
            .people
            .as_ref()
            .map(|people| teacher_event(&utterance, &known_names(people), &now));
        let figures = transcript.figures.to_document();
        let document = to_json(&utterance);
        transcript.last = Some(utterance);
        self.changes.utterances.push(document);
        self.changes.merged.extend(merged);
        self.changes.events.extend(event.map(|event| SpeakerEvent {
            event: to_json(&event),
            identified: None,
        }));
        self.changes.figures = Some(figures);
        Ok(())
    }
}

/// Config, roster, clusters and bindings of the session.
fn load_people(session: &SessionId) -> Result<SessionDocument, String> {
    let document = session_state::load_session(session.as_str())
        .map_err(|error| format!("the session state cannot be read: {error:?}"))?;
    SessionDocument::read(&document).map_err(|error| error.to_string())
}

fn known_names(document: &SessionDocument) -> KnownNames<'_> {
    let people = &document.people;
    KnownNames {
        roster: people
            .roster
            .iter()
            .flatten()
            .map(|entry| entry.name.as_str())
            .collect(),
        teams_interviewer_name: people.config.teams_interviewer_name.as_deref(),
        interviewer_name: people.config.interviewer_name.as_deref(),
    }
}
