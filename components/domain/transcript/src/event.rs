//! Speaker events: who said an utterance, how it is known and how sure it is. A `teacher` utterance
//! is named by what the session knows, a `students` one by the inference service; `mixed` ones make
//! no event, so there is no function for them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inference::Answer;
use crate::speech::introduced_name;
use crate::utterance::Utterance;

/// One speaker event. The fields are those of the HTTP API, in its order; a `note` that there is not
/// is left out, as in the original.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeakerEvent {
    /// When it was made, RFC 3339.
    pub ts: String,
    /// `mixed`, `teacher` or `students`.
    pub stream_role: String,
    /// Which way of identifying made it.
    pub source: Source,
    /// Where the name, or its lack, comes from.
    pub identity_source: Option<IdentitySource>,
    /// The utterance it is about.
    pub utterance_id: Option<String>,
    /// The voice; `teacher` for the teacher's.
    pub cluster_id: Option<String>,
    /// The speaker's name.
    pub speaker_name: Option<String>,
    /// How sure it is.
    pub decision: Option<Decision>,
    /// What the inference service rests its decision on: its own object, passed on.
    pub evidence: Option<Value>,
    /// For people: why there is no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which way of identifying made an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The inference service was asked.
    InferenceResolve,
    /// The stream has one speaker.
    TeacherDirect,
}

/// Where a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentitySource {
    /// The meeting's roster.
    TeamsParticipants,
    /// The session's config.
    Preconfig,
    /// The speaker's own words.
    NameExtract,
    /// Nothing is known: the speaker is called `teacher`.
    Teacher,
    /// The inference service.
    InferenceResolve,
}

/// How sure an identification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Sure.
    Auto,
    /// To be confirmed by a person.
    Confirm,
    /// Not known.
    Unknown,
}

impl Decision {
    fn from_answer(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Decision::Auto),
            "confirm" => Some(Decision::Confirm),
            "unknown" => Some(Decision::Unknown),
            _ => None,
        }
    }
}

/// The names a session knows. Blank ones count as absent.
#[derive(Debug, Clone, Default)]
pub struct KnownNames<'a> {
    /// The meeting's participants.
    pub roster: Vec<&'a str>,
    /// `config.teams_interviewer_name`.
    pub teams_interviewer_name: Option<&'a str>,
    /// `config.interviewer_name`.
    pub interviewer_name: Option<&'a str>,
}

/// The event of a `teacher` utterance. The name is the first there is of: the roster entry equal
/// (trimmed, letter case aside) to `teams_interviewer_name`; the one equal to `interviewer_name`;
/// the only entry of a roster of one; `teams_interviewer_name`; `interviewer_name`; a
/// self-introduction in the text; `teacher`. `now` is RFC 3339.
pub fn teacher_event(utterance: &Utterance, known: &KnownNames<'_>, now: &str) -> SpeakerEvent {
    let (identity_source, name) = teacher_name(&utterance.text, known);
    SpeakerEvent {
        source: Source::TeacherDirect,
        identity_source: Some(identity_source),
        cluster_id: Some("teacher".to_owned()),
        speaker_name: Some(name),
        decision: Some(Decision::Auto),
        ..nameless(utterance, now)
    }
}

/// The event of a `students` utterance that the inference service answered for. `session_state` is
/// the stored session state, in which a name bound to the answer's cluster is looked up when the
/// answer has none. Missing or ill-typed parts of the answer are null. `now` is RFC 3339.
pub fn students_event_resolved(
    utterance: &Utterance,
    answer: &Answer,
    session_state: &Value,
    now: &str,
) -> SpeakerEvent {
    SpeakerEvent {
        identity_source: Some(IdentitySource::InferenceResolve),
        cluster_id: answer.cluster_id().map(str::to_owned),
        speaker_name: answer.speaker_name(session_state).map(str::to_owned),
        decision: answer.decision().and_then(Decision::from_answer),
        evidence: answer.evidence().cloned(),
        ..nameless(utterance, now)
    }
}

/// The event of a `students` utterance that could not be looked up; `why` becomes its note. `now` is
/// RFC 3339.
pub fn students_event_unknown(utterance: &Utterance, why: &str, now: &str) -> SpeakerEvent {
    SpeakerEvent {
        decision: Some(Decision::Unknown),
        note: Some(why.to_owned()),
        ..nameless(utterance, now)
    }
}

fn nameless(utterance: &Utterance, now: &str) -> SpeakerEvent {
    SpeakerEvent {
        ts: now.to_owned(),
        stream_role: utterance.stream_role.clone(),
        source: Source::InferenceResolve,
        identity_source: None,
        utterance_id: Some(utterance.utterance_id.clone()),
        cluster_id: None,
        speaker_name: None,
        decision: None,
        evidence: None,
        note: None,
    }
}

fn teacher_name(text: &str, known: &KnownNames<'_>) -> (IdentitySource, String) {
    let named = |name: &&str| !name.trim().is_empty();
    let roster: Vec<&str> = known.roster.iter().copied().filter(named).collect();
    let configured: Vec<&str> = [known.teams_interviewer_name, known.interviewer_name]
        .into_iter()
        .flatten()
        .filter(named)
        .collect();
    let in_roster = configured
        .iter()
        .find_map(|name| roster.iter().find(|entry| same_name(entry, name)))
        .or(match roster.as_slice() {
            [only] => Some(only),
            _ => None,
        });
    if let Some(name) = in_roster {
        return (IdentitySource::TeamsParticipants, name.trim().to_owned());
    }
    if let Some(name) = configured.first() {
        return (IdentitySource::Preconfig, name.trim().to_owned());
    }
    match introduced_name(text) {
        Some(name) => (IdentitySource::NameExtract, name),
        None => (IdentitySource::Teacher, "teacher".to_owned()),
    }
}

fn same_name(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}
