//! Settings that are wrong: all of them at once, each with what to write instead.

use std::fmt;

use unicode_text::at_most_chars;

/// Characters of a wrong value that are shown.
pub const MAX_SHOWN_CHARS: usize = 100;

/// One setting that is wrong. Its text names it as the operator writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// Its value is not allowed.
    #[error("{name} is {value}: write {allowed}")]
    NotAllowed {
        /// In upper case.
        name: String,
        /// In quotes; of a secret only that it is one.
        value: String,
        /// What to write.
        allowed: String,
    },
    /// Its value cannot be read at all.
    #[error("{name} cannot be read: {reason}")]
    Unreadable {
        /// In upper case.
        name: String,
        /// As whoever was asked says it.
        reason: String,
    },
}

impl BadSetting {
    pub(crate) fn not_allowed(name: &str, is_secret: bool, value: &str, allowed: String) -> Self {
        Self::NotAllowed {
            name: name.to_ascii_uppercase(),
            value: shown(is_secret, value),
            allowed,
        }
    }

    /// Says where the value is wrong, too.
    pub(crate) fn because(mut self, why: Option<String>) -> Self {
        if let (Self::NotAllowed { value, .. }, Some(why)) = (&mut self, why) {
            value.push_str(&format!(" ({why})"));
        }
        self
    }

    pub(crate) fn unreadable(name: &str, reason: String) -> Self {
        Self::Unreadable {
            name: name.to_ascii_uppercase(),
            reason,
        }
    }

    /// The setting's name, in upper case.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::NotAllowed { name, .. } | Self::Unreadable { name, .. } => name,
        }
    }
}

/// A value that has an `@` may be an URL with a password in it.
fn shown(is_secret: bool, value: &str) -> String {
    if is_secret {
        return "a secret and not shown".into();
    }
    if value.contains('@') {
        return "not shown, since it may have a password before the @".into();
    }
    let beginning = at_most_chars(value, MAX_SHOWN_CHARS);
    let dots = if beginning == value { "" } else { "..." };
    format!("{beginning:?}{dots}")
}

/// All settings that are wrong, at least one; shown one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSettings(pub Vec<BadSetting>);

impl std::error::Error for BadSettings {}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, bad) in self.0.iter().enumerate() {
            write!(f, "{}{bad}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let value = "é".repeat(MAX_SHOWN_CHARS);
        assert_eq!(shown(false, &value), format!("{value:?}"));
        assert_eq!(shown(false, &format!("{value}é")), format!("{value:?}..."));
    }

    #[test]
    fn a_value_stays_on_its_line() {
        assert_eq!(shown(false, "a\nb"), r#""a\nb""#);
    }
}
