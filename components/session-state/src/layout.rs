//! The names of all keys, and who writes them.
//!
//! | key | holds | written by |
//! |---|---|---|
//! | `index` | how many places were given to sessions, a number of the store | whoever creates a session, increment |
//! | `index/<n>` | the id of the session at place `n`; it counts if that session's `created` names `n` | whoever creates it |
//! | `<s>created` | when the session was first written, and its place | whoever comes first, compare-and-swap |
//! | `<s>config` | config and roster | anyone, compare-and-swap |
//! | `<s>speakers` | clusters and bindings | anyone, compare-and-swap |
//! | `<s>finalization` | how far `result.json` is | anyone, compare-and-swap |
//! | `<s>incomplete` | what a `result.json` that is incomplete is to be written again with | the session's result lane |
//! | `<s>answers` | which idempotency keys have a record | anyone, compare-and-swap |
//! | `<s>answer/<role>/<hash>` | one idempotency key: claimed, answered | anyone, compare-and-swap |
//! | `<s>ingest/<role>`, `bridge`, `windows`, `clients`, `figures`, `capture` | records of a stream; an empty one counts as none | the stream's lane |
//! | `<s>log/<role>` | life and lengths of the stream's logs, and what is left to remove | the stream's lane |
//! | `<s>u/<role>/<life>/<n>`, `m`, `e` | one utterance, merged entry, speaker event | the stream's lane |
//! | `<s>live` | the live lane's record | the live lane |
//! | `<s>listening` | which live frames somebody listens to | the live lane |
//! | `<s>live/<n>` | one entry of the live log | the live lane |
//!
//! `<s>` is the session's prefix in the blob store, `sessions/<safe id>/`: no other session id shares it
//! and it is shorter than any store's limit for keys. Entries are numbered in ten digits, from 0, in
//! the live log from 1. A place is never given twice: what the whole session shares carries it, so
//! that a record which a deleted session left is not taken for one of the next session with its id.

use interview_session::id::SessionId;
use interview_session::keys::{session_prefix, short_hash};
use interview_session::role::StreamRole;

/// The counter of places.
pub const INDEX: &str = "index";

/// Which session is at a place.
pub fn index_entry(place: u64) -> String {
    format!("{INDEX}/{place:010}")
}

/// The keys of one session.
#[derive(Clone)]
pub struct Keys {
    id: String,
    session: String,
}

/// A log of a stream: where its entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    Utterances,
    Merged,
    Events,
}

impl Keys {
    pub fn new(session: &SessionId) -> Keys {
        Keys {
            id: session.as_str().to_owned(),
            session: session_prefix(session),
        }
    }

    /// The session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn created(&self) -> String {
        self.shared("created")
    }

    pub fn config(&self) -> String {
        self.shared("config")
    }

    pub fn speakers(&self) -> String {
        self.shared("speakers")
    }

    pub fn finalization(&self) -> String {
        self.shared("finalization")
    }

    pub fn incomplete_result(&self) -> String {
        self.shared("incomplete")
    }

    pub fn answers(&self) -> String {
        self.shared("answers")
    }

    /// An idempotency key as the list of answers names it; a key may be longer than the store's are.
    pub fn answer_name(role: StreamRole, key: &str) -> String {
        format!("{}/{}", role.as_str(), short_hash(key))
    }

    /// The record of an idempotency key by that name.
    pub fn answer(&self, name: &str) -> String {
        format!("{}answer/{name}", self.session)
    }

    pub fn ingest(&self, role: StreamRole) -> String {
        self.record("ingest", role)
    }

    pub fn bridge(&self, role: StreamRole) -> String {
        self.record("bridge", role)
    }

    pub fn windows(&self, role: StreamRole) -> String {
        self.record("windows", role)
    }

    pub fn clients(&self, role: StreamRole) -> String {
        self.record("clients", role)
    }

    pub fn figures(&self, role: StreamRole) -> String {
        self.record("figures", role)
    }

    pub fn capture(&self, role: StreamRole) -> String {
        self.record("capture", role)
    }

    pub fn log(&self, role: StreamRole) -> String {
        self.record("log", role)
    }

    pub fn entry(&self, log: Log, role: StreamRole, life: u64, index: u32) -> String {
        let kind = match log {
            Log::Utterances => "u",
            Log::Merged => "m",
            Log::Events => "e",
        };
        let role = role.as_str();
        format!("{}{kind}/{role}/{life}/{index:010}", self.session)
    }

    pub fn live(&self) -> String {
        self.shared("live")
    }

    pub fn listening(&self) -> String {
        self.shared("listening")
    }

    pub fn live_entry(&self, number: u64) -> String {
        format!("{}live/{number:010}", self.session)
    }

    fn shared(&self, kind: &str) -> String {
        format!("{}{kind}", self.session)
    }

    /// Every record of a stream, in the order in which `views` reads them; all go when it is deleted.
    pub fn records(&self, role: StreamRole) -> [String; 7] {
        [
            self.ingest(role),
            self.bridge(role),
            self.windows(role),
            self.clients(role),
            self.figures(role),
            self.capture(role),
            self.log(role),
        ]
    }

    fn record(&self, kind: &str, role: StreamRole) -> String {
        format!("{}{kind}/{}", self.session, role.as_str())
    }
}
