//! After a start of the host: which lanes have work that an earlier process left, found in the stored
//! state alone. It wakes lanes and does none of their work.

use interview_session::id::SessionId;
use interview_session::lane::{Lane, LaneMessage};

use crate::bindings::exports::realtime::sockets::startup::{Errand, Errands};
use crate::bindings::interview::gateway::asr_bridge::{self, Connection};
use crate::bindings::interview::gateway::session_state::{self, StreamLeft};
use crate::roles;
use crate::settings::Settings;

/// The errands of a few sessions, from `cursor` on.
pub fn errands(cursor: Option<u64>) -> Result<Errands, String> {
    let page = session_state::list_streams(cursor)
        .map_err(|error| format!("the streams cannot be listed: {error:?}"))?;
    let mut items = Vec::new();
    for left in page.items {
        let Ok(session) = SessionId::parse(&left.session) else {
            continue;
        };
        // A stream whose records are damaged must not keep the others from going on.
        match has_work(&left) {
            Ok(Some(work)) => items.push(Errand {
                is_long: work == Work::Backlog,
                ..errand(
                    &Lane::Stream {
                        session: session.clone(),
                        role: roles::domain(left.role),
                    },
                    &LaneMessage::Resume {},
                )
            }),
            Ok(None) => {}
            Err(error) => eprintln!("session={session} a stream cannot go on: {error}"),
        }
        if left.unidentified {
            items.push(errand(
                &Lane::Identity { session },
                &LaneMessage::Identify {},
            ));
        }
    }
    for session in page.incomplete {
        if let Ok(session) = SessionId::parse(&session) {
            let message = LaneMessage::CompleteResult {};
            items.push(errand(&Lane::Result { session }, &message));
        }
    }
    Ok(Errands {
        items,
        cursor: page.cursor,
    })
}

/// What a stream has left to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Audio is to be sent.
    Backlog,
    /// A connection died with its process: the state must not go on showing it.
    Connection,
}

fn has_work(left: &StreamLeft) -> Result<Option<Work>, String> {
    let settings = Settings::load(roles::domain(left.role))?;
    let realtime = asr_bridge::inspect(left.bridge.as_deref())?;
    let windows = asr_bridge::inspect_windows(left.windows.as_deref())?;
    let realtime_backlog = u64::from(realtime.stored) * 1000 > realtime.final_ms;
    let has_backlog = match settings.is_windowed() {
        // Which seconds are missing is in another record: a lane that is woken for those finds nothing to do.
        true => {
            let (bridge, windows) = (left.bridge.as_deref(), left.windows.as_deref());
            !asr_bridge::uncovered(bridge, windows, &[])?.is_empty()
        }
        false => settings.bridge.enabled && realtime_backlog,
    };
    let is_connected = [realtime.connection, windows.connection]
        .into_iter()
        .any(|connection| connection != Connection::Disconnected);
    Ok(match (has_backlog, is_connected) {
        (true, _) => Some(Work::Backlog),
        (false, true) => Some(Work::Connection),
        (false, false) => None,
    })
}

fn errand(lane: &Lane, message: &LaneMessage) -> Errand {
    Errand {
        lane: lane.to_string(),
        body: message.to_body(),
        is_long: false,
    }
}
