//! What an answer of S3 that is no success means: what to do, and whether another attempt may go well.

use std::fmt;

/// The longest code that is taken for one, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// The server answered that it did not do it. It names neither the server nor its objects: what is said
/// of it may reach a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status, not of the 200s.
    pub status: u16,
    /// S3's code, such as `SlowDown`; empty where the answer has none.
    pub code: String,
}

impl Answered {
    /// Reads it from an answer's status and body.
    #[must_use]
    pub fn read(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            code: code_in(body),
        }
    }

    /// What an answer of the 200s says, if it was not done all the same: S3 begins to answer before it knows
    /// (the end of an upload in parts), or has done only some of it (a removal of many). Of several errors
    /// the one that will not pass.
    #[must_use]
    pub fn within_success(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        // The text of a key has its `<` escaped, so that these are elements.
        let errors = text.match_indices("<Error").filter_map(|(at, name)| {
            let rest = text.get(at + name.len()..)?;
            let is_whole = rest.starts_with(|c: char| c == '>' || c.is_ascii_whitespace());
            let code = code_in(rest.split("</Error>").next()?.as_bytes());
            let status = status_of(&code);
            is_whole.then_some(Self { status, code })
        });
        let mut found: Option<Self> = None;
        for error in errors.filter(|error| error.code != "NoSuchKey") {
            match &found {
                Some(found) if !found.may_pass() || error.may_pass() => {}
                _ => found = Some(error),
            }
        }
        found
    }

    /// The same request may be answered otherwise a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self.status {
            501 | 505 => false,
            408 | 409 | 412 | 429 | 500.. => true,
            // The request did not arrive as it was sent.
            400 => matches!(
                self.code.as_str(),
                "RequestTimeout"
                    | "IncompleteBody"
                    | "BadDigest"
                    | "InvalidDigest"
                    | "XAmzContentSHA256Mismatch"
            ),
            // It has to be begun again.
            404 => self.is_no_upload(),
            _ => false,
        }
    }

    /// Worth another attempt of the same request now: not what is decided by what is stored.
    #[must_use]
    pub fn is_worth_another(&self) -> bool {
        self.may_pass() && !matches!(self.status, 404 | 412)
    }

    /// Another object is there than the request said.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status == 412
    }

    /// There is no such object. A missing bucket is another matter.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.status == 404 && self.code != "NoSuchBucket" && !self.is_no_upload()
    }

    /// The upload in parts is not known (any more).
    #[must_use]
    pub fn is_no_upload(&self) -> bool {
        self.code == "NoSuchUpload"
    }

    /// The server does not know what it was asked for.
    #[must_use]
    pub fn is_not_implemented(&self) -> bool {
        self.status == 501
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        match (self.status, self.code.as_str()) {
            (_, "RequestTimeTooSkewed") => f.write_str(": set this machine's clock"),
            (401 | 403, _) => f.write_str(": check the access key and what it may do"),
            (_, "NoSuchBucket") => f.write_str(": check the bucket's name"),
            (300..=399, _)
            | (400, "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError") => {
                f.write_str(": check the endpoint and the region")
            }
            _ => Ok(()),
        }
    }
}

/// The status with which S3 answers a request that fails for this reason as a whole. A reason that is not
/// known here may pass.
fn status_of(code: &str) -> u16 {
    match code {
        "AccessDenied" | "AllAccessDisabled" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" => {
            403
        }
        "NoSuchBucket" | "NoSuchUpload" => 404,
        "MethodNotAllowed" => 405,
        "OperationAborted" => 409,
        "PreconditionFailed" => 412,
        "EntityTooSmall" | "InvalidArgument" | "InvalidPart" | "InvalidPartOrder"
        | "InvalidRequest" | "MalformedXML" => 400,
        "NotImplemented" => 501,
        "ServiceUnavailable" | "SlowDown" => 503,
        _ => 500,
    }
}

