//! Where a gateway keeps its objects, as tests look at them: past the gateway. In a directory, or with
//! `GATEWAY_BLOBS=s3` in the environment of the tests on an S3 server in memory of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob_store::{BlobStore, Choice};
use http::Method;
use s3_simulator::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};

use crate::wait::eventually;

/// `s3`: gateways keep their objects on S3; nothing or `directory`: in their state directories.
pub const GATEWAY_BLOBS: &str = "GATEWAY_BLOBS";

const BUCKET: &str = "interviews";
/// With its slash.
const PREFIX: &str = "gateway/";

/// Waits until a server was asked this more often than so many times: the request is on its way, and may be
/// for long.
pub async fn asked_more(server: &S3Server, method: &Method, before: usize) {
    eventually(&format!("one more {method} is asked for"), async || {
        let count = server.faults().count(method);
        (count > before).then_some(()).ok_or(count)
    })
    .await;
}

/// The objects of one gateway.
#[derive(Clone, Debug)]
pub enum Blobs {
    /// Files below this directory.
    Directory(PathBuf),
    /// Objects of this server.
    S3(Arc<S3Server>),
}

/// Whether gateways keep their objects on S3.
#[must_use]
pub fn are_on_s3() -> bool {
    match std::env::var(GATEWAY_BLOBS).as_deref() {
        Ok("s3") => true,
        Ok("" | "directory") | Err(_) => false,
        Ok(other) => panic!("{GATEWAY_BLOBS} is {other:?}: write directory or s3"),
    }
}

impl Blobs {
    /// Those of a new gateway with this state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        if are_on_s3() {
            return Self::on_s3();
        }
        Self::in_directory(state)
    }

    /// Those of a new gateway with this state directory that keeps them there, whatever the others do.
    #[must_use]
    pub fn in_directory(state: &Path) -> Self {
        Self::Directory(state.join("blobs"))
    }

    /// Those of a new gateway that keeps them on S3, whatever the others do.
    #[must_use]
    pub fn on_s3() -> Self {
        let server = S3Server::start().expect("an S3 server");
        server.create_bucket(BUCKET);
        Self::S3(Arc::new(server))
    }

    /// The server, if they are on one: to make faults.
    #[must_use]
    pub fn server(&self) -> Option<&S3Server> {
        match self {
            Self::Directory(_) => None,
            Self::S3(server) => Some(server),
        }
    }

    /// What the gateway is told of it, in its environment.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Directory(_) => Vec::new(),
            Self::S3(server) => vec![
                ("BLOB_STORE", "s3".to_owned()),
                ("S3_ENDPOINT", server.endpoint()),
                ("S3_BUCKET", BUCKET.to_owned()),
                ("S3_PREFIX", PREFIX.trim_end_matches('/').to_owned()),
                ("S3_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
                ("S3_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
            ],
        }
    }

    /// An object's bytes; none if there is none.
    #[must_use]
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        match self {
            Self::Directory(root) => std::fs::read(root.join(key)).ok(),
            Self::S3(server) => {
                let object = server.object(BUCKET, &format!("{PREFIX}{key}"));
                object.map(|object| object.content.to_vec())
            }
        }
    }

    /// Whether there is an object.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.read(key).is_some()
    }

    /// The keys of all objects below a prefix that ends with a slash, in their order.
    #[must_use]
    pub fn keys(&self, below: &str) -> Vec<String> {
        match self {
            Self::Directory(root) => {
                let mut found = Vec::new();
                let mut folders = vec![root.join(below)];
                while let Some(folder) = folders.pop() {
                    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                        match entry.path() {
                            path if path.is_dir() => folders.push(path),
                            path => found.extend(key(root, &path)),
                        }
                    }
                }
                found.sort();
                found
            }
            Self::S3(server) => {
                let keys = server.keys(BUCKET, &format!("{PREFIX}{below}"));
                keys.iter()
                    .filter_map(|key| key.strip_prefix(PREFIX))
                    .map(str::to_owned)
                    .collect()
            }
        }
    }

    /// The names of the objects below a prefix that ends with a slash: the last parts of their keys.
    #[must_use]
    pub fn names(&self, below: &str) -> Vec<String> {
        let name = |key: String| key.rsplit('/').next().unwrap_or_default().to_owned();
        let mut names: Vec<String> = self.keys(below).into_iter().map(name).collect();
        names.sort();
        names
    }

    /// A store over the same objects, to read what stands beside their bytes.
    #[must_use]
    pub fn store(&self) -> BlobStore {
        if let Self::Directory(root) = self {
            return BlobStore::directory(root).expect("its directory");
        }
        let variables = self.variables();
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.clone())
        };
        match Choice::read(lookup).expect("its settings") {
            Choice::S3(settings) => BlobStore::s3(&settings).expect("its bucket"),
            Choice::Directory => unreachable!("it is on S3"),
        }
    }
}

fn key(root: &Path, path: &Path) -> Option<String> {
    let key = path.strip_prefix(root).ok()?.to_str()?;
    (!key.ends_with(".meta.json")).then(|| key.to_owned())
}
