//! The SQLite store: what its methods promise, over threads, over several openings of the file, and
//! with a file that Spin wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use key_value_store::{
    Durability, KeyValue, KvError, MAX_BATCH_ENTRIES, MAX_KEY_BYTES, MAX_VALUE_BYTES, PAGE_KEYS,
    SqliteStore, Swap,
};
use proptest::prelude::*;

const THREADS: usize = 4;
const ROUNDS: usize = 50;

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, "default", Durability::default()).unwrap()
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("below/state.db");
    (directory, path)
}

fn entry(key: &str, value: &str) -> (String, Vec<u8>) {
    (key.to_owned(), value.as_bytes().to_vec())
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn values_are_set_read_and_removed() {
    let (_directory, path) = fresh();
    let store = open(&path);
    assert_eq!(store.get("a").unwrap(), None);
    assert!(!store.exists("a").unwrap());
    store.set("a", b"1").unwrap();
    store.set("a", b"2").unwrap();
    store.set("", b"").unwrap();
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(store.get("").unwrap().as_deref(), Some(&b""[..]));
    assert!(store.exists("").unwrap());
    store.delete("a").unwrap();
    store.delete("a").unwrap();
    assert!(!store.exists("a").unwrap());
}

#[test]
fn values_survive_and_stores_of_one_file_are_apart() {
    let (_directory, path) = fresh();
    open(&path).set("a", b"1").unwrap();
    let other = SqliteStore::open(&path, "other", Durability::Full).unwrap();
    assert_eq!(other.get("a").unwrap(), None);
    other.set("a", b"2").unwrap();
    assert_eq!(open(&path).get("a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(open(&path).list_keys(None).unwrap().keys, ["a"]);
}

#[test]
fn batches_keep_their_order_and_the_later_of_two_wins() {
    let (_directory, path) = fresh();
    let store = open(&path);
    store
        .set_many(&[entry("b", "1"), entry("a", "2"), entry("b", "3")])
        .unwrap();
    store.set_many(&[]).unwrap();
    assert_eq!(
        store.get_many(&keys(&["b", "none", "a", "b"])).unwrap(),
        [
            ("b".to_owned(), Some(b"3".to_vec())),
            ("none".to_owned(), None),
            ("a".to_owned(), Some(b"2".to_vec())),
            ("b".to_owned(), Some(b"3".to_vec())),
        ]
    );
    store.delete_many(&keys(&["a", "none"])).unwrap();
    store.delete_many(&[]).unwrap();
    assert_eq!(store.list_keys(None).unwrap().keys, ["b"]);
}

#[test]
fn a_batch_that_fails_half_way_changes_nothing() {
    let (_directory, path) = fresh();
    let store = open(&path);
    store.set("a", b"old").unwrap();
    // Fails at the third write, inside of SQLite, as a full disk would.
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON spin_key_value WHEN NEW.key = 'c'
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .unwrap();
    store
        .set_many(&[entry("a", "new"), entry("b", "new"), entry("c", "new")])
        .unwrap_err();
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(store.get("b").unwrap(), None);
    store
        .set_many(&[entry("a", "new"), entry("b", "new")])
        .unwrap();
    assert_eq!(
        store.get("b").unwrap().as_deref(),
        Some(&b"new"[..]),
        "it works on"
    );
}

#[test]
fn swaps_compare_values_and_absence() {
    let (_directory, path) = fresh();
    let store = open(&path);
    assert_eq!(
        store.compare_and_swap("a", Some(b"x"), b"1").unwrap(),
        Swap::Differs(None)
    );
    assert_eq!(
        store.compare_and_swap("a", None, b"1").unwrap(),
        Swap::Swapped
    );
    assert_eq!(
        store.compare_and_swap("a", None, b"2").unwrap(),
        Swap::Differs(Some(b"1".to_vec()))
    );
    assert_eq!(
        store.compare_and_swap("a", Some(b"1"), b"2").unwrap(),
        Swap::Swapped
    );
    assert_eq!(
        store.compare_and_swap("a", Some(b"1"), b"3").unwrap(),
        Swap::Differs(Some(b"2".to_vec()))
    );
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"2"[..]));
    store.set("empty", b"").unwrap();
    assert_eq!(
        store.compare_and_swap("empty", None, b"1").unwrap(),
        Swap::Differs(Some(Vec::new())),
        "an empty value is not an absent one"
    );
}

/// Runs `work` on threads of their own, half of them on one opening of the file, half on another,
/// as two processes would have it.
fn race<T: Send + 'static>(
    path: &Path,
    work: impl Fn(&SqliteStore, usize) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let stores = [Arc::new(open(path)), Arc::new(open(path))];
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (store, work) = (stores[number % stores.len()].clone(), work.clone());
            thread::spawn(move || work(&store, number))
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

#[test]
fn of_many_that_create_a_key_exactly_one_does() {
    let (_directory, path) = fresh();
    let created: usize = race(&path, |store, number| {
        (0..ROUNDS)
            .filter(|round| {
                let key = format!("key-{round}");
                store.compare_and_swap(&key, None, &[number as u8]).unwrap() == Swap::Swapped
            })
            .count()
    })
    .into_iter()
    .sum();
    assert_eq!(created, ROUNDS);
}

#[test]
fn no_swap_overwrites_what_it_did_not_see() {
    let (_directory, path) = fresh();
    race(&path, |store, _| {
        let mut seen: Option<Vec<u8>> = None;
        for _ in 0..ROUNDS {
            loop {
                let count = seen.as_ref().map_or(0, |bytes| {
                    u64::from_le_bytes(bytes.as_slice().try_into().unwrap())
                });
                let new = (count + 1).to_le_bytes();
                match store
                    .compare_and_swap("count", seen.as_deref(), &new)
                    .unwrap()
                {
                    Swap::Swapped => {
                        seen = Some(new.to_vec());
                        break;
                    }
                    Swap::Differs(current) => seen = current,
                }
            }
        }
    });
    let total = open(&path).get("count").unwrap().unwrap();
    assert_eq!(total, ((THREADS * ROUNDS) as u64).to_le_bytes());
}

#[test]
fn no_increment_is_lost() {
    let (_directory, path) = fresh();
    race(&path, |store, _| {
        for _ in 0..ROUNDS {
            store.increment("n", 3).unwrap();
        }
    });
    let store = open(&path);
    assert_eq!(
        store.increment("n", -1).unwrap(),
        (THREADS * ROUNDS * 3) as i64 - 1
    );
}

#[test]
fn reads_see_batches_whole() {
    let (_directory, path) = fresh();
    let torn: usize = race(&path, |store, number| {
        let mut torn = 0;
        for round in 0..ROUNDS {
            if number % 2 == 0 {
                let value = format!("{number}-{round}");
                store
                    .set_many(&[entry("a", &value), entry("b", &value)])
                    .unwrap();
            } else {
                let values = store.get_many(&keys(&["a", "b"])).unwrap();
                torn += usize::from(values[0].1 != values[1].1);
            }
        }
        torn
    })
    .into_iter()
    .sum();
    assert_eq!(torn, 0);
}

#[test]
fn what_was_written_is_read_by_whoever_reads_next() {
    let (_directory, path) = fresh();
    let (one, other) = (open(&path), open(&path));
    for round in 0..ROUNDS {
        let value = round.to_le_bytes();
        one.set("a", &value).unwrap();
        assert_eq!(other.get("a").unwrap().as_deref(), Some(&value[..]));
        assert_eq!(one.get("a").unwrap().as_deref(), Some(&value[..]));
    }
}

#[test]
fn numbers_are_stored_as_spin_does() {
    let (_directory, path) = fresh();
    let store = open(&path);
    assert_eq!(store.increment("n", -2).unwrap(), -2);
    assert_eq!(store.get("n").unwrap().unwrap(), (-2i64).to_le_bytes());
    store.set("text", b"12").unwrap();
    store.set("max", &i64::MAX.to_le_bytes()).unwrap();
    for key in ["text", "max"] {
        let before = store.get(key).unwrap();
        assert!(
            matches!(store.increment(key, 1), Err(KvError::NotANumber { .. })),
            "{key}"
        );
        assert_eq!(store.get(key).unwrap(), before);
    }
}

#[test]
fn pages_hold_every_key_once() {
    let (_directory, path) = fresh();
    let store = open(&path);
    assert_eq!(store.list_keys(None).unwrap().keys, [""; 0]);
    let count = 2 * PAGE_KEYS + 1;
    let entries: Vec<_> = (0..count)
        .map(|n| entry(&format!("key-{n:06}"), ""))
        .collect();
    store.set_many(&entries).unwrap();
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    let mut pages = 0;
    loop {
        let page = store.list_keys(cursor.as_deref()).unwrap();
        assert!(page.keys.len() <= PAGE_KEYS);
        pages += 1;
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
        // What is removed on the way takes nothing else with it.
        store.delete(found.last().unwrap()).unwrap();
    }
    assert_eq!(pages, 3);
    assert_eq!(
        found,
        entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    );
}

#[test]
fn what_is_too_large_is_refused_and_nothing_is_stored() {
    let (_directory, path) = fresh();
    let store = open(&path);
    let key = "k".repeat(MAX_KEY_BYTES);
    let value = vec![0; MAX_VALUE_BYTES];
    store.set(&key, &value).unwrap();
    assert_eq!(store.get(&key).unwrap().unwrap().len(), MAX_VALUE_BYTES);
    store.delete(&key).unwrap();

    let long_key = format!("{key}k");
    let long_value = vec![0; MAX_VALUE_BYTES + 1];
    let large = |result: Result<(), KvError>| matches!(result, Err(KvError::TooLarge { .. }));
    assert!(large(store.get(&long_key).map(drop)));
    assert!(large(store.set(&long_key, b"")));
    assert!(large(store.set("a", &long_value)));
    assert!(large(store.delete(&long_key)));
    assert!(large(store.exists(&long_key).map(drop)));
    assert!(large(store.increment(&long_key, 1).map(drop)));
    assert!(large(
        store.compare_and_swap("a", None, &long_value).map(drop)
    ));
    assert!(large(
        store.set_many(&[entry("a", ""), ("b".to_owned(), long_value)])
    ));
    assert!(large(store.get_many(&[long_key]).map(drop)));
    assert!(large(
        store.delete_many(&vec![String::new(); MAX_BATCH_ENTRIES + 1])
    ));
    assert_eq!(store.list_keys(None).unwrap().keys, [""; 0]);
}

#[test]
fn a_file_that_spin_wrote_opens_and_the_other_way_round() {
    let (_directory, path) = fresh();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Spin's own statements.
    let spin = rusqlite::Connection::open(&path).unwrap();
    let create = "CREATE TABLE IF NOT EXISTS spin_key_value (
                           store TEXT NOT NULL,
                           key   TEXT NOT NULL,
                           value BLOB NOT NULL,

                           PRIMARY KEY (store, key)
                        )";
    let set = "INSERT INTO spin_key_value (store, key, value) VALUES ($1, $2, $3)
                     ON CONFLICT(store, key) DO UPDATE SET value=$3";
    let get = "SELECT value FROM spin_key_value WHERE store=$1 AND key=$2";
    spin.execute(create, []).unwrap();
    spin.execute(set, ("default", "a", b"1")).unwrap();
    let store = open(&path);
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(
        store.compare_and_swap("a", Some(b"1"), b"2").unwrap(),
        Swap::Swapped
    );
    let read: Vec<u8> = spin
        .query_row(get, ("default", "a"), |row| row.get(0))
        .unwrap();
    assert_eq!(read, b"2");
    spin.execute(set, ("default", "a", b"3")).unwrap();
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"3"[..]));

    let (_directory, path) = fresh();
    open(&path).set("a", b"1").unwrap();
    let spin = rusqlite::Connection::open(&path).unwrap();
    spin.execute(create, []).unwrap();
    spin.execute(set, ("default", "a", b"2")).unwrap();
    assert_eq!(open(&path).get("a").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn text_that_another_program_stored_can_be_read_and_swapped() {
    let (_directory, path) = fresh();
    let store = open(&path);
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute(
            "INSERT INTO spin_key_value VALUES ('default', 'a', 'text')",
            [],
        )
        .unwrap();
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"text"[..]));
    assert_eq!(
        store.compare_and_swap("a", Some(b"text"), b"1").unwrap(),
        Swap::Swapped
    );
}

