//! The live log, and what its lane reads of the streams.

use interview_session::role::StreamRole;

use super::fixture::{STUDENTS, all_of, changes, fill_stream, keys};
use super::memory_store::MemoryStore;
use crate::layout::Log;
use crate::live::{MAX_LIVE, commit, delete, load, read, read_entries};
use crate::log_record::EntryName;
use crate::logs::{self, MAX_PAGE};
use crate::removal::reset;
use crate::views;
use crate::wit::{Listening, MergedChange, StreamChanges};

#[test]
fn entries_are_appended_read_and_deleted() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let none = load(&store, &keys).unwrap();
    assert_eq!(
        (none.created_at, none.live, none.students.life),
        (None, None, 0)
    );
    let listening = Listening::UTTERANCES | Listening::EVENTS;
    let texts = |from: u64, to: u64| (from..=to).map(|n| n.to_string()).collect::<Vec<_>>();
    commit(&store, &keys, "one".into(), listening, 1, texts(1, 3)).unwrap();
    commit(&store, &keys, "two".into(), listening, 4, texts(4, 700)).unwrap();
    let before = store.calls();
    assert_eq!(load(&store, &keys).unwrap().live.as_deref(), Some("two"));
    assert_eq!(store.calls(), before + 1);
    let records = views::load_stream(&store, &keys, STUDENTS).unwrap();
    assert_eq!(records.listening, listening);

    let numbers = |first, last| {
        let found = read(&store, &keys, first, last).unwrap();
        let shown = found.iter().map(|e| e.as_deref().unwrap_or("-"));
        shown.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(numbers(2, 4), "2 3 4");
    assert_eq!(numbers(699, 702), "699 700 - -");
    assert_eq!(numbers(5, 4), "");
    assert_eq!(numbers(u64::MAX, u64::MAX), "-");
    assert_eq!(
        read(&store, &keys, 1, u64::MAX).unwrap().len() as u64,
        MAX_LIVE
    );

    delete(&store, &keys, 700).unwrap();
    assert_eq!(all_of(&store, &keys), []);
    let records = views::load_stream(&store, &keys, STUDENTS).unwrap();
    assert_eq!(records.listening, Listening::empty());
}

#[test]
fn entries_of_streams_are_those_of_this_life() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    fill_stream(&store, &keys, STUDENTS, 5, 2);
    fill_stream(&store, &keys, StreamRole::Teacher, 6, 1);
    let name = |role, log, life, index| (role, EntryName { log, life, index });
    let names = [
        name(StreamRole::Teacher, Log::Events, 6, 0),
        name(STUDENTS, Log::Utterances, 5, 1),
        name(STUDENTS, Log::Utterances, 5, 2),
        name(STUDENTS, Log::Merged, 5, 0),
        name(StreamRole::Mixed, Log::Utterances, 0, 0),
    ];
    let found = |names: &[_]| {
        let found = read_entries(&store, &keys, names).unwrap();
        let shown = found.iter().map(|e| e.as_deref().unwrap_or("-"));
        shown.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found(&names), "e0 u1 - m0 -");
    let lengths = load(&store, &keys).unwrap();
    let students = lengths.students;
    assert_eq!(
        (students.life, students.utterances, students.events),
        (5, 2, 2)
    );
    assert_eq!((lengths.teacher.life, lengths.mixed.life), (6, 0));

    // Given up: not in the log any more, though not deleted yet.
    let given_up = StreamChanges {
        merged: vec![MergedChange::GiveUp],
        ..changes()
    };
    logs::commit(&store, &keys, STUDENTS, 7, given_up).unwrap();
    assert_eq!(found(&names), "e0 u1 - - -");
    // A reset that stops before it deletes anything.
    store.stop_after(Some(4));
    assert!(reset(&store, &keys, STUDENTS, 8, None).is_err());
    store.stop_after(None);
    assert_eq!(found(&names), "e0 - - - -");
    assert_eq!(load(&store, &keys).unwrap().students.life, 8);

    let many = vec![names[0]; MAX_PAGE as usize + 1];
    assert!(read_entries(&store, &keys, &many).is_err());
    assert_eq!(
        read_entries(&store, &keys, &many[1..]).unwrap().len(),
        MAX_PAGE as usize
    );
}

#[test]
fn long_entries_come_in_pages_of_some_megabytes() {
    let (store, keys) = (MemoryStore::default(), keys("s"));
    let long = "x".repeat(1_000_000);
    let utterances = vec![long.clone(); 10];
    let changes = StreamChanges {
        utterances,
        ..changes()
    };
    logs::commit(&store, &keys, STUDENTS, 5, changes).unwrap();
    let life = load(&store, &keys).unwrap().students.life;
    let name = |index| {
        let log = Log::Utterances;
        (STUDENTS, EntryName { log, life, index })
    };
    let names: Vec<_> = (0..10).map(name).collect();
    let found = read_entries(&store, &keys, &names).unwrap();
    assert_eq!(found, vec![Some(long.clone()); 4]);
    assert_eq!(
        read_entries(&store, &keys, &names[9..]).unwrap(),
        [Some(long.clone())]
    );
    let entries = vec![long; 10];
    commit(&store, &keys, "{}".into(), Listening::empty(), 1, entries).unwrap();
    assert_eq!(read(&store, &keys, 1, 10).unwrap().len(), 4);
    assert_eq!(read(&store, &keys, 9, 10).unwrap().len(), 2);
}
