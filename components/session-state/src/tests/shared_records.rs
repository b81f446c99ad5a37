//! Config, clusters and finalization: merging, deletion in between, and what a deleted session leaves.

use interview_session::session_document::SessionDocument;
use serde_json::{Value, json};

use super::fixture::{all_of, clusters, keys};
use super::memory_store::MemoryStore;
use crate::layout::Keys;
use crate::shared::{apply_config, load, merge_speakers};
use crate::store::Store as _;
use crate::wit::Error;
use crate::{finalization, sessions, views};

fn state(store: &MemoryStore, keys: &Keys) -> Value {
    let mut state: Value = serde_json::from_str(&load(store, keys).unwrap()).unwrap();
    state.as_object_mut().unwrap().remove("place");
    state
}

fn merge(store: &MemoryStore, keys: &Keys, sent: &str, updated: &Value) -> bool {
    merge_speakers(store, keys, 9, sent, &updated.to_string()).unwrap()
}

#[test]
fn the_first_thing_known_of_a_session_may_be_an_answer() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let sent = load(&store, &keys).unwrap();
    assert_eq!(store.writes(), 0);
    assert!(merge(&store, &keys, &sent, &clusters(&[("c1", 1)])));
    assert_eq!(sessions::created(&store, &keys).unwrap().unwrap().at, 9);
    assert_eq!(state(&store, &keys)["clusters"][0]["cluster_id"], "c1");
}

#[test]
fn a_roster_of_a_request_stays_and_one_set_meanwhile_too() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let alice = json!([{"name": "Alice", "email": "a@x"}]);
    let sent = load(&store, &keys).unwrap();
    assert!(merge(
        &store,
        &keys,
        &sent,
        &json!({"roster": alice, "config": {}})
    ));
    assert_eq!(state(&store, &keys)["roster"], alice);

    let sent = load(&store, &keys).unwrap();
    let patch = r#"{"teams_participants":["Eve"],"interviewer_name":"Ada"}"#;
    let answer = apply_config(&store, &keys, 10, patch).unwrap();
    assert_eq!(
        answer,
        r#"{"config":{"teams_interviewer_name":"Ada","interviewer_name":"Ada"},"roster":[{"name":"Eve"}]}"#
    );
    let late = json!({"roster": [{"name": "Bob"}], "config": {"interviewer_name": "Bob"}});
    assert!(merge(&store, &keys, &sent, &late));
    assert_eq!(state(&store, &keys)["roster"], json!([{"name": "Eve"}]));
    assert_eq!(state(&store, &keys)["config"]["interviewer_name"], "Ada");
    // Nothing usable: nothing written.
    let before = store.values();
    let sent = load(&store, &keys).unwrap();
    for updated in [
        json!(null),
        json!([]),
        json!({"clusters": null, "roster": "x"}),
    ] {
        assert!(merge(&store, &keys, &sent, &updated));
    }
    assert_eq!(store.values(), before);
}

