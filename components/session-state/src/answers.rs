//! Answers by idempotency key: each key is claimed by one request at a time, which answers it or
//! gives it back.
//!
//! A key has a record of its own, changed by compare-and-swap. A list names those records, so that a
//! deletion finds them and the oldest make room; a name is in the list before its record is written
//! and until after it is deleted, and who wrote a record looks afterwards whether it is named still.
//! The store cannot compare and delete, so two things can go wrong: the oldest of 512 keys that makes
//! room just when it is claimed again may be claimed twice; and a claim that falls between the last
//! look and the last deletion of [`delete_all`], and is never ended, leaves its record behind.

use std::collections::VecDeque;

use interview_session::role::StreamRole;
use serde::{Deserialize, Serialize};

use crate::bindings::exports::interview::gateway::session_state::{Claim, Error};
use crate::layout::Keys;
use crate::record::{read, read_or_default, write};
use crate::store::Store;

/// Idempotency keys of a session, the newest.
pub const MAX_ANSWERS: usize = 512;

/// The longest answer that is kept, in bytes: the inference service's own, at most 1 MiB, and what
/// the gateway adds to it.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;

/// How often a claim is listed again because the list was deleted meanwhile.
const LIST_TRIES: u32 = 8;

/// One idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// Somebody is at it.
    Claimed {
        token: u64,
        until: u64,
    },
    /// Somebody was, and gave it back.
    Free,
    Answered(String),
}

/// The names of the keys that may have a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    /// The oldest first.
    kept: VecDeque<String>,
    /// Their records are to be deleted before the names are.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    evicted: VecDeque<String>,
}

impl Names {
    fn read(stored: Option<&str>) -> Result<Names, Error> {
        read_or_default("answers", stored)
    }

    /// Adds a name; the oldest makes room. `deleted` are those whose records are gone.
    fn add(&mut self, name: &str, deleted: &[String]) {
        self.evicted
            .retain(|evicted| evicted != name && !deleted.contains(evicted));
        if !self.kept.iter().any(|kept| kept == name) {
            self.kept.push_back(name.to_owned());
        }
        while self.kept.len() > MAX_ANSWERS {
            self.evicted.extend(self.kept.pop_front());
        }
    }

    /// All must go; none counts as named until it is added again.
    fn evict_all(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.evicted.extend(kept);
    }
}

/// Claims a key until `until`; `token` is what ends the claim.
pub fn claim(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
    key: &str,
    now: u64,
    until: u64,
    token: u64,
) -> Result<Claim, Error> {
    let name = Keys::answer_name(role, key);
    let record = keys.answer(&name);
    // A repeat, the usual reason to ask twice, writes nothing.
    let found = read("answer", store.get(&record)?.as_deref())?;
    if let Some(taken) = taken(found, now, token) {
        return Ok(taken);
    }
    list(store, keys, &name)?;
    let claim = store.swap(&record, |current| {
        if let Some(taken) = taken(read("answer", current)?, now, token) {
            return Ok((None, taken));
        }
        let claimed = write(&Answer::Claimed { token, until })?;
        Ok((Some(claimed), Claim::Claimed(token)))
    })?;
    stay_listed(store, keys, &name)?;
    Ok(claim)
}

/// Why a key cannot be claimed with `token`; none if it can.
fn taken(found: Option<Answer>, now: u64, token: u64) -> Option<Claim> {
    match found {
        None | Some(Answer::Free) => None,
        Some(Answer::Answered(answer)) => Some(Claim::Answered(answer)),
        Some(Answer::Claimed { token: other, .. }) if other == token => None,
        Some(Answer::Claimed { until, .. }) => (until > now).then_some(Claim::Busy(until)),
    }
}

/// Ends a claim, unless it is somebody else's by now. An answer over [`MAX_ANSWER_BYTES`] is not kept.
pub fn end(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
    key: &str,
    token: u64,
    answer: Option<String>,
) -> Result<(), Error> {
    let name = Keys::answer_name(role, key);
    let answer = answer.filter(|answer| answer.len() <= MAX_ANSWER_BYTES);
    let ended = write(&answer.map_or(Answer::Free, Answer::Answered))?;
    let is_ended = store.swap(&keys.answer(&name), |current| {
        let found = read("answer", current)?;
        let is_own = matches!(found, Some(Answer::Claimed { token: own, .. }) if own == token);
        Ok((is_own.then(|| ended.clone()), is_own))
    })?;
    if is_ended {
        stay_listed(store, keys, &name)?;
    }
    Ok(())
}

/// Names a key in the list, and lets go of the records that made room before.
fn list(store: &impl Store, keys: &Keys, name: &str) -> Result<(), Error> {
    let names = Names::read(store.get(&keys.answers())?.as_deref())?;
    let deleted: Vec<_> = names
        .evicted
        .into_iter()
        .filter(|evicted| evicted != name)
        .collect();
    let records: Vec<_> = deleted.iter().map(|name| keys.answer(name)).collect();
    store.delete_many(&records)?;
    store.swap(&keys.answers(), |current| {
        let mut names = Names::read(current)?;
        let before = names.clone();
        names.add(name, &deleted);
        let is_same = names == before;
        Ok(((!is_same).then(|| write(&names)).transpose()?, ()))
    })
}

/// Sees to it that a name whose record was written is in the list: a deletion of the session may have
/// taken it out in between.
fn stay_listed(store: &impl Store, keys: &Keys, name: &str) -> Result<(), Error> {
    for _ in 0..LIST_TRIES {
        let names = Names::read(store.get(&keys.answers())?.as_deref())?;
        if names.kept.iter().any(|kept| kept == name) {
            return Ok(());
        }
        list(store, keys, name)?;
    }
    Err(Error::Contended)
}

/// Removes all records and the list, also those that are claimed while it does.
pub fn delete_all(store: &impl Store, keys: &Keys) -> Result<(), Error> {
    for _ in 0..LIST_TRIES {
        let evicted = store.swap(&keys.answers(), |current| {
            let Some(stored) = current else {
                return Ok((None, None));
            };
            let mut names = Names::read(Some(stored))?;
            let is_done = names.kept.is_empty();
            names.evict_all();
            let new = (!is_done).then(|| write(&names)).transpose()?;
            Ok((new, Some(names.evicted)))
        })?;
        let Some(evicted) = evicted else {
            return Ok(());
        };
        let records: Vec<_> = evicted.iter().map(|name| keys.answer(name)).collect();
        store.delete_many(&records)?;
        let names = Names::read(store.get(&keys.answers())?.as_deref())?;
        if names.kept.is_empty() {
            return store.delete_many(&[keys.answers()]);
        }
    }
    Err(Error::Contended)
}
