//! A value that is used but never shown.

use std::fmt;

use http::HeaderValue;
use http::header::InvalidHeaderValue;

/// A key. `Debug` shows only whether there is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A key that is known.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key itself, for the one who sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() {
            "<none>"
        } else {
            "<secret>"
        })
    }
}

/// The value of a header, marked as one that is not to be logged.
impl TryFrom<&Secret> for HeaderValue {
    type Error = InvalidHeaderValue;

    fn try_from(secret: &Secret) -> Result<Self, Self::Error> {
        let mut value = HeaderValue::from_str(&secret.0)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_key_and_does_not_show_it() {
        let value = HeaderValue::try_from(&Secret::new("k-1"));
        assert!(value.as_ref().is_ok_and(|value| value == "k-1"));
        assert!(!format!("{value:?}").contains("k-1"));
    }
}
