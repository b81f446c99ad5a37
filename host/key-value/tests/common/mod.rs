//! Both kinds of stores, opened as several processes would open them.

#![allow(dead_code, reason = "not every test file needs all of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use key_value_store::{Durability, KeyValue, RedisSettings, RedisStore, SqliteStore};
use redis_server::RedisServer;

/// Where a store is; gone when it is dropped.
pub enum Place {
    Sqlite(tempfile::TempDir),
    Redis(RedisServer),
}

impl Place {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn redis() -> Self {
        Self::Redis(RedisServer::start())
    }

    /// Opens it as one more process.
    pub async fn open(&self) -> Arc<dyn KeyValue> {
        match self {
            Self::Sqlite(directory) => {
                let path = file_in(directory.path());
                Arc::new(SqliteStore::open(&path, "default", Durability::default()).unwrap())
            }
            Self::Redis(server) => Arc::new(open_redis(&server.url()).await),
        }
    }

    pub fn is_redis(&self) -> bool {
        matches!(self, Self::Redis(_))
    }
}

pub fn file_in(directory: &Path) -> PathBuf {
    directory.join("below/state.db")
}

/// A host of its own, that waits long: a test's machine is busy.
pub fn settings(url: &str) -> RedisSettings {
    RedisSettings {
        url: url.to_owned(),
        prefix: "app:".to_owned(),
        host: uuid::Uuid::new_v4().simple().to_string(),
        ca_file: None,
        connect_timeout: Duration::from_secs(30),
        response_timeout: Duration::from_secs(30),
    }
}

pub async fn open_redis(url: &str) -> RedisStore {
    RedisStore::open(&settings(url)).await.unwrap()
}

pub fn entry(key: &str, value: &str) -> (String, Vec<u8>) {
    (key.to_owned(), value.as_bytes().to_vec())
}

pub fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub mod wire;

/// Asks until it is so.
pub async fn eventually(what: &str, probe: impl AsyncFn() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while !probe().await {
        assert!(tokio::time::Instant::now() < until, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
