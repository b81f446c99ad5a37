//! What a lane appends, and what readers see of it.

use interview_session::role::StreamRole;

use super::fixture::{STUDENTS, answer, changes, event, fill_stream, keys};
use super::memory_store::MemoryStore;
use crate::layout::{Keys, Log};
use crate::logs::{self, MAX_PAGE, commit, load_transcript, next_unidentified};
use crate::removal::reset;
use crate::store::PAGE_BYTES;
use crate::views;
use crate::wit::{Error, Identified, Listening, MergedChange, SpeakerEvent, StreamChanges};

fn texts(store: &MemoryStore, keys: &Keys, role: StreamRole, log: Log) -> Vec<String> {
    logs::read(store, keys, role, log, Some(0), MAX_PAGE)
        .unwrap()
        .items
}

fn append(store: &MemoryStore, keys: &Keys, utterances: &[&str], events: Vec<SpeakerEvent>) {
    let changes = StreamChanges {
        utterances: utterances.iter().map(|text| (*text).to_owned()).collect(),
        events,
        ..changes()
    };
    commit(store, keys, STUDENTS, 100, changes).unwrap();
}

#[test]
fn a_look_up_counts_once_and_only_in_its_own_life() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    append(&store, &keys, &["a", "b"], vec![]);
    let first = next_unidentified(&store, &keys).unwrap().unwrap();
    assert_eq!(
        (first.index, first.life, first.utterance.as_str()),
        (0, 100, "a")
    );

    append(
        &store,
        &keys,
        &[],
        vec![answer("A", first.life, 0), answer("A again", first.life, 0)],
    );
    append(
        &store,
        &keys,
        &[],
        vec![
            answer("A late", first.life, 0),
            answer("C early", first.life, 2),
        ],
    );
    append(&store, &keys, &[], vec![event("asked by hand")]);
    assert_eq!(
        texts(&store, &keys, STUDENTS, Log::Events),
        ["A", "asked by hand"]
    );
    assert_eq!(
        next_unidentified(&store, &keys).unwrap().unwrap().utterance,
        "b"
    );

    // "b" is looked up while the stream is reset and has an utterance of the same index again.
    reset(&store, &keys, STUDENTS, 50, None).unwrap();
    assert!(next_unidentified(&store, &keys).unwrap().is_none());
    append(&store, &keys, &["x", "y"], vec![]);
    let now = next_unidentified(&store, &keys).unwrap().unwrap();
    assert_eq!((now.index, now.life), (0, 101));
    append(
        &store,
        &keys,
        &[],
        vec![
            answer("B", 100, 0),
            answer("B", 100, 1),
            answer("X", 101, 0),
        ],
    );
    assert_eq!(texts(&store, &keys, STUDENTS, Log::Events), ["X"]);
    append(
        &store,
        &keys,
        &[],
        vec![answer("Y", 101, 1), answer("nobody", 101, 2)],
    );
    assert_eq!(texts(&store, &keys, STUDENTS, Log::Events), ["X", "Y"]);
    assert!(next_unidentified(&store, &keys).unwrap().is_none());
}

#[test]
fn the_merged_log_changes_at_its_tail_until_it_is_given_up() {
    use MergedChange::{Append, GiveUp, ReplaceLast};
    let (store, keys, role) = (MemoryStore::default(), keys("s"), StreamRole::Teacher);
    let merge = |merged: Vec<MergedChange>| {
        let changes = StreamChanges {
            merged,
            ..changes()
        };
        commit(&store, &keys, role, 7, changes)
    };
    let replaced = merge(vec![ReplaceLast("x".into())]);
    assert!(matches!(replaced, Err(Error::Damaged(_))));
    merge(vec![
        Append("a".into()),
        ReplaceLast("b".into()),
        Append("c".into()),
    ])
    .unwrap();
    merge(vec![ReplaceLast("d".into()), ReplaceLast("e".into())]).unwrap();
    assert_eq!(texts(&store, &keys, role, Log::Merged), ["b", "e"]);
    let last = load_transcript(&store, &keys, role).unwrap();
    assert_eq!(
        (last.last_merged.as_deref(), last.out_of_order),
        (Some("e"), false)
    );

    merge(vec![
        Append("f".into()),
        GiveUp,
        Append("g".into()),
        ReplaceLast("h".into()),
    ])
    .unwrap();
    merge(vec![Append("i".into())]).unwrap();
    let page = logs::read(&store, &keys, role, Log::Merged, None, 9).unwrap();
    assert_eq!(
        (page.count, page.items.len(), page.out_of_order),
        (0, 0, true)
    );
    assert!(
        !logs::read(&store, &keys, role, Log::Utterances, None, 9)
            .unwrap()
            .out_of_order
    );
    let last = load_transcript(&store, &keys, role).unwrap();
    assert_eq!((last.last_merged, last.out_of_order), (None, true));
    // Its entries are gone, and a reset makes order again.
    assert!(!store.values().keys().any(|key| key.contains("/m/")));
    let removed = reset(&store, &keys, role, 8, None).unwrap();
    assert_eq!(removed.merged, 0);
    merge(vec![Append("j".into())]).unwrap();
    assert_eq!(texts(&store, &keys, role, Log::Merged), ["j"]);
}

#[test]
fn a_transcript_gives_the_last_utterance() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let none = load_transcript(&store, &keys, STUDENTS).unwrap();
    assert_eq!(
        (none.figures, none.last_utterance, none.last_merged),
        (None, None, None)
    );
    fill_stream(&store, &keys, STUDENTS, 5, 3);
    let last = load_transcript(&store, &keys, STUDENTS).unwrap();
    assert_eq!(last.last_utterance.as_deref(), Some("u2"));
    assert_eq!(last.last_merged.as_deref(), Some("m2"));
    assert!(last.figures.is_some());
}

