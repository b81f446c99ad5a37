//! The body of a request for a token.

use interview_session::error::ApiError;
use interview_session::role::StreamRole;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::grant::Roles;
use crate::scope::Scope;
use crate::token::MAX_LIFETIME_SECONDS;

/// How long a token is good for when nobody says: an hour.
pub const DEFAULT_LIFETIME_SECONDS: u64 = 60 * 60;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Left out: all.
    pub roles: Roles,
    /// Read or write: whoever may do more has a key.
    pub scope: Scope,
    /// 1 to [`MAX_LIFETIME_SECONDS`].
    pub lifetime_seconds: u64,
}

/// A request that cannot be served: status 400 with this text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadTokenRequest {
    /// No JSON, or no object.
    #[error("request body must be valid JSON")]
    NotJson,
    /// A field that there is not: it may be one that should make the token smaller.
    #[error("fields other than roles, scope and expires_in_seconds are not allowed")]
    Field,
    /// No roles, or others than there are.
    #[error("roles must be a list of mixed, teacher, students, with at least one of them")]
    Roles,
    /// No scope, or one that a token cannot have.
    #[error("scope must be read or write")]
    Scope,
    /// No such time.
    #[error("expires_in_seconds must be a whole number from 1 to {MAX_LIFETIME_SECONDS}")]
    Lifetime,
}

impl From<BadTokenRequest> for ApiError {
    fn from(error: BadTokenRequest) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl TokenRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, BadTokenRequest> {
        let mut fields: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| BadTokenRequest::NotJson)?;
        let roles = match fields.remove("roles") {
            None => Roles::all(),
            Some(roles) => parse_roles(&roles).ok_or(BadTokenRequest::Roles)?,
        };
        let scope = fields
            .remove("scope")
            .and_then(|scope| Scope::parse(scope.as_str()?))
            .filter(|scope| *scope < Scope::Admin)
            .ok_or(BadTokenRequest::Scope)?;
        let lifetime_seconds = match fields.remove("expires_in_seconds") {
            None => DEFAULT_LIFETIME_SECONDS,
            Some(seconds) => seconds
                .as_u64()
                .filter(|seconds| (1..=MAX_LIFETIME_SECONDS).contains(seconds))
                .ok_or(BadTokenRequest::Lifetime)?,
        };
        match fields.is_empty() {
            true => Ok(Self {
                roles,
                scope,
                lifetime_seconds,
            }),
            false => Err(BadTokenRequest::Field),
        }
    }
}

fn parse_roles(given: &Value) -> Option<Roles> {
    let named = |role: &Value| -> Option<StreamRole> {
        let name = role.as_str()?;
        StreamRole::ALL
            .into_iter()
            .find(|role| role.as_str() == name)
    };
    let roles: Option<Vec<StreamRole>> = given.as_array()?.iter().map(named).collect();
    Roles::of(&roles?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(body: &Value) -> Result<TokenRequest, BadTokenRequest> {
        TokenRequest::parse(body.to_string().as_bytes())
    }

    #[test]
    fn what_is_left_out() {
        let least = parse(&json!({"scope": "read"})).unwrap();
        assert_eq!(
            least,
            TokenRequest {
                roles: Roles::all(),
                scope: Scope::Read,
                lifetime_seconds: 3600
            }
        );
        let all = json!({
            "roles": ["students", "teacher", "students"], "scope": "write", "expires_in_seconds": 43200
        });
        let all = parse(&all).unwrap();
        assert_eq!((all.scope, all.lifetime_seconds), (Scope::Write, 43_200));
        assert!(all.roles.has(StreamRole::Teacher) && !all.roles.has(StreamRole::Mixed));
    }

    #[test]
    fn what_is_wrong() {
        for (body, said) in [
            (json!([]), BadTokenRequest::NotJson),
            (json!({}), BadTokenRequest::Scope),
            (json!({"scope": "admin"}), BadTokenRequest::Scope),
            (json!({"scope": "Read"}), BadTokenRequest::Scope),
            (json!({"scope": ["read"]}), BadTokenRequest::Scope),
            (
                json!({"scope": "read", "role": "mixed"}),
                BadTokenRequest::Field,
            ),
            (
                json!({"scope": "read", "roles": []}),
                BadTokenRequest::Roles,
            ),
            (
                json!({"scope": "read", "roles": null}),
                BadTokenRequest::Roles,
            ),
            (
                json!({"scope": "read", "roles": ["x"]}),
                BadTokenRequest::Roles,
            ),
            (
                json!({"scope": "read", "roles": "mixed"}),
                BadTokenRequest::Roles,
            ),
            (
                json!({"scope": "read", "expires_in_seconds": 0}),
                BadTokenRequest::Lifetime,
            ),
            (
                json!({"scope": "read", "expires_in_seconds": 43201}),
                BadTokenRequest::Lifetime,
            ),
            (
                json!({"scope": "read", "expires_in_seconds": 1.5}),
                BadTokenRequest::Lifetime,
            ),
            (
                json!({"scope": "read", "expires_in_seconds": "60"}),
                BadTokenRequest::Lifetime,
            ),
        ] {
            assert_eq!(parse(&body), Err(said), "{body}");
        }
        assert_eq!(TokenRequest::parse(b""), Err(BadTokenRequest::NotJson));
    }

    proptest! {
        #[test]
        fn any_body_is_answered(body in any::<Vec<u8>>()) {
            let _ = TokenRequest::parse(&body);
        }
    }
}
