//! Session ids that try to walk: out of the store, into another session's objects, into a file of another
//! kind. Each is refused, or is a session of its own with its own objects below `sessions/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use asr_simulator::mark;
use end_to_end::{Asr, Gateway, Settings, chunk_frame};
use serde_json::{Value, json};

/// As they are written in a path. All of them are read the same way by whoever reads the path as it came.
const WALKS: [&str; 32] = [
    "..%2f..%2fetc%2fpasswd",
    "..%2F..%2F..%2Fescaped",
    "%2e%2e%2fescaped",
    "%2Fetc%2Fpasswd",
    "..%5c..%5cescaped",
    "a%2F..%2F..%2Fb",
    "a%2F.%2Fb",
    "a%2F%2Fb",
    "%252e%252e%252fescaped",
    "..%c0%af..",
    "...",
    "%2e%2e%2e%2e",
    "a%2e%2e",
    "..a",
    ".hidden",
    "a.meta.json",
    "00000001.pcm",
    "a%231",
    "a~0123456789abcdef0123456789abcdef",
    "walk",
    "Walk",
    "WALK",
    "wal%C3%A9",
    "wale%CC%81",
    "%EF%BC%8E%EF%BC%8E",
    "%EF%BC%8E%EF%BC%8E%EF%BC%8Fescaped",
    "a%E2%80%AEb",
    "a%EF%BB%BF",
    "con",
    "a:b",
    "a%3F",
    "a;b=c",
];

/// Those that no session can have: not UTF-8, control characters, nothing.
const REFUSED: [&str; 8] = [
    "%00",
    "..%00",
    "a%00.pcm",
    "%c0%ae%c0%ae",
    "%ed%a0%80",
    "%",
    "%2",
    "%20%20",
];

/// Every file below a folder, by its path there.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(one).expect("a folder").flatten() {
            let path = entry.path();
            if entry.file_type().expect("its type").is_dir() {
                folders.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn an_id_that_walks_is_refused_or_a_session_of_its_own() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr).set("ASR_ENABLED", "false")).await;
    let outside = gateway.state_dir().parent().unwrap().join("escaped");
    let before: BTreeSet<_> = files(gateway.state_dir());
    for id in REFUSED {
        let answer = gateway.get(&format!("/v1/sessions/{id}/state")).await;
        assert_eq!(answer.status, 400, "{id}: {answer:?}");
        let refused = gateway.open_path(&format!("/v1/audio/ws/{id}")).await;
        assert_eq!(refused.unwrap_err().status, 400, "{id}");
    }

    let mut keys: BTreeMap<String, (&str, Vec<u8>)> = BTreeMap::new();
    for (number, id) in WALKS.into_iter().enumerate() {
        // The host gives the path on as it came: neither a library of ours nor hyper makes it shorter.
        let opened = gateway.open_path(&format!("/v1/audio/ws/{id}")).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(refused) => {
                assert_eq!(refused.status, 400, "{id}: {refused:?}");
                continue;
            }
        };
        let ready = stream.ask(&json!({"type": "hello"})).await;
        let session = ready["session_id"].as_str().unwrap().to_owned();
        assert_eq!(ready["ingest"]["received_chunks"], 0, "{id} is another's");
        let pcm = mark::second(u16::try_from(number).unwrap() + 1, 1);
        let ack = stream.ask(&chunk_frame(&session, "mixed", 1, &pcm)).await;
        assert_eq!(ack["status"], "stored", "{id}: {ack}");
        let key = ack["key"].as_str().unwrap().to_owned();
        assert!(key.starts_with("sessions/"), "{id}: {key}");
        let one_of = key.split('/').all(|part| !matches!(part, "" | "." | ".."));
        assert!(one_of && !key.contains('\\'), "{id}: {key}");
        if let Some((other, _)) = keys.insert(key.clone(), (id, pcm)) {
            panic!("{id} and {other} share {key}");
        }
        stream.close().await;
        let result: Value = gateway.finalize(id).await;
        let key = result["result_key"].as_str().unwrap();
        assert!(key.starts_with("sessions/"), "{id}: {key}");
    }
    assert!(keys.len() >= 25, "hardly any was taken: {keys:?}");

    for (key, (id, pcm)) in &keys {
        let stored = gateway.blobs().read(key);
        assert!(stored.as_ref() == Some(pcm), "{id} holds its own audio");
        let state = gateway.get(&format!("/v1/sessions/{id}/state")).await.ok();
        assert_eq!(state["ingest"]["received_chunks"], 1, "{id}");
    }
    // Whatever was written is an object's, in its place.
    let sessions = gateway.state_dir().join("blobs/sessions");
    for file in files(gateway.state_dir()).difference(&before) {
        let is_store = file.to_string_lossy().contains("sqlite");
        let is_compiled = file.starts_with(gateway.state_dir().join("cache"));
        assert!(
            file.starts_with(&sessions) || is_store || is_compiled,
            "{}",
            file.display()
        );
    }
    assert!(!outside.exists());
}
