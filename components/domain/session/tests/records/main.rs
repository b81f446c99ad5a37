//! What the original gateway answered, as small vectors: one row per recorded exchange, named by
//! its case. Where this gateway differs on purpose the row says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arbitrary;
mod capture;
mod chunks;
mod config;
mod hello;
mod resolve;
mod state;

use interview_session::frame::{ClientFrame, FrameError, Incoming, parse_frame};
use interview_session::id::SessionId;
use interview_session::role::StreamRole;

fn session(id: &str) -> SessionId {
    SessionId::parse(id).unwrap()
}

/// The frame, or the text of the error frame.
fn parse<'a>(text: &'a str, id: &str, role: StreamRole) -> Result<ClientFrame<'a>, String> {
    parse_frame(Incoming::Text(text), &session(id), role)
        .map_err(|error: FrameError| error.to_string())
}
