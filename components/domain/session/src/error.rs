//! What the HTTP routes answer when they cannot serve a request.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::config::BadConfig;
use crate::id::BadId;
use crate::idempotency::BadKey;
use crate::query::{BadCursor, BadView};
use crate::role::BadRole;
use crate::stored::{self, Damaged};

/// An error answer: its status, and the text of `{"detail": "<text>"}`. Displayed, it is a line for the log.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{status} {detail}{}", .cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
pub struct ApiError {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// What the caller did wrong or can do.
    pub detail: String,
    /// What is behind it, for the log alone: names of keys, stores and their errors are no caller's business.
    pub cause: Option<String>,
}

impl ApiError {
    /// An error answer.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            cause: None,
        }
    }

    /// 500: what is stored is not what was written. `cause` is for the log.
    pub fn damaged(cause: impl fmt::Display) -> Self {
        let detail = "what is stored of this is damaged, and asking again does not help: the gateway's \
                      operator finds in its log what it is";
        Self::failed(detail, cause)
    }

    /// 500, with what the caller can do. `cause` is for the log.
    pub fn failed(detail: &str, cause: impl fmt::Display) -> Self {
        Self {
            cause: Some(cause.to_string()),
            ..Self::new(500, detail)
        }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, detail)
    }

    /// 404 for an unknown path.
    pub fn route_not_found() -> Self {
        Self::new(404, "route not found")
    }

    /// 405 for a known path.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "method not allowed")
    }

    /// 426 for a plain GET of a WebSocket path.
    pub fn upgrade_required() -> Self {
        Self::new(426, "websocket upgrade required")
    }

    /// 404 before the first `finalize`, and after a deletion.
    pub fn no_result() -> Self {
        Self::new(404, "no result yet: finalize the session first")
    }

    /// 409 for the deletion of a session that somebody records.
    pub fn stream_connected() -> Self {
        Self::new(
            409,
            "a stream of this session is connected: close it, or add ?force=true",
        )
    }

    /// 502: the inference service did not give an answer, for the reason given.
    pub fn inference_failed(why: &str) -> Self {
        Self::new(502, format!("inference request failed: {why}"))
    }

    /// 503: others with the same key are not done.
    pub fn idempotency_key_busy() -> Self {
        Self::new(
            503,
            "another request with this x-idempotency-key is still at work: try again",
        )
    }

    /// 400 for a body that is no JSON.
    pub fn body_not_json() -> Self {
        BadConfig::NotJson.into()
    }

    /// The JSON body.
    pub fn body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            detail: &'a str,
        }
        stored::to_json(&Body {
            detail: &self.detail,
        })
    }
}

impl From<BadRole> for ApiError {
    fn from(error: BadRole) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<BadId> for ApiError {
    fn from(error: BadId) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<BadView> for ApiError {
    fn from(error: BadView) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<BadCursor> for ApiError {
    fn from(error: BadCursor) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<BadKey> for ApiError {
    fn from(error: BadKey) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<BadConfig> for ApiError {
    fn from(error: BadConfig) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<Damaged> for ApiError {
    fn from(error: Damaged) -> Self {
        Self::damaged(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn bodies() {
        assert_eq!(
            ApiError::route_not_found().body(),
            r#"{"detail":"route not found"}"#
        );
        let error = ApiError::from(BadId::Length);
        assert_eq!(
            (error.status, error.detail.as_str()),
            (400, "session_id must be 1..128 chars")
        );
        assert_eq!(
            ApiError::body_not_json().detail,
            "request body must be valid JSON"
        );
    }

    #[test]
    fn what_is_behind_an_error_is_for_the_log() {
        let damaged = stored::read::<u32>("ingest", "{").unwrap_err();
        let error = ApiError::from(damaged.clone());
        assert_eq!(error.status, 500);
        assert!(!error.body().contains("ingest") && !error.body().contains("EOF"));
        assert!(
            error.to_string().ends_with(&format!(": {damaged}")),
            "{error}"
        );
        assert_eq!(
            ApiError::route_not_found().to_string(),
            "404 route not found"
        );
    }
}
