//! Concurrent state updates in any interleaving lose nothing: every operation runs at the same time
//! as the others, any of them may come between any two calls of the store, and what is stored in the
//! end is what a model says that knows nothing of storing.

use std::collections::{BTreeMap, BTreeSet};

use interview_session::role::StreamRole;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::fixture::{all_of, keys};
use super::memory_store::{MemoryStore, Task};
use crate::layout::Keys;
use crate::sessions::{Created, create, created, delete};
use crate::shared::{apply_config, load, merge_speakers};
use crate::wit::Claim;
use crate::{answers, finalization, removal, views};

/// The fields of the config record: names and roster.
type Fields = [Option<String>; 3];

/// What one client does. Every value that it writes is its own, made of its number.
#[derive(Clone, Debug)]
enum Operation {
    /// `POST config` with some of the fields.
    Config([bool; 3]),
    /// Reads the state, asks the inference service, merges: it adds a cluster of its own, hears the
    /// common cluster so many times more, and sets some of the fields.
    Resolve {
        heard: u64,
        sets: [bool; 3],
    },
    /// The first batch of a stream.
    Create,
    /// A request with one of two idempotency keys; it may fail.
    Ask {
        key: u8,
        fails: bool,
    },
    Finalize,
}

/// What came of it.
#[derive(Debug)]
enum Outcome {
    Config,
    /// The fields as it read them, and how often it says that the common cluster was heard.
    Resolve {
        sent: Fields,
        count: u64,
    },
    Created(Created),
    Claim(String, Claim),
    Finalize,
}

fn operation() -> impl Strategy<Value = Operation> {
    let fields = || any::<[bool; 3]>();
    prop_oneof![
        3 => fields().prop_map(Operation::Config),
        4 => (1..4_u64, fields()).prop_map(|(heard, sets)| Operation::Resolve { heard, sets }),
        1 => Just(Operation::Create),
        3 => (0..2_u8, any::<bool>()).prop_map(|(key, fails)| Operation::Ask { key, fails }),
        1 => Just(Operation::Finalize),
    ]
}

/// The value that operation `task` writes.
fn own(task: usize) -> String {
    format!("v{task}")
}

fn set_fields(config: &mut Map<String, Value>, roster: &mut Value, sets: [bool; 3], task: usize) {
    let [teams, interviewer, people] = sets;
    if teams {
        config.insert("teams_interviewer_name".into(), json!(own(task)));
    }
    if interviewer {
        config.insert("interviewer_name".into(), json!(own(task)));
    }
    if people {
        *roster = json!([{"name": own(task)}]);
    }
}

fn fields_of(state: &Value) -> Fields {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    [
        text(&state["config"]["teams_interviewer_name"]),
        text(&state["config"]["interviewer_name"]),
        text(&state["roster"][0]["name"]),
    ]
}

fn run(store: &MemoryStore, keys: &Keys, task: usize, operation: &Operation) -> Outcome {
    let now = 1000 + task as u64;
    match operation {
        Operation::Config(sets) => {
            let (mut body, mut roster) = (Map::new(), Value::Null);
            set_fields(&mut body, &mut roster, *sets, task);
            body.insert("teams_participants".into(), roster);
            apply_config(store, keys, now, &Value::Object(body).to_string()).unwrap();
            Outcome::Config
        }
        Operation::Resolve { heard, sets } => {
            let sent = load(store, keys).unwrap();
            let mut state: Value = serde_json::from_str(&sent).unwrap();
            let before = fields_of(&state);
            let count = answer(&mut state, task, *heard, *sets);
            assert!(merge_speakers(store, keys, now, &sent, &state.to_string()).unwrap());
            Outcome::Resolve {
                sent: before,
                count,
            }
        }
        Operation::Create => Outcome::Created(create(store, keys, now).unwrap()),
        Operation::Ask { key, fails } => {
            let (key, token) = (format!("key{key}"), task as u64);
            let role = StreamRole::Mixed;
            let claim = answers::claim(store, keys, role, &key, now, u64::MAX, token).unwrap();
            if let Claim::Claimed(token) = claim {
                let answer = (!fails).then(|| own(task));
                answers::end(store, keys, role, &key, token, answer).unwrap();
            }
            Outcome::Claim(key, claim)
        }
        Operation::Finalize => {
            finalization::begin(store, keys, now).unwrap();
            let written = finalization::Written {
                at: now,
                chunks: now,
            };
            finalization::note(store, keys, now, written, None).unwrap();
            finalization::end(store, keys, now).unwrap();
            Outcome::Finalize
        }
    }
}

