//! How an interrupted run is gone on with: what `--resume` says, and the command that a user is told.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::session::Role;
use crate::stream::Begin;

/// What `--resume` means without a value.
pub const ALL: &str = "all";

/// For each stream the second at which its file begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// All of them at second 1.
    All,
    /// Those of a run into a session that had audio before. Others begin behind what their streams
    /// have.
    At(BTreeMap<Role, u32>),
}

impl Resume {
    /// Where the file of this stream begins.
    #[must_use]
    pub fn begin(&self, role: Role) -> Begin {
        match self {
            Self::All => Begin::At(1),
            Self::At(seconds) => seconds
                .get(&role)
                .map_or(Begin::Behind, |at| Begin::At(*at)),
        }
    }

    /// What resumes streams whose files begin at these seconds.
    #[must_use]
    pub fn of(seconds: impl IntoIterator<Item = (Role, u32)>) -> Self {
        Self::At(
            seconds
                .into_iter()
                .filter(|(_, second)| *second > 0)
                .collect(),
        )
    }

    /// The argument.
    #[must_use]
    pub fn argument(&self) -> String {
        match self {
            Self::All => "--resume".to_owned(),
            at => format!("--resume={at}"),
        }
    }
}

impl FromStr for Resume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == ALL {
            return Ok(Self::All);
        }
        let mut seconds = BTreeMap::new();
        for part in text.split(',') {
            let (role, second) = part
                .split_once(':')
                .ok_or_else(|| format!("`{part}` is not of the form teacher:301"))?;
            let second = second
                .parse()
                .ok()
                .filter(|second| *second > 0)
                .ok_or_else(|| format!("`{second}` is not a second, counted from 1"))?;
            seconds.insert(role.parse()?, second);
        }
        Ok(Self::At(seconds))
    }
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::At(seconds) => {
                let parts: Vec<String> = seconds
                    .iter()
                    .map(|(role, second)| format!("{role}:{second}"))
                    .collect();
                f.write_str(&parts.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_told_is_read_back() {
        let resume = Resume::of([(Role::Teacher, 301), (Role::Students, 0), (Role::Mixed, 1)]);
        assert_eq!(resume.argument(), "--resume=mixed:1,teacher:301");
        assert_eq!(resume.to_string().parse(), Ok(resume.clone()));
        assert_eq!(resume.begin(Role::Teacher), Begin::At(301));
        assert_eq!(resume.begin(Role::Students), Begin::Behind);
        assert_eq!(
            ALL.parse::<Resume>().unwrap().begin(Role::Students),
            Begin::At(1)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (bad, expected) in [
            ("teacher", "`teacher` is not of the form"),
            ("tutor:3", "`tutor` is not a role"),
            ("teacher:0", "`0` is not a second"),
            ("teacher:-1", "`-1` is not a second"),
        ] {
            let error = bad.parse::<Resume>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
