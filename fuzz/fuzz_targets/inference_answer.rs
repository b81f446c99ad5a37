//! Answers of the inference service: one that says nothing changes nothing, one that comes twice
//! changes nothing the second time, one that is late undoes nothing, and what is stored of it is
//! bounded and reads back.
//!
//! The input is lines: the session document that was sent, what somebody set meanwhile, and then
//! answers.
#![no_main]

use interview_session::config::{ConfigPatch, MAX_ROSTER};
use interview_session::session_document::SessionDocument;
use interview_session::speakers::{MAX_CLUSTERS, MAX_NAME};
use interview_transcript::inference::MAX_EVIDENCE_BYTES;
use interview_transcript::resolve::{Question, resolved_answer, resolved_event};
use interview_transcript::{
    Answer, FinalSentence, Utterance, parse_answer, students_event_resolved,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// What the service was sent.
const KEY: &str = "key-of-nobody";

const NOW: &str = "2026-11-23T00:00:00.000Z";

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let sent = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let sent = sent.and_then(|text| SessionDocument::read(text).ok());
    let sent = sent.unwrap_or_default();
    let meanwhile = ConfigPatch::from_body(lines.next().unwrap_or_default());
    let mut stored = sent.clone();
    if let Ok(patch) = &meanwhile {
        patch.apply(&mut stored.people);
    }
    for body in lines.take(16) {
        question(body, &sent);
        for status in [0, 199, 300, 404, 500, 65_535] {
            let error = parse_answer(status, body, KEY).expect_err("only 2xx is an answer");
            assert!(error.to_string().len() <= 1100);
        }
        match parse_answer(200, body, KEY) {
            Ok(answer) => merge(&answer, &sent, &mut stored),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

fn question(body: &[u8], sent: &SessionDocument) {
    if let Ok(question) = Question::parse(body) {
        let state: Value = serde_json::from_str(&sent.to_document()).expect("a document is JSON");
        let request: Value =
            serde_json::from_str(&question.request_body("g", &state)).expect("a request is JSON");
        assert!(request["audio"]["content_b64"].is_string());
    }
}

fn merge(answer: &Answer, sent: &SessionDocument, stored: &mut SessionDocument) {
    show(answer, stored);
    let before = stored.clone();
    let Some(updated) = answer.updated_state() else {
        return;
    };
    let has_changed = [
        stored.speakers.merge(updated),
        stored.people.merge(&sent.people, updated),
    ];
    assert_eq!(has_changed[0], stored.speakers != before.speakers);
    if !has_changed[1] {
        assert_eq!(stored.people, before.people);
    }
    late(sent, &before, stored);
    let says_nothing = updated.as_object().is_some_and(|fields| {
        let known = ["clusters", "bindings", "roster", "config"];
        known
            .iter()
            .all(|name| fields.get(*name).is_none_or(Value::is_null))
    });
    if says_nothing {
        assert_eq!(
            *stored, before,
            "an answer without a word changed something"
        );
    }
    let once = stored.clone();
    stored.speakers.merge(updated);
    assert_eq!(stored.speakers, once.speakers, "the same answer twice");
    stored.people.merge(&sent.people, updated);
    assert_eq!(stored.people, once.people, "the same answer twice");
    bounded(&before, stored);
    let read = SessionDocument::read(&stored.to_document()).expect("reads back");
    assert_eq!(read, *stored);
}

/// What somebody set while the answer was made stays.
fn late(sent: &SessionDocument, before: &SessionDocument, after: &SessionDocument) {
    let (sent, before, after) = (&sent.people, &before.people, &after.people);
    if sent.config.interviewer_name != before.config.interviewer_name {
        assert_eq!(
            after.config.interviewer_name,
            before.config.interviewer_name
        );
    }
    if sent.config.teams_interviewer_name != before.config.teams_interviewer_name {
        assert_eq!(
            after.config.teams_interviewer_name,
            before.config.teams_interviewer_name
        );
    }
    let names = |roster: &Option<Vec<interview_session::config::RosterEntry>>| {
        let entries = roster.iter().flatten();
        entries.map(|entry| entry.name.clone()).collect::<Vec<_>>()
    };
    if names(&sent.roster) != names(&before.roster) {
        assert_eq!(after.roster, before.roster);
    }
    assert!(names(&after.roster).is_empty() <= names(&before.roster).is_empty());
}

/// Beyond what was stored already nothing grows over the limits.
fn bounded(before: &SessionDocument, after: &SessionDocument) {
    let (old, new) = (&before.speakers, &after.speakers);
    assert!(new.clusters.len() <= MAX_CLUSTERS.max(old.clusters.len()));
    assert!(new.bindings.len() <= MAX_CLUSTERS.max(old.bindings.len()));
    for (id, name) in &new.bindings {
        let is_short = [id, name]
            .iter()
            .all(|text| text.encode_utf16().count() <= MAX_NAME);
        assert!(is_short || old.bindings.get(id) == Some(name));
    }
    for cluster in &old.clusters {
        let of =
            |known: &&interview_session::speakers::Cluster| known.cluster_id == cluster.cluster_id;
        let known = new.clusters.iter().find(of).expect("no cluster is lost");
        assert!(
            known.bound_name.is_some() || cluster.bound_name.is_none(),
            "a name is lost"
        );
    }
    let roster = |people: &interview_session::config::ConfigState| {
        people.roster.as_ref().map_or(0, Vec::len)
    };
    assert!(roster(&after.people) <= MAX_ROSTER.max(roster(&before.people)));
}

fn show(answer: &Answer, stored: &SessionDocument) {
    let state: Value = serde_json::from_str(&stored.to_document()).expect("a document is JSON");
    let event = resolved_event(answer, "students", &state, NOW);
    assert_eq!(event["source"], "inference_resolve");
    assert!(event["speaker_name"].is_null() || event["speaker_name"].is_string());
    for name in [&event["cluster_id"], &event["speaker_name"]] {
        assert!(
            name.as_str()
                .is_none_or(|name| name.encode_utf16().count() <= 3 * MAX_NAME)
        );
    }
    assert!(event["evidence"].to_string().len() <= MAX_EVIDENCE_BYTES);
    let shown = resolved_answer(answer, &state);
    assert!(shown["updated_state"].is_object());
    assert_eq!(
        shown.get("speaker_name").and_then(Value::as_str).is_some(),
        answer.speaker_name(&state).is_some()
    );
    let utterance = Utterance::realtime(&FinalSentence {
        session_id: "g",
        stream_role: "students",
        text: "hello",
        start_ms: 0,
        end_ms: 1000,
        asr_model: "m",
        asr_provider: "p",
        confidence: None,
        created_at: NOW,
        latency_ms: None,
        suffix: "s",
    })
    .expect("an utterance");
    let event = students_event_resolved(&utterance, answer, &state, NOW);
    let document = serde_json::to_string(&event).expect("an event is written");
    let read: Value = serde_json::from_str(&document).expect("an event is JSON");
    assert_eq!(read["utterance_id"], utterance.utterance_id.as_str());
}
