//! The names of all keys, and who writes them.
//!
//! | key | holds | written by |
//! |---|---|---|
//! | `<s>created` | when the session was first written, epoch ms | whoever comes first |
//! | `<s>config` | config and roster | anyone, compare-and-swap |
//! | `<s>speakers` | clusters and bindings | anyone, compare-and-swap |
//! | `<s>ingest/<role>`, `bridge`, `figures`, `capture` | records of a stream | the stream's lane |
//! | `<s>log/<role>` | how many utterances and merged entries there are | the stream's lane |
//! | `<s>u/<role>/<n>`, `<s>m/<role>/<n>` | one utterance, one merged entry | the stream's lane |
//! | `<s>events/<role>` | how many events there are, and the next utterance to identify | the stream's lane; for students the identity lane |
//! | `<s>e/<role>/<n>` | one speaker event | as above |
//!
//! `<s>` is the session's prefix in the blob store, `sessions/<safe id>/`: no other session id shares it
//! and it is shorter than any store's limit for keys. Entries are numbered from 0 in ten digits.

use interview_session::id::SessionId;
use interview_session::keys::session_prefix;
use interview_session::role::StreamRole;

/// The keys of one session.
pub struct Keys {
    session: String,
}

/// A log of a stream: where its entries are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Log {
    Utterances,
    Merged,
    Events,
}

impl Keys {
    pub fn new(session: &SessionId) -> Keys {
        Keys {
            session: session_prefix(session),
        }
    }

    pub fn created(&self) -> String {
        format!("{}created", self.session)
    }

    pub fn config(&self) -> String {
        format!("{}config", self.session)
    }

    pub fn speakers(&self) -> String {
        format!("{}speakers", self.session)
    }

    pub fn ingest(&self, role: StreamRole) -> String {
        self.record("ingest", role)
    }

    pub fn bridge(&self, role: StreamRole) -> String {
        self.record("bridge", role)
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

    pub fn events(&self, role: StreamRole) -> String {
        self.record("events", role)
    }

    pub fn entry(&self, log: Log, role: StreamRole, index: u32) -> String {
        let kind = match log {
            Log::Utterances => "u",
            Log::Merged => "m",
            Log::Events => "e",
        };
        format!("{}{kind}/{}/{index:010}", self.session, role.as_str())
    }

    fn record(&self, kind: &str, role: StreamRole) -> String {
        format!("{}{kind}/{}", self.session, role.as_str())
    }
}
