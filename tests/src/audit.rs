//! The one check after every fault: what clients were told is held against what the gateway keeps and
//! shows. Nothing acknowledged is lost, nothing is transcribed twice, nothing shown is untrue.
//!
//! A test records what was sent and acknowledged ([`Recorded`]), lets the fault happen, and calls
//! [`audit`] when nobody sends any more. The rules are in `checks`, which talks to nobody; this file
//! fetches. What is right for one fault only is that fault's test to say, not said here.

mod checks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use asr_simulator::mark;
use serde_json::Value;

use crate::blobs::Blobs;
use crate::client::AudioSocket;
use crate::gateway::Gateway;

/// The roles of a session's streams.
pub const ROLES: [&str; 3] = ["mixed", "teacher", "students"];
/// Complaints that are shown: the first of many say what happened.
const SHOWN_FAULTS: usize = 20;
/// How often a session is finalized again because texts came between `finalize` and the reading.
const LATE_TEXTS: u32 = 5;

/// What must have become of the acknowledged seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// All are transcribed, and all utterances of teacher and students have their speaker event.
    AllTranscribed,
    /// Those that are not are listed in `result.json`.
    OrListed,
}

/// What one stream's clients sent, and what they were told.
#[derive(Debug, Clone)]
pub struct Recorded {
    session: String,
    role: String,
    mark: u16,
    /// Sent, acknowledged or not: what was not may be stored all the same.
    sent: BTreeSet<u32>,
    acked: BTreeMap<u32, Acked>,
    /// Acks that said `duplicate`.
    duplicates: u64,
}

/// An acknowledged second.
#[derive(Debug, Clone, Default)]
struct Acked {
    /// Of the object; none when only `duplicate` was said.
    key: Option<String>,
    /// None: the marked second of its number.
    pcm: Option<Vec<u8>>,
}

impl Recorded {
    /// Nothing yet. `mark` names the stream in its audio, see [`asr_simulator::mark`].
    #[must_use]
    pub fn new(session: &str, role: &str, mark: u16) -> Self {
        Self {
            session: session.to_owned(),
            role: role.to_owned(),
            mark,
            sent: BTreeSet::new(),
            acked: BTreeMap::new(),
            duplicates: 0,
        }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The stream's role.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The stream's mark.
    #[must_use]
    pub fn mark(&self) -> u16 {
        self.mark
    }

    /// A second is about to be sent.
    pub fn sent(&mut self, seq: u32) {
        self.sent.insert(seq);
    }

    /// A marked second was acknowledged; without a key it was as a duplicate.
    pub fn acked(&mut self, seq: u32, key: Option<&str>) {
        self.sent(seq);
        let second = self.acked.entry(seq).or_default();
        match key {
            Some(key) => second.key = Some(key.to_owned()),
            None => self.duplicates += 1,
        }
    }

    /// These marked seconds were acknowledged, so many of them as duplicates; nobody knows their keys.
    pub fn delivered(&mut self, seconds: RangeInclusive<u32>, duplicates: u64) {
        for seq in seconds {
            self.sent(seq);
            self.acked.entry(seq).or_default();
        }
        self.duplicates += duplicates;
    }

    /// A second of other audio was acknowledged. Marks in it must be transcribed, the rest need not.
    pub fn acked_pcm(&mut self, seq: u32, key: Option<&str>, pcm: &[u8]) {
        self.acked(seq, key);
        self.acked.entry(seq).or_default().pcm = Some(pcm.to_owned());
    }

    /// Takes an `ack` frame for a marked second.
    ///
    /// # Panics
    /// It is none of this stream.
    pub fn take(&mut self, ack: &Value) {
        assert_eq!(
            (&ack["type"], &ack["stream_role"]),
            (&"ack".into(), &self.role.as_str().into()),
            "{ack}"
        );
        let seq = ack["seq"].as_u64().and_then(|seq| u32::try_from(seq).ok());
        let seq = seq.unwrap_or_else(|| panic!("an ack without a second: {ack}"));
        match ack["status"].as_str() {
            Some("stored") => {
                let key = ack["key"].as_str();
                assert!(key.is_some(), "stored, and no key: {ack}");
                self.acked(seq, key);
            }
            Some("duplicate") => self.acked(seq, None),
            _ => panic!("an ack of no known status: {ack}"),
        }
    }

    /// Sends marked seconds, each when the one before is acknowledged, and records the acks.
    pub async fn store(&mut self, socket: &mut AudioSocket, seconds: RangeInclusive<u32>) {
        for seq in seconds {
            self.sent(seq);
            socket.send_chunk(seq, &mark::second(self.mark, seq)).await;
            self.take(&socket.answer().await);
        }
    }

    /// How many seconds are acknowledged.
    #[must_use]
    pub fn acked_count(&self) -> usize {
        self.acked.len()
    }

    /// The last acknowledged second; 0 for none.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.acked.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Whether a second is acknowledged.
    #[must_use]
    pub fn is_acked(&self, seq: u32) -> bool {
        self.acked.contains_key(&seq)
    }

    /// The last second that was sent; 0 for none.
    #[must_use]
    pub fn last_sent(&self) -> u32 {
        self.sent.last().copied().unwrap_or_default()
    }

    /// What was sent and not acknowledged, oldest first.
    pub fn unacked(&self) -> impl Iterator<Item = u32> {
        let is_open = |seq: &u32| !self.is_acked(*seq);
        self.sent.iter().copied().filter(is_open)
    }

    /// What the client sent as this second.
    fn pcm(&self, seq: u32) -> Vec<u8> {
        let other = self.acked.get(&seq).and_then(|acked| acked.pcm.clone());
        other.unwrap_or_else(|| mark::second(self.mark, seq))
    }
}

/// A session as the gateway shows it after `finalize`.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The answer to `finalize`.
    pub finalized: Value,
    /// `result.json`, the file.
    pub result: Value,
    /// `GET result`.
    pub shown_result: Value,
    /// `GET state`.
    pub state: Value,
    /// `GET utterances?view=raw` by role: the last 1000 of them.
    pub raw: BTreeMap<String, Value>,
    /// `GET utterances?view=merged` by role.
    pub merged: BTreeMap<String, Value>,
    /// `GET events` by role: the last 2000 of them.
    pub events: BTreeMap<String, Value>,
    /// The objects of the blob store.
    pub blobs: Blobs,
}

