//! What a store promises, held by each of them: over tasks, over several openings as several processes
//! have them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{Place, entry, keys};
use key_value_store::{
    KeyValue, KvError, MAX_BATCH_ENTRIES, MAX_KEY_BYTES, MAX_VALUE_BYTES, PAGE_KEYS, Swap,
};
use proptest::prelude::*;

const TASKS: usize = 4;
const ROUNDS: usize = 50;

/// Each body, with each store.
macro_rules! of_each_store {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name(&super::Place::sqlite()).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                super::$name(&super::Place::redis()).await;
            })*
        }
    };
}

of_each_store! {
    values_are_set_read_and_removed
    batches_keep_their_order_and_the_later_of_two_wins
    the_largest_batch_is_taken_whole
    swaps_compare_values_and_absence
    of_many_that_create_a_key_exactly_one_does
    no_swap_overwrites_what_it_did_not_see
    no_increment_is_lost
    numbers_that_are_none_and_sums_over_64_bits_change_nothing
    reads_see_batches_whole
    removals_are_seen_whole
    what_was_written_is_read_by_whoever_reads_next
    pages_have_no_holes
    what_is_too_large_is_refused_and_nothing_is_stored
    nothing_is_done_before_it_is_awaited
    a_probe_leaves_nothing_that_an_app_sees
}

async fn a_probe_leaves_nothing_that_an_app_sees(place: &Place) {
    let store = place.open().await;
    store.set("a", b"1").await.unwrap();
    store.check().await.unwrap();
    store.probe().await.unwrap();
    assert_eq!(store.list_keys(None).await.unwrap().keys, ["a"]);
}

async fn values_are_set_read_and_removed(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.get("a").await.unwrap(), None);
    assert!(!store.exists("a").await.unwrap());
    store.set("a", b"1").await.unwrap();
    store.set("a", b"2").await.unwrap();
    store.set("", b"").await.unwrap();
    store.set("\u{e9}\n ", b"\0\r\n\xff").await.unwrap();
    assert_eq!(store.get("a").await.unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(store.get("").await.unwrap().as_deref(), Some(&b""[..]));
    let odd = store.get("\u{e9}\n ").await.unwrap();
    assert_eq!(odd.as_deref(), Some(&b"\0\r\n\xff"[..]));
    assert!(store.exists("").await.unwrap());
    store.delete("a").await.unwrap();
    store.delete("a").await.unwrap();
    assert!(!store.exists("a").await.unwrap());
}

async fn batches_keep_their_order_and_the_later_of_two_wins(place: &Place) {
    let store = place.open().await;
    let entries = [entry("b", "1"), entry("a", "2"), entry("b", "3")];
    store.set_many(&entries).await.unwrap();
    store.set_many(&[]).await.unwrap();
    assert_eq!(store.get_many(&[]).await.unwrap(), []);
    assert_eq!(
        store
            .get_many(&keys(&["b", "none", "a", "b"]))
            .await
            .unwrap(),
        [
            ("b".to_owned(), Some(b"3".to_vec())),
            ("none".to_owned(), None),
            ("a".to_owned(), Some(b"2".to_vec())),
            ("b".to_owned(), Some(b"3".to_vec())),
        ]
    );
    store.delete_many(&keys(&["a", "none"])).await.unwrap();
    store.delete_many(&[]).await.unwrap();
    assert_eq!(store.list_keys(None).await.unwrap().keys, ["b"]);
}

async fn the_largest_batch_is_taken_whole(place: &Place) {
    let store = place.open().await;
    let entries: Vec<_> = (0..MAX_BATCH_ENTRIES)
        .map(|number| entry(&format!("{number}"), &format!("value {number}")))
        .collect();
    store.set_many(&entries).await.unwrap();
    let names: Vec<String> = entries.iter().map(|(key, _)| key.clone()).collect();
    let found = store.get_many(&names).await.unwrap();
    for ((key, value), (found_key, found)) in entries.iter().zip(&found) {
        assert_eq!((key, Some(value)), (found_key, found.as_ref()));
    }
    store.delete_many(&names).await.unwrap();
    assert_eq!(all_keys(store.as_ref()).await, Vec::<String>::new());
}