#[test]
fn a_batch_begins_with_one_read_and_writes_once() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    fill_stream(&store, &keys, STUDENTS, 5, 1);
    let before = store.calls();
    let records = views::load_stream(&store, &keys, STUDENTS).unwrap();
    assert_eq!(store.calls(), before + 1);
    assert_eq!(records.created_at, None);
    assert_eq!(records.windows.as_deref(), Some("{\"windows\":5}"));
    assert_eq!(records.clients.as_deref(), Some("{\"clients\":5}"));
    assert_eq!(records.listening, Listening::empty());
    // A chunk without an utterance does not look at the logs.
    let chunk = StreamChanges {
        ingest: Some("i".into()),
        ..changes()
    };
    commit(&store, &keys, STUDENTS, 6, chunk).unwrap();
    assert_eq!(store.calls(), before + 2);
}

#[test]
fn what_a_reset_drops_is_gone_even_if_it_stops_there() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    fill_stream(&store, &keys, STUDENTS, 5, 1);
    store.stop_after(Some(4));
    assert!(reset(&store, &keys, STUDENTS, 6, None).is_err());
    store.stop_after(None);
    let records = views::load_stream(&store, &keys, STUDENTS).unwrap();
    assert_eq!((records.windows, records.bridge), (None, None));
    assert!(records.ingest.is_some() && records.clients.is_some());
    assert_eq!(
        load_transcript(&store, &keys, STUDENTS).unwrap().figures,
        None
    );
    let (_, view) = views::read(&store, &keys, views::Detail::Whole).unwrap();
    assert!(view.students.figures.is_none() && view.students.windows.is_none());
    assert!(view.students.ingest.is_some() && view.students.capture.is_some());
    assert_eq!(
        (
            view.students.utterances,
            view.students.merged,
            view.students.events
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_log_is_read_in_pieces() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    fill_stream(&store, &keys, STUDENTS, 5, 3);
    let read = |index, limit| {
        let page = logs::read(&store, &keys, STUDENTS, Log::Events, index, limit).unwrap();
        assert_eq!(page.count, 3);
        page.items.join(" ")
    };
    assert_eq!(read(None, 2), "e1 e2");
    assert_eq!(read(Some(0), 2), "e0 e1");
    assert_eq!(read(Some(2), 2), "e2");
    assert_eq!(read(Some(9), 2), "");
    assert_eq!(read(Some(u32::MAX), u32::MAX), "");
    // An entry that is missing is damage, and said to be.
    crate::store::Store::delete_many(&store, &[keys.entry(Log::Events, STUDENTS, 5, 1)]).unwrap();
    let page = logs::read(&store, &keys, STUDENTS, Log::Events, None, 9);
    assert!(matches!(page, Err(Error::Damaged(_))));
}

#[test]
fn clients_that_come_and_go_leave_nothing() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let clients = |list: &str| StreamChanges {
        clients: Some(list.to_owned()),
        ..changes()
    };
    logs::commit(&store, &keys, STUDENTS, 1, clients(r#"["a"]"#)).unwrap();
    let records = views::load_stream(&store, &keys, STUDENTS).unwrap();
    assert_eq!(records.clients.as_deref(), Some(r#"["a"]"#));
    logs::commit(&store, &keys, STUDENTS, 2, clients("[]")).unwrap();
    assert_eq!(store.values(), Default::default(), "no key is left");
}

#[test]
fn an_event_for_a_log_that_is_gone_begins_no_other() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let late = SpeakerEvent {
        event: "late".to_owned(),
        identified: Some(Identified { life: 7, index: 0 }),
    };
    let changes = StreamChanges {
        events: vec![late],
        ..changes()
    };
    logs::commit(&store, &keys, STUDENTS, 9, changes).unwrap();
    assert_eq!(store.values(), Default::default(), "no key is made");
}

/// Texts as they may have been stored when names had no limit, and how long they are.
const LONG: usize = 1_000_000;

#[test]
fn a_log_of_long_entries_is_read_in_pages_of_some_megabytes() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let long: Vec<String> = (0..30)
        .map(|n| format!("{n:02}{}", "x".repeat(LONG)))
        .collect();
    let short: Vec<String> = (30..90).map(|n| n.to_string()).collect();
    let all: Vec<&str> = long.iter().chain(&short).map(String::as_str).collect();
    append(&store, &keys, &all, vec![]);
    let (mut index, mut read) = (0, Vec::new());
    loop {
        let page = logs::read(&store, &keys, STUDENTS, Log::Utterances, Some(index), 500).unwrap();
        assert_eq!((page.first, page.count), (index, 90));
        let bytes: usize = page.items.iter().map(String::len).sum();
        assert!(bytes <= PAGE_BYTES, "{bytes}");
        if page.items.is_empty() {
            break;
        }
        index += page.items.len() as u32;
        read.extend(page.items);
    }
    assert_eq!(read, all);
    // The last ones begin where they begin, however many of them come at once.
    let last = logs::read(&store, &keys, STUDENTS, Log::Utterances, None, 80).unwrap();
    assert_eq!((last.first, last.items.len()), (10, 4));
    assert!(last.items[0].starts_with("10x"));
    let last = logs::read(&store, &keys, STUDENTS, Log::Utterances, None, 60).unwrap();
    assert_eq!((last.first, last.items), (30, short));
}

#[test]
fn an_entry_that_is_longer_than_a_page_is_a_page() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let long = "x".repeat(PAGE_BYTES + 1);
    append(&store, &keys, &[&long, "y"], vec![]);
    let page = logs::read(&store, &keys, STUDENTS, Log::Utterances, Some(0), 10).unwrap();
    assert_eq!((page.items.len(), page.items[0].len()), (1, PAGE_BYTES + 1));
}
