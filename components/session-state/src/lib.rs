//! Leaf component: owns every key of the key-value store, and with them the rules of who writes
//! what ([`layout`]). It keeps documents as they come and looks into those only that several
//! writers share: config, roster, clusters and bindings.

mod counts;
mod layout;
mod logs;
mod shared;
mod store;

use bindings::exports::interview::gateway::session_state as wit;
use bindings::interview::gateway::types as wit_types;
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use wit::Error;

use counts::{EventCounts, LogCounts};
use layout::{Keys, Log};
use store::Store;

#[allow(missing_docs, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/session-state-component",
        generate_all,
    });
    use super::SessionState;
    export!(SessionState);
}

struct SessionState;

impl wit::Guest for SessionState {
    fn load_stream(
        session: String,
        role: wit_types::StreamRole,
    ) -> Result<wit::StreamRecords, Error> {
        let (keys, role) = (keys(&session)?, self::role(role));
        let wanted = [keys.created(), keys.ingest(role), keys.bridge(role)];
        let [created, ingest, bridge] = Store::open()?.get_many(wanted)?;
        Ok(wit::StreamRecords {
            created_at: created_at(created)?,
            ingest,
            bridge,
        })
    }

    fn load_transcript(
        session: String,
        role: wit_types::StreamRole,
    ) -> Result<wit::TranscriptRecords, Error> {
        let (keys, role) = (keys(&session)?, self::role(role));
        let store = Store::open()?;
        let [figures, log] = store.get_many([keys.figures(role), keys.log(role)])?;
        let counts: LogCounts = document("log", log)?;
        let last_merged = match counts.merged.checked_sub(1) {
            None => None,
            Some(last) => store.get(&keys.entry(Log::Merged, role, last))?,
        };
        Ok(wit::TranscriptRecords {
            figures,
            last_merged,
        })
    }

    fn load_capture(session: String, role: wit_types::StreamRole) -> Result<Option<String>, Error> {
        Store::open()?.get(&keys(&session)?.capture(self::role(role)))
    }

    fn commit_stream(
        session: String,
        role: wit_types::StreamRole,
        now: u64,
        changes: wit::StreamChanges,
    ) -> Result<(), Error> {
        let (keys, role) = (keys(&session)?, self::role(role));
        let store = Store::open()?;
        if changes.creates_session {
            create(&store, &keys, now)?;
        }
        logs::commit(&store, &keys, role, changes)
    }

    fn load_session(session: String) -> Result<String, Error> {
        let keys = keys(&session)?;
        let wanted = [keys.config(), keys.speakers()];
        let [config, speakers] = Store::open()?.get_many(wanted)?;
        Ok(shared::document(config.as_deref(), speakers.as_deref())?.0)
    }

    fn apply_config(session: String, now: u64, patch: String) -> Result<String, Error> {
        let keys = keys(&session)?;
        let store = Store::open()?;
        create(&store, &keys, now)?;
        store.swap(&keys.config(), |current| {
            shared::apply_config(current, &patch, now)
        })
    }

    fn next_unidentified(session: String) -> Result<Option<wit::Unidentified>, Error> {
        let keys = keys(&session)?;
        let role = StreamRole::Students;
        let store = Store::open()?;
        let [events, log] = store.get_many([keys.events(role), keys.log(role)])?;
        let next = document::<EventCounts>("events", events)?.next;
        if next >= document::<LogCounts>("log", log)?.utterances {
            return Ok(None);
        }
        let utterance = store.get(&keys.entry(Log::Utterances, role, next))?;
        let utterance = utterance.ok_or_else(|| missing("utterance", next))?;
        Ok(Some(wit::Unidentified {
            index: next,
            utterance,
        }))
    }

    fn commit_speaker(
        session: String,
        now: u64,
        index: u32,
        event: String,
        updated_state: Option<String>,
    ) -> Result<(), Error> {
        let keys = keys(&session)?;
        let store = Store::open()?;
        if let Some(updated) = updated_state {
            let merge = |current: Option<&str>| shared::merge_speakers(current, &updated, now);
            store.swap(&keys.speakers(), merge)?;
        }
        logs::append_students_event(&store, &keys, index, event)
    }

