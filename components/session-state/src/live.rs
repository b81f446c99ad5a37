//! The live log of a session, and what its lane reads of the streams' logs. The live lane is the only
//! writer.

use interview_session::role::StreamRole;

use crate::bindings::exports::interview::gateway::session_state::{
    Error, Listening, LiveRecords, LogLength,
};
use crate::layout::Keys;
use crate::log_record::{EntryName, LogRecord};
use crate::logs::MAX_PAGE;
use crate::record::{damaged, read_or_default};
use crate::sessions::Created;
use crate::store::{PAGE_BYTES, Store};

/// Entries of the live log that one read gives.
pub const MAX_LIVE: u64 = 500;

/// Entries of the live log that are deleted at a time.
const PAGE: u64 = 500;

/// What the live lane needs for every batch.
pub fn load(store: &impl Store, keys: &Keys) -> Result<LiveRecords, Error> {
    let [mixed, teacher, students] = StreamRole::ALL.map(|role| keys.log(role));
    let wanted = [keys.created(), keys.live(), mixed, teacher, students];
    let [created, live, mixed, teacher, students] = store.get_many(wanted)?;
    Ok(LiveRecords {
        created_at: Created::read(created.as_deref())?.map(|created| created.at),
        live,
        mixed: length(mixed.as_deref())?,
        teacher: length(teacher.as_deref())?,
        students: length(students.as_deref())?,
    })
}

fn length(log: Option<&str>) -> Result<LogLength, Error> {
    let log: LogRecord = read_or_default("log", log)?;
    Ok(LogLength {
        life: log.life,
        utterances: log.utterances,
        events: log.events,
    })
}

/// Appends entries and writes the lane's record, in one batch.
pub fn commit(
    store: &impl Store,
    keys: &Keys,
    record: String,
    listening: Listening,
    first: u64,
    entries: Vec<String>,
) -> Result<(), Error> {
    let mut writes: Vec<_> = (first..)
        .map(|number| keys.live_entry(number))
        .zip(entries)
        .collect();
    writes.push((keys.live(), record));
    writes.push((keys.listening(), listening.bits().to_string()));
    store.set_many(writes)
}

/// What is listened to, as [`commit`] wrote it.
pub fn listening(stored: Option<&str>) -> Result<Listening, Error> {
    let Some(stored) = stored else {
        return Ok(Listening::empty());
    };
    let bits = stored
        .parse()
        .map_err(|error| damaged("listening", error))?;
    Ok(Listening::from_bits_truncate(bits))
}

/// Entries `first` to `last`, at most [`MAX_LIVE`]; of these the first ones, as many as [`PAGE_BYTES`] allow.
pub fn read(
    store: &impl Store,
    keys: &Keys,
    first: u64,
    last: u64,
) -> Result<Vec<Option<String>>, Error> {
    let last = last.min(first.saturating_add(MAX_LIVE - 1));
    let wanted: Vec<_> = (first..=last)
        .map(|number| keys.live_entry(number))
        .collect();
    store.get_page(&wanted, PAGE_BYTES)
}

/// The entries of the first of these names in the streams' logs, as many as [`PAGE_BYTES`] allow; none for
/// those that are in no log any more, be they deleted yet or not.
pub fn read_entries(
    store: &impl Store,
    keys: &Keys,
    names: &[(StreamRole, EntryName)],
) -> Result<Vec<Option<String>>, Error> {
    if names.len() > MAX_PAGE as usize {
        return Err(damaged("names", "there are too many"));
    }
    let wanted: Vec<_> = names
        .iter()
        .map(|(role, name)| keys.entry(name.log, *role, name.life, name.index))
        .collect();
    let found = store.get_page(&wanted, PAGE_BYTES)?;
    // After the entries: one that is in its log now was in it when it was read.
    let records = store.get_many(StreamRole::ALL.map(|role| keys.log(role)))?;
    let mut logs = Vec::with_capacity(StreamRole::ALL.len());
    for (role, record) in StreamRole::ALL.into_iter().zip(records) {
        let log: LogRecord = read_or_default("log", record.as_deref())?;
        logs.push((role, log));
    }
    let is_in_log = |(role, name): &(StreamRole, EntryName)| {
        logs.iter()
            .any(|(of, log)| of == role && log.life == name.life && name.index < log.len(name.log))
    };
    Ok(names
        .iter()
        .zip(found)
        .map(|(name, entry)| entry.filter(|_| is_in_log(name)))
        .collect())
}

/// Removes every key of the live lane: entries 1 to `last`, then what says how many there are.
pub fn delete(store: &impl Store, keys: &Keys, last: u64) -> Result<(), Error> {
    let mut first = 1;
    while first <= last {
        let end = last.min(first.saturating_add(PAGE - 1));
        let entries: Vec<_> = (first..=end)
            .map(|number| keys.live_entry(number))
            .collect();
        store.delete_many(&entries)?;
        first = end.saturating_add(1);
        if end == u64::MAX {
            break;
        }
    }
    store.delete_many(&[keys.live(), keys.listening()])
}
