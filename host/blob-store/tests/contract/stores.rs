//! An empty store for each test.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use blob_store::{BlobStore, Choice};
use s3_simulator::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};

/// The server to test with, instead of the one in memory.
const ENDPOINT: &str = "S3_TEST_ENDPOINT";

/// A store, and what must live as long.
pub struct Kept {
    store: BlobStore,
    _directory: Option<tempfile::TempDir>,
    _server: Option<Arc<S3Server>>,
}

impl Kept {
    pub fn in_a_directory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = BlobStore::directory(&directory.path().join("below/blobs")).unwrap();
        Self {
            store,
            _directory: Some(directory),
            _server: None,
        }
    }

    pub fn on_s3() -> Self {
        let given = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let server = given(ENDPOINT).is_none().then(server);
        let endpoint = server.as_ref().map(|server| server.endpoint());
        let lookup = |name: &str| match name {
            "BLOB_STORE" => Some("s3".to_owned()),
            "S3_ENDPOINT" => endpoint.clone().or_else(|| given(ENDPOINT)),
            "S3_BUCKET" => given("S3_TEST_BUCKET").or(Some("tests".to_owned())),
            "S3_REGION" => given("S3_TEST_REGION"),
            "S3_PREFIX" => Some(format!("tests/{}", random())),
            "S3_ACCESS_KEY_ID" => given("S3_TEST_ACCESS_KEY_ID").or(Some(ACCESS_KEY_ID.to_owned())),
            "S3_SECRET_ACCESS_KEY" => {
                given("S3_TEST_SECRET_ACCESS_KEY").or(Some(SECRET_ACCESS_KEY.to_owned()))
            }
            _ => None,
        };
        let Choice::S3(settings) = Choice::read(lookup).unwrap() else {
            panic!("no S3");
        };
        Self {
            store: BlobStore::s3(&settings).unwrap(),
            _directory: None,
            _server: server,
        }
    }

    pub fn store(&self) -> BlobStore {
        self.store.clone()
    }
}

/// One for all tests that run at the same time.
fn server() -> Arc<S3Server> {
    static RUNNING: Mutex<Weak<S3Server>> = Mutex::new(Weak::new());
    let mut slot = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = slot.upgrade() {
        return server;
    }
    let server = Arc::new(S3Server::start().unwrap());
    server.create_bucket("tests");
    *slot = Arc::downgrade(&server);
    server
}

fn random() -> String {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
