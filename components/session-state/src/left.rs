//! What an earlier process may have left undone: the streams of all sessions and whose `result.json` is
//! incomplete, a few sessions a call, with the little that tells. It judges nothing.

use interview_session::id::SessionId;
use interview_session::role::StreamRole;

use crate::bindings::exports::interview::gateway::session_state::{Error, StreamLeft, StreamsPage};
use crate::finalization::Marks;
use crate::layout::{INDEX, Keys, index_entry};
use crate::log_record::LogRecord;
use crate::record::read_or_default;
use crate::sessions::Created;
use crate::shared::value_of;
use crate::store::Store;
use crate::wit_role;

/// Places of the index that one call looks at: some hundreds of keys are read in one go.
pub const PLACES: u64 = 50;

/// Keys that are read of a session: `created`, the students' log, the finalization's marks, and two records a
/// stream.
const KEYS: usize = 3 + 2 * StreamRole::ALL.len();

/// The streams of the sessions at the places from `cursor` down.
pub fn list(store: &impl Store, cursor: Option<u64>) -> Result<StreamsPage, Error> {
    let newest = store.counter(INDEX)?;
    let first = cursor.map_or(newest, |cursor| cursor.min(newest));
    let end = first.saturating_sub(PLACES);
    let places: Vec<_> = (end + 1..=first).rev().collect();
    let entries: Vec<_> = places.iter().map(|place| index_entry(*place)).collect();
    let sessions: Vec<(u64, SessionId, Keys)> = places
        .into_iter()
        .zip(store.get_list(&entries)?)
        .filter_map(|(place, id)| {
            let session = SessionId::parse(&id?).ok()?;
            let keys = Keys::new(&session);
            Some((place, session, keys))
        })
        .collect();
    let wanted: Vec<_> = sessions.iter().flat_map(|(_, _, keys)| of(keys)).collect();
    let found = store.get_list(&wanted)?;
    let mut items = Vec::new();
    let mut incomplete = Vec::new();
    for ((place, session, _), found) in sessions.iter().zip(found.chunks(KEYS)) {
        let (streams, is_incomplete) = left(*place, session, found);
        items.extend(streams);
        incomplete.extend(is_incomplete.then(|| session.as_str().to_owned()));
    }
    Ok(StreamsPage {
        items,
        incomplete,
        cursor: (end > 0).then_some(end),
    })
}

fn of(keys: &Keys) -> Vec<String> {
    let mut wanted = vec![
        keys.created(),
        keys.log(StreamRole::Students),
        keys.finalization(),
    ];
    for role in StreamRole::ALL {
        wanted.extend([keys.bridge(role), keys.windows(role)]);
    }
    wanted
}

/// The streams of the session if this is its place, and whether its `result.json` is incomplete. What is damaged
/// counts as not there: who asks for it by its name is told.
fn left(place: u64, session: &SessionId, found: &[Option<String>]) -> (Vec<StreamLeft>, bool) {
    let mut next = found
        .iter()
        .map(|text| text.as_deref().filter(|text| !text.is_empty()));
    let mut next = || next.next().flatten();
    let created = match Created::read(next()) {
        Ok(Some(created)) if created.n == place => created,
        _ => return (Vec::new(), false),
    };
    let log: LogRecord = read_or_default("log", next()).unwrap_or_default();
    let is_incomplete = value_of::<Marks>("finalization", Some(created), next())
        .is_ok_and(|(marks, _)| marks.incomplete);
    let mut streams = Vec::new();
    for role in StreamRole::ALL {
        let (bridge, windows) = (next(), next());
        let unidentified = role == StreamRole::Students && log.next < log.utterances;
        if bridge.is_some() || windows.is_some() || unidentified {
            streams.push(StreamLeft {
                session: session.as_str().to_owned(),
                role: wit_role(role),
                bridge: bridge.map(str::to_owned),
                windows: windows.map(str::to_owned),
                unidentified,
            });
        }
    }
    (streams, is_incomplete)
}
