//! Leaf component: owns every key of the key-value store, and with them the rules of who writes
//! what (`layout.rs`). It keeps documents as they come and looks into those only that several
//! writers share: config, roster, clusters and bindings.
//!
//! This file only translates the interface; the rules are written against the trait in `store.rs`.

mod answers;
mod finalization;
mod host_store;
mod layout;
mod left;
mod live;
mod log_record;
mod logs;
mod record;
mod removal;
mod sessions;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod views;

use bindings::exports::interview::gateway::session_state as wit;
use bindings::interview::gateway::types as wit_types;
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use wit::Error;

use host_store::HostStore;
use layout::{Keys, Log};
use log_record::EntryName;
use store::Store as _;

#[allow(missing_docs, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/session-state-component",
        generate_all,
    });
    // Its rules are tested natively, where no linker takes the names of a component's exports.
    #[cfg(target_family = "wasm")]
    use super::SessionState;
    #[cfg(target_family = "wasm")]
    export!(SessionState);
}

struct SessionState;

impl wit::Guest for SessionState {
    fn load_stream(
        session: String,
        role: wit_types::StreamRole,
    ) -> Result<wit::StreamRecords, Error> {
        let (store, keys) = open(&session)?;
        views::load_stream(&store, &keys, self::role(role))
    }

    fn load_transcript(
        session: String,
        role: wit_types::StreamRole,
    ) -> Result<wit::TranscriptRecords, Error> {
        let (store, keys) = open(&session)?;
        logs::load_transcript(&store, &keys, self::role(role))
    }

    fn load_capture(session: String, role: wit_types::StreamRole) -> Result<Option<String>, Error> {
        let (store, keys) = open(&session)?;
        store.get(&keys.capture(self::role(role)))
    }

