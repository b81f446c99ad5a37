//! Requests that are signed, and what their answers hold. Whoever sends them sends method, URL, headers
//! and body as they are: the signature is in the URL, of `POST` in a header, and covers the headers.

use std::time::Duration;

use jiff::Timestamp;
use rusty_s3::actions::{
    CompleteMultipartUpload, CompleteMultipartUploadResponse, CreateMultipartUpload,
    CreateMultipartUploadResponse, ListObjectsV2, ListObjectsV2Response, S3Action,
};
use rusty_s3::{Credentials, Method, UrlStyle};

use crate::authorization::{Signer, encode};
use crate::encoded_word;
use crate::keys::{self, MAX_KEY_BYTES};
use crate::settings::S3Settings;
use crate::{MAX_MARK_BYTES, UPLOAD_MARK};

/// How long a signed request is good for: longer than it is waited for, and than clocks differ.
const VALID: Duration = Duration::from_secs(600);

/// Objects on a page of a list: S3's limit.
pub const PAGE: usize = 1000;

/// The most bytes of an object's metadata, names and values together (S3's limit).
pub const MAX_METADATA_BYTES: usize = 2048;

const METADATA: &str = "x-amz-meta-";

/// A bucket, or what is below a prefix in it, and the key to it.
pub struct Bucket {
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
    region: String,
    /// With its slash; empty for the whole bucket.
    prefix: String,
}

/// What is to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, ...
    pub method: &'static str,
    /// With the signature: not to be logged.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its length is to be sent as `content-length`.
    pub body: Vec<u8>,
}

/// What must hold of the object that is there for a write to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    None,
    /// Nothing.
    Absent,
    /// The object with this version.
    Version(String),
}

/// What stands beside an object's content: headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(Vec<(String, String)>);

impl Description {
    /// Content type and metadata. Metadata over [`MAX_METADATA_BYTES`], or with names that are no
    /// header names, are left out: the content is worth more.
    ///
    /// # Errors
    /// The content type is none; the text says so.
    pub fn new(content_type: &str, metadata: &[(String, String)]) -> Result<Self, String> {
        Self::within(MAX_METADATA_BYTES, content_type, metadata)
    }

    /// As [`Description::new`], of an upload in parts, with its mark. The mark is always kept: the
    /// metadata have less room by [`MAX_MARK_BYTES`] and its name's.
    ///
    /// # Errors
    /// The content type is none; the text says so.
    pub fn marked(
        content_type: &str,
        metadata: &[(String, String)],
        mark: &str,
    ) -> Result<Self, String> {
        let room = MAX_METADATA_BYTES - UPLOAD_MARK.len() - MAX_MARK_BYTES;
        let mut description = Self::within(room, content_type, metadata)?;
        let name = format!("{METADATA}{UPLOAD_MARK}");
        description.0.push((name, mark.to_owned()));
        Ok(description)
    }

    fn within(
        room: usize,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<Self, String> {
        let is_type = !content_type.is_empty()
            && content_type.len() <= 255
            && content_type.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_type {
            return Err(format!("{content_type:?} is no content type"));
        }
        let mut headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let encoded: Vec<(String, String)> = metadata
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), encoded_word::encode(value)))
            .collect();
        let size: usize = encoded
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let named = encoded.iter().all(|(name, _)| is_name(name));
        if size <= room && named {
            let named = encoded
                .into_iter()
                .map(|(name, value)| (format!("{METADATA}{name}"), value));
            headers.extend(named);
        }
        Ok(Self(headers))
    }

    /// The mark of the upload in parts that wrote the object, of an answer's headers.
    pub fn mark<'a>(mut headers: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
        headers
            .find(|(name, _)| name.strip_prefix(METADATA) == Some(UPLOAD_MARK))
            .map(|(_, mark)| mark)
    }

    /// Content type and metadata of an answer's headers, names in lower case; the metadata in the
    /// names' order.
    pub fn read<'a>(
        headers: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> (String, Vec<(String, String)>) {
        let mut content_type = "application/octet-stream".to_owned();
        let mut metadata = Vec::new();
        for (name, value) in headers {
            if name == "content-type" {
                value.clone_into(&mut content_type);
            } else if let Some(name) = name.strip_prefix(METADATA)
                && name != UPLOAD_MARK
            {
                metadata.push((name.to_owned(), encoded_word::decode(value)));
            }
        }
        metadata.sort();
        (content_type, metadata)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// One page of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// As in the bucket: with the prefix.
    pub keys: Vec<String>,
    /// For the next page, if there is one.
    pub next: Option<String>,
}