#[test]
fn files_that_are_something_else_are_named() {
    let (directory, path) = fresh();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(
        &path,
        "no database, but long enough to look like one".repeat(40),
    )
    .unwrap();
    let open = |path: &Path| SqliteStore::open(path, "default", Durability::Normal).map(drop);
    let error = open(&path).unwrap_err();
    assert!(matches!(error, KvError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("state.db"), "{error}");

    let other = directory.path().join("other.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE spin_key_value (id INTEGER)")
        .unwrap();
    let store = SqliteStore::open(&other, "default", Durability::Normal);
    let error = store
        .and_then(|store| store.get("a").map(drop))
        .unwrap_err();
    assert!(matches!(error, KvError::Damaged { .. }), "{error}");

    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, KvError::Unavailable { .. }), "{error}");
    let error = open(&path.join("below-a-file.db")).unwrap_err();
    assert!(matches!(error, KvError::Unavailable { .. }), "{error}");
}

#[test]
fn many_can_open_a_new_file_at_once() {
    for _ in 0..5 {
        let (_directory, path) = fresh();
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let path = path.clone();
                thread::spawn(move || open(&path).set(&format!("{number}"), b"1").unwrap())
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(open(&path).list_keys(None).unwrap().keys.len(), THREADS);
    }
}

/// One call and the model's answer to it.
#[derive(Clone, Debug)]
enum Call {
    Set(String, Vec<u8>),
    Delete(String),
    SetMany(Vec<(String, Vec<u8>)>),
    DeleteMany(Vec<String>),
    Increment(String, i64),
    Swap(String, Option<Vec<u8>>, Vec<u8>),
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    let key = || "[ab]{0,2}";
    let value = || {
        prop_oneof![
            prop::collection::vec(0u8..2, 0..2),
            any::<i64>().prop_map(|number| number.to_le_bytes().to_vec()),
        ]
    };
    prop_oneof![
        (key(), value()).prop_map(|(key, value)| Call::Set(key, value)),
        key().prop_map(Call::Delete),
        prop::collection::vec((key(), value()), 0..4).prop_map(Call::SetMany),
        prop::collection::vec(key(), 0..4).prop_map(Call::DeleteMany),
        (key(), any::<i64>()).prop_map(|(key, delta)| Call::Increment(key, delta)),
        (key(), prop::option::of(value()), value())
            .prop_map(|(key, expected, new)| Call::Swap(key, expected, new)),
        Just(Call::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn it_behaves_like_a_map(calls in prop::collection::vec(call(), 1..24)) {
        let (_directory, path) = fresh();
        let mut store = open(&path);
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for call in calls {
            match call {
                Call::Set(key, value) => {
                    store.set(&key, &value).unwrap();
                    model.insert(key, value);
                }
                Call::Delete(key) => {
                    store.delete(&key).unwrap();
                    model.remove(&key);
                }
                Call::SetMany(entries) => {
                    store.set_many(&entries).unwrap();
                    model.extend(entries);
                }
                Call::DeleteMany(keys) => {
                    store.delete_many(&keys).unwrap();
                    model.retain(|key, _| !keys.contains(key));
                }
                Call::Increment(key, delta) => {
                    let sum = match model.get(&key) {
                        None => Some(delta),
                        Some(bytes) => <[u8; 8]>::try_from(bytes.as_slice())
                            .ok()
                            .and_then(|bytes| i64::from_le_bytes(bytes).checked_add(delta)),
                    };
                    prop_assert_eq!(store.increment(&key, delta).ok(), sum);
                    if let Some(sum) = sum {
                        model.insert(key, sum.to_le_bytes().to_vec());
                    }
                }
                Call::Swap(key, expected, new) => {
                    let current = model.get(&key).cloned();
                    let swap = store.compare_and_swap(&key, expected.as_deref(), &new).unwrap();
                    if current == expected {
                        prop_assert_eq!(swap, Swap::Swapped);
                        model.insert(key, new);
                    } else {
                        prop_assert_eq!(swap, Swap::Differs(current));
                    }
                }
                Call::Reopen => {
                    drop(store);
                    store = open(&path);
                }
            }
            let listed = store.list_keys(None).unwrap().keys;
            prop_assert_eq!(&listed, &model.keys().cloned().collect::<Vec<_>>());
            let values = store.get_many(&listed).unwrap();
            let expected: Vec<_> =
                model.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
            prop_assert_eq!(values, expected);
        }
    }
}
