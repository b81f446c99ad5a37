use interview_session::asr::{
    AsrFigures, AsrParts, AsrSettings, AsrView, BridgeFigures, WindowFigures,
};
use interview_session::capture::capture_by_stream;
use interview_session::config::{ConfigPatch, ConfigState};
use interview_session::ingest::IngestRecord;
use interview_session::phase::Phase;
use interview_session::role::ByRole;
use interview_session::session_document::{SessionDocument, session_document};
use interview_session::speakers::SpeakerState;
use interview_session::state_view::{StateParts, StateView};
use interview_session::time::EpochMs;
use serde_json::{Value, json};

use super::session;

fn state_text(document: &SessionDocument, updated_at: Option<EpochMs>) -> String {
    let never = EpochMs(0);
    let id = session("g-config");
    let settings = AsrSettings {
        enabled: true,
        provider: "dashscope".into(),
        model: "m".into(),
        realtime: true,
        window_seconds: 10,
        hop_seconds: 3,
    };
    let (figures, bridge) = (AsrFigures::default(), BridgeFigures::default());
    let ingest = IngestRecord::new(never);
    let asr = AsrParts {
        settings: &settings,
        figures: &figures,
        bridge: &bridge,
        ingest: &ingest,
        windows: &WindowFigures::default(),
        now: never,
        never,
    };
    StateView::new(StateParts {
        session: &id,
        document,
        event_count: 3,
        updated_at,
        ingest: &ByRole::new(|_| IngestRecord::new(never)),
        capture: &capture_by_stream(ByRole::default(), never),
        asr: ByRole::new(|_| AsrView::new(asr)),
        utterances: ByRole {
            mixed: 1,
            teacher: 3,
            students: 0,
        },
        phase: Phase::Idle,
    })
    .to_json()
}

/// The keys of an object in the order of its text.
fn order(text: &str, names: &[&str]) {
    let at: Vec<_> = names
        .iter()
        .map(|name| text.find(&format!("\"{name}\":")).unwrap())
        .collect();
    assert!(at.is_sorted(), "{text}");
}

#[test]
fn a_session_never_seen() {
    let text = state_text(&SessionDocument::default(), None);
    assert!(text.starts_with(r#"{"session_id":"g-config","state":{"clusters":[],"bindings":{},"capture_by_stream":{"mixed":{"capture_state":"idle","recover_attempts":0,"last_recover_at":null,"last_recover_error":null,"echo_suppressed_chunks":0,"echo_suppression_recent_rate":0,"updated_at":"1970-01-01T00:00:00.000Z"},"#));
    assert!(
        text.contains(
            r#""config":{}},"event_count":3,"updated_at":null,"ingest":{"type":"status","#
        )
    );
    assert!(text.ends_with(
        r#""utterance_count":1,"utterance_count_by_stream":{"mixed":1,"teacher":3,"students":0},"phase":"idle"}"#
    ));
    order(
        &text,
        &[
            "ingest",
            "ingest_by_stream",
            "asr",
            "asr_by_stream",
            "utterance_count_by_stream",
        ],
    );
}

#[test]
fn a_session_with_people_and_voices() {
    let mut people = ConfigState::default();
    ConfigPatch::from_value(
        &json!({"interviewer_name": "Ada", "teams_participants": ["Carol", {"name": "Eve"}]}),
    )
    .unwrap()
    .apply(&mut people);
    let mut speakers = SpeakerState::default();
    speakers.merge(&json!({
        "clusters": [{"cluster_id": "c1", "centroid": [-0.9538, 1], "sample_count": 2, "bound_name": "Alice"}],
        "bindings": {"c1": "Alice"},
    }));
    let document = session_document(people, speakers);
    assert_eq!(
        SessionDocument::read(&document.to_document()),
        Ok(document.clone())
    );
    assert_eq!(SessionDocument::read("{}"), Ok(SessionDocument::default()));
    let text = state_text(&document, Some(EpochMs(5)));
    order(
        &text,
        &[
            "clusters",
            "bindings",
            "capture_by_stream",
            "config",
            "roster",
            "event_count",
        ],
    );
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["updated_at"], "1970-01-01T00:00:00.005Z");
    assert_eq!(
        state["state"]["roster"],
        json!([{"name": "Carol"}, {"name": "Eve", "email": null}])
    );
    assert_eq!(
        state["state"]["config"],
        json!({"interviewer_name": "Ada", "teams_interviewer_name": "Ada"})
    );
    assert_eq!(
        state["state"]["clusters"],
        json!([{"cluster_id": "c1", "centroid": [-0.9538, 1], "sample_count": 2, "bound_name": "Alice"}])
    );
    assert_eq!(state["state"]["bindings"], json!({"c1": "Alice"}));
}