/// What the inference service makes of a state; how often the common cluster was heard then.
fn answer(state: &mut Value, task: usize, heard: u64, sets: [bool; 3]) -> u64 {
    let cluster = |id: &str, count: u64| json!({"cluster_id": id, "centroid": [1], "sample_count": count, "bound_name": null});
    let clusters = state["clusters"].as_array_mut().unwrap();
    let common = clusters.iter().position(|c| c["cluster_id"] == "common");
    let before = common.map_or(0, |at| clusters[at]["sample_count"].as_u64().unwrap());
    clusters.retain(|c| c["cluster_id"] != "common");
    clusters.push(cluster("common", before + heard));
    clusters.push(cluster(&own(task), 1));
    state["bindings"][own(task)] = json!(own(task));
    let mut roster = state.get("roster").cloned().unwrap_or_default();
    set_fields(
        state["config"].as_object_mut().unwrap(),
        &mut roster,
        sets,
        task,
    );
    state["roster"] = roster;
    before + heard
}

/// Runs the operations and compares what is stored with the model.
fn check(mut store: MemoryStore, operations: &[Operation], choices: &[u8]) {
    let keys = keys("s");
    let tasks = operations.iter().enumerate().map(|(task, operation)| {
        let keys = keys.clone();
        let work = move |store: &MemoryStore| run(store, &keys, task, operation);
        Box::new(work) as Task<'_, Outcome>
    });
    let outcomes = store.interleave(choices, tasks.collect());
    let state: Value = serde_json::from_str(&load(&store, &keys).unwrap()).unwrap();

    check_fields(&store, &keys, &state, operations, &outcomes);
    check_clusters(&state, &outcomes);
    check_claims(&store, &keys, operations, &outcomes);
    check_creation(&store, &keys, operations, &outcomes);
    let finalized = operations.iter().enumerate();
    // One lane notes them one after the other; here it is whichever came last.
    let noted: Vec<_> = finalized
        .filter(|(_, o)| matches!(o, Operation::Finalize))
        .map(|(n, _)| 1000 + n as u64)
        .collect();
    let (_, view) = views::read(&store, &keys, views::Detail::Whole).unwrap();
    let at = view.finalization.finalized_at;
    assert_eq!(at.is_some(), !noted.is_empty());
    assert!(
        at.is_none_or(|at| noted.contains(&at)),
        "{at:?} of {noted:?}"
    );
    assert_eq!(
        view.finalization.finalizing_at.filter(|_| noted.is_empty()),
        None
    );
}

/// Every field has the value of the last who set it, in the order in which the record was swapped.
fn check_fields(
    store: &MemoryStore,
    keys: &Keys,
    state: &Value,
    operations: &[Operation],
    outcomes: &[Outcome],
) {
    let mut model: Fields = Default::default();
    let mut history = vec![model.clone()];
    let order = store.swaps_of(&keys.config());
    for task in &order {
        match (&operations[*task], &outcomes[*task]) {
            (Operation::Config([teams, interviewer, people]), _) => {
                // A lone name of the interviewer is the name in the meeting too.
                let sets = [*teams || *interviewer, *interviewer, *people];
                for (field, _) in model.iter_mut().zip(sets).filter(|(_, sets)| *sets) {
                    *field = Some(own(*task));
                }
            }
            (Operation::Resolve { sets, .. }, Outcome::Resolve { sent, .. }) => {
                for ((field, sent), sets) in model.iter_mut().zip(sent).zip(*sets) {
                    if sets && field == sent {
                        *field = Some(own(*task));
                    }
                }
            }
            other => panic!("{other:?} changed the config"),
        }
        history.push(model.clone());
    }
    assert_eq!(fields_of(state), model);
    for (task, (operation, outcome)) in operations.iter().zip(outcomes).enumerate() {
        match (operation, outcome) {
            // What a client was told is set was set.
            (Operation::Config(sets), _) if sets.contains(&true) => {
                assert!(order.contains(&task), "config {task} was lost");
            }
            // An answer that set nothing came too late for each of its fields.
            (Operation::Resolve { sets, .. }, Outcome::Resolve { sent, .. })
                if !order.contains(&task) =>
            {
                for field in (0..3).filter(|field| sets[*field]) {
                    // Somebody set it since; maybe back: the first write of a record may be done
                    // twice, if it was overwritten before it was seen.
                    let mut since = history
                        .iter()
                        .skip_while(|fields| fields[field] != sent[field]);
                    let is_late = since.any(|fields| fields[field] != sent[field]);
                    assert!(is_late, "a change of {task} was lost");
                }
            }
            _ => {}
        }
    }
}

