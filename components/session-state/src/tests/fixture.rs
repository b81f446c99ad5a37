//! Sessions with something of everything in them.

use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use serde_json::{Value, json};

use super::memory_store::MemoryStore;
use crate::layout::Keys;
use crate::store::Store;
use crate::wit::{Identified, Listening, MergedChange, SpeakerEvent, StreamChanges};
use crate::{answers, finalization, live, logs, removal, sessions, shared};

pub const STUDENTS: StreamRole = StreamRole::Students;

pub fn keys(id: &str) -> Keys {
    Keys::new(&SessionId::parse(id).unwrap())
}

pub fn changes() -> StreamChanges {
    StreamChanges {
        creates_session: false,
        ingest: None,
        bridge: None,
        windows: None,
        clients: None,
        figures: None,
        capture: None,
        utterances: Vec::new(),
        merged: Vec::new(),
        events: Vec::new(),
    }
}

/// An event that answers no look-up.
pub fn event(text: &str) -> SpeakerEvent {
    SpeakerEvent {
        event: text.to_owned(),
        identified: None,
    }
}

/// The event of an utterance.
pub fn answer(text: &str, life: u64, index: u32) -> SpeakerEvent {
    SpeakerEvent {
        event: text.to_owned(),
        identified: Some(Identified { life, index }),
    }
}

/// `n` entries in each log of a stream, and all its records.
pub fn fill_stream(store: &MemoryStore, keys: &Keys, role: StreamRole, now: u64, n: usize) {
    let some = |what: &str| Some(format!("{{\"{what}\":{now}}}"));
    let texts = |what: &str| (0..n).map(|i| format!("{what}{i}")).collect::<Vec<_>>();
    let changes = StreamChanges {
        ingest: some("ingest"),
        bridge: some("bridge"),
        windows: some("windows"),
        clients: some("clients"),
        figures: some("figures"),
        capture: some("capture"),
        utterances: texts("u"),
        merged: texts("m").into_iter().map(MergedChange::Append).collect(),
        events: texts("e").iter().map(|text| event(text)).collect(),
        ..changes()
    };
    logs::commit(store, keys, role, now, changes).unwrap();
}

/// A session with `n` entries in every log, and one older life of the students' logs.
pub fn fill_session(store: &MemoryStore, keys: &Keys, n: usize) {
    sessions::create(store, keys, 1).unwrap();
    shared::apply_config(store, keys, 2, r#"{"interviewer_name":"Ada"}"#).unwrap();
    let sent = shared::load(store, keys).unwrap();
    assert!(
        shared::merge_speakers(store, keys, 3, &sent, &clusters(&[("c1", 1)]).to_string()).unwrap()
    );
    finalization::begin(store, keys, 4).unwrap();
    let written = finalization::Written { at: 5, chunks: 9 };
    finalization::note(store, keys, 5, written, Some("{}".into())).unwrap();
    finalization::end(store, keys, 5).unwrap();
    for (token, key) in [(1, "k1"), (2, "k2"), (3, "k3")] {
        answers::claim(store, keys, STUDENTS, key, 6, 100, token).unwrap();
    }
    answers::end(store, keys, STUDENTS, "k1", 1, Some("answer".into())).unwrap();
    answers::end(store, keys, STUDENTS, "k2", 2, None).unwrap();
    fill_stream(store, keys, STUDENTS, 7, n);
    // A reset that was stopped right after its new life began.
    let writes = store.writes();
    let probe = store.copy();
    probe.stop_after(Some(4));
    assert!(removal::reset(&probe, keys, STUDENTS, 8, None).is_err());
    store
        .set_many(probe.values().into_iter().collect())
        .unwrap();
    assert!(store.writes() > writes);
    for role in StreamRole::ALL {
        fill_stream(store, keys, role, 9, n);
    }
    let entries = (0..n).map(|i| format!("live{i}")).collect();
    live::commit(store, keys, "live".into(), Listening::PARTIALS, 1, entries).unwrap();
}

/// A state of the inference service with these clusters.
pub fn clusters(counts: &[(&str, u64)]) -> Value {
    let clusters: Vec<_> = counts
        .iter()
        .map(|(id, samples)| {
            json!({"cluster_id": id, "centroid": [0.5], "sample_count": samples, "bound_name": null})
        })
        .collect();
    json!({"clusters": clusters, "bindings": {}})
}

/// Keys and values of a session, and its places in the index.
pub fn all_of(store: &MemoryStore, keys: &Keys) -> Vec<(String, String)> {
    let prefix = keys.created().replace("created", "");
    let is_own = |(key, value): &(String, String)| key.starts_with(&prefix) || value == keys.id();
    store.values().into_iter().filter(is_own).collect()
}
