//! The store on S3, besides what every store promises: what is stored, and what each fault of the
//! server costs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod late_writes;
mod outage;
mod stored;
mod uploads;
mod verdicts;

use std::time::{Duration, Instant};

use blob_store::{BlobError, BlobStore, Choice};
use bytes::Bytes;
use s3_simulator::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};

const BUCKET: &str = "interviews";
const PREFIX: &str = "gateway/one";
const KEY: &str = "sessions/s-1/chunks/teacher/00000001.pcm";

/// One attempt, as the tests set it.
const ATTEMPT: Duration = Duration::from_millis(200);
/// One call, as the tests set it.
const CALL: Duration = Duration::from_millis(1000);
/// What a slow machine may add to a time; a call that hangs takes much longer.
const SLACK: Duration = Duration::from_secs(20);

struct World {
    server: S3Server,
    store: BlobStore,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With settings in place of the usual ones.
    fn with(changed: &[(&str, &str)]) -> Self {
        let server = S3Server::start().unwrap();
        server.create_bucket(BUCKET);
        let store = store(&server.endpoint(), changed);
        Self { server, store }
    }

    async fn put(&self, content: &'static [u8]) -> Result<(), BlobError> {
        let content = Bytes::from_static(content);
        self.store.put(KEY, content, "audio/L16", &[]).await
    }

    fn stored(&self) -> Option<Bytes> {
        let object = self.server.object(BUCKET, &format!("{PREFIX}/{KEY}"));
        object.map(|object| object.content)
    }
}

fn store(endpoint: &str, changed: &[(&str, &str)]) -> BlobStore {
    let lookup = |name: &str| {
        let changed = changed.iter().find(|(changed, _)| *changed == name);
        let usual = match name {
            "BLOB_STORE" => "s3",
            "S3_ENDPOINT" => endpoint,
            "S3_BUCKET" => BUCKET,
            "S3_PREFIX" => PREFIX,
            "S3_ACCESS_KEY_ID" => ACCESS_KEY_ID,
            "S3_SECRET_ACCESS_KEY" => SECRET_ACCESS_KEY,
            "S3_TIMEOUT_MS" => "1000",
            "S3_ATTEMPT_TIMEOUT_MS" => "200",
            _ => "",
        };
        Some(changed.map_or(usual, |(_, value)| value).to_owned())
    };
    match Choice::read(lookup).unwrap() {
        Choice::S3(settings) => BlobStore::s3(&settings).unwrap(),
        Choice::Directory => panic!("no S3"),
    }
}

/// The result of a call that must end within its time.
async fn bounded<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let since = Instant::now();
    let result = tokio::time::timeout(CALL + SLACK, call).await;
    (result.expect("the call hangs"), since.elapsed())
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(result: Result<T, BlobError>, says: &str) {
    match result {
        Err(BlobError::Unavailable(why)) => assert!(why.contains(says), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, BlobError>, says: &str) {
    match result {
        Err(BlobError::Refused(why)) => assert!(why.contains(says), "{why}"),
        other => panic!("{other:?}"),
    }
}