impl Bucket {
    /// The bucket of these settings.
    ///
    /// # Errors
    /// They cannot be used together; the text says why.
    pub fn new(settings: &S3Settings) -> Result<Self, String> {
        let (name, region) = (settings.bucket.clone(), settings.region.clone());
        let bucket = rusty_s3::Bucket::new(settings.endpoint.clone(), UrlStyle::Path, name, region)
            .map_err(|error| error.to_string())?;
        let secret = settings.secret_access_key.expose();
        let prefix = match settings.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self {
            bucket,
            credentials: Credentials::new(settings.access_key_id.clone(), secret),
            region: settings.region.clone(),
            prefix,
        })
    }

    /// Where an object is in the bucket.
    ///
    /// # Errors
    /// This is no key; the text says why.
    pub fn place(&self, key: &str) -> Result<String, String> {
        keys::check(key)?;
        let whole = format!("{}{key}", self.prefix);
        if whole.len() > MAX_KEY_BYTES {
            let bytes = whole.len();
            return Err(format!(
                "the key with its prefix has {bytes} bytes, more than {MAX_KEY_BYTES}"
            ));
        }
        Ok(whole)
    }

    /// Where the objects of a prefix are in the bucket.
    ///
    /// # Errors
    /// This is no prefix; the text says why.
    pub fn below(&self, prefix: &str) -> Result<String, String> {
        keys::check_prefix(prefix)?;
        Ok(format!("{}{prefix}", self.prefix))
    }

    /// Stores an object. `place` is that of [`Bucket::place`], here and below; `now` is in seconds since
    /// 1970.
    #[must_use]
    pub fn put(
        &self,
        now: u64,
        place: &str,
        content: Vec<u8>,
        description: &Description,
        condition: &Condition,
    ) -> Request {
        let mut headers = description.0.clone();
        match condition {
            Condition::None => {}
            Condition::Absent => headers.push(("if-none-match".to_owned(), "*".to_owned())),
            Condition::Version(version) => headers.push(("if-match".to_owned(), version.clone())),
        }
        let action = self.bucket.put_object(Some(&self.credentials), place);
        sign(now, action, headers, content)
    }

    /// Asks whether there is an object, and which.
    #[must_use]
    pub fn head(&self, now: u64, place: &str) -> Request {
        let action = self.bucket.head_object(Some(&self.credentials), place);
        sign(now, action, Vec::new(), Vec::new())
    }

    /// Reads an object.
    #[must_use]
    pub fn get(&self, now: u64, place: &str) -> Request {
        let action = self.bucket.get_object(Some(&self.credentials), place);
        sign(now, action, Vec::new(), Vec::new())
    }

    /// Reads `length` bytes, at least one, of the object of this version.
    #[must_use]
    pub fn get_range(
        &self,
        now: u64,
        place: &str,
        version: &str,
        offset: u64,
        length: u32,
    ) -> Request {
        let last = offset.saturating_add(u64::from(length)).saturating_sub(1);
        let headers = vec![
            ("if-match".to_owned(), version.to_owned()),
            ("range".to_owned(), format!("bytes={offset}-{last}")),
        ];
        let action = self.bucket.get_object(Some(&self.credentials), place);
        sign(now, action, headers, Vec::new())
    }

    /// Lists a page of the keys below a place.
    #[must_use]
    pub fn list(&self, now: u64, below: &str, token: Option<&str>) -> Request {
        let mut action = ListObjectsV2::new(&self.bucket, Some(&self.credentials));
        action.with_prefix(below);
        action.with_max_keys(PAGE);
        if let Some(token) = token {
            action.with_continuation_token(token);
        }
        sign(now, action, Vec::new(), Vec::new())
    }

    /// Removes an object; it need not be there.
    #[must_use]
    pub fn delete(&self, now: u64, place: &str) -> Request {
        let action = self.bucket.delete_object(Some(&self.credentials), place);
        sign(now, action, Vec::new(), Vec::new())
    }

    /// Begins an upload in parts.
    #[must_use]
    pub fn begin(&self, now: u64, place: &str, description: &Description) -> Request {
        let action = CreateMultipartUpload::new(&self.bucket, None, place);
        self.post(now, action, "uploads=", description.0.clone(), Vec::new())
    }

    /// Stores a part; they count from 1.
    #[must_use]
    pub fn put_part(
        &self,
        now: u64,
        place: &str,
        upload: &str,
        number: u16,
        content: Vec<u8>,
    ) -> Request {
        let action = self
            .bucket
            .upload_part(Some(&self.credentials), place, number, upload);
        sign(now, action, Vec::new(), content)
    }

    /// Puts the parts together, by the versions that were given for them.
    #[must_use]
    pub fn complete(&self, now: u64, place: &str, upload: &str, parts: &[String]) -> Request {
        let action = || {
            let parts = parts.iter().map(String::as_str);
            CompleteMultipartUpload::new(&self.bucket, None, place, upload, parts)
        };
        let body = action().body().into_bytes();
        let query = format!("uploadId={}", encode(upload));
        self.post(now, action(), &query, Vec::new(), body)
    }

    /// Gives an upload up.
    #[must_use]
    pub fn abort(&self, now: u64, place: &str, upload: &str) -> Request {
        let credentials = Some(&self.credentials);
        let action = self
            .bucket
            .abort_multipart_upload(credentials, place, upload);
        sign(now, action, Vec::new(), Vec::new())
    }

    /// A request that is signed in its header. Of the action, which has no credentials, only where it goes
    /// is taken.
    fn post<'a, A: S3Action<'a>>(
        &self,
        now: u64,
        action: A,
        query: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Request {
        let now = timestamp(now);
        let mut url = action.sign_with_time(VALID, &now);
        url.set_query(Some(query));
        let signer = Signer {
            key_id: self.credentials.key(),
            secret: self.credentials.secret(),
            region: &self.region,
        };
        let headers = signer.sign(&now, "POST", &url, headers, &body);
        Request {
            method: "POST",
            url: url.into(),
            headers,
            body,
        }
    }
}