/// Every cluster and binding is there, and the common cluster with its highest count.
fn check_clusters(state: &Value, outcomes: &[Outcome]) {
    let mut expected = BTreeMap::new();
    let mut bindings = Map::new();
    for (task, outcome) in outcomes.iter().enumerate() {
        if let Outcome::Resolve { count, .. } = outcome {
            expected.insert(own(task), 1);
            bindings.insert(own(task), json!(own(task)));
            let most = expected.entry("common".to_owned()).or_default();
            *most = *count.max(most);
        }
    }
    let clusters = state["clusters"].as_array().unwrap().iter();
    let counts = clusters.map(|c| {
        let id = c["cluster_id"].as_str().unwrap().to_owned();
        (id, c["sample_count"].as_u64().unwrap())
    });
    assert_eq!(counts.collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(state["bindings"], Value::Object(bindings));
}

/// A key was claimed by one at a time and answered by one, and everybody else was told that answer or
/// to wait.
fn check_claims(store: &MemoryStore, keys: &Keys, operations: &[Operation], outcomes: &[Outcome]) {
    let role = StreamRole::Mixed;
    for key in ["key0", "key1"] {
        let (mut told, mut claimed) = (BTreeSet::new(), BTreeSet::new());
        for (task, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Outcome::Claim(of, Claim::Answered(answer)) if of == key => {
                    told.insert(answer.clone());
                }
                Outcome::Claim(of, Claim::Claimed(_)) if of == key => {
                    claimed.insert(task);
                }
                _ => {}
            }
        }
        // Claimed and ended, claimed and ended.
        let record = keys.answer(&Keys::answer_name(role, key));
        let swaps = store.swaps_of(&record);
        let turns: Vec<_> = swaps.chunks(2).map(|turn| turn[0]).collect();
        assert!(
            swaps.chunks(2).all(|turn| turn == [turn[0]; 2]),
            "{swaps:?}"
        );
        assert_eq!(turns.len(), claimed.len());
        assert_eq!(turns.iter().copied().collect::<BTreeSet<_>>(), claimed);
        let fails = |task: &usize| matches!(operations[*task], Operation::Ask { fails: true, .. });
        let answering: Vec<_> = turns.iter().filter(|task| !fails(task)).collect();
        let last = answering.last().map(|task| own(**task));
        assert!(answering.len() <= 1 && told.iter().all(|told| Some(told) == last.as_ref()));
        match answers::claim(store, keys, role, key, 5000, 6000, 77).unwrap() {
            Claim::Answered(answer) => assert_eq!(Some(answer), last),
            Claim::Claimed(77) => assert_eq!(None, last),
            other => panic!("{other:?} when all are done"),
        }
    }
}

