//! Append-only logs: an entry has a key of its own, so that adding one costs the same at the first
//! and at the hundred-thousandth. Only the tail of the merged view is ever written again.

use interview_session::role::StreamRole;

use crate::bindings::exports::interview::gateway::session_state::{
    Error, MergedChange, Page, StreamChanges,
};
use crate::counts::{EventCounts, LogCounts};
use crate::layout::{Keys, Log};
use crate::store::Store;
use crate::{damaged, document, missing};

/// Entries that one read may ask for.
const MAX_PAGE: u32 = 2_000;

/// Writes one batch of a stream's lane.
pub fn commit(
    store: &Store,
    keys: &Keys,
    role: StreamRole,
    changes: StreamChanges,
) -> Result<(), Error> {
    let mut writes = Vec::new();
    let records = [
        (keys.ingest(role), changes.ingest),
        (keys.bridge(role), changes.bridge),
        (keys.figures(role), changes.figures),
        (keys.capture(role), changes.capture),
    ];
    writes.extend(
        records
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    if !changes.utterances.is_empty() || !changes.merged.is_empty() {
        let mut counts: LogCounts = document("log", store.get(&keys.log(role))?)?;
        for utterance in changes.utterances {
            writes.push((
                keys.entry(Log::Utterances, role, counts.utterances),
                utterance,
            ));
            counts.utterances += 1;
        }
        for change in changes.merged {
            let (index, entry) = match change {
                MergedChange::Append(entry) => {
                    counts.merged += 1;
                    (counts.merged - 1, entry)
                }
                MergedChange::ReplaceLast(entry) => {
                    let last = counts.merged.checked_sub(1);
                    (
                        last.ok_or_else(|| damaged("merged", "there is no last entry"))?,
                        entry,
                    )
                }
            };
            writes.push((keys.entry(Log::Merged, role, index), entry));
        }
        writes.push((keys.log(role), json(&counts)?));
    }
    if !changes.events.is_empty() {
        let mut counts: EventCounts = document("events", store.get(&keys.events(role))?)?;
        for event in changes.events {
            writes.push((keys.entry(Log::Events, role, counts.events), event));
            counts.events += 1;
        }
        writes.push((keys.events(role), json(&counts)?));
    }
    store.set_many(last_of_each(writes))
}

/// Appends the event of students' utterance `index`, unless that was done before.
pub fn append_students_event(
    store: &Store,
    keys: &Keys,
    index: u32,
    event: String,
) -> Result<(), Error> {
    let role = StreamRole::Students;
    let mut counts: EventCounts = document("events", store.get(&keys.events(role))?)?;
    if counts.next != index {
        return Ok(());
    }
    let entry = (keys.entry(Log::Events, role, counts.events), event);
    counts.events += 1;
    counts.next += 1;
    store.set_many(vec![entry, (keys.events(role), json(&counts)?)])
}

/// Entries from `index` on, or the last ones; at most `limit` and [`MAX_PAGE`].
pub fn read(
    keys: &Keys,
    role: StreamRole,
    log: Log,
    index: Option<u32>,
    limit: u32,
) -> Result<Page, Error> {
    let store = Store::open()?;
    let count = match log {
        Log::Events => document::<EventCounts>("events", store.get(&keys.events(role))?)?.events,
        Log::Utterances => document::<LogCounts>("log", store.get(&keys.log(role))?)?.utterances,
        Log::Merged => document::<LogCounts>("log", store.get(&keys.log(role))?)?.merged,
    };
    let limit = limit.min(MAX_PAGE);
    let first = index.unwrap_or(count.saturating_sub(limit));
    let last = first.saturating_add(limit).min(count);
    let wanted: Vec<_> = (first..last).map(|n| keys.entry(log, role, n)).collect();
    let entries = store.get_list(&wanted)?.into_iter().zip(first..);
    let items: Result<_, _> = entries
        .map(|(entry, n)| entry.ok_or_else(|| missing("entry", n)))
        .collect();
    Ok(Page {
        count,
        items: items?,
    })
}

/// A tail that changed twice in one batch is written once.
fn last_of_each(writes: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::with_capacity(writes.len());
    for (key, value) in writes {
        match kept.iter_mut().find(|(k, _)| *k == key) {
            Some(earlier) => earlier.1 = value,
            None => kept.push((key, value)),
        }
    }
    kept
}

fn json(counts: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(counts).map_err(|error| damaged("counts", error))
}
