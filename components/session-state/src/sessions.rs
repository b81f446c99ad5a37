//! Which sessions there are: how one begins, how they are listed, how one ends.
//!
//! A session that begins takes the next place of the index, writes its id there, and then says in
//! `created` which place is its own. Of two that do so at a time one wins, and the other gives its
//! place back. Who dies in between leaves a place whose session does not name it: nobody counts it.

use interview_session::id::SessionId;
use serde::{Deserialize, Serialize};

use crate::bindings::exports::interview::gateway::session_state::{Error, SessionPage};
use crate::layout::{INDEX, Keys, index_entry};
use crate::record::{read, write};
use crate::store::{PAGE_BYTES, Store};
use crate::{answers, views};

/// Sessions of one page.
pub const MAX_SESSIONS: u32 = 200;

/// Places that one page looks at, so that a call ends where many sessions were deleted.
pub const SCAN: u64 = 2_000;

/// Places that are read at a time.
const PLACES: u64 = 100;

/// When a session was first written, and where in the index it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Epoch ms.
    pub at: u64,
    /// Its place, which no other session has, nor this one after a deletion.
    pub n: u64,
}

impl Created {
    /// From what is stored.
    pub fn read(stored: Option<&str>) -> Result<Option<Created>, Error> {
        read("created", stored)
    }
}

/// When and where the session began, if it did.
pub fn created(store: &impl Store, keys: &Keys) -> Result<Option<Created>, Error> {
    Created::read(store.get(&keys.created())?.as_deref())
}

/// Begins the session unless it is there; the first writer wins.
pub fn create(store: &impl Store, keys: &Keys, now: u64) -> Result<Created, Error> {
    if let Some(created) = created(store, keys)? {
        return Ok(created);
    }
    let own = Created {
        at: now,
        n: store.increment(INDEX)?,
    };
    store.set_many(vec![(index_entry(own.n), keys.id().to_owned())])?;
    let created = store.swap(&keys.created(), |current| {
        Ok(match Created::read(current)? {
            Some(created) => (None, created),
            None => (Some(write(&own)?), own),
        })
    })?;
    if created != own {
        store.delete_many(&[index_entry(own.n)])?;
    }
    Ok(created)
}

/// Removes what the session shares, and its place. `created` goes first, with the place: who writes a
/// shared record looks afterwards whether it is there still, and takes back what it wrote. All the
/// rest is found by its name when this is repeated.
pub fn delete(store: &impl Store, keys: &Keys) -> Result<(), Error> {
    if let Some(created) = created(store, keys)? {
        store.delete_many(&[index_entry(created.n), keys.created()])?;
    }
    answers::delete_all(store, keys)?;
    store.delete_many(&[
        keys.config(),
        keys.speakers(),
        keys.finalization(),
        keys.incomplete_result(),
    ])
}

/// A piece of the list of all sessions, from place `cursor` down. It ends early where their documents have
/// more than [`PAGE_BYTES`].
pub fn list(store: &impl Store, cursor: Option<u64>, limit: u32) -> Result<SessionPage, Error> {
    let limit = limit.min(MAX_SESSIONS) as usize;
    let newest = store.counter(INDEX)?;
    let mut next = cursor.map_or(newest, |cursor| cursor.min(newest));
    let end = next.saturating_sub(SCAN);
    let mut items = Vec::new();
    let mut bytes = 0;
    while next > end && items.len() < limit && bytes < PAGE_BYTES {
        let places: Vec<_> = (end.max(next.saturating_sub(PLACES)) + 1..=next)
            .rev()
            .collect();
        let entries: Vec<_> = places.iter().map(|place| index_entry(*place)).collect();
        for (place, id) in places.into_iter().zip(store.get_list(&entries)?) {
            if items.len() == limit || bytes >= PAGE_BYTES {
                break;
            }
            next = place - 1;
            if let Some(id) = id
                && let Some((id, view)) = at_place(store, &id, place)?
            {
                bytes += views::bytes(&view);
                items.push((id, view));
            }
        }
    }
    Ok(SessionPage {
        items,
        cursor: (next > 0).then_some(next),
    })
}

/// The session of that id if this is its place. One that is damaged is left out: the others must be
/// seen, and who asks for it by its id is told.
fn at_place(
    store: &impl Store,
    id: &str,
    place: u64,
) -> Result<Option<(String, views::SessionView)>, Error> {
    let Ok(session) = SessionId::parse(id) else {
        return Ok(None);
    };
    match views::read(store, &Keys::new(&session), views::Detail::Listed) {
        Ok((Some(created), view)) if created.n == place => Ok(Some((id.to_owned(), view))),
        Ok(_) | Err(Error::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
