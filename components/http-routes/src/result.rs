//! `GET result`: `result.json` as it was written.

use interview_session::error::ApiError;
use interview_session::id::SessionId;

use crate::answer::{self, Answer};
use crate::bindings::interview::gateway::finalization;

pub async fn result(id: &SessionId) -> Result<Answer, ApiError> {
    match finalization::get_result(id.as_str().into()).await {
        Ok(Some(content)) => Ok(answer::ok(content)),
        Ok(None) => Err(ApiError::no_result()),
        Err(finalization::Error::Unavailable(why)) => {
            eprintln!("session={id} result.json cannot be read: {why}");
            Err(ApiError::new(503, "result.json cannot be read: try again"))
        }
        Err(finalization::Error::Refused(why)) => Err(ApiError::new(500, why)),
    }
}
