//! What several writers share: config with roster, clusters with bindings, finalization. Each record
//! carries the time of its last change and the place of its session, and is changed by field, inside
//! a compare-and-swap.
//!
//! Who writes one looks afterwards whether its session is there still, and takes it back if not. The
//! store cannot compare and delete: a session that is written again between that look and the deletion
//! would lose what was first set in it. A record of another session than the one that is there counts
//! as none.

use interview_session::config::{ConfigPatch, ConfigState};
use interview_session::session_document::{SessionDocument, session_document};
use interview_session::speakers::SpeakerState;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::exports::interview::gateway::session_state::Error;
use crate::layout::Keys;
use crate::record::{damaged, read, write};
use crate::sessions::{Created, create, created};
use crate::store::Store;

/// How often a change is made again because its session was deleted meanwhile.
const SESSION_TRIES: u32 = 8;

/// A shared record.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    /// Epoch ms.
    updated_at: u64,
    /// The place of its session.
    place: u64,
    value: T,
}

/// The value of a shared record and when it was last changed; the default and none if this session
/// has none.
pub fn value_of<T: DeserializeOwned + Default>(
    what: &str,
    created: Option<Created>,
    stored: Option<&str>,
) -> Result<(T, Option<u64>), Error> {
    let record = read::<Record<T>>(what, stored)?;
    let own = record.filter(|record| created.is_some_and(|created| created.n == record.place));
    Ok(own.map_or_else(
        || (T::default(), None),
        |record| (record.value, Some(record.updated_at)),
    ))
}

/// Config, roster, clusters and bindings as one document, and when they were last changed.
pub fn document(
    created: Option<Created>,
    config: Option<&str>,
    speakers: Option<&str>,
) -> Result<(SessionDocument, Option<u64>), Error> {
    let (people, people_at) = value_of::<ConfigState>("config", created, config)?;
    let (speakers, speakers_at) = value_of::<SpeakerState>("speakers", created, speakers)?;
    let place = created.map(|created| created.n);
    let document = session_document(people, speakers).at(place);
    Ok((document, people_at.max(speakers_at)))
}

/// The document of a session.
pub fn load(store: &impl Store, keys: &Keys) -> Result<String, Error> {
    let wanted = [keys.created(), keys.config(), keys.speakers()];
    let [created, config, speakers] = store.get_many(wanted)?;
    let created = Created::read(created.as_deref())?;
    let (document, _) = document(created, config.as_deref(), speakers.as_deref())?;
    Ok(document.to_document())
}

/// Sets the fields that `patch` names; gives `{config, roster}` as it is then.
pub fn apply_config(
    store: &impl Store,
    keys: &Keys,
    now: u64,
    patch: &str,
) -> Result<String, Error> {
    let patch = ConfigPatch::from_body(patch.as_bytes()).map_err(|e| damaged("patch", e))?;
    let people = change_or_create(
        store,
        keys,
        now,
        &keys.config(),
        |people: &mut ConfigState| {
            patch.apply(people);
        },
    )?;
    write(&people)
}

/// Merges an answer of the inference service; false if the session it was asked for is gone.
pub fn merge_speakers(
    store: &impl Store,
    keys: &Keys,
    now: u64,
    sent: &str,
    updated_state: &str,
) -> Result<bool, Error> {
    let sent = SessionDocument::read(sent).map_err(|error| damaged("sent", error))?;
    let updated: Value =
        serde_json::from_str(updated_state).map_err(|error| damaged("updated state", error))?;
    let created = match sent.place {
        Some(_) => created(store, keys)?.filter(|created| Some(created.n) == sent.place),
        // The first thing that is ever known of this session.
        None => Some(create(store, keys, now)?),
    };
    let Some(Created { n: place, .. }) = created else {
        return Ok(false);
    };
    let merge = |speakers: &mut SpeakerState| {
        speakers.merge(&updated);
    };
    let is_merged = change(store, place, now, &keys.speakers(), Absent::Stays, merge)?.is_some();
    let merge = |people: &mut ConfigState| {
        people.merge(&sent.people, &updated);
    };
    Ok(is_merged
        && change(store, place, now, &keys.config(), Absent::Stays, merge)?.is_some()
        && stays(store, keys, place, &[keys.speakers(), keys.config()])?)
}

/// Changes a record of the session, which is created if need be, and gives it as it is then.
pub fn change_or_create<T: Shared>(
    store: &impl Store,
    keys: &Keys,
    now: u64,
    key: &str,
    mut edit: impl FnMut(&mut T),
) -> Result<T, Error> {
    for _ in 0..SESSION_TRIES {
        let place = create(store, keys, now)?.n;
        let changed = change(store, place, now, key, Absent::Created, &mut edit)?;
        if let Some(value) = changed
            && stays(store, keys, place, &[key.to_owned()])?
        {
            return Ok(value);
        }
    }
    Err(Error::Contended)
}

/// Changes a record of the session if there is one.
pub fn change_existing<T: Shared>(
    store: &impl Store,
    keys: &Keys,
    now: u64,
    key: &str,
    edit: impl FnMut(&mut T),
) -> Result<(), Error> {
    if let Some(Created { n: place, .. }) = created(store, keys)? {
        change(store, place, now, key, Absent::Stays, edit)?;
        stays(store, keys, place, &[key.to_owned()])?;
    }
    Ok(())
}

/// What a shared record can hold.
pub trait Shared: Serialize + DeserializeOwned + Default + Clone + PartialEq {}
impl<T: Serialize + DeserializeOwned + Default + Clone + PartialEq> Shared for T {}

/// What becomes of a record that is not there and that the change leaves empty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    Created,
    Stays,
}

/// Changes a record of the session at `place`; none if a later session has it already.
fn change<T: Shared>(
    store: &impl Store,
    place: u64,
    now: u64,
    key: &str,
    absent: Absent,
    mut edit: impl FnMut(&mut T),
) -> Result<Option<T>, Error> {
    store.swap(key, |current| {
        let stored = read::<Record<T>>(key, current)?;
        if stored.as_ref().is_some_and(|record| record.place > place) {
            return Ok((None, None));
        }
        let before = stored
            .filter(|record| record.place == place)
            .map(|record| record.value);
        let is_absent = before.is_none();
        let before = before.unwrap_or_default();
        let mut value = before.clone();
        edit(&mut value);
        if value == before && !(is_absent && absent == Absent::Created) {
            return Ok((None, Some(value)));
        }
        let record = Record {
            updated_at: now,
            place,
            value,
        };
        Ok((Some(write(&record)?), Some(record.value)))
    })
}

/// Whether the session at `place` is there still. If not, records of `written` that are its own are
/// removed: its deletion may have passed before they were written.
fn stays(store: &impl Store, keys: &Keys, place: u64, written: &[String]) -> Result<bool, Error> {
    if created(store, keys)?.is_some_and(|created| created.n == place) {
        return Ok(true);
    }
    for key in written {
        let stored = read::<Record<serde::de::IgnoredAny>>(key, store.get(key)?.as_deref())?;
        if stored.is_some_and(|record| record.place == place) {
            store.delete_many(std::slice::from_ref(key))?;
        }
    }
    Ok(false)
}
