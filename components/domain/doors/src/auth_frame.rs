//! The frame with which a WebSocket shows a key that it could not show in its handshake:
//! `{"type":"auth","key":"..."}`.

use std::borrow::Cow;

use serde::Deserialize;

use crate::credential::{Credential, MAX_CREDENTIAL_BYTES};

/// How long a socket that has shown nothing may take to send it, in milliseconds.
pub const AUTH_WITHIN_MS: u64 = 5_000;

/// Most bytes of the frame's text. Anything longer is no such frame: a chunk is not read to find that
/// out.
pub const AUTH_TEXT_MAX: usize = MAX_CREDENTIAL_BYTES + 1024;

/// The frame, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthFrame<'a>(Option<Credential<'a>>);

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
}

impl<'a> AuthFrame<'a> {
    /// Reads a text frame; none: it is another one.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > AUTH_TEXT_MAX {
            return None;
        }
        let kind: Kind<'_> = serde_json::from_str(text).ok()?;
        (kind.kind == "auth").then(|| {
            let fields = serde_json::from_str::<Fields<'a>>(text);
            Self(fields.ok().map(|fields| Credential::new(fields.key)))
        })
    }

    /// What it shows; none where it has no key.
    #[must_use]
    pub const fn credential(&self) -> Option<&Credential<'a>> {
        self.0.as_ref()
    }
}

/// The answer to a frame whose key is right.
#[must_use]
pub const fn auth_ok() -> &'static str {
    r#"{"type":"auth_ok"}"#
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn key(text: &str) -> Option<Option<String>> {
        let shown = |c: &Credential<'_>| c.text().unwrap().to_owned();
        AuthFrame::parse(text).map(|frame| frame.credential().map(shown))
    }

    #[test]
    fn frames() {
        let a = || Some(Some("a".to_owned()));
        assert_eq!(key(r#"{"type":"auth","key":"a"}"#), a());
        assert_eq!(key(r#" {"key":"\u0061","x":[1],"type":"\u0061uth"} "#), a());
        for without in [
            r#"{"type":"auth"}"#,
            r#"{"type":"auth","key":7}"#,
            r#"{"type":"auth","key":null}"#,
        ] {
            assert_eq!(key(without), Some(None), "{without}");
        }
        for other in [
            "",
            "auth",
            "[]",
            r#"{"type":"hello","key":"a"}"#,
            r#"{"key":"a"}"#,
            r#"{"type":["auth"]}"#,
        ] {
            assert_eq!(key(other), None, "{other}");
        }
        let long = format!(r#"{{"type":"auth","key":"{}"}}"#, "x".repeat(AUTH_TEXT_MAX));
        assert_eq!(key(&long), None);
    }
}
