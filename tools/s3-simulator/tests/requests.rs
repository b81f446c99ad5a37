//! The requests of `s3-protocol`, as a component sends them, against the server: signatures, conditions,
//! and what answers hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use s3_protocol::answer::Answered;
use s3_protocol::requests::{
    Bucket, Condition, Description, Request, is_complete, read_page, read_upload,
};
use s3_protocol::settings::Choice;
use s3_simulator::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};

const BUCKET: &str = "interviews";
const PART: usize = 5 << 20;

struct World {
    server: S3Server,
    bucket: Bucket,
}

struct Answer {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn version(&self) -> String {
        let mut headers = self.headers.iter();
        let etag = headers.find(|(name, _)| name == "etag");
        etag.unwrap().1.clone()
    }

    fn description(&self) -> (String, Vec<(String, String)>) {
        let headers = self.headers.iter();
        Description::read(headers.map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

fn world(secret: &str) -> World {
    let server = S3Server::start().unwrap();
    server.create_bucket(BUCKET);
    let endpoint = server.endpoint();
    let lookup = |name: &str| {
        let value = match name {
            "BLOB_STORE" => "s3",
            "S3_ENDPOINT" => &endpoint,
            "S3_BUCKET" => BUCKET,
            "S3_PREFIX" => "gateway",
            "S3_ACCESS_KEY_ID" => ACCESS_KEY_ID,
            "S3_SECRET_ACCESS_KEY" => secret,
            _ => "",
        };
        Some(value.to_owned())
    };
    let bucket = match Choice::read(lookup).unwrap() {
        Choice::S3(settings) => Bucket::new(&settings).unwrap(),
        Choice::Directory => panic!("no S3"),
    };
    World { server, bucket }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

async fn send(request: Request) -> Result<Answer, Answered> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut builder = http::Request::builder()
        .method(request.method)
        .uri(request.url);
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    let request = builder.body(Full::from(request.body)).unwrap();
    let answer = client.request(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if !parts.status.is_success() {
        return Err(Answered::read(parts.status.as_u16(), &body));
    }
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| {
        let value = value.to_str().unwrap().to_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(Answer {
        headers: headers.collect(),
        body: body.into(),
    })
}

fn description(metadata: &[(&str, &str)]) -> Description {
    let metadata: Vec<(String, String)> = metadata
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Description::new("audio/L16", &metadata).unwrap()
}

#[tokio::test]
async fn an_object_is_put_looked_at_read_and_removed() {
    let World { server, bucket } = world(SECRET_ACCESS_KEY);
    let place = bucket.place("sessions/ü 1/a+b%20.pcm").unwrap();
    let beside = description(&[("seq", "17"), ("meeting_id", "访谈 1")]);
    let absent = send(bucket.get(now(), &place)).await.err().unwrap();
    assert!(absent.is_absent());
    assert!(
        send(bucket.head(now(), &place))
            .await
            .err()
            .unwrap()
            .is_absent()
    );
    let put = |content: &[u8], condition| {
        send(bucket.put(now(), &place, content.to_vec(), &beside, &condition))
    };
    put(b"content", Condition::Absent).await.unwrap();
    assert_eq!(server.object(BUCKET, &place).unwrap().content, "content");
    let conflict = put(b"other", Condition::Absent).await.err().unwrap();
    assert!(conflict.is_conflict());

    let head = send(bucket.head(now(), &place)).await.unwrap();
    let read = send(bucket.get(now(), &place)).await.unwrap();
    assert_eq!(read.body, b"content");
    let (content_type, metadata) = read.description();
    assert_eq!(content_type, "audio/L16");
    let expected = [("meeting_id", "访谈 1"), ("seq", "17")];
    assert_eq!(
        metadata,
        expected.map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
    let range = |version: String| send(bucket.get_range(now(), &place, &version, 3, 10));
    assert_eq!(range(head.version()).await.unwrap().body, b"tent");
    put(b"other", Condition::Version(head.version()))
        .await
        .unwrap();
    assert!(range(head.version()).await.err().unwrap().is_conflict());
    let late = put(b"late", Condition::Version(head.version())).await;
    assert!(late.err().unwrap().is_conflict());
    assert_eq!(server.object(BUCKET, &place).unwrap().content, "other");

    for place in [place.as_str(), "no/such"] {
        send(bucket.delete(now(), place)).await.unwrap();
        assert_eq!(server.object(BUCKET, place), None);
    }
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let World { server, bucket } = world(SECRET_ACCESS_KEY);
    let mut expected: Vec<String> = (0..1200)
        .map(|n| format!("gateway/sessions/a/{n:05} ü&<+%"))
        .collect();
    for key in &expected {
        server.put(BUCKET, key, s3_simulator::Object::default());
    }
    server.put(
        BUCKET,
        "gateway/sessions/ab/x",
        s3_simulator::Object::default(),
    );
    let below = bucket.below("sessions/a/").unwrap();
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let list = bucket.list(now(), &below, token.as_deref());
        let page = read_page(&send(list).await.unwrap().text()).unwrap();
        assert!(page.keys.len() <= 1000);
        found.extend(page.keys);
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn parts_are_put_together_or_given_up() {
    let World { server, bucket } = world(SECRET_ACCESS_KEY);
    let place = bucket.place("sessions/a ü+%/result.json").unwrap();
    let beside = Description::marked("a/b", &[("n".into(), "访  谈 1".into())], "m").unwrap();
    let begin = || bucket.begin(now(), &place, &beside);
    let upload = read_upload(&send(begin()).await.unwrap().text()).unwrap();
    let mut versions = Vec::new();
    for (number, size) in [(1_u16, PART), (2, 3)] {
        let part = bucket.put_part(now(), &place, &upload, number, vec![1; size]);
        versions.push(send(part).await.unwrap().version());
    }
    assert_eq!(server.object(BUCKET, &place), None);
    let complete = || bucket.complete(now(), &place, &upload, &versions);
    assert!(is_complete(&send(complete()).await.unwrap().text()));
    let object = server.object(BUCKET, &place).unwrap();
    assert_eq!(object.content.len(), PART + 3);
    let read = send(bucket.get(now(), &place)).await.unwrap();
    assert_eq!(
        read.description().1,
        [("n".to_owned(), "访  谈 1".to_owned())]
    );
    assert_eq!(object.metadata[s3_protocol::UPLOAD_MARK], "m");
    assert!(send(complete()).await.err().unwrap().is_no_upload());

    let upload = read_upload(&send(begin()).await.unwrap().text()).unwrap();
    send(bucket.abort(now(), &place, &upload)).await.unwrap();
    assert_eq!(server.open_uploads(), 0);
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    // It ends when it is dropped.
    let World {
        bucket,
        server: _server,
    } = world("another");
    for request in [
        bucket.get(now(), "k"),
        bucket.begin(now(), "k", &description(&[])),
    ] {
        let refused = send(request).await.err().unwrap();
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (403, "SignatureDoesNotMatch")
        );
        assert!(!refused.may_pass());
    }
}
