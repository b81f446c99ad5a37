//! What a viewer asks for in the URL of `GET /v1/sessions/:id/live`, and how it comes with its socket.

use interview_session::query::Query;
use interview_session::role::{BadRole, StreamRole};
use interview_session::stored::to_json;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a viewer wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ask {
    /// The last number it has; none: from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Of this role only; none: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_role: Option<StreamRole>,
}

/// The query cannot be served: status 400 with this text.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BadAsk {
    /// No whole number.
    #[error("after must be a whole number from 0")]
    After,
    /// No such role.
    #[error(transparent)]
    Role(#[from] BadRole),
}

impl Ask {
    /// Reads the query. A blank `stream_role` means all roles, a blank `after` is no number.
    ///
    /// # Errors
    /// [`BadAsk`]: what the client should write.
    pub fn from_query(query: &Query<'_>) -> Result<Self, BadAsk> {
        let after = match query.get("after") {
            None => None,
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                // One that does not fit is larger than any number of a frame, as the largest is.
                Some(text.parse().unwrap_or(u64::MAX))
            }
            Some(_) => return Err(BadAsk::After),
        };
        Ok(Self {
            after,
            stream_role: query.stream_role_filter()?,
        })
    }

    /// The context of the viewer's socket: shorter than 100 bytes.
    pub fn to_context(self) -> String {
        to_json(&self)
    }

    /// Reads the context back; none: the socket is no viewer's.
    pub fn from_context(context: &str) -> Option<Self> {
        serde_json::from_str(context).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn ask(query: &str) -> Result<Ask, String> {
        Ask::from_query(&Query::new(Some(query))).map_err(|error| error.to_string())
    }

    #[test]
    fn queries() {
        for (query, after, stream_role) in [
            ("", None, None),
            ("after=0", Some(0), None),
            ("after=007&x=1", Some(7), None),
            ("after=99999999999999999999999", Some(u64::MAX), None),
            ("stream_role=&after=5", Some(5), None),
            ("stream_role=TEACHER", None, Some(StreamRole::Teacher)),
        ] {
            assert_eq!(ask(query), Ok(Ask { after, stream_role }), "{query}");
        }
        for bad in [
            "after=",
            "after",
            "after=-1",
            "after=%2B1",
            "after=1.0",
            "after= 1",
            "after=x",
        ] {
            assert_eq!(
                ask(bad),
                Err("after must be a whole number from 0".into()),
                "{bad}"
            );
        }
        assert_eq!(
            ask("stream_role=x"),
            Err("unsupported stream_role: x".into())
        );
    }

    #[test]
    fn a_context_reads_back() {
        for ask in [
            Ask::default(),
            Ask {
                after: Some(u64::MAX),
                stream_role: Some(StreamRole::Students),
            },
        ] {
            assert!(ask.to_context().len() < 100);
            assert_eq!(Ask::from_context(&ask.to_context()), Some(ask));
        }
        assert_eq!(Ask::from_context("client"), None);
    }
}
