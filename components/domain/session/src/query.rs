//! Query strings: `stream_role`, `view`, `limit`.
//!
//! Decoded as HTML forms are (`+` is a space) and as leniently: an escape that is none stays as it
//! is, bytes that are not UTF-8 become U+FFFD. What then is no role or view is refused, a limit that
//! is no positive integer falls back to its default.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use thiserror::Error;

use crate::js;
use crate::role::{BadRole, StreamRole};

/// A `limit` parameter: what it is when it is not given, and the most it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitRule {
    /// When it is missing or no positive integer. At least 1.
    pub default: u32,
    /// A larger one is lowered to this.
    pub max: u32,
}

/// Of `GET utterances`.
pub const UTTERANCES_LIMIT: LimitRule = LimitRule {
    default: 50,
    max: 1000,
};

/// Of `GET events`.
pub const EVENTS_LIMIT: LimitRule = LimitRule {
    default: 100,
    max: 2000,
};

impl LimitRule {
    /// Applies the rule. Only digits, with white space around, are an integer.
    pub fn apply(self, given: Option<&str>) -> u32 {
        let digits = given.map(js::trim).unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return self.default;
        }
        // Digits that do not fit are more than any maximum.
        match digits.parse::<u32>().unwrap_or(u32::MAX) {
            0 => self.default,
            limit => limit.min(self.max),
        }
    }
}

/// Which utterances are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// As the ASR service gave them.
    #[default]
    Raw,
    /// Merged.
    Merged,
}

/// No such view: status 400.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("view must be raw or merged")]
pub struct BadView;

impl View {
    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Merged => "merged",
        }
    }
}

/// A query string, parsed where it is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// `query` without its question mark; none and empty are the same.
    pub fn new(query: Option<&'a str>) -> Self {
        let query = query.unwrap_or_default();
        Self(query.strip_prefix('?').unwrap_or(query))
    }

    /// The first value of this name, decoded; empty for a name without `=`.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.0.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (!pair.is_empty() && decode(key) == name).then(|| decode(value))
        })
    }

    /// `stream_role`; missing or blank is `mixed`.
    pub fn stream_role(&self) -> Result<StreamRole, BadRole> {
        StreamRole::parse(self.get("stream_role").as_deref())
    }

    /// `stream_role` where leaving it out means all roles: none when it is missing or blank.
    pub fn stream_role_filter(&self) -> Result<Option<StreamRole>, BadRole> {
        match self.get("stream_role") {
            Some(role) if !js::trim(&role).is_empty() => StreamRole::parse(Some(&role)).map(Some),
            _ => Ok(None),
        }
    }

    /// `view`; missing or blank is raw.
    pub fn view(&self) -> Result<View, BadView> {
        match self.get("view").as_deref().map(js::trim) {
            None | Some("" | "raw") => Ok(View::Raw),
            Some("merged") => Ok(View::Merged),
            Some(_) => Err(BadView),
        }
    }

    /// `limit` by its rule.
    pub fn limit(&self, rule: LimitRule) -> u32 {
        rule.apply(self.get("limit").as_deref())
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(
        percent_decode(spaced.as_bytes())
            .decode_utf8_lossy()
            .into_owned(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn query(text: &str) -> Query<'_> {
        Query::new(Some(text))
    }

    #[test]
    fn values() {
        let q = query("a=1&&stream_role=+TEACHER%20&b&a=2&c=%zz&%64=%E4%BC%9A&e=%FF");
        assert_eq!(q.get("a").unwrap(), "1");
        assert_eq!(q.get("b").unwrap(), "");
        assert_eq!(q.get("c").unwrap(), "%zz");
        assert_eq!(q.get("d").unwrap(), "会");
        assert_eq!(q.get("e").unwrap(), "\u{fffd}");
        assert_eq!(q.get("x"), None);
        assert_eq!(q.get(""), None);
        assert_eq!(q.stream_role(), Ok(StreamRole::Teacher));
        assert_eq!(Query::new(None).get("a"), None);
    }

    #[test]
    fn roles_and_views() {
        assert_eq!(query("").stream_role(), Ok(StreamRole::Mixed));
        assert_eq!(query("").stream_role_filter(), Ok(None));
        assert_eq!(query("stream_role=").stream_role_filter(), Ok(None));
        assert_eq!(
            query("stream_role=students").stream_role_filter(),
            Ok(Some(StreamRole::Students))
        );
        assert!(query("stream_role=%zz").stream_role().is_err());
        assert!(query("stream_role=%00").stream_role_filter().is_err());
        assert_eq!(query("view=merged").view(), Ok(View::Merged));
        assert_eq!(query("view=").view(), Ok(View::Raw));
        assert_eq!(query("view=Merged").view(), Err(BadView));
    }

    #[test]
    fn limits() {
        for (given, limit) in [
            ("", 50),
            ("limit=", 50),
            ("limit=0", 50),
            ("limit=-1", 50),
            ("limit=1.5", 50),
            ("limit=x", 50),
            ("limit=%zz", 50),
            ("limit=7", 7),
            ("limit=1000", 1000),
            ("limit=1001", 1000),
            ("limit=99999999999999999999", 1000),
        ] {
            assert_eq!(query(given).limit(UTTERANCES_LIMIT), limit, "{given}");
        }
        assert_eq!(query("limit=5000").limit(EVENTS_LIMIT), 2000);
    }

    proptest! {
        #[test]
        fn any_query_is_answered(text in any::<String>()) {
            let q = query(&text);
            let _ = (q.stream_role(), q.stream_role_filter(), q.view());
            let limit = q.limit(EVENTS_LIMIT);
            prop_assert!((1..=EVENTS_LIMIT.max).contains(&limit));
        }
    }
}
