//! Answers of the 200s that may say otherwise in their body: the end of an upload in parts, and the removal
//! of many objects. `object_store` looks for words in them, which may as well stand in a key that the
//! answer repeats, and of what it does find it tells no code. So they are read here, and what is
//! handed on to it holds no key.

use bytes::{Bytes, BytesMut};
use http::Method;
use object_store::client::HttpRequest;
use s3_protocol::answer::Answered;

use super::failure::Failure;

/// The longest of these answers that is read, in bytes: a page of the longest keys, with room to spare.
const MAX_BYTES: usize = 8 << 20;

/// One object that was removed, for all of them: `object_store` looks only for those that were not.
const REMOVED: &[u8] = b"<DeleteResult><Deleted><Key>all</Key></Deleted></DeleteResult>";

/// Which answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To a removal of many objects.
    Removal,
    /// To the end of an upload in parts.
    Completion,
}

impl Verdict {
    /// None where the status says all.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        if request.method() != Method::POST {
            return None;
        }
        let query = request.uri().query().unwrap_or_default();
        let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
        if query.split('=').next() == Some("delete") {
            Some(Self::Removal)
        } else if names.any(|name| name == "uploadId") {
            Some(Self::Completion)
        } else {
            None
        }
    }

    /// What `object_store` is to see of the answer's body.
    ///
    /// # Errors
    /// It was not done, or not all of it; or the answer is none of S3's.
    pub(crate) fn read(self, body: &[u8]) -> Result<Bytes, Failure> {
        if let Some(answered) = Answered::within_success(body) {
            return Err(Failure::Answered(answered));
        }
        let text = String::from_utf8_lossy(body);
        let nonsense = || Failure::Nonsense("its answer was not understood".to_owned());
        match self {
            Self::Removal if text.contains("<DeleteResult") => Ok(Bytes::from_static(REMOVED)),
            Self::Completion if text.contains("<CompleteMultipartUploadResult") => {
                let version = text
                    .split_once("<ETag>")
                    .and_then(|(_, rest)| rest.split_once("</ETag>"));
                let (version, _) = version.ok_or_else(nonsense)?;
                let seen = format!(
                    "<CompleteMultipartUploadResult><ETag>{version}</ETag></CompleteMultipartUploadResult>"
                );
                Ok(seen.into())
            }
            _ => Err(nonsense()),
        }
    }
}

/// Takes a piece of such an answer.
///
/// # Errors
/// It is too long to be one.
pub(crate) fn gather(whole: &mut BytesMut, piece: &[u8]) -> Result<(), Failure> {
    if whole.len().saturating_add(piece.len()) > MAX_BYTES {
        let text = format!("its answer has more than {MAX_BYTES} bytes");
        return Err(Failure::Nonsense(text));
    }
    whole.extend_from_slice(piece);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use object_store::client::HttpRequestBody;

    use super::*;

    fn asked(method: Method, uri: &str) -> Option<Verdict> {
        let request = http::Request::builder().method(method).uri(uri);
        Verdict::of(&request.body(HttpRequestBody::empty()).unwrap())
    }

    #[test]
    fn it_is_looked_for_where_it_may_be() {
        let of = |query| asked(Method::POST, &format!("http://h/b/uploadId/delete{query}"));
        assert_eq!(of("?delete"), Some(Verdict::Removal));
        assert_eq!(of("?delete="), Some(Verdict::Removal));
        assert_eq!(of("?uploadId=delete"), Some(Verdict::Completion));
        assert_eq!(of("?x-id=a&uploadId=u"), Some(Verdict::Completion));
        assert_eq!(of("?uploads"), None);
        assert_eq!(of(""), None);
        assert_eq!(asked(Method::PUT, "http://h/b/k?uploadId=u"), None);
        assert_eq!(asked(Method::DELETE, "http://h/b/k?uploadId=u"), None);
    }

    #[test]
    fn nothing_of_a_key_is_handed_on() {
        let done = b"<CompleteMultipartUploadResult><Location>http://h/SlowDown</Location>\
            <Key>SlowDown</Key><ETag>&quot;1-2&quot;</ETag></CompleteMultipartUploadResult>";
        let seen = Verdict::Completion.read(done).unwrap();
        let expected = "<CompleteMultipartUploadResult><ETag>&quot;1-2&quot;</ETag></CompleteMultipartUploadResult>";
        assert_eq!(seen, expected);
        let done = b"<DeleteResult><Deleted><Key>InternalError</Key></Deleted></DeleteResult>";
        assert_eq!(Verdict::Removal.read(done).unwrap(), REMOVED);
        assert_eq!(Verdict::Removal.read(b"<DeleteResult/>").unwrap(), REMOVED);
    }

    #[test]
    fn what_was_not_done_is_told_with_its_code() {
        let failed =
            b"<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code></Error></DeleteResult>";
        let said = Verdict::Removal.read(failed).unwrap_err();
        assert!(!said.is_outage(), "{said}");
        let failed = b"<Error><Code>SlowDown</Code></Error>";
        assert!(Verdict::Completion.read(failed).unwrap_err().is_outage());
        for none in [&b""[..], b"<html>", b"<CompleteMultipartUploadResult>"] {
            assert!(Verdict::Completion.read(none).unwrap_err().is_outage());
        }
        assert!(Verdict::Removal.read(b"").unwrap_err().is_outage());
    }

    #[test]
    fn an_answer_has_a_limit() {
        let mut whole = BytesMut::zeroed(MAX_BYTES - 1);
        gather(&mut whole, b"1").unwrap();
        gather(&mut whole, b"1").unwrap_err();
        assert_eq!(whole.len(), MAX_BYTES);
    }
}
