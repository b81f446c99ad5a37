//! Idempotency keys: one request at a time has one, and what it answered is kept.

use interview_session::role::StreamRole;

use super::fixture::{all_of, keys};
use super::memory_store::MemoryStore;
use crate::answers::{MAX_ANSWER_BYTES, MAX_ANSWERS, claim, delete_all, end};
use crate::layout::Keys;
use crate::wit::Claim;

const ROLE: StreamRole = StreamRole::Mixed;

/// `claimed`, `busy <until>` or the answer.
fn ask(store: &MemoryStore, keys: &Keys, key: &str, now: u64, token: u64) -> String {
    match claim(store, keys, ROLE, key, now, now + 10, token).unwrap() {
        Claim::Claimed(own) => {
            assert_eq!(own, token);
            "claimed".into()
        }
        Claim::Busy(until) => format!("busy {until}"),
        Claim::Answered(answer) => answer,
    }
}

fn answered(store: &MemoryStore, keys: &Keys, key: &str, token: u64, answer: Option<&str>) {
    end(store, keys, ROLE, key, token, answer.map(str::to_owned)).unwrap();
}

#[test]
fn a_key_is_claimed_answered_and_repeated() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    assert_eq!(ask(&store, &keys, "k", 100, 1), "claimed");
    assert_eq!(ask(&store, &keys, "k", 101, 2), "busy 110");
    answered(&store, &keys, "k", 2, Some("not mine"));
    assert_eq!(ask(&store, &keys, "k", 102, 2), "busy 110");
    answered(&store, &keys, "k", 1, Some("yes"));
    answered(&store, &keys, "k", 1, Some("other"));
    answered(&store, &keys, "k", 1, None);
    let writes = store.writes();
    assert_eq!(ask(&store, &keys, "k", 103, 3), "yes");
    assert_eq!(store.writes(), writes);
    // Of another role, and another key, it is another.
    assert_eq!(ask(&store, &keys, "k2", 104, 4), "claimed");
    let other = claim(&store, &keys, StreamRole::Teacher, "k", 104, 114, 5).unwrap();
    assert!(matches!(other, Claim::Claimed(5)));
    // Nobody began a session.
    assert!(!store.values().contains_key(&keys.created()));
}

#[test]
fn a_claim_that_failed_or_is_overdue_is_free() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    assert_eq!(ask(&store, &keys, "k", 100, 1), "claimed");
    answered(&store, &keys, "k", 1, None);
    assert_eq!(ask(&store, &keys, "k", 101, 2), "claimed");
    assert_eq!(ask(&store, &keys, "k", 110, 3), "busy 111");
    assert_eq!(ask(&store, &keys, "k", 111, 3), "claimed");
    // The one that was overtaken comes back after all.
    answered(&store, &keys, "k", 2, Some("late"));
    assert_eq!(ask(&store, &keys, "k", 112, 4), "busy 121");
    answered(&store, &keys, "k", 3, Some("in time"));
    assert_eq!(ask(&store, &keys, "k", 999, 5), "in time");
}

#[test]
fn the_newest_are_kept_and_all_are_found_by_a_deletion() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let extra = 3;
    for n in 0..MAX_ANSWERS + extra {
        // Longer than any key of a store may be.
        let key = format!("{n:03000}");
        assert_eq!(ask(&store, &keys, &key, 100, 7), "claimed");
        answered(&store, &keys, &key, 7, Some("yes"));
    }
    // The list, the kept, and one that goes with the next claim.
    assert_eq!(all_of(&store, &keys).len(), 1 + MAX_ANSWERS + 1);
    let key = |n: usize| format!("{n:03000}");
    assert_eq!(ask(&store, &keys, &key(extra), 101, 8), "yes");
    assert_eq!(
        ask(&store, &keys, &key(MAX_ANSWERS + extra - 1), 101, 8),
        "yes"
    );
    assert_eq!(ask(&store, &keys, &key(0), 101, 8), "claimed");
    delete_all(&store, &keys).unwrap();
    assert_eq!(all_of(&store, &keys), []);
}

#[test]
fn an_answer_that_is_too_large_is_not_kept() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    assert_eq!(ask(&store, &keys, "k", 100, 1), "claimed");
    answered(
        &store,
        &keys,
        "k",
        1,
        Some(&"x".repeat(MAX_ANSWER_BYTES + 1)),
    );
    assert_eq!(ask(&store, &keys, "k", 100, 2), "claimed");
    let longest = "x".repeat(MAX_ANSWER_BYTES);
    answered(&store, &keys, "k", 2, Some(&longest));
    assert_eq!(ask(&store, &keys, "k", 100, 3), longest);
}
