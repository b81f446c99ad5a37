//! Speaker events: who said an utterance, how it is known and how sure it is. A `teacher` utterance
//! is named by what the session knows, a `students` one by the inference service; `mixed` ones make
//! no event, so there is no function for them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_text::{at_most_utf16, is_same_name, normal};

use crate::inference::{Answer, MAX_NAME};
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
    /// What an answer says, if it is one of these.
    pub(crate) fn from_answer(text: &str) -> Option<Self> {
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
        speaker_name: answer.speaker_name(session_state).map(Cow::into_owned),
        decision: answer.decision().and_then(Decision::from_answer),
        evidence: answer.evidence().cloned(),
        note: answer.evidence_left_out(),
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
        .find_map(|name| roster.iter().find(|entry| is_same_name(entry, name)))
        .or(match roster.as_slice() {
            [only] => Some(only),
            _ => None,
        });
    if let Some(name) = in_roster {
        return (IdentitySource::TeamsParticipants, shown(name));
    }
    if let Some(name) = configured.first() {
        return (IdentitySource::Preconfig, shown(name));
    }
    match introduced_name(text) {
        Some(name) => (IdentitySource::NameExtract, name),
        None => (IdentitySource::Teacher, "teacher".to_owned()),
    }
}

/// A name as an event has it. Names that were stored when they had no limit may be of any length, and an
/// event is stored for each sentence.
fn shown(name: &str) -> String {
    normal(at_most_utf16(name.trim(), MAX_NAME)).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::inference::parse_answer;
    use crate::utterance::tests::utterance;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: &str = "2026-02-11T09:30:01.000Z";

    fn teacher(
        roster: &[&str],
        teams_interviewer_name: Option<&str>,
        interviewer_name: Option<&str>,
        text: &str,
    ) -> (IdentitySource, String) {
        let known = KnownNames {
            roster: roster.to_vec(),
            teams_interviewer_name,
            interviewer_name,
        };
        let event = teacher_event(&utterance(0, 1000, text), &known, NOW);
        (event.identity_source.unwrap(), event.speaker_name.unwrap())
    }

    #[test]
    fn the_teacher_is_named_by_the_first_that_knows() {
        use IdentitySource::{NameExtract, Preconfig, Teacher, TeamsParticipants};
        // One name, in two forms and letter cases, is one person; events show the normal form.
        assert_eq!(
            teacher(&["Ann", "Jose\u{301}"], Some("JOSÉ"), None, "x"),
            (TeamsParticipants, "José".into())
        );
        assert_eq!(
            teacher(&[], Some("Jose\u{301}"), None, "x"),
            (Preconfig, "José".into())
        );
        let text = "I'm Eve";
        let roster = [" Ada Lovelace ", "Bob"];
        for (expected, given) in [
            (
                (TeamsParticipants, "Ada Lovelace"),
                teacher(&roster, Some("ADA lovelace"), Some("bob"), text),
            ),
            (
                (TeamsParticipants, "Bob"),
                teacher(&roster, Some("Carol"), Some(" bob"), text),
            ),
            (
                (TeamsParticipants, "Bob"),
                teacher(&["Bob"], Some("Carol"), None, text),
            ),
            (
                (TeamsParticipants, "Bob"),
                teacher(&["", "Bob"], None, None, text),
            ),
            (
                (Preconfig, "Carol"),
                teacher(&roster, Some("Carol "), Some("Dan"), text),
            ),
            (
                (Preconfig, "Dan"),
                teacher(&roster, Some(" "), Some("Dan"), text),
            ),
            ((Preconfig, "Dan"), teacher(&[], None, Some("Dan"), text)),
            ((NameExtract, "Eve"), teacher(&roster, None, None, text)),
            ((NameExtract, "Eve"), teacher(&[], Some(""), None, text)),
            (
                (Teacher, "teacher"),
                teacher(&[], None, None, "I am going to ask you about databases"),
            ),
        ] {
            assert_eq!((expected.0, expected.1.to_owned()), given);
        }
    }

    #[test]
    fn a_teacher_event_is_sure() {
        let event = teacher_event(&utterance(0, 900, "Hello"), &KnownNames::default(), NOW);
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            concat!(
                r#"{"ts":"2026-02-11T09:30:01.000Z","stream_role":"teacher","#,
                r#""source":"teacher_direct","identity_source":"teacher","#,
                r#""utterance_id":"s-1-teacher-00000001-ab12","cluster_id":"teacher","#,
                r#""speaker_name":"teacher","decision":"auto","evidence":null}"#
            )
        );
    }

    fn resolved(answer: &Value, state: &Value) -> SpeakerEvent {
        let answer = parse_answer(200, answer.to_string().as_bytes(), "").unwrap();
        students_event_resolved(&utterance(0, 900, "Hello"), &answer, state, NOW)
    }

    #[test]
    fn an_answer_is_taken_over() {
        let event = resolved(
            &json!({
                "cluster_id": "c1", "speaker_name": "Alice", "decision": "confirm",
                "evidence": {"sv_score": 0.8125},
            }),
            &json!({}),
        );
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            json!({
                "ts": NOW, "stream_role": "teacher", "source": "inference_resolve",
                "identity_source": "inference_resolve",
                "utterance_id": "s-1-teacher-00000001-ab12", "cluster_id": "c1",
                "speaker_name": "Alice", "decision": "confirm", "evidence": {"sv_score": 0.8125},
            })
        );
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<SpeakerEvent>(&json).unwrap(), event);
    }

    #[test]
    fn a_missing_name_is_the_one_bound_to_the_cluster() {
        let name = |answer, state| resolved(&answer, &state).speaker_name;
        let bound = json!({
            "bindings": {"c1": "Alice", "c2": " "},
            "clusters": [7, {"cluster_id": "c2", "bound_name": "Bob"}, {"cluster_id": "c3"}],
        });
        let of = |cluster: &str| json!({"cluster_id": cluster, "speaker_name": null});
        assert_eq!(name(of("c1"), bound.clone()).as_deref(), Some("Alice"));
        assert_eq!(name(of("c2"), bound.clone()).as_deref(), Some("Bob"));
        assert_eq!(name(of("c3"), bound.clone()), None);
        assert_eq!(name(of("c4"), bound.clone()), None);
        assert_eq!(name(json!({}), bound.clone()), None);
        // The answer's own state is newer.
        let newer = json!({"cluster_id": "c1", "updated_state": {"bindings": {"c1": "Carol"}}});
        assert_eq!(name(newer, bound.clone()).as_deref(), Some("Carol"));
        let empty = json!({"cluster_id": "c1", "updated_state": {"bindings": {}}});
        assert_eq!(name(empty, bound).as_deref(), Some("Alice"));
    }

    #[test]
    fn ill_typed_parts_of_an_answer_are_null() {
        let event = resolved(
            &json!({
                "cluster_id": 7, "speaker_name": ["x"], "decision": "sure", "evidence": "none",
                "updated_state": [],
            }),
            &json!({"bindings": [], "clusters": {}}),
        );
        assert_eq!(
            event.identity_source,
            Some(IdentitySource::InferenceResolve)
        );
        assert_eq!(
            (
                event.cluster_id,
                event.speaker_name,
                event.decision,
                event.evidence
            ),
            (None, None, None, None)
        );
    }

    #[test]
    fn a_name_that_was_stored_when_names_had_no_limit_is_cut_in_events() {
        let long = "名".repeat(1_000_000);
        let cut = "名".repeat(MAX_NAME);
        for (roster, configured) in [(vec![], Some(long.as_str())), (vec![long.as_str()], None)] {
            let (_, name) = teacher(&roster, configured, None, "Hello");
            assert_eq!(name, cut);
        }
    }

    #[test]
    fn evidence_that_is_too_long_for_an_event_is_left_out_and_the_event_says_so() {
        let body = json!({"decision": "auto", "speaker_name": "Ann",
            "evidence": {"heard": "e".repeat(1_000_000)}});
        let answer = parse_answer(200, body.to_string().as_bytes(), "").unwrap();
        let event = students_event_resolved(&utterance(0, 900, "Hello"), &answer, &json!({}), NOW);
        assert_eq!(event.speaker_name.as_deref(), Some("Ann"));
        assert_eq!(event.evidence, None);
        assert!(
            event
                .note
                .unwrap()
                .starts_with("the evidence of 1000012 bytes")
        );
    }

    #[test]
    fn a_failed_look_up_says_why() {
        let event = students_event_unknown(&utterance(0, 900, "Hello"), "nobody answers", NOW);
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            json!({
                "ts": NOW, "stream_role": "teacher", "source": "inference_resolve",
                "identity_source": null, "utterance_id": "s-1-teacher-00000001-ab12",
                "cluster_id": null, "speaker_name": null, "decision": "unknown",
                "evidence": null, "note": "nobody answers",
            })
        );
    }

    proptest! {
        #[test]
        fn any_answer_and_state_are_survived(
            field in prop::sample::select(vec!["cluster_id", "speaker_name", "updated_state"]),
            text in "\\PC{0,10}",
        ) {
            let answer = json!({"cluster_id": "c1", field: text.clone()});
            let state = json!({"bindings": {"c1": text.clone()}, "clusters": [text]});
            let event = resolved(&answer, &state);
            prop_assert!(event.speaker_name.is_none_or(|name| !name.trim().is_empty()));
        }
    }
}
