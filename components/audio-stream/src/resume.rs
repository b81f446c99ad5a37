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
            Ok(true) => items.push(errand(
                &Lane::Stream {
                    session: session.clone(),
                    role: roles::domain(left.role),
                },
                &LaneMessage::Resume {},
            )),
            Ok(false) => {}
            Err(error) => eprintln!("session={session} a stream cannot go on: {error}"),
        }
        if left.unidentified {
            items.push(errand(
                &Lane::Identity { session },
                &LaneMessage::Identify {},
            ));
        }
    }
    Ok(Errands {
        items,
        cursor: page.cursor,
    })
}

/// A connection that died with its process is work, too: the state must not go on showing it.
fn has_work(left: &StreamLeft) -> Result<bool, String> {
    let settings = Settings::load(roles::domain(left.role))?;
    let realtime = asr_bridge::inspect(left.bridge.as_deref())?;
    let windows = asr_bridge::inspect_windows(left.windows.as_deref())?;
    if realtime.connection != Connection::Disconnected
        || windows.connection != Connection::Disconnected
    {
        return Ok(true);
    }
    let has_backlog = u64::from(realtime.stored) * 1000 > realtime.final_ms;
    if settings.bridge.enabled && has_backlog {
        return Ok(true);
    }
    if settings.is_windowed() {
        // Which seconds are missing is in another record: a lane that is woken for those finds nothing to do.
        let (bridge, windows) = (left.bridge.as_deref(), left.windows.as_deref());
        let uncovered = asr_bridge::uncovered(bridge, windows, &[])?;
        return Ok(!uncovered.is_empty());
    }
    Ok(false)
}

fn errand(lane: &Lane, message: &LaneMessage) -> Errand {
    Errand {
        lane: lane.to_string(),
        body: message.to_body(),
    }
}