async fn swaps_compare_values_and_absence(place: &Place) {
    let store = place.open().await;
    let swap = async |expected: Option<&'static [u8]>, new: &'static [u8]| {
        store.compare_and_swap("a", expected, new).await.unwrap()
    };
    assert_eq!(swap(Some(b"x"), b"1").await, Swap::Differs(None));
    assert_eq!(swap(Some(b""), b"1").await, Swap::Differs(None));
    assert_eq!(swap(None, b"1").await, Swap::Swapped);
    assert_eq!(swap(None, b"2").await, Swap::Differs(Some(b"1".to_vec())));
    assert_eq!(swap(Some(b"1"), b"2").await, Swap::Swapped);
    assert_eq!(
        swap(Some(b"1"), b"3").await,
        Swap::Differs(Some(b"2".to_vec()))
    );
    assert_eq!(store.get("a").await.unwrap().as_deref(), Some(&b"2"[..]));
    store.set("empty", b"").await.unwrap();
    assert_eq!(
        store.compare_and_swap("empty", None, b"1").await.unwrap(),
        Swap::Differs(Some(Vec::new())),
        "an empty value is not an absent one"
    );
    let swapped = store.compare_and_swap("empty", Some(b""), b"\xff\0").await;
    assert_eq!(swapped.unwrap(), Swap::Swapped);
}

/// Does `work` in tasks of their own, half of them on one opening, half on another, as two processes would
/// have it.
async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    place: &Place,
    work: impl Fn(Arc<dyn KeyValue>, usize) -> F,
) -> Vec<T> {
    let stores = [place.open().await, place.open().await];
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| tokio::spawn(work(Arc::clone(&stores[number % stores.len()]), number)))
        .collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

async fn of_many_that_create_a_key_exactly_one_does(place: &Place) {
    let created = race(place, |store, number| async move {
        let mut created = 0;
        for round in 0..ROUNDS {
            let key = format!("key-{round}");
            let value = [number as u8];
            let swap = store.compare_and_swap(&key, None, &value).await.unwrap();
            created += usize::from(swap == Swap::Swapped);
        }
        created
    });
    assert_eq!(created.await.into_iter().sum::<usize>(), ROUNDS);
}

async fn no_swap_overwrites_what_it_did_not_see(place: &Place) {
    race(place, |store, _| async move {
        let mut seen: Option<Vec<u8>> = None;
        for _ in 0..ROUNDS {
            loop {
                let count = seen.as_ref().map_or(0, |bytes| {
                    u64::from_le_bytes(bytes.as_slice().try_into().unwrap())
                });
                let new = (count + 1).to_le_bytes();
                match store.compare_and_swap("count", seen.as_deref(), &new).await {
                    Ok(Swap::Swapped) => {
                        seen = Some(new.to_vec());
                        break;
                    }
                    Ok(Swap::Differs(current)) => seen = current,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    })
    .await;
    let total = place.open().await.get("count").await.unwrap().unwrap();
    assert_eq!(total, ((TASKS * ROUNDS) as u64).to_le_bytes());
}

async fn no_increment_is_lost(place: &Place) {
    race(place, |store, _| async move {
        for _ in 0..ROUNDS {
            store.increment("n", 3).await.unwrap();
        }
    })
    .await;
    let store = place.open().await;
    let sum = store.increment("n", -1).await.unwrap();
    assert_eq!(sum, (TASKS * ROUNDS * 3) as i64 - 1);
}

async fn numbers_that_are_none_and_sums_over_64_bits_change_nothing(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.increment("n", -2).await.unwrap(), -2);
    let number = |number: i64| match place.is_redis() {
        true => number.to_string().into_bytes(),
        false => number.to_le_bytes().to_vec(),
    };
    assert_eq!(store.get("n").await.unwrap().unwrap(), number(-2));
    // Beyond what a float holds exactly.
    let large = (1 << 53) + 1;
    assert_eq!(store.increment("large", large).await.unwrap(), large);
    assert_eq!(store.increment("large", 2).await.unwrap(), large + 2);
    store.set("text", b"12x").await.unwrap();
    // A number of the other kind of store is none here.
    let other = match place.is_redis() {
        true => 12_i64.to_le_bytes().to_vec(),
        false => b"12".to_vec(),
    };
    store.set("other", &other).await.unwrap();
    store.set("max", &number(i64::MAX)).await.unwrap();
    store.set("min", &number(i64::MIN)).await.unwrap();
    for (key, delta) in [("text", 1), ("other", 1), ("max", 1), ("min", -1)] {
        let before = store.get(key).await.unwrap();
        let refused = store.increment(key, delta).await;
        assert!(
            matches!(refused, Err(KvError::NotANumber { .. })),
            "{key}: {refused:?}"
        );
        assert_eq!(store.get(key).await.unwrap(), before);
    }
}

async fn reads_see_batches_whole(place: &Place) {
    let torn = race(place, |store, number| async move {
        let mut torn = 0;
        for round in 0..ROUNDS {
            if number % 2 == 0 {
                let value = format!("{number}-{round}");
                let entries = [entry("a", &value), entry("b", &value)];
                store.set_many(&entries).await.unwrap();
            } else {
                let values = store.get_many(&keys(&["a", "b"])).await.unwrap();
                torn += usize::from(values[0].1 != values[1].1);
            }
        }
        torn
    });
    assert_eq!(torn.await.into_iter().sum::<usize>(), 0);
}

async fn removals_are_seen_whole(place: &Place) {
    let torn = race(place, |store, number| async move {
        let mut torn = 0;
        for _ in 0..ROUNDS {
            if number == 0 {
                store
                    .set_many(&[entry("a", "1"), entry("b", "1")])
                    .await
                    .unwrap();
                store.delete_many(&keys(&["a", "b"])).await.unwrap();
            } else {
                let values = store.get_many(&keys(&["a", "b"])).await.unwrap();
                torn += usize::from(values[0].1 != values[1].1);
            }
        }
        torn
    });
    assert_eq!(torn.await.into_iter().sum::<usize>(), 0);
}

async fn what_was_written_is_read_by_whoever_reads_next(place: &Place) {
    let (one, other) = (place.open().await, place.open().await);
    for round in 0..ROUNDS {
        let value = round.to_le_bytes();
        one.set("a", &value).await.unwrap();
        assert_eq!(other.get("a").await.unwrap().as_deref(), Some(&value[..]));
        assert_eq!(one.get("a").await.unwrap().as_deref(), Some(&value[..]));
    }
}

async fn all_keys(store: &dyn KeyValue) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store.list_keys(cursor.as_deref()).await.unwrap();
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return found;
        }
    }
}

