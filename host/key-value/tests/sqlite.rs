//! The SQLite store: its file, which Spin may have written, other programs hold, and disks fill or damage.
//! What it promises as any store does is in `contract.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{entry, file_in};
use key_value_store::{BUSY_TIMEOUT, Durability, KeyValue, KvError, SqliteStore, Swap};

const THREADS: usize = 4;
/// SQLite's default.
const PAGE_BYTES: usize = 4096;

/// Some call of a store.
type Call = fn(&SqliteStore) -> Result<(), KvError>;

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, "default", Durability::default()).unwrap()
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = file_in(directory.path());
    (directory, path)
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

#[test]
fn a_file_that_is_damaged_in_the_middle_is_told_and_what_is_whole_is_read() {
    let (_directory, path) = fresh();
    let store = open(&path);
    let value = "v".repeat(3_000);
    let entries: Vec<_> = (0..200)
        .map(|number| entry(&format!("key-{number:03}"), &value))
        .collect();
    store.set_many(&entries).unwrap();
    drop(store);
    // All is in the one file now. Its first pages, with the schema, stay whole.
    let mut bytes = std::fs::read(&path).unwrap();
    // Whole pages: half of one would be a value's middle, of which SQLite has no checksum.
    let middle = bytes.len() / 2 / PAGE_BYTES * PAGE_BYTES;
    bytes[middle..middle + 64 * 1024].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();

    let store = open(&path);
    let (mut whole, mut damaged) = (0, 0);
    for (key, value) in &entries {
        match store.get(key) {
            Ok(Some(found)) if found == *value => whole += 1,
            Err(KvError::Damaged { message, .. }) => {
                assert!(message.contains("restore"), "{message}");
                damaged += 1;
            }
            // Neither another value nor none.
            other => panic!("{key}: {other:?}"),
        }
    }
    assert!(whole > 0 && damaged > 0, "{whole} {damaged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_file_keeps_nobody_else_waiting() {
    let (_directory, path) = fresh();
    let store = Arc::new(open(&path));
    store.set("a", b"old").unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // More than there are workers.
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let store: &dyn KeyValue = store.as_ref();
                store.set(&format!("key-{number}"), b"new").await
            })
        })
        .collect();
    // As long as nobody gives up.
    for _ in 0..20 {
        let answered = tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
        });
        let answered = tokio::time::timeout(BUSY_TIMEOUT / 2, answered).await;
        answered.expect("others go on").unwrap();
    }
    assert!(writers.iter().all(|writer| !writer.is_finished()));
    other.execute_batch("ROLLBACK").unwrap();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
}

#[test]
fn what_the_store_waits_for_is_as_it_was_asked_to() {
    let (_directory, path) = fresh();
    for (durability, mode) in [(Durability::Normal, 1), (Durability::Full, 2)] {
        let store = SqliteStore::open(&path, "default", durability).unwrap();
        assert_eq!(store.synchronous().unwrap(), mode);
    }
}

/// What the next start finds when the process ends now, as `kill -9` would end it.
fn after_a_crash(path: &Path) -> (tempfile::TempDir, SqliteStore) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join(path.file_name().unwrap());
    for suffix in ["", "-wal"] {
        let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if beside(path).exists() {
            std::fs::copy(beside(path), beside(&copy)).unwrap();
        }
    }
    let store = open(&copy);
    (directory, store)
}

fn moved(path: &Path) -> PathBuf {
    path.with_file_name("moved.db")
}

/// No call says that something is stored, or is there, that the next start does not find.
fn is_refused(store: &SqliteStore) {
    let refused = |error: KvError| {
        assert!(
            matches!(
                error,
                KvError::Unavailable { .. } | KvError::Unanswered { .. }
            ),
            "{error}"
        );
        let said = error.to_string();
        assert!(
            said.contains("deleted, moved or replaced") && said.contains("restart the gateway"),
            "{said}"
        );
    };
    refused(store.set("b", b"1").unwrap_err());
    refused(store.set_many(&[entry("b", "1")]).unwrap_err());
    refused(store.increment("n", 1).unwrap_err());
    refused(store.compare_and_swap("a", None, b"1").unwrap_err());
    refused(store.delete("a").unwrap_err());
    refused(store.get("a").unwrap_err());
    refused(store.get_many(&["a".to_owned()]).unwrap_err());
    refused(store.list_keys(None).unwrap_err());
    refused(store.check().unwrap_err());
    refused(store.probe().unwrap_err());
}