/// S3's code in the XML of an answer; empty if it is none.
fn code_in(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code.trim());
    let is_code = |code: &&str| {
        code.len() <= MAX_CODE_BYTES && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    code.filter(is_code).unwrap_or_default().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16, code: &str) -> Answered {
        Answered {
            status,
            code: code.to_owned(),
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (429, ""),
            (408, ""),
            (409, "OperationAborted"),
            (400, "RequestTimeout"),
            (400, "IncompleteBody"),
        ] {
            let answered = answered(status, code);
            assert!(answered.may_pass(), "{status} {code}");
            assert!(answered.is_worth_another(), "{status} {code}");
        }
        for (status, code) in [
            (403, "AccessDenied"),
            (403, "SignatureDoesNotMatch"),
            (401, ""),
            (400, "InvalidArgument"),
            (404, "NoSuchBucket"),
            (501, "NotImplemented"),
            (301, "PermanentRedirect"),
            (416, "InvalidRange"),
        ] {
            let answered = answered(status, code);
            assert!(!answered.may_pass(), "{status} {code}");
            assert!(!answered.is_worth_another(), "{status} {code}");
        }
        assert!(!answered(412, "PreconditionFailed").is_worth_another());
        assert!(answered(404, "NoSuchKey").is_absent());
        assert!(answered(404, "").is_absent(), "HEAD has no body");
        assert!(!answered(404, "NoSuchBucket").is_absent());
        assert!(!answered(404, "NoSuchUpload").is_absent());
    }

    #[test]
    fn it_says_what_to_do() {
        let said = |status, code| answered(status, code).to_string();
        assert_eq!(said(503, "SlowDown"), "it answered 503 SlowDown");
        assert!(said(403, "AccessDenied").ends_with("check the access key and what it may do"));
        assert!(said(403, "RequestTimeTooSkewed").ends_with("set this machine's clock"));
        assert!(said(404, "NoSuchBucket").ends_with("check the bucket's name"));
        for (status, code) in [
            (301, ""),
            (400, "AuthorizationHeaderMalformed"),
            (400, "AuthorizationQueryParametersError"),
        ] {
            let said = said(status, code);
            assert!(
                said.ends_with("check the endpoint and the region"),
                "{said}"
            );
        }
    }

    #[test]
    fn the_code_is_read_from_the_answer() {
        let body =
            b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>x</Message></Error>";
        assert_eq!(Answered::read(503, body), answered(503, "SlowDown"));
        for none in [
            &b""[..],
            b"<html>",
            b"<Code></Code>",
            b"<Code>a b</Code>",
            b"<Code>",
        ] {
            assert_eq!(Answered::read(500, none), answered(500, ""));
        }
    }

    #[test]
    fn an_error_is_found_within_a_success() {
        let deleted = "<Deleted><Key>s/SlowDown/InternalError &lt;Error&gt;&lt;Code&gt;A&lt;/Code&gt;</Key></Deleted>";
        let failed = |code: &str| format!("<Error><Key>s/k</Key><Code>{code}</Code></Error>");
        let within = |inner: &str| {
            let body = format!("<DeleteResult xmlns=\"x\">{deleted}{inner}</DeleteResult>");
            Answered::within_success(body.as_bytes())
        };
        assert_eq!(within(""), None);
        assert_eq!(within(&failed("NoSuchKey")), None, "it is gone");
        assert_eq!(within(&failed("SlowDown")), Some(answered(503, "SlowDown")));
        let several = failed("InternalError") + &failed("AccessDenied") + &failed("SlowDown");
        let denied = within(&several).unwrap();
        assert_eq!(denied, answered(403, "AccessDenied"));
        assert!(!denied.may_pass());
        // Of a reason that nobody knows here nobody can say that it will stay.
        assert!(within(&failed("Strange")).unwrap().may_pass());
        assert_eq!(within("<Errors></Errors>"), None);
        let whole =
            b"<?xml version=\"1.0\"?> \n<Error xmlns=\"x\"><Code>InternalError</Code></Error>";
        let found = Answered::within_success(whole).unwrap();
        assert_eq!(found, answered(500, "InternalError"));
        let done =
            b"<CompleteMultipartUploadResult><Key>SlowDown</Key></CompleteMultipartUploadResult>";
        assert_eq!(Answered::within_success(done), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Answered::read(500, &bytes);
        }

        #[test]
        fn no_success_panics(body in "(<Error[> ]|<Code>|</Code>|</Error>|\\PC){0,12}") {
            let _ = Answered::within_success(body.as_bytes());
        }
    }
}