/// One session came of it, with one place.
fn check_creation(
    store: &MemoryStore,
    keys: &Keys,
    operations: &[Operation],
    outcomes: &[Outcome],
) {
    let created = created(store, keys).unwrap();
    let creates = |operation: &Operation| !matches!(operation, Operation::Ask { .. });
    assert_eq!(created.is_some(), operations.iter().any(creates));
    for outcome in outcomes {
        if let Outcome::Created(told) = outcome {
            assert_eq!(Some(*told), created);
        }
    }
    let places = store
        .values()
        .into_iter()
        .filter(|(_, value)| value == keys.id());
    let places: Vec<_> = places.map(|(key, _)| key).collect();
    let own = created.map(|created| crate::layout::index_entry(created.n));
    assert_eq!(places, own.into_iter().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn concurrent_state_updates_in_any_interleaving_lose_nothing(
        operations in prop::collection::vec(operation(), 1..8),
        choices in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        check(MemoryStore::default(), &operations, &choices);
    }

    #[test]
    fn what_is_deleted_meanwhile_stays_deleted(
        resolves in 1..4_usize,
        choices in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let mut store = MemoryStore::default();
        let keys = keys("s");
        create(&store, &keys, 1).unwrap();
        let mut tasks: Vec<Task<'_, ()>> = Vec::new();
        for task in 0..resolves {
            let (keys, sent) = (keys.clone(), load(&store, &keys).unwrap());
            tasks.push(Box::new(move |store| {
                let mut state: Value = serde_json::from_str(&sent).unwrap();
                answer(&mut state, task, 1, [true; 3]);
                merge_speakers(store, &keys, 5, &sent, &state.to_string()).unwrap();
                let written = finalization::Written { at: 5, chunks: 5 };
                let metadata = (task % 2 == 0).then(|| "{}".to_owned());
                finalization::note(store, &keys, 5, written, metadata).unwrap();
                finalization::end(store, &keys, 5).unwrap();
            }));
        }
        let own = keys.clone();
        tasks.push(Box::new(move |store| delete(store, &own).unwrap()));
        store.interleave(&choices, tasks);
        prop_assert_eq!(all_of(&store, &keys), []);
    }

    #[test]
    fn what_is_written_during_a_deletion_is_found_by_the_next(
        operations in prop::collection::vec(operation(), 1..5),
        choices in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let mut store = MemoryStore::default();
        let keys = keys("s");
        create(&store, &keys, 1).unwrap();
        let mut tasks: Vec<Task<'_, ()>> = Vec::new();
        let role = StreamRole::Mixed;
        for (task, operation) in operations.iter().enumerate() {
            let keys = keys.clone();
            match operation {
                // They would fail, rightly, when their session is gone.
                Operation::Resolve { .. } => {}
                Operation::Ask { key, .. } => tasks.push(Box::new(move |store| {
                    let key = format!("key{key}");
                    answers::claim(store, &keys, role, &key, 5, 9, task as u64).unwrap();
                })),
                _ => tasks.push(Box::new(move |store| drop(run(store, &keys, task, operation)))),
            }
        }
        let deleted = keys.clone();
        tasks.push(Box::new(move |store| delete(store, &deleted).unwrap()));
        store.interleave(&choices, tasks);
        // An answer takes longer than a deletion.
        for (task, operation) in operations.iter().enumerate() {
            if let Operation::Ask { key, .. } = operation {
                let key = format!("key{key}");
                answers::end(&store, &keys, role, &key, task as u64, Some(own(task))).unwrap();
            }
        }
        // What a client was told is set is not half there: config comes with a session.
        let values = store.values();
        if values.contains_key(&keys.config()) {
            prop_assert!(values.contains_key(&keys.created()));
        }
        removal::delete_stream(&store, &keys, StreamRole::Mixed).unwrap();
        delete(&store, &keys).unwrap();
        prop_assert_eq!(all_of(&store, &keys), []);
    }
}

#[test]
fn and_the_check_would_notice() {
    let config = |field: usize| Operation::Config(std::array::from_fn(|at| at == field));
    let operations = [0, 1, 2, 0, 1, 2].map(config);
    let is_noticed = |seed: u8| {
        let choices: Vec<_> = (0..100_u8).map(|n| n.wrapping_mul(seed) >> 3).collect();
        let store = MemoryStore::default().with_broken_swap();
        std::panic::catch_unwind(|| check(store, &operations, &choices)).is_err()
    };
    assert!((1..=255).step_by(2).any(is_noticed));
}