#[test]
fn a_file_that_is_deleted_or_replaced_takes_nothing_any_more() {
    let deleted = |path: &Path| std::fs::remove_file(path).unwrap();
    let replaced = |path: &Path| {
        drop(open(&moved(path)));
        std::fs::rename(moved(path), path).unwrap();
    };
    let folder_moved = |path: &Path| {
        let folder = path.parent().unwrap();
        std::fs::rename(folder, folder.with_file_name("away")).unwrap();
    };
    let changes: [&dyn Fn(&Path); 3] = [&deleted, &replaced, &folder_moved];
    for change in changes {
        let (_directory, path) = fresh();
        let store = open(&path);
        store.set("a", b"1").unwrap();
        change(&path);
        is_refused(&store);
    }
}

#[test]
fn the_first_call_after_that_is_refused_whichever_it_is() {
    let first: [Call; 5] = [
        |store| store.set("b", b"1"),
        |store| store.set_many(&[entry("b", "1")]),
        |store| store.get("a").map(drop),
        |store| store.get_many(&["a".to_owned()]).map(drop),
        SqliteStore::check,
    ];
    for call in first {
        let (_directory, path) = fresh();
        let store = open(&path);
        store.set("a", b"1").unwrap();
        std::fs::remove_file(&path).unwrap();
        call(&store).unwrap_err();
    }
}

#[test]
fn a_file_that_is_back_in_its_place_goes_on() {
    let (_directory, path) = fresh();
    let store = open(&path);
    store.set("a", b"1").unwrap();
    std::fs::rename(&path, moved(&path)).unwrap();
    is_refused(&store);
    std::fs::rename(moved(&path), &path).unwrap();
    store.check().unwrap();
    store.set("c", b"2").unwrap();
    assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    let (_copy, next) = after_a_crash(&path);
    assert_eq!(next.get("c").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn what_is_acknowledged_is_kept_when_the_files_beside_are_deleted() {
    for suffixes in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let (_directory, path) = fresh();
        let store = open(&path);
        store.set("before", b"1").unwrap();
        let delete = || {
            for suffix in suffixes {
                std::fs::remove_file(format!("{}{suffix}", path.display())).unwrap();
            }
        };
        delete();
        store.set("after", b"2").unwrap();
        let (_copy, next) = after_a_crash(&path);
        for (key, value) in [("before", b"1"), ("after", b"2")] {
            let found = next.get(key).unwrap();
            assert_eq!(found.as_deref(), Some(&value[..]), "{key} {suffixes:?}");
            assert_eq!(store.get(key).unwrap().as_deref(), Some(&value[..]));
        }
        // Also where nothing is written meanwhile.
        delete();
        store.check().unwrap();
        let (_copy, next) = after_a_crash(&path);
        assert!(next.exists("after").unwrap());
        store.set("later", b"3").unwrap();
        assert!(after_a_crash(&path).1.exists("later").unwrap());
    }
}

/// A call may be refused while somebody deletes the files as fast as they are made; what it said is stored is.
#[test]
fn whatever_is_acknowledged_while_the_log_is_deleted_again_and_again_is_kept() {
    const DELETIONS: usize = 200;
    let (_directory, path) = fresh();
    let store = Arc::new(open(&path));
    let log = PathBuf::from(format!("{}-wal", path.display()));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                for round in 0..50 {
                    let key = format!("{number}/{round}");
                    while store.set(&key, b"1").is_err() {}
                    // Refused, or there.
                    assert!(store.exists(&key).unwrap_or(true), "{key}");
                }
            });
        }
        let mut deleted = 0;
        while deleted < DELETIONS {
            deleted += usize::from(std::fs::remove_file(&log).is_ok());
            thread::yield_now();
            if Arc::strong_count(&store) == 1 {
                break;
            }
        }
    });
    // The last one may have come after the last call.
    store.check().unwrap();
    let (_copy, next) = after_a_crash(&path);
    assert_eq!(next.list_keys(None).unwrap().keys.len(), THREADS * 50);
}
