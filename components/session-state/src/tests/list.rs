//! The list of all sessions.

use super::fixture::{clusters, fill_session, keys};
use super::memory_store::MemoryStore;
use crate::layout::index_entry;
use crate::sessions::{MAX_SESSIONS, SCAN, create, created, delete, list};
use crate::shared::{load, merge_speakers};
use crate::store::Store as _;

/// All pages of `limit`: the ids, and how many pages.
fn all(store: &MemoryStore, limit: u32) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = list(store, cursor, limit).unwrap();
        assert!(page.items.len() <= limit as usize);
        ids.extend(page.items.into_iter().map(|(id, _)| id));
        pages += 1;
        cursor = page.cursor;
        if cursor.is_none() {
            return (ids, pages);
        }
    }
}

#[test]
fn newest_first_in_pages_without_what_is_no_session() {
    let store = MemoryStore::default();
    assert_eq!(all(&store, 10), (vec![], 1));
    for n in 0..7 {
        create(&store, &keys(&format!("s{n}")), n).unwrap();
    }
    // A deleted one, one that died before it was created, one whose place another creation took.
    delete(&store, &keys("s3")).unwrap();
    let place = store.increment("index").unwrap();
    store
        .set_many(vec![(index_entry(place), "unborn".into())])
        .unwrap();
    let place = store.increment("index").unwrap();
    store
        .set_many(vec![(index_entry(place), "s5".into())])
        .unwrap();
    // One that came back.
    delete(&store, &keys("s1")).unwrap();
    create(&store, &keys("s1"), 9).unwrap();

    let expected = ["s1", "s6", "s5", "s4", "s2", "s0"]
        .map(str::to_owned)
        .to_vec();
    for limit in 1..8 {
        assert_eq!(all(&store, limit).0, expected, "in pages of {limit}");
    }
    let page = list(&store, None, 2).unwrap();
    assert_eq!(page.items[0].1.created_at, Some(9));
    // What is created later does not come into the pages that are left.
    create(&store, &keys("new"), 10).unwrap();
    let next = list(&store, page.cursor, 2).unwrap();
    assert_eq!(
        next.items
            .iter()
            .map(|(id, _)| id.as_str())
            .collect::<Vec<_>>(),
        ["s5", "s4"]
    );
    // A cursor that no page gave.
    assert_eq!(list(&store, Some(u64::MAX), 1).unwrap().items[0].0, "new");
    let end = list(&store, Some(0), 1).unwrap();
    assert!(end.items.is_empty() && end.cursor.is_none());
}

#[test]
fn a_page_is_bounded() {
    let store = MemoryStore::default();
    let first = keys("first");
    create(&store, &first, 1).unwrap();
    for _ in 0..=SCAN {
        store.increment("index").unwrap();
    }
    let page = list(&store, None, 9).unwrap();
    assert!(page.items.is_empty());
    assert_eq!(page.cursor, Some(2));
    assert_eq!(all(&store, 9), (vec!["first".to_owned()], 2));
    for n in 0..=MAX_SESSIONS {
        create(&store, &keys(&format!("s{n}")), 1).unwrap();
    }
    let page = list(&store, None, u32::MAX).unwrap();
    assert_eq!(page.items.len(), MAX_SESSIONS as usize);
}

#[test]
fn a_damaged_session_hides_no_other_and_large_parts_are_left_out() {
    let store = MemoryStore::default();
    fill_session(&store, &keys("good"), 2);
    create(&store, &keys("bad"), 1).unwrap();
    store
        .set_many(vec![(keys("bad").config(), "{".into())])
        .unwrap();
    let good = keys("good");
    let sent = load(&store, &good).unwrap();
    let updated = clusters(&[("c9", 1)]).to_string();
    assert!(merge_speakers(&store, &good, 77, &sent, &updated).unwrap());
    let page = list(&store, None, 9).unwrap();
    let [(id, view)] = &page.items[..] else {
        panic!("{}", page.items.len());
    };
    assert_eq!(id, "good");
    assert!(view.session.contains("\"clusters\":[]") && view.session.contains("Ada"));
    assert_eq!(view.updated_at, Some(77));
    assert_eq!(
        (view.finalization.finalized_at, view.mixed.utterances),
        (Some(5), 2)
    );
}

#[test]
fn deleting_what_was_never_there_is_harmless() {
    let store = MemoryStore::default();
    delete(&store, &keys("s")).unwrap();
    assert!(store.values().is_empty());
    assert_eq!(created(&store, &keys("s")).unwrap(), None);
}

#[test]
fn sessions_with_long_records_come_in_pages_of_some_megabytes() {
    let store = MemoryStore::default();
    for n in 0..10 {
        let keys = keys(&format!("s{n}"));
        create(&store, &keys, n).unwrap();
        // As it may have been stored when names had no limit.
        let long = "n".repeat(1_000_000);
        let patch = format!(
            r#"{{"updated_at":1,"place":{},"value":{{"config":{{"interviewer_name":"{long}"}}}}}}"#,
            n + 1
        );
        store.set_many(vec![(keys.config(), patch)]).unwrap();
    }
    let page = list(&store, None, MAX_SESSIONS).unwrap();
    assert_eq!(page.items.len(), 5);
    let (ids, pages) = all(&store, MAX_SESSIONS);
    assert_eq!((ids.len(), pages), (10, 2));
}
