//! Stream roles: which microphone a stream carries.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use unicode_text::at_most_utf16;

use crate::js;

/// Which microphone a stream carries. Written in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamRole {
    /// One microphone for all.
    Mixed,
    /// The interviewer's.
    Teacher,
    /// The candidates'.
    Students,
}

/// A role that does not exist. The request or frame is refused; nothing was changed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("unsupported stream_role: {0}")]
pub struct BadRole(pub(crate) String);

impl BadRole {
    pub(crate) fn new(given: &str) -> Self {
        Self(at_most_utf16(given, js::MAX_ECHO).to_owned())
    }
}

impl StreamRole {
    /// All of them, in the order in which answers list them.
    pub const ALL: [StreamRole; 3] = [Self::Mixed, Self::Teacher, Self::Students];

    /// Reads a role: trimmed, in any case; missing or blank is [`StreamRole::Mixed`].
    ///
    /// A path segment is given as it came, not percent-decoded: `%74eacher` is no role.
    pub fn parse(given: Option<&str>) -> Result<Self, BadRole> {
        let given = given.unwrap_or_default();
        let name = js::trim(given);
        if name.is_empty() {
            return Ok(Self::Mixed);
        }
        Self::ALL
            .into_iter()
            .find(|role| name.eq_ignore_ascii_case(role.as_str()))
            .ok_or_else(|| BadRole::new(given))
    }

    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Teacher => "teacher",
            Self::Students => "students",
        }
    }
}

impl fmt::Display for StreamRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something of each role. As JSON an object with the three roles as keys, in the documented order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByRole<T> {
    /// Of [`StreamRole::Mixed`].
    pub mixed: T,
    /// Of [`StreamRole::Teacher`].
    pub teacher: T,
    /// Of [`StreamRole::Students`].
    pub students: T,
}

impl<T> ByRole<T> {
    /// Makes one of each, in the order of [`StreamRole::ALL`].
    pub fn new(mut of: impl FnMut(StreamRole) -> T) -> Self {
        Self {
            mixed: of(StreamRole::Mixed),
            teacher: of(StreamRole::Teacher),
            students: of(StreamRole::Students),
        }
    }

    /// [`ByRole::new`] of what can fail: the first failure ends it.
    pub fn try_new<E>(mut of: impl FnMut(StreamRole) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self {
            mixed: of(StreamRole::Mixed)?,
            teacher: of(StreamRole::Teacher)?,
            students: of(StreamRole::Students)?,
        })
    }

    /// That of one role.
    pub const fn get(&self, role: StreamRole) -> &T {
        match role {
            StreamRole::Mixed => &self.mixed,
            StreamRole::Teacher => &self.teacher,
            StreamRole::Students => &self.students,
        }
    }

    /// That of one role, to change it.
    pub const fn get_mut(&mut self, role: StreamRole) -> &mut T {
        match role {
            StreamRole::Mixed => &mut self.mixed,
            StreamRole::Teacher => &mut self.teacher,
            StreamRole::Students => &mut self.students,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn reads_what_the_records_show() {
        assert_eq!(StreamRole::parse(None), Ok(StreamRole::Mixed));
        assert_eq!(StreamRole::parse(Some("  ")), Ok(StreamRole::Mixed));
        assert_eq!(
            StreamRole::parse(Some(" TEACHER ")),
            Ok(StreamRole::Teacher)
        );
        for given in ["nobody", "%74eacher", "%20teacher", " x "] {
            let error = StreamRole::parse(Some(given)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("unsupported stream_role: {given}")
            );
        }
        let long = StreamRole::parse(Some(&"y".repeat(5000))).unwrap_err();
        assert!(long.to_string().len() < 300);
    }

    #[test]
    fn by_role_lists_in_order() {
        let roles = ByRole::new(StreamRole::as_str);
        assert_eq!(
            crate::stored::to_json(&roles),
            r#"{"mixed":"mixed","teacher":"teacher","students":"students"}"#
        );
        for role in StreamRole::ALL {
            assert_eq!(*roles.get(role), role.as_str());
        }
    }
}
