//! Append-only logs: an entry has a key of its own, so that adding one costs the same at the first
//! and at the hundred-thousandth. Only the tail of the merged view is ever written again. The lane of
//! the stream is the only writer; anyone reads.

use interview_session::role::StreamRole;

use crate::bindings::exports::interview::gateway::session_state::{
    Error, MergedChange, Page, SpeakerEvent, StreamChanges, TranscriptRecords, Unidentified,
};
use crate::layout::{Keys, Log};
use crate::log_record::LogRecord;
use crate::record::{damaged, read_or_default, write};
use crate::removal;
use crate::store::{PAGE_BYTES, Store};

/// Entries that one read may ask for.
pub const MAX_PAGE: u32 = 2_000;

/// The record of a stream without clients: it is removed.
const NOBODY: &str = "[]";

/// How often a reader that finds entries removed looks again where they are.
const READ_TRIES: u32 = 4;

/// Writes one batch of a stream's lane.
pub fn commit(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
    now: u64,
    changes: StreamChanges,
) -> Result<(), Error> {
    // Clients may come and go without ever making a session: then nothing of them may stay.
    let nobody = changes.clients.as_deref() == Some(NOBODY);
    let records = [
        (keys.ingest(role), changes.ingest),
        (keys.bridge(role), changes.bridge),
        (keys.windows(role), changes.windows),
        (keys.clients(role), changes.clients.filter(|_| !nobody)),
        (keys.figures(role), changes.figures),
        (keys.capture(role), changes.capture),
    ];
    let mut writes: Vec<_> = records
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    let log_changes =
        !changes.utterances.is_empty() || !changes.merged.is_empty() || !changes.events.is_empty();
    if log_changes {
        let stored = record(store, keys, role)?;
        let mut log = stored.clone();
        // Only what was left before this batch: what it gives up itself is still read until it is
        // written.
        removal::remove_page(store, keys, role, &mut log)?;
        // An event for a log that is not there any more must not begin another one.
        let is_new = |event: &SpeakerEvent| event.identified.is_none();
        if !changes.utterances.is_empty() || changes.events.iter().any(is_new) {
            log.begin(now);
        }
        for utterance in changes.utterances {
            let key = keys.entry(Log::Utterances, role, log.life, log.utterances);
            writes.push((key, utterance));
            log.utterances += 1;
        }
        for (index, entry) in merge(&mut log, changes.merged)? {
            writes.push((keys.entry(Log::Merged, role, log.life, index), entry));
        }
        for event in append_events(&mut log, changes.events) {
            let key = keys.entry(Log::Events, role, log.life, log.events);
            writes.push((key, event));
            log.events += 1;
        }
        if log != stored {
            writes.push((keys.log(role), write(&log)?));
        }
    }
    store.set_many(writes)?;
    if nobody {
        store.delete_many(&[keys.clients(role)])?;
    }
    Ok(())
}

/// The entries of the merged log that change, each once.
fn merge(log: &mut LogRecord, changes: Vec<MergedChange>) -> Result<Vec<(u32, String)>, Error> {
    let stored = log.merged;
    let mut entries: Vec<(u32, String)> = Vec::new();
    for change in changes {
        if log.out_of_order {
            break;
        }
        match change {
            MergedChange::Append(entry) => {
                entries.push((log.merged, entry));
                log.merged += 1;
            }
            MergedChange::ReplaceLast(entry) => {
                let last = log.merged.checked_sub(1);
                let last = last.ok_or_else(|| damaged("merged", "there is no last entry"))?;
                match entries.last_mut() {
                    Some((index, earlier)) if *index == last => *earlier = entry,
                    _ => entries.push((last, entry)),
                }
            }
            MergedChange::GiveUp => {
                entries.clear();
                log.give_up_merged(stored);
            }
        }
    }
    Ok(entries)
}

/// The events to append: one that answers a look-up only if that utterance is the next one still.
fn append_events(log: &mut LogRecord, events: Vec<SpeakerEvent>) -> Vec<String> {
    let mut kept = Vec::with_capacity(events.len());
    for SpeakerEvent { event, identified } in events {
        if let Some(of) = identified {
            let is_next = of.life == log.life && of.index == log.next;
            if !is_next || of.index >= log.utterances {
                continue;
            }
            log.next += 1;
        }
        kept.push(event);
    }
    kept
}

