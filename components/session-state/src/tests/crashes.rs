//! A reset or a deletion that is stopped after any write, and repeated, leaves nothing behind and
//! touches nobody else.

use interview_session::role::StreamRole;
use proptest::prelude::*;

use super::fixture::{STUDENTS, all_of, changes, fill_session, keys};
use super::memory_store::MemoryStore;
use crate::layout::{Keys, Log};
use crate::removal::{PAGE, RESET_PAGES, delete_stream, reset};
use crate::store::Store as _;
use crate::wit::Error;
use crate::{live, logs, sessions};

/// As the routes do it.
fn delete_all(store: &MemoryStore, keys: &Keys, last: u64) -> Result<(), Error> {
    for role in StreamRole::ALL {
        delete_stream(store, keys, role)?;
    }
    live::delete(store, keys, last)?;
    sessions::delete(store, keys)
}

/// Two sessions that have one safe id, with `n` entries in each log.
fn two_sessions(n: usize) -> (MemoryStore, Keys, Keys) {
    let store = MemoryStore::default();
    let (own, other) = (keys("a/b"), keys("a_b"));
    fill_session(&store, &own, n);
    fill_session(&store, &other, n);
    (store, own, other)
}

fn writes_of(store: &MemoryStore, work: impl Fn(&MemoryStore) -> Result<(), Error>) -> usize {
    let store = store.copy();
    work(&store).unwrap();
    store.writes()
}

fn check_delete(full: &MemoryStore, own: &Keys, other: &Keys, n: u64, stop: usize) {
    let store = full.copy();
    store.stop_after(Some(stop));
    assert!(delete_all(&store, own, n).is_err(), "stopped after {stop}");
    store.stop_after(None);
    delete_all(&store, own, n).unwrap();
    assert_eq!(all_of(&store, own), [], "stopped after {stop}");
    assert_eq!(all_of(&store, other), all_of(full, other));
    // Again is harmless.
    delete_all(&store, own, n).unwrap();
    assert_eq!(all_of(&store, own), []);
}

#[test]
fn a_deletion_stopped_anywhere_is_finished_by_the_next() {
    let (full, own, other) = two_sessions(3);
    assert!(all_of(&full, &own).len() > 60);
    for stop in 0..writes_of(&full, |store| delete_all(store, &own, 3)) {
        check_delete(&full, &own, &other, 3, stop);
    }
}

fn check_reset(full: &MemoryStore, own: &Keys, other: &Keys, stop: usize) {
    let store = full.copy();
    let old = logs::record(&store, own, STUDENTS).unwrap();
    store.stop_after(Some(stop));
    assert!(reset(&store, own, STUDENTS, 50, Some("fresh".into())).is_err());
    store.stop_after(None);
    reset(&store, own, STUDENTS, 51, Some("fresh".into())).unwrap();

    let log = logs::record(&store, own, STUDENTS).unwrap();
    assert!(log.life > old.life, "stopped after {stop}");
    assert_eq!(
        (log.utterances, log.merged, log.events, log.next),
        (0, 0, 0, 0)
    );
    assert_eq!(log.remove, []);
    let is_reset = |key: &str| {
        let records = [
            own.log(STUDENTS),
            own.bridge(STUDENTS),
            own.figures(STUDENTS),
            own.windows(STUDENTS),
        ];
        let of_logs = ["/u/students/", "/m/students/", "/e/students/"];
        records.contains(&key.to_owned()) || of_logs.iter().any(|part| key.contains(part))
    };
    let kept: Vec<_> = all_of(full, own)
        .into_iter()
        .filter(|(key, _)| !is_reset(key))
        .collect();
    let (reset, left): (Vec<_>, Vec<_>) = all_of(&store, own)
        .into_iter()
        .partition(|(key, _)| is_reset(key));
    assert_eq!(left, kept, "stopped after {stop}");
    let reset: Vec<_> = reset.into_iter().map(|(key, _)| key).collect();
    assert_eq!(reset, [own.bridge(STUDENTS), own.log(STUDENTS)]);
    assert_eq!(store.get(&own.bridge(STUDENTS)).unwrap().unwrap(), "fresh");
    assert_eq!(all_of(&store, other), all_of(full, other));
}

#[test]
fn a_reset_stopped_anywhere_is_finished_by_the_next() {
    let (full, own, other) = two_sessions(3);
    let work =
        |store: &MemoryStore| reset(store, &own, STUDENTS, 50, Some("fresh".into())).map(drop);
    for stop in 0..writes_of(&full, work) {
        check_reset(&full, &own, &other, stop);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn in_logs_of_several_pages_too(at in 0.0..1.0_f64) {
        let n = PAGE + 7;
        let (full, own, other) = two_sessions(n);
        let work = |store: &MemoryStore| delete_all(store, &own, n as u64);
        let stop = writes_of(&full, work) as f64 * at;
        check_delete(&full, &own, &other, n as u64, stop as usize);
        let work = |store: &MemoryStore| reset(store, &own, STUDENTS, 50, Some("fresh".into())).map(drop);
        let stop = writes_of(&full, work) as f64 * at;
        check_reset(&full, &own, &other, stop as usize);
    }
}

#[test]
fn what_a_reset_leaves_is_deleted_by_the_commits_after_it() {
    let store = MemoryStore::default();
    let own = keys("s");
    let n = PAGE * RESET_PAGES as usize + PAGE + 1;
    let one = |text: String| crate::wit::StreamChanges {
        utterances: vec![text],
        ..changes()
    };
    let many = crate::wit::StreamChanges {
        utterances: (0..n).map(|i| i.to_string()).collect(),
        ..changes()
    };
    logs::commit(&store, &own, STUDENTS, 1, many).unwrap();
    let removed = reset(&store, &own, STUDENTS, 2, None).unwrap();
    assert_eq!(removed.utterances as usize, n);
    // All pages but two, and the record.
    assert_eq!(all_of(&store, &own).len(), PAGE + 1 + 1);
    // It is empty to every reader, and what it has left stands in nobody's way.
    assert_eq!(
        logs::read(&store, &own, STUDENTS, Log::Utterances, None, 9)
            .unwrap()
            .count,
        0
    );
    logs::commit(&store, &own, STUDENTS, 3, one("new".into())).unwrap();
    assert_eq!(all_of(&store, &own).len(), 1 + 1 + 1);
    logs::commit(&store, &own, STUDENTS, 4, one("newer".into())).unwrap();
    assert_eq!(all_of(&store, &own).len(), 2 + 1);
    let page = logs::read(&store, &own, STUDENTS, Log::Utterances, None, 9).unwrap();
    assert_eq!(page.items, ["new", "newer"]);
}

#[test]
fn a_reset_of_nothing_writes_nothing() {
    let store = MemoryStore::default();
    let removed = reset(&store, &keys("s"), STUDENTS, 2, None).unwrap();
    assert_eq!(
        (removed.utterances, removed.merged, removed.events),
        (0, 0, 0)
    );
    assert_eq!(store.writes(), 0);
}
