//! Emptying and removing a stream's logs. They can be long and the store deletes by name, so it is
//! done in pages: what is left is noted before anything is deleted, and whoever comes next goes on.

use interview_session::role::StreamRole;

use crate::bindings::exports::interview::gateway::session_state::{Error, Removed};
use crate::layout::Keys;
use crate::log_record::LogRecord;
use crate::logs::record;
use crate::record::{read_or_default, write};
use crate::store::Store;

/// Entries that are deleted at a time; a commit deletes no more.
pub const PAGE: usize = 500;

/// Pages that a reset deletes; the rest is left to the commits after it.
pub const RESET_PAGES: u32 = 40;

/// Deletes one page of what is left, and takes it out of `log`, which is the caller's to write.
pub fn remove_page(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
    log: &mut LogRecord,
) -> Result<(), Error> {
    let names: Vec<_> = log
        .take_leftovers(PAGE)
        .into_iter()
        .map(|name| keys.entry(name.log, role, name.life, name.index))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    store.delete_many(&names)
}

/// Begins new, empty logs. First the records say so, in one batch; then what the old ones had is
/// deleted.
pub fn reset(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
    now: u64,
    bridge: Option<String>,
) -> Result<Removed, Error> {
    let wanted = [
        keys.log(role),
        keys.bridge(role),
        keys.figures(role),
        keys.windows(role),
    ];
    let [log, old_bridge, figures, windows] = store.get_many(wanted)?;
    let is_new = [&log, &old_bridge, &figures, &windows, &bridge]
        .iter()
        .all(|record| record.is_none());
    let mut log: LogRecord = read_or_default("log", log.as_deref())?;
    let removed = Removed {
        utterances: log.utterances,
        merged: log.merged,
        events: log.events,
    };
    if is_new {
        return Ok(removed);
    }
    log.begin_again(now);
    // A batch cannot delete: what is dropped is empty first.
    let mut dropped = vec![keys.figures(role), keys.windows(role)];
    let mut writes = vec![(keys.log(role), write(&log)?)];
    match bridge {
        Some(bridge) => writes.push((keys.bridge(role), bridge)),
        None => dropped.push(keys.bridge(role)),
    }
    writes.extend(dropped.iter().map(|key| (key.clone(), String::new())));
    store.set_many(writes)?;
    store.delete_many(&dropped)?;
    for _ in 0..RESET_PAGES {
        if log.remove.is_empty() {
            break;
        }
        remove_noted(store, keys, role, &mut log)?;
    }
    Ok(removed)
}

/// Removes every key of a stream: entries first, and what tells where they are last.
pub fn delete_stream(store: &impl Store, keys: &Keys, role: StreamRole) -> Result<(), Error> {
    let mut log = record(store, keys, role)?;
    if log != LogRecord::default() {
        // Who reads meanwhile finds empty logs.
        log.begin_again(0);
        store.set_many(vec![(keys.log(role), write(&log)?)])?;
        while !log.remove.is_empty() {
            remove_noted(store, keys, role, &mut log)?;
        }
    }
    store.delete_many(&keys.records(role))
}

/// Deletes a page and notes that it is gone, so that each call that is cut short gets further.
fn remove_noted(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
    log: &mut LogRecord,
) -> Result<(), Error> {
    remove_page(store, keys, role, log)?;
    store.set_many(vec![(keys.log(role), write(log)?)])
}