    fn read_last(
        session: String,
        role: wit_types::StreamRole,
        log: wit::Log,
        limit: u32,
    ) -> Result<wit::Page, Error> {
        logs::read(
            &keys(&session)?,
            self::role(role),
            self::log(log),
            None,
            limit,
        )
    }

    fn read_from(
        session: String,
        role: wit_types::StreamRole,
        log: wit::Log,
        index: u32,
        limit: u32,
    ) -> Result<wit::Page, Error> {
        logs::read(
            &keys(&session)?,
            self::role(role),
            self::log(log),
            Some(index),
            limit,
        )
    }

    fn read_session(session: String) -> Result<wit::SessionView, Error> {
        let keys = keys(&session)?;
        let store = Store::open()?;
        let wanted = [keys.created(), keys.config(), keys.speakers()];
        let [created, config, speakers] = store.get_many(wanted)?;
        let created_at = created_at(created)?;
        let (session, changed_at) = shared::document(config.as_deref(), speakers.as_deref())?;
        Ok(wit::SessionView {
            created_at,
            updated_at: changed_at,
            session,
            mixed: stream_view(&store, &keys, StreamRole::Mixed)?,
            teacher: stream_view(&store, &keys, StreamRole::Teacher)?,
            students: stream_view(&store, &keys, StreamRole::Students)?,
        })
    }
}

fn stream_view(store: &Store, keys: &Keys, role: StreamRole) -> Result<wit::StreamView, Error> {
    let wanted = [
        keys.ingest(role),
        keys.bridge(role),
        keys.figures(role),
        keys.capture(role),
        keys.log(role),
        keys.events(role),
    ];
    let [ingest, bridge, figures, capture, log, events] = store.get_many(wanted)?;
    let counts: LogCounts = document("log", log)?;
    Ok(wit::StreamView {
        ingest,
        bridge,
        figures,
        capture,
        utterances: counts.utterances,
        merged: counts.merged,
        events: document::<EventCounts>("events", events)?.events,
    })
}

/// Notes when the session was first written; the first writer wins.
fn create(store: &Store, keys: &Keys, now: u64) -> Result<(), Error> {
    store.swap(&keys.created(), |current| match current {
        Some(_) => Ok((None, ())),
        None => Ok((Some(now.to_string()), ())),
    })
}

fn created_at(stored: Option<String>) -> Result<Option<u64>, Error> {
    let parse = |text: String| text.parse().map_err(|_| damaged("created", "no number"));
    stored.map(parse).transpose()
}

fn keys(session: &str) -> Result<Keys, Error> {
    let session = SessionId::parse(session).map_err(|error| damaged("session id", error))?;
    Ok(Keys::new(&session))
}

fn role(role: wit_types::StreamRole) -> StreamRole {
    match role {
        wit_types::StreamRole::Mixed => StreamRole::Mixed,
        wit_types::StreamRole::Teacher => StreamRole::Teacher,
        wit_types::StreamRole::Students => StreamRole::Students,
    }
}

fn log(log: wit::Log) -> Log {
    match log {
        wit::Log::Utterances => Log::Utterances,
        wit::Log::Merged => Log::Merged,
        wit::Log::Events => Log::Events,
    }
}

/// Reads a record of this component's own; one that was never written has its default.
fn document<T: serde::de::DeserializeOwned + Default>(
    what: &str,
    stored: Option<String>,
) -> Result<T, Error> {
    stored.map_or_else(
        || Ok(T::default()),
        |text| serde_json::from_str(&text).map_err(|error| damaged(what, error)),
    )
}

fn damaged(what: &str, why: impl std::fmt::Display) -> Error {
    Error::Damaged(format!("{what}: {why}"))
}

fn missing(what: &str, index: u32) -> Error {
    Error::Damaged(format!("{what} {index} is missing from its log"))
}
