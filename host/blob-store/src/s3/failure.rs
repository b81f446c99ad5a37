//! What went wrong with one attempt.

use std::error::Error;
use std::fmt;

use object_store::client::{HttpError, HttpErrorKind};
use s3_protocol::answer::Answered;
use s3_protocol::keys::FOREIGN_KEY;
use unicode_text::at_most_chars;

/// The most that is shown of an error that nobody expects, in characters.
const MAX_TEXT: usize = 200;

/// Why an attempt failed. It names neither the server nor its objects: what is said of it may reach a
/// client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There was no whole answer.
    NoAnswer(String),
    /// The server answered that it did not do it.
    Answered(Answered),
    /// An answer that is none of S3's.
    Nonsense(String),
    /// The object has so many bytes, more than are taken.
    TooLarge(u64),
    /// A list names an object with a key that is none.
    ForeignKey,
    /// Nobody was asked: the server has not answered for a while.
    Down(String),
}

impl Failure {
    /// The server is not there, or cannot do its work: worth another attempt.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::NoAnswer(_) | Self::Nonsense(_) => true,
            Self::Answered(answered) => answered.is_worth_another(),
            Self::TooLarge(_) | Self::ForeignKey | Self::Down(_) => false,
        }
    }

    /// See [`Answered::is_conflict`].
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Answered(answered) if answered.is_conflict())
    }

    /// See [`Answered::is_absent`].
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Answered(answered) if answered.is_absent())
    }

    /// See [`Answered::is_no_upload`].
    pub(crate) fn is_no_upload(&self) -> bool {
        matches!(self, Self::Answered(answered) if answered.is_no_upload())
    }

    /// See [`Answered::is_not_implemented`].
    pub(crate) fn is_not_implemented(&self) -> bool {
        matches!(self, Self::Answered(answered) if answered.is_not_implemented())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(why) | Self::Nonsense(why) | Self::Down(why) => f.write_str(why),
            Self::TooLarge(size) => write!(f, "the object has {size} bytes, too many to be read"),
            Self::ForeignKey => f.write_str(FOREIGN_KEY),
            Self::Answered(answered) => answered.fmt(f),
        }
    }
}

impl Error for Failure {}

impl From<Failure> for HttpError {
    fn from(failure: Failure) -> Self {
        Self::new(HttpErrorKind::Unknown, failure)
    }
}

/// An object of so many bytes is not read.
pub(crate) fn too_large(size: u64) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: Box::new(Failure::TooLarge(size)),
    }
}

/// What the connection said, if it was that; else the answer was not understood.
impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        let mut last = String::new();
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref::<Self>() {
                return failure.clone();
            }
            if error.is::<object_store::path::Error>() {
                return Self::ForeignKey;
            }
            last = error.to_string();
            cause = error.source();
        }
        let text = at_most_chars(&last, MAX_TEXT);
        Self::Nonsense(format!("its answer was not understood: {text}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_none_will_be_none_the_next_time_too() {
        let error = object_store::path::Path::parse("a//b").unwrap_err();
        let failure = Failure::from(object_store::Error::from(error));
        assert_eq!(failure, Failure::ForeignKey);
        assert!(!failure.is_outage());
    }

    #[test]
    fn a_cause_is_found_below_what_object_store_says() {
        let busy = Failure::Answered(Answered::read(503, b"<Code>SlowDown</Code>"));
        let error = object_store::Error::Generic {
            store: "S3",
            source: Box::new(HttpError::from(busy.clone())),
        };
        assert_eq!(Failure::from(error), busy);
        let error = object_store::Error::Generic {
            store: "S3",
            source: "no XML".into(),
        };
        let other = Failure::from(error);
        assert_eq!(other.to_string(), "its answer was not understood: no XML");
        assert!(other.is_outage());
    }
}
