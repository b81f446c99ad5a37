//! `POST /v1/sessions/:session_id/tokens`: a token for one session, for an app that is given no key.

use interview_doors::{Denied, Grant, Issued, TokenRequest};
use interview_session::error::ApiError;
use interview_session::id::SessionId;

/// Makes one with the key that was shown.
///
/// # Errors
/// The body is wrong; or there are no keys to make it with.
pub fn issue(
    session: SessionId,
    grant: Option<&Grant<'_>>,
    body: &[u8],
) -> Result<String, ApiError> {
    let Some(grant) = grant else {
        let detail = "this gateway has no API keys, so that everybody may use it without a token";
        return Err(ApiError::new(409, detail));
    };
    let request = TokenRequest::parse(body)?;
    let issued = Issued::new(grant, session, request, crate::now());
    Ok(issued.map_err(Denied::to_error)?.to_json())
}