impl Documents {
    /// Finalizes the session and reads all there is of it.
    ///
    /// # Panics
    /// It cannot be finalized or read.
    pub async fn fetch(gateway: &Gateway, session: &str) -> Self {
        let finalized = gateway.finalize(session).await;
        let key = finalized["result_key"].as_str().expect("a result's key");
        let file = gateway.blobs().read(key);
        let file = file.unwrap_or_else(|| panic!("{session}: {key} is not there"));
        let result = serde_json::from_slice(&file)
            .unwrap_or_else(|error| panic!("{session}: {key} is no JSON: {error}"));
        let get = async |path: String| {
            let path = format!("/v1/sessions/{session}/{path}");
            gateway.get(&path).await.ok()
        };
        let mut documents = Self {
            finalized,
            result,
            shown_result: get("result".to_owned()).await,
            state: get("state".to_owned()).await,
            raw: BTreeMap::new(),
            merged: BTreeMap::new(),
            events: BTreeMap::new(),
            blobs: gateway.blobs().clone(),
        };
        for role in ROLES {
            let page = |view: &str| format!("utterances?stream_role={role}&view={view}&limit=1000");
            let (raw, merged) = (get(page("raw")).await, get(page("merged")).await);
            let events = get(format!("events?stream_role={role}&limit=2000")).await;
            documents.raw.insert(role.to_owned(), raw);
            documents.merged.insert(role.to_owned(), merged);
            documents.events.insert(role.to_owned(), events);
        }
        documents
    }

    /// What is wrong with it: each complaint names the stream and the second it is about.
    #[must_use]
    pub fn faults(&self, recorded: &[Recorded], expect: Expect) -> Vec<String> {
        checks::faults(self, recorded, expect)
    }

    /// The recognition of what is listed as not transcribed went on between `finalize` and the reading.
    fn is_outdated(&self) -> bool {
        ROLES.iter().any(|role| {
            let written = self.result["utterances_raw_by_stream"][role].as_array();
            let listed = self.result["untranscribed_by_stream"][role].as_array();
            listed.is_some_and(|listed| !listed.is_empty())
                && written.map(Vec::len).map(Value::from).as_ref()
                    != self.raw.get(*role).map(|page| &page["count"])
        })
    }
}

/// Finalizes the session of these streams and checks all that was recorded of them. Nobody may send
/// into it meanwhile. Gives what was read, for what a test wants to know besides.
///
/// # Panics
/// Something is wrong: the message says with which second of which stream.
pub async fn audit(gateway: &Gateway, recorded: &[Recorded], expect: Expect) -> Documents {
    let session = recorded.first().expect("a stream").session.clone();
    assert!(
        recorded.iter().all(|stream| stream.session == session),
        "these are streams of several sessions: audit each"
    );
    let mut documents = Documents::fetch(gateway, &session).await;
    for _ in 0..LATE_TEXTS {
        if !documents.is_outdated() {
            break;
        }
        documents = Documents::fetch(gateway, &session).await;
    }
    let faults = documents.faults(recorded, expect);
    if !faults.is_empty() {
        let told: Vec<_> = recorded
            .iter()
            .map(|stream| format!("{}: {} acked", stream.role, stream.acked.len()))
            .collect();
        let shown: Vec<_> = faults.iter().take(SHOWN_FAULTS).cloned().collect();
        panic!(
            "session {session} ({}): {} complaints:\n- {}\nits state: {:#}",
            told.join(", "),
            faults.len(),
            shown.join("\n- "),
            documents.state
        );
    }
    documents
}
