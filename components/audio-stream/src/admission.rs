//! May a request become a WebSocket: its path names a session and a role, or a session that is to be
//! watched, or says what is wrong.

use interview_live::Ask;
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::Lane;
use interview_session::query::Query;
use interview_session::role::StreamRole;
use interview_session::route::{Route, SessionAction};

use crate::bindings::exports::realtime::sockets::upgrades::{Admission, Refusal, Request};

/// The context of a client's socket. That of an ASR socket is its task id, which is longer.
pub const CLIENT: &str = "client";

pub fn admit(request: &Request) -> Result<Admission, Refusal> {
    decide(request).map_err(|error| Refusal {
        status: error.status,
        headers: vec![(
            "content-type".into(),
            "application/json; charset=utf-8".into(),
        )],
        body: error.body().into_bytes(),
    })
}

fn decide(request: &Request) -> Result<Admission, ApiError> {
    match Route::parse(&request.path) {
        Some(Route::Audio { session, role }) => {
            let session = SessionId::from_path_segment(session)?;
            let role = StreamRole::parse(role)?;
            Ok(Admission {
                lane: Lane::Stream { session, role }.to_string(),
                context: CLIENT.into(),
            })
        }
        Some(Route::Session {
            session,
            action: SessionAction::Live,
        }) => {
            let session = SessionId::from_path_segment(session)?;
            let ask = Ask::from_query(&Query::new(Some(&request.query)))
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
            Ok(Admission {
                lane: Lane::Live { session }.to_string(),
                context: ask.to_context(),
            })
        }
        _ => Err(ApiError::route_not_found()),
    }
}
