//! What a final sentence becomes: an utterance, a change of the merged view, a speaker event, and
//! figures. All of it goes into the batch's one commit.

use interview_session::asr::{AsrFigures, Emitted};
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use interview_session::seq::Seq;
use interview_session::session_document::SessionDocument;
use interview_session::stored::to_json;
use interview_session::time::EpochMs;
use interview_transcript::event::{KnownNames, teacher_event};
use interview_transcript::{FinalSentence, Merge, MergedEntry, Utterance, merge_next};

use crate::bindings::interview::gateway::asr_bridge::Sentence;
use crate::bindings::interview::gateway::session_state::{self, MergedChange, StreamChanges};
use crate::roles;
use crate::settings::Settings;

/// The tail of a stream's transcript, as far as new sentences touch it.
pub struct Transcript {
    figures: AsrFigures,
    last_merged: Option<MergedEntry>,
    /// Config and roster, for the teacher's name.
    people: Option<SessionDocument>,
}

impl Transcript {
    pub fn load(session: &SessionId, role: StreamRole) -> Result<Transcript, String> {
        let records = session_state::load_transcript(session.as_str(), roles::wit(role))
            .map_err(|error| format!("the transcript cannot be read: {error:?}"))?;
        let last_merged = records
            .last_merged
            .map(|document| serde_json::from_str(&document))
            .transpose()
            .map_err(|error| format!("the merged view is damaged: {error}"))?;
        let people = match role {
            StreamRole::Teacher => Some(load_people(session)?),
            StreamRole::Mixed | StreamRole::Students => None,
        };
        let figures = AsrFigures::load(records.figures.as_deref()).map_err(|e| e.to_string())?;
        Ok(Transcript {
            figures,
            last_merged,
            people,
        })
    }

    /// Takes one sentence in; `changes` gets what is to be written.
    pub fn add(
        &mut self,
        session: &SessionId,
        role: StreamRole,
        settings: &Settings,
        sentence: &Sentence,
        now: EpochMs,
        changes: &mut StreamChanges,
    ) -> Result<(), String> {
        let created_at = now.rfc3339();
        let latency_ms = sentence.arrived.map(|arrived| now.since(EpochMs(arrived)));
        let utterance = Utterance::realtime(&FinalSentence {
            session_id: session.as_str(),
            stream_role: role.as_str(),
            text: &sentence.text,
            start_ms: sentence.start_ms,
            end_ms: sentence.end_ms,
            asr_model: &settings.bridge.model,
            asr_provider: &settings.provider,
            confidence: None,
            created_at: &created_at,
            latency_ms,
            suffix: &format!("{:08x}", crate::random()? >> 32),
        });
        let utterance = match utterance {
            Ok(utterance) => utterance,
            Err(refused) => {
                eprintln!("session={session} role={role} a sentence is left out: {refused}");
                return Ok(());
            }
        };
        changes.utterances.push(to_json(&utterance));
        self.merge(&utterance, changes);
        self.count(&utterance, now);
        if let Some(people) = &self.people {
            let event = teacher_event(&utterance, &known_names(people), &created_at);
            changes.events.push(to_json(&event));
        }
        changes.figures = Some(self.figures.to_document());
        Ok(())
    }

    fn merge(&mut self, utterance: &Utterance, changes: &mut StreamChanges) {
        let (entry, extends) = match merge_next(self.last_merged.as_ref(), utterance) {
            Merge::Skip => return,
            Merge::Extend(entry) => (entry, true),
            Merge::Append(entry) => (entry, false),
        };
        let document = to_json(&entry);
        changes.merged.push(match extends {
            true => MergedChange::ReplaceLast(document),
            false => MergedChange::Append(document),
        });
        self.last_merged = Some(entry);
    }

    fn count(&mut self, utterance: &Utterance, now: EpochMs) {
        let range = (Seq::new(utterance.start_seq), Seq::new(utterance.end_seq));
        if let (Some(start), Some(end)) = range {
            self.figures.push(Emitted {
                start,
                end,
                latency_ms: utterance.latency_ms,
                at: now,
            });
        }
    }
}

/// Config, roster, clusters and bindings of the session.
pub fn load_people(session: &SessionId) -> Result<SessionDocument, String> {
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