async fn pages_have_no_holes(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.list_keys(None).await.unwrap().keys, [""; 0]);
    let count = 2 * PAGE_KEYS + 1;
    let entries: Vec<_> = (0..count)
        .map(|number| entry(&format!("key-{number:06}"), ""))
        .collect();
    store.set_many(&entries).await.unwrap();
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    let mut pages = 0;
    loop {
        let page = store.list_keys(cursor.as_deref()).await.unwrap();
        let distinct: BTreeSet<_> = page.keys.iter().collect();
        assert_eq!(distinct.len(), page.keys.len());
        assert!(page.keys.len() <= 2 * PAGE_KEYS);
        pages += 1;
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
        // What is removed on the way takes nothing else with it, and what is added hides nothing.
        if let Some(last) = found.last() {
            store.delete(last).await.unwrap();
        }
        store.set(&format!("zzz-{pages}"), b"").await.unwrap();
    }
    assert!(pages >= 3, "{pages}");
    if !place.is_redis() {
        let distinct: BTreeSet<_> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "each once");
    }
    let found: BTreeSet<String> = found
        .into_iter()
        .filter(|key| key.starts_with("key-"))
        .collect();
    let expected: BTreeSet<String> = entries.into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, expected);
    if place.is_redis() {
        let bad = store.list_keys(Some("no cursor")).await;
        assert!(matches!(bad, Err(KvError::BadCursor)), "{bad:?}");
    }
}