    fn commit_stream(
        session: String,
        role: wit_types::StreamRole,
        now: u64,
        changes: wit::StreamChanges,
    ) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        if changes.creates_session {
            sessions::create(&store, &keys, now)?;
        }
        logs::commit(&store, &keys, self::role(role), now, changes)
    }

    fn reset_stream(
        session: String,
        role: wit_types::StreamRole,
        now: u64,
        bridge: Option<String>,
    ) -> Result<wit::Removed, Error> {
        let (store, keys) = open(&session)?;
        removal::reset(&store, &keys, self::role(role), now, bridge)
    }

    fn delete_stream(session: String, role: wit_types::StreamRole) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        removal::delete_stream(&store, &keys, self::role(role))
    }

    fn delete_session(session: String) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        sessions::delete(&store, &keys)
    }

    fn load_session(session: String) -> Result<String, Error> {
        let (store, keys) = open(&session)?;
        shared::load(&store, &keys)
    }

    fn apply_config(session: String, now: u64, patch: String) -> Result<String, Error> {
        let (store, keys) = open(&session)?;
        shared::apply_config(&store, &keys, now, &patch)
    }

    fn merge_speakers(
        session: String,
        now: u64,
        sent: String,
        updated_state: String,
    ) -> Result<bool, Error> {
        let (store, keys) = open(&session)?;
        shared::merge_speakers(&store, &keys, now, &sent, &updated_state)
    }

    fn next_unidentified(session: String) -> Result<Option<wit::Unidentified>, Error> {
        let (store, keys) = open(&session)?;
        logs::next_unidentified(&store, &keys)
    }

    fn claim_answer(
        session: String,
        role: wit_types::StreamRole,
        key: String,
        now: u64,
        until: u64,
        token: u64,
    ) -> Result<wit::Claim, Error> {
        let (store, keys) = open(&session)?;
        answers::claim(&store, &keys, self::role(role), &key, now, until, token)
    }

    fn end_claim(
        session: String,
        role: wit_types::StreamRole,
        key: String,
        _now: u64,
        token: u64,
        answer: Option<String>,
    ) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        answers::end(&store, &keys, self::role(role), &key, token, answer)
    }

    fn begin_finalize(session: String, now: u64) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        finalization::begin(&store, &keys, now)
    }

    fn renew_finalize(session: String, now: u64) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        finalization::renew(&store, &keys, now)
    }

    fn end_finalize(session: String, now: u64) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        finalization::end(&store, &keys, now)
    }

    fn note_result(
        session: String,
        now: u64,
        finalized_at: u64,
        finalized_chunks: u64,
        incomplete: Option<String>,
    ) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        let written = finalization::Written {
            at: finalized_at,
            chunks: finalized_chunks,
        };
        finalization::note(&store, &keys, now, written, incomplete)
    }

    fn load_incomplete_result(session: String) -> Result<Option<String>, Error> {
        let (store, keys) = open(&session)?;
        store.get(&keys.incomplete_result())
    }

    fn read_last(
        session: String,
        role: wit_types::StreamRole,
        log: wit::Log,
        limit: u32,
    ) -> Result<wit::Page, Error> {
        let (store, keys) = open(&session)?;
        let (role, log) = (self::role(role), self::log(log));
        logs::read(&store, &keys, role, log, None, limit)
    }

    fn read_from(
        session: String,
        role: wit_types::StreamRole,
        log: wit::Log,
        index: u32,
        limit: u32,
    ) -> Result<wit::Page, Error> {
        let (store, keys) = open(&session)?;
        let (role, log) = (self::role(role), self::log(log));
        logs::read(&store, &keys, role, log, Some(index), limit)
    }

    fn read_session(session: String) -> Result<wit::SessionView, Error> {
        let (store, keys) = open(&session)?;
        let (_, view) = views::read(&store, &keys, views::Detail::Whole)?;
        Ok(view)
    }

    fn list_sessions(cursor: Option<u64>, limit: u32) -> Result<wit::SessionPage, Error> {
        sessions::list(&HostStore::open()?, cursor, limit)
    }

    fn list_streams(cursor: Option<u64>) -> Result<wit::StreamsPage, Error> {
        left::list(&HostStore::open()?, cursor)
    }

    fn load_live(session: String) -> Result<wit::LiveRecords, Error> {
        let (store, keys) = open(&session)?;
        live::load(&store, &keys)
    }

    fn commit_live(
        session: String,
        live: String,
        listening: wit::Listening,
        first: u64,
        entries: Vec<String>,
    ) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        live::commit(&store, &keys, live, listening, first, entries)
    }

    fn read_live(session: String, first: u64, last: u64) -> Result<Vec<Option<String>>, Error> {
        let (store, keys) = open(&session)?;
        live::read(&store, &keys, first, last)
    }

    fn read_entries(
        session: String,
        names: Vec<wit::EntryName>,
    ) -> Result<Vec<Option<String>>, Error> {
        let (store, keys) = open(&session)?;
        let names: Vec<_> = names
            .into_iter()
            .map(|name| {
                let entry = EntryName {
                    log: log(name.log),
                    life: name.life,
                    index: name.index,
                };
                (role(name.role), entry)
            })
            .collect();
        live::read_entries(&store, &keys, &names)
    }

    fn delete_live(session: String, last: u64) -> Result<(), Error> {
        let (store, keys) = open(&session)?;
        live::delete(&store, &keys, last)
    }
}

/// The store, and the session's keys in it.
fn open(session: &str) -> Result<(HostStore, Keys), Error> {
    let session =
        SessionId::parse(session).map_err(|error| record::damaged("session id", error))?;
    Ok((HostStore::open()?, Keys::new(&session)))
}

fn role(role: wit_types::StreamRole) -> StreamRole {
    match role {
        wit_types::StreamRole::Mixed => StreamRole::Mixed,
        wit_types::StreamRole::Teacher => StreamRole::Teacher,
        wit_types::StreamRole::Students => StreamRole::Students,
    }
}

fn wit_role(role: StreamRole) -> wit_types::StreamRole {
    match role {
        StreamRole::Mixed => wit_types::StreamRole::Mixed,
        StreamRole::Teacher => wit_types::StreamRole::Teacher,
        StreamRole::Students => wit_types::StreamRole::Students,
    }
}

fn log(log: wit::Log) -> Log {
    match log {
        wit::Log::Utterances => Log::Utterances,
        wit::Log::Merged => Log::Merged,
        wit::Log::Events => Log::Events,
    }
}
