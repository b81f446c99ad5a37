//! Asking a lane. What belongs to a stream is changed by its lane only; a route leaves a message there
//! and waits for the answer.

use std::fmt;
use std::time::Duration;

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::{Lane, LaneAnswer, LaneMessage};
use interview_session::role::StreamRole;

use crate::bindings::realtime::sockets::lanes;

/// How long a lane may take for what needs no waiting: it may be in the middle of a batch.
pub const PROMPT: Duration = Duration::from_secs(15);

/// Why there is no answer.
pub enum Unanswered {
    /// Not in time. The lane may still do it.
    TimedOut,
    /// What was to be left in it is larger than the host takes.
    TooLarge,
    /// The lane is full or failed; the text is for the log.
    Failed(String),
}

/// The lane of a stream.
pub fn stream(id: &SessionId, role: StreamRole) -> Lane {
    Lane::Stream {
        session: id.clone(),
        role,
    }
}

/// Leaves `message` in the lane and waits for the answer, at most `limit`.
pub async fn call<A: LaneAnswer>(
    lane: &Lane,
    message: &LaneMessage,
    limit: Duration,
) -> Result<A, Unanswered> {
    let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    match lanes::call(lane.to_string(), message.to_body(), limit_ms).await {
        Ok(body) => A::parse(&body).map_err(|error| Unanswered::Failed(error.to_string())),
        Err(lanes::Error::TimedOut) => Err(Unanswered::TimedOut),
        Err(lanes::Error::TooLarge) => Err(Unanswered::TooLarge),
        Err(error) => Err(Unanswered::Failed(format!("{error:?}"))),
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::TooLarge => f.write_str("the message is too large"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Unanswered {
    /// 503, and a line in the log.
    pub fn of(self, lane: &Lane) -> ApiError {
        eprintln!("lane={lane} gives no answer: {self}");
        ApiError::new(503, "the session is busy: try again")
    }
}