async fn what_is_too_large_is_refused_and_nothing_is_stored(place: &Place) {
    let store = place.open().await;
    let key = "k".repeat(MAX_KEY_BYTES);
    let value = vec![0; MAX_VALUE_BYTES];
    store.set(&key, &value).await.unwrap();
    let stored = store.get(&key).await.unwrap().unwrap();
    assert_eq!(stored.len(), MAX_VALUE_BYTES);
    store.delete(&key).await.unwrap();

    let long_key = format!("{key}k");
    let long_value = vec![0; MAX_VALUE_BYTES + 1];
    let large = |result: Result<(), KvError>| matches!(result, Err(KvError::TooLarge { .. }));
    assert!(large(store.get(&long_key).await.map(drop)));
    assert!(large(store.set(&long_key, b"").await));
    assert!(large(store.set("a", &long_value).await));
    assert!(large(store.delete(&long_key).await));
    assert!(large(store.exists(&long_key).await.map(drop)));
    assert!(large(store.increment(&long_key, 1).await.map(drop)));
    let swapped = store.compare_and_swap("a", None, &long_value).await;
    assert!(large(swapped.map(drop)));
    let entries = [entry("a", ""), ("b".to_owned(), long_value)];
    assert!(large(store.set_many(&entries).await));
    assert!(large(store.get_many(&[long_key]).await.map(drop)));
    let many = vec![String::new(); MAX_BATCH_ENTRIES + 1];
    assert!(large(store.delete_many(&many).await));
    assert_eq!(store.list_keys(None).await.unwrap().keys, [""; 0]);
}

async fn nothing_is_done_before_it_is_awaited(place: &Place) {
    let store = place.open().await;
    drop(store.set("a", b"1"));
    assert_eq!(store.get("a").await.unwrap(), None);
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
            any::<i64>().prop_map(|number| number.to_string().into_bytes()),
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

/// The number that a store of this kind sees in these bytes.
fn number(is_redis: bool, bytes: &[u8]) -> Option<i64> {
    if is_redis {
        let text = std::str::from_utf8(bytes).ok()?;
        // As the server writes it, and no other way.
        return text
            .parse()
            .ok()
            .filter(|number: &i64| number.to_string() == text);
    }
    bytes.try_into().ok().map(i64::from_le_bytes)
}

async fn it_behaves_like_a_map(place: &Place, calls: Vec<Call>) -> Result<(), TestCaseError> {
    let is_redis = place.is_redis();
    let mut store = place.open().await;
    for key in all_keys(store.as_ref()).await {
        store.delete(&key).await.unwrap();
    }
    let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for call in calls {
        match call {
            Call::Set(key, value) => {
                store.set(&key, &value).await.unwrap();
                model.insert(key, value);
            }
            Call::Delete(key) => {
                store.delete(&key).await.unwrap();
                model.remove(&key);
            }
            Call::SetMany(entries) => {
                store.set_many(&entries).await.unwrap();
                model.extend(entries);
            }
            Call::DeleteMany(keys) => {
                store.delete_many(&keys).await.unwrap();
                model.retain(|key, _| !keys.contains(key));
            }
            Call::Increment(key, delta) => {
                let sum = match model.get(&key) {
                    None => Some(delta),
                    Some(bytes) => number(is_redis, bytes).and_then(|at| at.checked_add(delta)),
                };
                prop_assert_eq!(store.increment(&key, delta).await.ok(), sum);
                if let Some(sum) = sum {
                    let bytes = match is_redis {
                        true => sum.to_string().into_bytes(),
                        false => sum.to_le_bytes().to_vec(),
                    };
                    model.insert(key, bytes);
                }
            }
            Call::Swap(key, expected, new) => {
                let current = model.get(&key).cloned();
                let swap = store
                    .compare_and_swap(&key, expected.as_deref(), &new)
                    .await;
                if current == expected {
                    prop_assert_eq!(swap.unwrap(), Swap::Swapped);
                    model.insert(key, new);
                } else {
                    prop_assert_eq!(swap.unwrap(), Swap::Differs(current));
                }
            }
            Call::Reopen => {
                drop(store);
                store = place.open().await;
            }
        }
        let mut listed = all_keys(store.as_ref()).await;
        listed.sort();
        listed.dedup();
        prop_assert_eq!(&listed, &model.keys().cloned().collect::<Vec<_>>());
        let values = store.get_many(&listed).await.unwrap();
        let expected: Vec<_> = model
            .iter()
            .map(|(key, value)| (key.clone(), Some(value.clone())))
            .collect();
        prop_assert_eq!(values, expected);
    }
    Ok(())
}

fn against_a_model(place: &Place) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(32));
    runner
        .run(&prop::collection::vec(call(), 1..24), |calls| {
            runtime.block_on(it_behaves_like_a_map(place, calls))
        })
        .unwrap();
}

#[test]
fn sqlite_behaves_like_a_map() {
    against_a_model(&Place::sqlite());
}

#[test]
fn redis_behaves_like_a_map() {
    against_a_model(&Place::redis());
}
