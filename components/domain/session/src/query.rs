//! Query strings: `stream_role`, `view`, `limit`, `cursor`, `max_windows` and flags.
//!
//! Decoded as HTML forms are (`+` is a space) and as leniently: an escape that is none stays as it
//! is, bytes that are not UTF-8 become U+FFFD. What then is no role, view or cursor is refused. Numbers are
//! read as the original read them, with JavaScript's `Number` (`1e1` is 10); one that is no positive integer
//! falls back to its default. A cursor is no number but a piece of text that the list gave.

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

/// Of `GET /v1/sessions`.
pub const SESSIONS_LIMIT: LimitRule = LimitRule {
    default: 50,
    max: 200,
};

/// Most digits of a cursor: any number of them is one.
const MAX_CURSOR_DIGITS: usize = 19;

impl LimitRule {
    /// Applies the rule.
    pub fn apply(self, given: Option<&str>) -> u32 {
        positive(given).map_or(self.default, |limit| limit.min(self.max))
    }
}

/// A positive integer, as JavaScript reads it. One that does not fit is more than any maximum.
fn positive(given: Option<&str>) -> Option<u32> {
    let number = given.and_then(js::parse_positive_integer)?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// No cursor that a page of the list gave: status 400.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("cursor must be one that this route gave")]
pub struct BadCursor;

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

    /// `view`, in any letter case; missing is raw. A blank one is none, as in the original.
    pub fn view(&self) -> Result<View, BadView> {
        let Some(given) = self.get("view") else {
            return Ok(View::Raw);
        };
        let name = js::trim(&given);
        [View::Raw, View::Merged]
            .into_iter()
            .find(|view| name.eq_ignore_ascii_case(view.as_str()))
            .ok_or(BadView)
    }

    /// `limit` by its rule.
    pub fn limit(&self, rule: LimitRule) -> u32 {
        rule.apply(self.get("limit").as_deref())
    }

    /// `cursor`: where a list goes on; none when it is missing.
    pub fn cursor(&self) -> Result<Option<u64>, BadCursor> {
        let Some(given) = self.get("cursor") else {
            return Ok(None);
        };
        if !are_digits(&given) || given.len() > MAX_CURSOR_DIGITS {
            return Err(BadCursor);
        }
        given.parse().map(Some).map_err(|_| BadCursor)
    }

    /// `max_windows`; none is no limit: missing, 0, or no whole number.
    pub fn max_windows(&self) -> Option<u32> {
        positive(self.get("max_windows").as_deref())
    }

    /// Whether `name` is `true` or `1`.
    pub fn flag(&self, name: &str) -> bool {
        let value = self.get(name);
        let value = value.as_deref().map(js::trim).unwrap_or_default();
        value == "1" || value.eq_ignore_ascii_case("true")
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
        assert_eq!(query("view=MERGED").view(), Ok(View::Merged));
        assert_eq!(query("view=+Raw+").view(), Ok(View::Raw));
        for none in ["view=", "view", "view=+", "view=both"] {
            assert_eq!(query(none).view(), Err(BadView), "{none}");
        }
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
            ("limit=1e1", 10),
            ("limit=1.0", 1),
            ("limit=%2B7", 7),
            ("limit=0x10", 16),
            ("limit=Infinity", 50),
            ("limit=1e999", 50),
            ("limit=1e300", 1000),
            ("limit=1000", 1000),
            ("limit=1001", 1000),
            ("limit=99999999999999999999", 1000),
        ] {
            assert_eq!(query(given).limit(UTTERANCES_LIMIT), limit, "{given}");
        }
        assert_eq!(query("limit=5000").limit(EVENTS_LIMIT), 2000);
        assert_eq!(query("limit=5000").limit(SESSIONS_LIMIT), 200);
        assert_eq!(query("").limit(SESSIONS_LIMIT), 50);
    }

    #[test]
    fn windows_have_no_limit_unless_it_is_a_number() {
        for (given, windows) in [
            ("", None),
            ("max_windows=", None),
            ("max_windows=0", None),
            ("max_windows=-1", None),
            ("max_windows=2.5", None),
            ("max_windows=many", None),
            ("max_windows=+3+", Some(3)),
            ("max_windows=1e1", Some(10)),
            ("max_windows=2.0", Some(2)),
            ("max_windows=99999999999", Some(u32::MAX)),
        ] {
            assert_eq!(query(given).max_windows(), windows, "{given}");
        }
    }

    #[test]
    fn flags() {
        for (given, is_set) in [
            ("", false),
            ("force", false),
            ("force=", false),
            ("force=false", false),
            ("force=0", false),
            ("force=yes", false),
            ("flush=true", false),
            ("force=1", true),
            ("force=+TRUE", true),
        ] {
            assert_eq!(query(given).flag("force"), is_set, "{given}");
        }
    }

    #[test]
    fn cursors() {
        assert_eq!(query("").cursor(), Ok(None));
        assert_eq!(query("cursor=17").cursor(), Ok(Some(17)));
        assert_eq!(
            query("cursor=9999999999999999999").cursor(),
            Ok(Some(9_999_999_999_999_999_999))
        );
        for bad in ["", "-1", "1.5", "abc", "%20", "00000000000000000001", "x1"] {
            let given = format!("cursor={bad}");
            assert_eq!(query(&given).cursor(), Err(BadCursor), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_answered(text in any::<String>()) {
            let q = query(&text);
            let _ = (q.stream_role(), q.stream_role_filter(), q.view());
            let _ = (q.cursor(), q.max_windows(), q.flag(&text));
            let limit = q.limit(EVENTS_LIMIT);
            prop_assert!((1..=EVENTS_LIMIT.max).contains(&limit));
        }
    }
}
