//! May a request become a WebSocket: its path names a session and a role, or says what is wrong.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::Lane;
use interview_session::role::StreamRole;
use interview_session::route::Route;

use crate::bindings::exports::realtime::sockets::upgrades::{Admission, Refusal};

/// The context of a client's socket. That of an ASR socket is its task id, which is longer.
pub const CLIENT: &str = "client";

pub fn admit(path: &str) -> Result<Admission, Refusal> {
    lane(path)
        .map(|lane| Admission {
            lane: lane.to_string(),
            context: CLIENT.into(),
        })
        .map_err(|error| Refusal {
            status: error.status,
            headers: vec![(
                "content-type".into(),
                "application/json; charset=utf-8".into(),
            )],
            body: error.body().into_bytes(),
        })
}

fn lane(path: &str) -> Result<Lane, ApiError> {
    let Some(Route::Audio { session, role }) = Route::parse(path) else {
        return Err(ApiError::route_not_found());
    };
    let session = SessionId::from_path_segment(session)?;
    let role = StreamRole::parse(role)?;
    Ok(Lane::Stream { session, role })
}