#[test]
fn an_answer_for_a_deleted_session_is_dropped() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    apply_config(&store, &keys, 1, r#"{"interviewer_name":"Ada"}"#).unwrap();
    let sent = load(&store, &keys).unwrap();
    sessions::delete(&store, &keys).unwrap();
    assert!(!merge(&store, &keys, &sent, &clusters(&[("c1", 1)])));
    assert_eq!(all_of(&store, &keys), []);
    // Also if there is a new session with that id by now.
    apply_config(&store, &keys, 2, r#"{"interviewer_name":"Eve"}"#).unwrap();
    assert!(!merge(&store, &keys, &sent, &clusters(&[("c1", 1)])));
    assert_eq!(state(&store, &keys)["clusters"], json!([]));
    let sent = load(&store, &keys).unwrap();
    assert!(merge(&store, &keys, &sent, &clusters(&[("c1", 1)])));
}

#[test]
fn what_a_deleted_session_left_is_nobodys() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    apply_config(&store, &keys, 1, r#"{"interviewer_name":"Ada"}"#).unwrap();
    finalization::begin(&store, &keys, 1).unwrap();
    // A process that died between its write and its second look.
    let left = store.values();
    sessions::delete(&store, &keys).unwrap();
    for key in [keys.config(), keys.finalization()] {
        store
            .set_many(vec![(key.clone(), left[&key].clone())])
            .unwrap();
    }
    assert_eq!(
        load(&store, &keys).unwrap(),
        SessionDocument::default().to_document()
    );
    let (created, view) = views::read(&store, &keys, views::Detail::Whole).unwrap();
    assert_eq!(
        (created, view.updated_at, view.finalization.finalizing_at),
        (None, None, None)
    );
    apply_config(&store, &keys, 2, r#"{"teams_interviewer_name":"Eve"}"#).unwrap();
    assert_eq!(
        state(&store, &keys)["config"],
        json!({"teams_interviewer_name": "Eve"})
    );
    finalization::end(&store, &keys, 3).unwrap();
    let (_, view) = views::read(&store, &keys, views::Detail::Whole).unwrap();
    assert_eq!(view.finalization.finalizing_at, None);
}

#[test]
fn finalization_begins_and_ends() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let marks = || {
        let (_, view) = views::read(&store, &keys, views::Detail::Whole).unwrap();
        let marks = view.finalization;
        (
            marks.finalizing_at,
            marks.finalized_at,
            marks.finalized_chunks,
            marks.incomplete,
        )
    };
    let note = |at, chunks, metadata: Option<&str>| {
        let written = finalization::Written { at, chunks };
        finalization::note(&store, &keys, at + 1, written, metadata.map(str::to_owned)).unwrap();
    };
    finalization::end(&store, &keys, 1).unwrap();
    finalization::renew(&store, &keys, 1).unwrap();
    assert_eq!(store.writes(), 0);
    finalization::begin(&store, &keys, 2).unwrap();
    assert_eq!(marks(), (Some(2), None, 0, false));
    finalization::renew(&store, &keys, 3).unwrap();
    assert_eq!(marks(), (Some(3), None, 0, false));
    assert_eq!(sessions::created(&store, &keys).unwrap().unwrap().at, 2);
    finalization::end(&store, &keys, 3).unwrap();
    assert_eq!(marks(), (None, None, 0, false));
    finalization::begin(&store, &keys, 4).unwrap();
    note(5, 70, Some("metadata"));
    assert_eq!(marks(), (Some(4), Some(5), 70, true));
    let metadata = || store.get(&keys.incomplete_result()).unwrap();
    assert_eq!(metadata().as_deref(), Some("metadata"));
    finalization::end(&store, &keys, 6).unwrap();
    assert_eq!(marks(), (None, Some(5), 70, true));
    note(5, 70, None);
    assert_eq!((marks(), metadata()), ((None, Some(5), 70, false), None));
}

#[test]
fn of_a_session_that_is_gone_no_result_is_noted() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let written = finalization::Written { at: 1, chunks: 1 };
    finalization::note(&store, &keys, 1, written, Some("metadata".into())).unwrap();
    assert_eq!(all_of(&store, &keys), []);
}

#[test]
fn what_is_damaged_is_said_to_be() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    sessions::create(&store, &keys, 1).unwrap();
    let is_damaged = |result: Result<(), Error>| matches!(result, Err(Error::Damaged(_)));
    assert!(is_damaged(apply_config(&store, &keys, 1, "{").map(drop)));
    assert!(is_damaged(
        merge_speakers(&store, &keys, 1, "{", "{}").map(drop)
    ));
    assert!(is_damaged(
        merge_speakers(&store, &keys, 1, "{}", "{").map(drop)
    ));
    store.set_many(vec![(keys.config(), "x".into())]).unwrap();
    assert!(is_damaged(load(&store, &keys).map(drop)));
    assert!(is_damaged(apply_config(&store, &keys, 1, "{}").map(drop)));
}