/// What a lane needs to append utterances.
pub fn load_transcript(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
) -> Result<TranscriptRecords, Error> {
    let [figures, log] = store.get_many([keys.figures(role), keys.log(role)])?;
    let log: LogRecord = read_or_default("log", log.as_deref())?;
    let last = |kind: Log| {
        let index = log.len(kind).checked_sub(1)?;
        Some(keys.entry(kind, role, log.life, index))
    };
    let wanted = [last(Log::Utterances), last(Log::Merged)];
    let named: Vec<_> = wanted.iter().flatten().cloned().collect();
    let mut found = store.get_list(&named)?.into_iter();
    let mut entry = |key: &Option<String>| match key {
        None => Ok(None),
        Some(key) => match found.next().flatten() {
            None => Err(missing(key)),
            entry => Ok(entry),
        },
    };
    let [utterance, merged] = &wanted;
    Ok(TranscriptRecords {
        figures: figures.filter(|text| !text.is_empty()),
        last_utterance: entry(utterance)?,
        last_merged: entry(merged)?,
        out_of_order: log.out_of_order,
    })
}

/// The oldest students' utterance without a speaker event.
pub fn next_unidentified(store: &impl Store, keys: &Keys) -> Result<Option<Unidentified>, Error> {
    let role = StreamRole::Students;
    let (log, mut entries) = read_entries(store, keys, role, |log| {
        let next = (log.next < log.utterances).then_some(log.next);
        next.map(|index| (Log::Utterances, index))
            .into_iter()
            .collect()
    })?;
    Ok(entries.pop().map(|utterance| Unidentified {
        index: log.next,
        life: log.life,
        utterance,
    }))
}

/// Entries from `index` on, or the last ones; at most `limit` and [`MAX_PAGE`]. Of these the first ones, as
/// many as [`PAGE_BYTES`] allow: who wants the others asks for them.
pub fn read(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
    kind: Log,
    index: Option<u32>,
    limit: u32,
) -> Result<Page, Error> {
    let limit = limit.min(MAX_PAGE);
    let first = |log: &LogRecord| index.unwrap_or(log.len(kind).saturating_sub(limit));
    let (log, items) = read_entries(store, keys, role, |log| {
        let first = first(log);
        let last = first.saturating_add(limit).min(log.len(kind));
        (first..last).map(|n| (kind, n)).collect()
    })?;
    Ok(Page {
        life: log.life,
        count: log.len(kind),
        first: first(&log),
        items,
        out_of_order: kind == Log::Merged && log.out_of_order,
    })
}

/// Where the logs are, and the first of the entries that `wanted` names in them, as many as [`PAGE_BYTES`]
/// allow. A reset or a deletion may remove them in between: then it looks again.
fn read_entries(
    store: &impl Store,
    keys: &Keys,
    role: StreamRole,
    wanted: impl Fn(&LogRecord) -> Vec<(Log, u32)>,
) -> Result<(LogRecord, Vec<String>), Error> {
    let mut log = record(store, keys, role)?;
    for _ in 0..READ_TRIES {
        let names: Vec<_> = wanted(&log)
            .into_iter()
            .map(|(kind, index)| keys.entry(kind, role, log.life, index))
            .collect();
        let found = store.get_page(&names, PAGE_BYTES)?;
        let Some(gap) = found.iter().position(Option::is_none) else {
            return Ok((log, found.into_iter().flatten().collect()));
        };
        let before = std::mem::replace(&mut log, record(store, keys, role)?);
        if before == log {
            return Err(missing(names.get(gap).map_or("", String::as_str)));
        }
    }
    Err(Error::Contended)
}

/// The record of a stream's logs.
pub fn record(store: &impl Store, keys: &Keys, role: StreamRole) -> Result<LogRecord, Error> {
    read_or_default("log", store.get(&keys.log(role))?.as_deref())
}

fn missing(key: &str) -> Error {
    damaged(key, "it is missing from its log")
}
