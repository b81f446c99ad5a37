//! Tokens: what an operator's server gives to an app instead of a key. A token is for one session, for
//! some roles of it, and ends by itself; nothing is stored of it.
//!
//! `base64url(payload).base64url(HMAC-SHA256 of the first part)`, the HMAC's key being derived from the
//! admin key that made the token: when that one goes, or is admin no more, its tokens end with it.

use std::fmt;

use interview_session::id::SessionId;
use interview_session::stored::to_json;
use interview_session::time::{EpochMs, Rfc3339};
use serde::{Deserialize, Serialize};

use crate::grant::{Denied, Grant, Reach, Roles};
use crate::keys::{Key, Keys};
use crate::scope::Scope;
use crate::token_request::TokenRequest;

/// The longest that a token can be good for: 12 hours.
pub const MAX_LIFETIME_SECONDS: u64 = 12 * 60 * 60;

/// What is signed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    session_id: SessionId,
    roles: Roles,
    scope: Scope,
    /// In milliseconds since 1970.
    expires_at: EpochMs,
}

/// A token that was made: the answer to whoever asked for it. `Debug` does not show it.
#[derive(Serialize)]
pub struct Issued {
    token: String,
    session_id: SessionId,
    roles: Roles,
    scope: Scope,
    expires_at: Rfc3339,
}

impl Issued {
    /// Makes one.
    ///
    /// # Errors
    /// [`Denied::Forbidden`]: the grant is no admin key's. A token makes none.
    pub fn new(
        grant: &Grant<'_>,
        session: SessionId,
        request: TokenRequest,
        now: EpochMs,
    ) -> Result<Self, Denied> {
        if !grant.is_admin_key() {
            return Err(Denied::Forbidden);
        }
        let lifetime = request.lifetime_seconds.min(MAX_LIFETIME_SECONDS) * 1000;
        let payload = Payload {
            session_id: session,
            roles: request.roles,
            scope: request.scope,
            expires_at: EpochMs(now.0.saturating_add(lifetime)),
        };
        let body = encode(to_json(&payload).as_bytes());
        let signature = encode(&grant.key.sign(&body));
        Ok(Self {
            token: format!("{body}.{signature}"),
            session_id: payload.session_id,
            roles: payload.roles,
            scope: payload.scope,
            expires_at: Rfc3339(payload.expires_at),
        })
    }

    /// The answer's body.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }

    /// The token itself, for the one who asked for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued(<secret>)")
    }
}

/// What a token allows, and the key that made it; none: it is no token, or is one no more. Nothing of it
/// is read before its signature is found right.
pub fn open<'k>(keys: &'k Keys, text: &str, now: EpochMs) -> Option<(&'k Key, Reach)> {
    let (body, signature) = text.split_once('.')?;
    let signature: [u8; 32] = decode(signature)?.try_into().ok()?;
    let key = keys
        .signer(body, &signature)
        .filter(|key| key.scope == Scope::Admin)?;
    let payload: Payload = serde_json::from_slice(&decode(body)?).ok()?;
    (now < payload.expires_at).then_some((
        key,
        Reach {
            session: payload.session_id,
            roles: payload.roles,
            scope: payload.scope,
        },
    ))
}

fn encode(bytes: &[u8]) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}