/// The keys of an answer to [`Bucket::list`]; none if it is none.
#[must_use]
pub fn read_page(body: &str) -> Option<Page> {
    let read: ListObjectsV2Response = ListObjectsV2::parse_response(body).ok()?;
    Some(Page {
        keys: read.contents.into_iter().map(|object| object.key).collect(),
        next: read.next_continuation_token,
    })
}

/// The upload of an answer to [`Bucket::begin`]; none if it is none.
#[must_use]
pub fn read_upload(body: &str) -> Option<String> {
    let read: CreateMultipartUploadResponse = CreateMultipartUpload::parse_response(body).ok()?;
    Some(read.upload_id().to_owned())
}

/// Whether an answer to [`Bucket::complete`] says that it is done: S3 answers 200 before it knows.
#[must_use]
pub fn is_complete(body: &str) -> bool {
    CompleteMultipartUploadResponse::parse(body).is_ok()
}

/// A clock that is far off is refused by the server, with a message that says so.
fn timestamp(now: u64) -> Timestamp {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn sign<'a, A: S3Action<'a>>(
    now: u64,
    mut action: A,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Request {
    for (name, value) in &headers {
        action.headers_mut().insert(name.clone(), value.clone());
    }
    let url = action.sign_with_time(VALID, &timestamp(now));
    let method = match A::METHOD {
        Method::Head => "HEAD",
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
    };
    Request {
        method,
        url: url.into(),
        headers,
        body,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::Choice;

    /// 2026-11-23 10:00:00 UTC.
    const NOW: u64 = 1_795_428_000;

    fn bucket(prefix: &str) -> Bucket {
        let lookup = |name: &str| {
            let value = match name {
                "BLOB_STORE" => "s3",
                "S3_ENDPOINT" => "https://account.r2.cloudflarestorage.com",
                "S3_BUCKET" => "interviews",
                "S3_PREFIX" => prefix,
                "S3_ACCESS_KEY_ID" => "id-1",
                "S3_SECRET_ACCESS_KEY" => "secret-1",
                _ => "",
            };
            Some(value.to_owned())
        };
        match Choice::read(lookup).unwrap() {
            Choice::S3(settings) => Bucket::new(&settings).unwrap(),
            Choice::Directory => panic!("a directory"),
        }
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_request_has_all_that_is_to_be_sent() {
        let bucket = bucket("gateway");
        let place = bucket.place("sessions/ü 1/result.json").unwrap();
        assert_eq!(place, "gateway/sessions/ü 1/result.json");
        let metadata = [pair("Seq", "17"), pair("meeting_id", "访谈")];
        let description = Description::new("audio/L16", &metadata).unwrap();
        let put = bucket.put(NOW, &place, b"x".to_vec(), &description, &Condition::Absent);
        assert_eq!((put.method, put.body.as_slice()), ("PUT", &b"x"[..]));
        let path = "https://account.r2.cloudflarestorage.com/interviews/gateway/sessions/%C3%BC%201/result.json?";
        assert!(put.url.starts_with(path), "{}", put.url);
        for signed in [
            "X-Amz-Credential=id-1%2F20261123%2Fauto%2Fs3%2Faws4_request",
            "X-Amz-SignedHeaders=content-type%3Bhost%3Bif-none-match%3Bx-amz-meta-meeting_id%3Bx-amz-meta-seq",
            "X-Amz-Signature=",
        ] {
            assert!(put.url.contains(signed), "{signed}: {}", put.url);
        }
        assert!(!put.url.contains("secret-1"));
        let expected = [
            pair("content-type", "audio/L16"),
            pair("x-amz-meta-seq", "17"),
            pair("x-amz-meta-meeting_id", "=?UTF-8?B?6K6/6LCI?="),
            pair("if-none-match", "*"),
        ];
        assert_eq!(put.headers, expected);
        let range = bucket.get_range(NOW, &place, "\"v\"", 4, 4);
        assert_eq!(
            range.headers,
            [pair("if-match", "\"v\""), pair("range", "bytes=4-7")]
        );
    }

    #[test]
    fn what_is_no_key_or_prefix_is_refused() {
        let bucket = bucket("p");
        for key in ["", "/a", "a/../b", "a#1", "a.meta.json", &"k/".repeat(511)] {
            bucket.place(key).unwrap_err();
        }
        bucket.below("a").unwrap_err();
        assert_eq!(bucket.below("a/").unwrap(), "p/a/");
    }

    #[test]
    fn a_description_is_what_comes_back() {
        let metadata = [pair("a", "1"), pair("b", " ü\n")];
        let description = Description::new("a/b", &metadata).unwrap();
        let headers = description.0.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        assert_eq!(
            Description::read(headers),
            ("a/b".to_owned(), metadata.to_vec())
        );
        let marked = Description::marked("a/b", &[], "m").unwrap();
        let headers = || marked.0.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        assert_eq!(Description::mark(headers()), Some("m"));
        assert_eq!(Description::read(headers()).1, []);
        // The mark is kept, and what has no room beside it is not.
        let longest = MAX_METADATA_BYTES - UPLOAD_MARK.len() - MAX_MARK_BYTES;
        for (size, kept) in [(longest, 3), (longest + 1, 2)] {
            let metadata = [pair("n", &"v".repeat(size - 1))];
            let mark = "m".repeat(MAX_MARK_BYTES);
            let marked = Description::marked("a/b", &metadata, &mark).unwrap();
            assert_eq!(marked.0.len(), kept);
            let sent = marked.0.iter().skip(1);
            let sent = sent.map(|(name, value)| name.len() - METADATA.len() + value.len());
            assert!(sent.sum::<usize>() <= MAX_METADATA_BYTES);
            let headers = marked.0.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            assert_eq!(Description::mark(headers), Some(mark.as_str()));
        }
        let large = [pair("n", &"v".repeat(MAX_METADATA_BYTES))];
        assert_eq!(Description::new("a/b", &large).unwrap().0.len(), 1);
        assert_eq!(
            Description::new("a/b", &[pair("a b", "")]).unwrap().0.len(),
            1
        );
        Description::new("a\nb", &[]).unwrap_err();
        Description::new("", &[]).unwrap_err();
    }

    #[test]
    fn answers_are_read() {
        let page = r#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
            <Contents><Key>p/a%20b</Key><Size>1</Size></Contents><Contents><Key>p/c</Key></Contents>
            <NextContinuationToken>t</NextContinuationToken></ListBucketResult>"#;
        let expected = Page {
            keys: vec!["p/a b".to_owned(), "p/c".to_owned()],
            next: Some("t".to_owned()),
        };
        assert_eq!(read_page(page), Some(expected));
        for wrong in [
            "",
            "<html></html>",
            "<Error><Code>InternalError</Code></Error>",
        ] {
            assert_eq!(read_page(wrong), None);
            assert_eq!(read_upload(wrong), None);
            assert!(!is_complete(wrong));
        }
    }

    #[test]
    fn a_post_is_signed_in_its_header() {
        let bucket = bucket("");
        let marked = Description::marked("a/b", &[], "m").unwrap();
        let begin = bucket.begin(NOW, "k ü", &marked);
        assert_eq!(begin.method, "POST");
        let url = "https://account.r2.cloudflarestorage.com/interviews/k%20%C3%BC?uploads=";
        assert_eq!(begin.url, url);
        let signed = &begin.headers.last().unwrap().1;
        assert!(
            signed.contains("Credential=id-1/20261123/auto/s3/aws4_request,SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-gateway-upload,"),
            "{signed}"
        );
        let complete = bucket.complete(
            NOW,
            "k",
            "up+load",
            &["\"1\"".to_owned(), "\"2\"".to_owned()],
        );
        let body = String::from_utf8(complete.body).unwrap();
        assert!(body.contains("<PartNumber>2</PartNumber>"), "{body}");
        assert!(complete.url.ends_with("/k?uploadId=up%2Bload"));
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in "\\PC{0,60}|<(ListBucketResult|CompleteMultipartUploadResult)[ -~]{0,60}") {
            let _ = (read_page(&body), read_upload(&body), is_complete(&body));
        }

        #[test]
        fn no_key_or_description_panics(key in "\\PC{0,30}", name in "\\PC{0,9}", value in "\\PC{0,30}") {
            let bucket = bucket("p");
            let description = Description::new("a/b", &[(name, value)]).unwrap();
            if let Ok(place) = bucket.place(&key) {
                let _ = bucket.put(NOW, &place, Vec::new(), &description, &Condition::None);
            }
        }
    }
}
