//! What answers of the inference service leave behind: `resolve`, case by case.
//!
//! A row is the roster of the request, the answer's `updated_state`, and what is stored afterwards.
//! The original took the whole answer for the state; where this gateway differs the row says so.

use interview_session::config::{ConfigPatch, ConfigState, MAX_ROSTER};
use interview_session::speakers::SpeakerState;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Merges an answer to a request that was made now.
fn resolve(people: &mut ConfigState, speakers: &mut SpeakerState, updated_state: &Value) {
    let sent = people.clone();
    people.merge(&sent, updated_state);
    speakers.merge(updated_state);
}

fn stored(people: &ConfigState, speakers: &SpeakerState) -> Value {
    let mut stored = serde_json::to_value(speakers).unwrap();
    let people = serde_json::to_value(people).unwrap();
    for (field, value) in people.as_object().unwrap() {
        stored[field] = value.clone();
    }
    stored
}

fn people(patch: Value) -> ConfigState {
    let mut people = ConfigState::default();
    ConfigPatch::from_value(&patch).unwrap().apply(&mut people);
    people
}

fn c1(samples: u64, name: Option<&str>) -> Value {
    json!({"cluster_id": "c1", "centroid": [-0.9538, -0.2624, 0.6702, 0.9866],
        "sample_count": samples, "bound_name": name})
}

#[test]
fn a_roster_that_came_with_a_request_stays_because_the_service_repeats_it() {
    let (mut people, mut speakers) = (ConfigState::default(), SpeakerState::default());
    let alice = json!([{"name": "Alice", "email": "a@x"}]);
    let rows = [
        // ok: nothing stored, nothing sent.
        (
            json!({"clusters": [c1(1, None)], "bindings": {}, "roster": null, "config": {}}),
            json!({"clusters": [c1(1, None)], "bindings": {}, "config": {}}),
        ),
        // ok-named: the request's roster is not stored, the answer repeats it.
        (
            json!({"clusters": [c1(2, Some("Alice"))], "bindings": {"c1": "Alice"}, "roster": alice, "config": {}}),
            json!({"clusters": [c1(2, Some("Alice"))], "bindings": {"c1": "Alice"}, "roster": alice, "config": {}}),
        ),
        // ok-bound-now-auto: without a roster of its own the request is made with the stored one.
        (
            json!({"clusters": [c1(3, Some("Alice"))], "bindings": {"c1": "Alice"}, "roster": alice, "config": {}}),
            json!({"clusters": [c1(3, Some("Alice"))], "bindings": {"c1": "Alice"}, "roster": alice, "config": {}}),
        ),
        // upstream-empty-object, no-updated-state: the original forgot everything (faults.md 28).
        (
            json!(null),
            json!({"clusters": [c1(3, Some("Alice"))], "bindings": {"c1": "Alice"}, "roster": alice, "config": {}}),
        ),
        // roster-empty and roster-string: the original stored the text (faults.md 28).
        (
            json!({"clusters": [c1(4, Some("Alice"))], "roster": []}),
            json!({"clusters": [c1(4, Some("Alice"))], "bindings": {"c1": "Alice"}, "roster": alice, "config": {}}),
        ),
        (
            json!({"roster": "abc", "config": [], "clusters": "abc", "bindings": 5}),
            json!({"clusters": [c1(4, Some("Alice"))], "bindings": {"c1": "Alice"}, "roster": alice, "config": {}}),
        ),
    ];
    for (updated_state, expected) in rows {
        resolve(&mut people, &mut speakers, &updated_state);
        assert_eq!(stored(&people, &speakers), expected, "{updated_state}");
    }
}

#[test]
fn no_answer_without_a_state_changes_what_was_configured() {
    let mut stored =
        people(json!({"interviewer_name": "Ada", "teams_participants": ["Ada", "Bob"]}));
    let before = stored.clone();
    for updated_state in [
        json!(null),
        json!([]),
        json!({}),
        json!({"config": null, "roster": null}),
        json!({"config": {}, "roster": {}}),
        json!({"config": {"interviewer_name": null, "teams_interviewer_name": " "}}),
        json!({"config": {"interviewer_name": 5, "other": "x"}}),
        json!({"roster": [{"name": "Eve"}, {"email": "x"}]}),
        json!({"roster": ["Eve", " "]}),
        json!({"roster": vec!["Eve"; MAX_ROSTER + 1]}),
        // What was sent, as services write it back.
        json!({"roster": [{"name": "Ada", "email": null}, "Bob"], "config": {"interviewer_name": " Ada "}}),
    ] {
        let sent = stored.clone();
        assert!(!stored.merge(&sent, &updated_state), "{updated_state}");
        assert_eq!(stored, before);
    }
}

#[test]
fn what_was_set_while_a_request_was_under_way_stays() {
    let sent = people(json!({"interviewer_name": "Ada", "teams_participants": ["Ada"]}));
    let answer = json!({"config": {"interviewer_name": "X", "teams_interviewer_name": "Y"}, "roster": ["X"]});

    let mut alone = sent.clone();
    assert!(alone.merge(&sent, &answer));
    assert_eq!(
        serde_json::to_value(&alone).unwrap(),
        json!({"config": {"interviewer_name": "X", "teams_interviewer_name": "Y"}, "roster": [{"name": "X"}]})
    );

    // Only the name in the meeting was set meanwhile: the other fields are the answer's.
    let mut named = sent.clone();
    ConfigPatch::from_value(&json!({"teams_interviewer_name": "Eve"}))
        .unwrap()
        .apply(&mut named);
    assert!(named.merge(&sent, &answer));
    assert_eq!(
        serde_json::to_value(&named).unwrap(),
        json!({"config": {"interviewer_name": "X", "teams_interviewer_name": "Eve"}, "roster": [{"name": "X"}]})
    );

    // The roster was.
    let mut joined = sent.clone();
    ConfigPatch::from_value(&json!({"teams_participants": ["Ada", "Eve"]}))
        .unwrap()
        .apply(&mut joined);
    assert!(joined.merge(&sent, &answer));
    assert_eq!(
        serde_json::to_value(&joined.roster).unwrap(),
        json!([{"name": "Ada"}, {"name": "Eve"}])
    );
}

fn some_people() -> impl Strategy<Value = ConfigState> {
    let name = || prop::option::of("[AB]");
    let roster = prop::collection::vec("[AB]", 0..3);
    (name(), name(), roster).prop_map(|(teams, own, roster)| {
        people(json!({"teams_interviewer_name": teams, "interviewer_name": own, "teams_participants": roster}))
    })
}

proptest! {
    #[test]
    fn a_field_is_the_answers_only_if_it_alone_changed_it(
        sent in some_people(), now in some_people(), answered in some_people(),
    ) {
        let mut merged = now.clone();
        let changed = merged.merge(&sent, &serde_json::to_value(&answered).unwrap());
        prop_assert_eq!(changed, merged != now);
        fn expected<T: PartialEq>(sent: T, now: T, answered: Option<T>) -> T {
            match answered {
                Some(answered) if now == sent => answered,
                _ => now,
            }
        }
        let own = |state: &ConfigState| state.config.interviewer_name.clone();
        let teams = |state: &ConfigState| state.config.teams_interviewer_name.clone();
        prop_assert_eq!(own(&merged), expected(own(&sent), own(&now), own(&answered).map(Some)));
        prop_assert_eq!(teams(&merged), expected(teams(&sent), teams(&now), teams(&answered).map(Some)));
        let roster = answered.roster.clone().map(Some);
        prop_assert_eq!(merged.roster, expected(sent.roster, now.roster, roster));
    }
}
