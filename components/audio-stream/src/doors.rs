//! The doors of the WebSockets: a socket that showed nothing in its handshake has a few seconds to send a
//! key as its first frame. Before that it is in no record, and nothing is answered.
//!
//! What tells these sockets is their context; whether one has come in since, the stream's or the live
//! lane's record of who is there.

use interview_doors::{AUTH_WITHIN_MS, AuthFrame, Denied, Grant};
use interview_session::id::SessionId;
use interview_settings::Doors;

use crate::bindings::realtime::sockets::types::{Account, Event, Payload};
use crate::bindings::realtime::sockets::{metrics, sockets, timers};
use crate::settings;

/// Begins the context of a socket that has yet to show a key; behind it is its context if it had.
pub const UNKNOWN: &str = "unknown ";
/// The context of a client's socket that may have to do with its stream only.
pub const NARROW: &str = "client narrow";

/// Begins the name of the timer that ends the patience with a socket.
const TIMER: &str = "key ";
/// Closing who may not come in. The reason is the same whatever was wrong.
const POLICY: u16 = 1008;
pub const UNAUTHORIZED: &str = "unauthorized";
/// When a deadline is looked at again whose batch failed.
const FAILED_RETRY_MS: u64 = 5_000;
/// Closing for whom there is no place.
const TRY_LATER: u16 = 1013;

/// What a key, and all tokens made with it, may have open.
pub fn account(doors: &Doors, grant: &Grant<'_>, session: &SessionId) -> Account {
    Account {
        name: grant.account().to_owned(),
        max_sockets: doors.max_streams_per_key,
        group: session.to_string(),
        max_groups: doors.max_sessions_per_key,
    }
}

/// One more who did not get what he wanted.
pub fn count(reason: &str) {
    metrics::add("access_failures", &[("reason".into(), reason.into())], 1);
}

/// The key that a frame brings; none: it is another frame, or there are no keys, and it is one like any
/// other.
pub fn auth_frame(payload: &Payload) -> Result<Option<AuthFrame<'_>>, String> {
    let Payload::Text(text) = payload else {
        return Ok(None);
    };
    match settings::all()?.doors.keys.is_empty() {
        true => Ok(None),
        false => Ok(AuthFrame::parse(text)),
    }
}

/// What a frame's key allows.
pub fn grant(frame: &AuthFrame<'_>) -> Result<Result<Grant<'static>, Denied>, String> {
    let doors = &settings::all()?.doors;
    Ok(Grant::of(&doors.keys, frame.credential(), crate::now()))
}

/// A socket has come that is unknown.
pub fn wait_for_key(lane: &str, socket: &str) {
    if timers::set(lane, &format!("{TIMER}{socket}"), AUTH_WITHIN_MS).is_err() {
        let _ = sockets::close(
            socket,
            TRY_LATER,
            "too many at the door: try again later, in 5 s",
        );
    }
}

/// It has come in, or is gone.
pub fn forget(lane: &str, socket: &str) {
    timers::cancel(lane, &format!("{TIMER}{socket}"));
}

/// The socket whose time has run out, if the timer is such a one's. It may have come in all the same.
pub fn overdue(timer: &str) -> Option<&str> {
    timer.strip_prefix(TIMER)
}

/// The deadlines among a batch's events, which are over once they have come.
pub fn deadlines(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| match event {
        Event::Timer(fired) if overdue(&fired.name).is_some() => Some(fired.name.clone()),
        _ => None,
    };
    events.iter().filter_map(name).collect()
}

/// Sets the deadlines of a batch that failed once more: whose sockets they are nobody knows then, and they
/// are in no record in which they would be found.
pub fn look_again(lane: &str, deadlines: &[String]) {
    for deadline in deadlines {
        if let Err(error) = timers::set(lane, deadline, FAILED_RETRY_MS) {
            eprintln!("lane={lane} no timer: {error:?}");
        }
    }
}

/// Turns a socket away that showed nothing in time. It may be gone: the deadline of a batch that failed is
/// set again even if the batch is repeated and does not fail.
pub fn turn_away_silent(socket: &str) {
    if sockets::room(socket).is_ok() {
        turn_away(socket, "silent");
    }
}

/// The first frame of an unknown socket: does its key open the door? `allows` says what it has to allow. If
/// it does, the socket takes its place among the others; if not, it is closed.
pub fn knock(
    lane: &str,
    socket: &str,
    first: Option<&Payload>,
    session: &SessionId,
    allows: impl FnOnce(&Grant<'_>) -> Result<(), Denied>,
) -> Result<Option<Grant<'static>>, String> {
    forget(lane, socket);
    let frame = match first {
        Some(payload) => auth_frame(payload)?,
        None => None,
    };
    let shown = match &frame {
        Some(frame) => grant(frame)?,
        None => Err(Denied::Unauthorized),
    };
    let grant = match shown.and_then(|grant| allows(&grant).map(|()| grant)) {
        Ok(grant) => grant,
        Err(denied) => {
            turn_away(socket, denied.reason());
            return Ok(None);
        }
    };
    let account = account(&settings::all()?.doors, &grant, session);
    match sockets::settle(socket, Some(&account)) {
        Ok(()) => Ok(Some(grant)),
        Err(sockets::Error::TooMany) => {
            let reason = "too many connections here: close one, or try again later, in 5 s";
            let _ = sockets::close(socket, TRY_LATER, reason);
            Ok(None)
        }
        // It is gone.
        Err(_) => Ok(None),
    }
}

/// Closes a socket that may not come in.
pub fn turn_away(socket: &str, reason: &str) {
    count(reason);
    let _ = sockets::close(socket, POLICY, UNAUTHORIZED);
}
