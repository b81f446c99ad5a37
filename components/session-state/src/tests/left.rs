//! What an earlier process may have left undone.

use interview_session::role::StreamRole;

use super::fixture::{STUDENTS, answer, changes, fill_session, fill_stream, keys};
use super::memory_store::MemoryStore;
use crate::left::{PLACES, list};
use crate::logs;
use crate::sessions::{create, delete};
use crate::store::Store as _;
use crate::wit::StreamLeft;
use crate::wit_types::StreamRole::{Mixed, Students, Teacher};

/// All pages, and how many.
fn all(store: &MemoryStore) -> (Vec<StreamLeft>, usize) {
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = list(store, cursor).unwrap();
        items.extend(page.items);
        pages += 1;
        cursor = page.cursor;
        if cursor.is_none() {
            return (items, pages);
        }
    }
}

#[test]
fn every_stream_that_was_written_is_listed_once_with_what_tells() {
    let store = MemoryStore::default();
    assert!(all(&store).0.is_empty());
    fill_session(&store, &keys("full"), 2);
    // Nothing of a stream.
    create(&store, &keys("configured"), 3).unwrap();
    create(&store, &keys("one"), 4).unwrap();
    fill_stream(&store, &keys("one"), StreamRole::Teacher, 5, 1);
    fill_session(&store, &keys("deleted"), 1);
    for role in StreamRole::ALL {
        crate::removal::delete_stream(&store, &keys("deleted"), role).unwrap();
    }
    delete(&store, &keys("deleted")).unwrap();

    let (items, pages) = all(&store);
    let listed: Vec<_> = items
        .iter()
        .map(|left| (left.session.as_str(), left.role, left.unidentified))
        .collect();
    let expected = [
        ("one", Teacher, false),
        ("full", Mixed, false),
        ("full", Teacher, false),
        ("full", Students, true),
    ];
    assert_eq!(listed, expected);
    assert_eq!(pages, 1);
    assert_eq!(items[0].bridge.as_deref(), Some("{\"bridge\":5}"));
    assert_eq!(items[0].windows.as_deref(), Some("{\"windows\":5}"));
}

#[test]
fn sessions_whose_result_is_incomplete_are_listed() {
    let store = MemoryStore::default();
    fill_session(&store, &keys("incomplete"), 1);
    create(&store, &keys("other"), 3).unwrap();
    assert_eq!(list(&store, None).unwrap().incomplete, ["incomplete"]);
    let written = crate::finalization::Written { at: 9, chunks: 9 };
    crate::finalization::note(&store, &keys("incomplete"), 9, written, None).unwrap();
    assert!(list(&store, None).unwrap().incomplete.is_empty());
}

#[test]
fn students_whose_utterances_all_have_events_have_nothing_left() {
    let store = MemoryStore::default();
    let keys = keys("s");
    create(&store, &keys, 1).unwrap();
    fill_stream(&store, &keys, STUDENTS, 2, 2);
    let is_left = || all(&store).0[0].unidentified;
    for index in 0..2 {
        assert!(is_left());
        let next = logs::next_unidentified(&store, &keys).unwrap().unwrap();
        let mut changes = changes();
        changes.events = vec![answer("e", next.life, index)];
        logs::commit(&store, &keys, STUDENTS, 3, changes).unwrap();
    }
    assert!(!is_left());
}

#[test]
fn a_page_is_bounded_and_damage_hides_nothing_else() {
    let store = MemoryStore::default();
    for n in 0..=PLACES {
        let keys = keys(&format!("s{n}"));
        create(&store, &keys, n).unwrap();
        fill_stream(&store, &keys, StreamRole::Mixed, 1, 0);
    }
    let damage = |key| store.set_many(vec![(key, "{".into())]).unwrap();
    damage(keys("s3").created());
    damage(keys("s4").log(STUDENTS));
    let (items, pages) = all(&store);
    assert_eq!(pages, 2);
    assert_eq!(items.len() as u64, PLACES);
    assert!(!items.iter().any(|left| left.session == "s3"));
    assert!(items.iter().any(|left| left.session == "s4"));
    assert!(list(&store, Some(0)).unwrap().cursor.is_none());
    let newest = list(&store, Some(u64::MAX)).unwrap();
    assert_eq!(newest.items.len() as u64, PLACES - 1);
}
