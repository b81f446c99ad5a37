//! One operation, with a whole other one between any two of its calls of the store.

use interview_session::role::StreamRole;

use super::fixture::{all_of, clusters, keys};
use super::memory_store::{MemoryStore, Task};
use crate::layout::Log;
use crate::shared::{apply_config, load, merge_speakers};
use crate::wit::{MergedChange, StreamChanges};
use crate::{answers, logs, removal, sessions};

/// More calls than any operation of these tests makes.
const CALLS: usize = 60;

/// Does `first`, and after `calls` calls of it all of `second`.
fn interrupt(store: &mut MemoryStore, calls: usize, first: Task<'_, ()>, second: Task<'_, ()>) {
    // Both wait: the first is 0, the second 1.
    let choices: Vec<_> = (0..2 * CALLS).map(|call| u8::from(call >= calls)).collect();
    store.interleave(&choices, vec![first, second]);
}

#[test]
fn a_claim_that_is_never_ended_is_found_by_the_next_deletion() {
    let keys = keys("s");
    for calls in 0..CALLS {
        let mut store = MemoryStore::default();
        answers::claim(&store, &keys, StreamRole::Mixed, "other", 1, 9, 1).unwrap();
        let claim: Task<'_, ()> = Box::new(|store| {
            answers::claim(store, &keys, StreamRole::Mixed, "k", 1, 9, 2).unwrap();
        });
        let delete: Task<'_, ()> = Box::new(|store| sessions::delete(store, &keys).unwrap());
        interrupt(&mut store, calls, claim, delete);
        sessions::delete(&store, &keys).unwrap();
        assert_eq!(all_of(&store, &keys), [], "after {calls} calls");
    }
}

#[test]
fn a_late_answer_does_not_touch_the_session_that_came_after() {
    let keys = keys("s");
    for calls in 0..CALLS {
        let mut store = MemoryStore::default();
        apply_config(&store, &keys, 1, r#"{"interviewer_name":"Ada"}"#).unwrap();
        let sent = load(&store, &keys).unwrap();
        let late: Task<'_, ()> = Box::new(|store| {
            let mut updated = clusters(&[("old", 9)]);
            updated["config"]["interviewer_name"] = "Old".into();
            merge_speakers(store, &keys, 2, &sent, &updated.to_string()).unwrap();
        });
        let again: Task<'_, ()> = Box::new(|store| {
            sessions::delete(store, &keys).unwrap();
            apply_config(store, &keys, 3, r#"{"interviewer_name":"Eve"}"#).unwrap();
            let sent = load(store, &keys).unwrap();
            let updated = clusters(&[("new", 1)]).to_string();
            assert!(merge_speakers(store, &keys, 4, &sent, &updated).unwrap());
        });
        interrupt(&mut store, calls, late, again);
        let state = load(&store, &keys).unwrap();
        assert!(
            state.contains("\"new\"") && state.contains("Eve"),
            "after {calls} calls: {state}"
        );
        assert!(
            !state.to_lowercase().contains("old"),
            "after {calls} calls: {state}"
        );
    }
}

#[test]
fn who_reads_a_log_during_a_reset_or_a_deletion_sees_it_before_or_after() {
    let keys = keys("s");
    let role = StreamRole::Students;
    for calls in 0..CALLS {
        for deletes in [false, true] {
            let mut store = MemoryStore::default();
            let changes = |text: &str| StreamChanges {
                utterances: vec![text.to_owned(); 2],
                merged: vec![MergedChange::Append(text.to_owned())],
                ..super::fixture::changes()
            };
            logs::commit(&store, &keys, role, 1, changes("old")).unwrap();
            let read: Task<'_, ()> = Box::new(|store| {
                let page = logs::read(store, &keys, role, Log::Utterances, None, 9).unwrap();
                let items = page.items.join(" ");
                assert!(["old old", "new new"].contains(&items.as_str()), "{items}");
                logs::next_unidentified(store, &keys).unwrap().unwrap();
            });
            let empties: Task<'_, ()> = Box::new(|store| {
                if deletes {
                    removal::delete_stream(store, &keys, role).unwrap();
                } else {
                    removal::reset(store, &keys, role, 2, None).unwrap();
                }
                logs::commit(store, &keys, role, 3, changes("new")).unwrap();
            });
            interrupt(&mut store, calls, read, empties);
        }
    }
}
