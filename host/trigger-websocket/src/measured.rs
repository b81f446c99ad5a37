//! Stores as components use them: what is asked of them is timed, and errors are counted by kind. Without
//! figures nothing is measured. What fails is told to the store's health.

use std::sync::Arc;
use std::time::Instant;

use blob_store::{BlobError, BlobStore, Object, Stored};
use bytes::Bytes;
use host_metrics::{Metrics, Operation};
use key_value_store::{Answer, Claim, Entry, KeyPage, KeyValue, KvError, Swap};

use crate::store_health::{self, StoreHealth};

/// A key-value store that is measured.
struct MeasuredKeyValue {
    store: Arc<dyn KeyValue>,
    figures: Option<Arc<KeyValueFigures>>,
    health: StoreHealth,
}

struct KeyValueFigures {
    get: Operation,
    set: Operation,
    delete: Operation,
    exists: Operation,
    list_keys: Operation,
    get_many: Operation,
    set_many: Operation,
    delete_many: Operation,
    increment: Operation,
    compare_and_swap: Operation,
}

/// The store with this name, measured if there are figures.
pub fn key_value(
    store: Arc<dyn KeyValue>,
    name: &str,
    metrics: Option<&Metrics>,
    health: StoreHealth,
) -> Arc<dyn KeyValue> {
    let figures = metrics.map(|metrics| {
        let figures = metrics.store(&key_value_label(name));
        let operation = |name| figures.operation(name);
        Arc::new(KeyValueFigures {
            get: operation("get"),
            set: operation("set"),
            delete: operation("delete"),
            exists: operation("exists"),
            list_keys: operation("list-keys"),
            get_many: operation("get-many"),
            set_many: operation("set-many"),
            delete_many: operation("delete-many"),
            increment: operation("increment"),
            compare_and_swap: operation("compare-and-swap"),
        })
    });
    Arc::new(MeasuredKeyValue {
        store,
        figures,
        health,
    })
}

/// What figures call this store.
pub fn key_value_label(name: &str) -> String {
    format!("key-value:{name}")
}

/// What figures call the blob store.
pub const BLOBS: &str = "blobs";

impl MeasuredKeyValue {
    fn timed<'a, T: Send + 'a>(
        &'a self,
        pick: fn(&KeyValueFigures) -> &Operation,
        work: Answer<'a, T>,
    ) -> Answer<'a, T> {
        let operation = self.figures.as_deref().map(pick);
        Box::pin(async move {
            let since = Instant::now();
            let done = work.await;
            if let Err(error) = &done
                && store_health::is_of_the_store(error)
            {
                self.health.suspect();
            }
            if let Some(operation) = operation {
                operation.done(since, done.as_ref().err().map(key_value_error));
            }
            done
        })
    }
}

impl KeyValue for MeasuredKeyValue {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        self.timed(|figures| &figures.get, self.store.get(key))
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> Answer<'a, ()> {
        self.timed(|figures| &figures.set, self.store.set(key, value))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        self.timed(|figures| &figures.delete, self.store.delete(key))
    }

    fn exists<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        self.timed(|figures| &figures.exists, self.store.exists(key))
    }

    fn list_keys<'a>(&'a self, cursor: Option<&'a str>) -> Answer<'a, KeyPage> {
        self.timed(|figures| &figures.list_keys, self.store.list_keys(cursor))
    }

    fn get_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, Vec<Entry>> {
        self.timed(|figures| &figures.get_many, self.store.get_many(keys))
    }

    fn set_many<'a>(&'a self, entries: &'a [(String, Vec<u8>)]) -> Answer<'a, ()> {
        self.timed(|figures| &figures.set_many, self.store.set_many(entries))
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()> {
        self.timed(|figures| &figures.delete_many, self.store.delete_many(keys))
    }

    fn increment<'a>(&'a self, key: &'a str, delta: i64) -> Answer<'a, i64> {
        self.timed(
            |figures| &figures.increment,
            self.store.increment(key, delta),
        )
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
    ) -> Answer<'a, Swap> {
        self.timed(
            |figures| &figures.compare_and_swap,
            self.store.compare_and_swap(key, expected, new),
        )
    }

    fn under(&self, claim: &Claim) -> Option<Arc<dyn KeyValue>> {
        Some(Arc::new(Self {
            store: self.store.under(claim)?,
            figures: self.figures.clone(),
            health: self.health.clone(),
        }))
    }

    fn check(&self) -> Answer<'_, ()> {
        self.store.check()
    }

    fn probe(&self) -> Answer<'_, ()> {
        self.store.probe()
    }
}

fn key_value_error(error: &KvError) -> &'static str {
    match error {
        KvError::Busy { .. } => "busy",
        KvError::Unavailable { .. } => "unavailable",
        KvError::Unanswered { .. } => "unanswered",
        KvError::ClaimLost => "claim-lost",
        KvError::BadCursor => "bad-cursor",
        KvError::Full { .. } => "full",
        KvError::Damaged { .. } => "damaged",
        KvError::TooLarge { .. } => "too-large",
        KvError::NotANumber { .. } => "not-a-number",
    }
}

/// The blob store as components see it.
pub struct Blobs {
    store: BlobStore,
    figures: Option<Arc<BlobFigures>>,
    health: StoreHealth,
}

/// As [`blob_store::Upload`].
pub struct Upload {
    upload: blob_store::Upload,
    figures: Option<Arc<BlobFigures>>,
    health: StoreHealth,
}

struct BlobFigures {
    put: Operation,
    get: Operation,
    head: Operation,
    /// An object in pieces: each of them, the beginning and the end.
    upload: Operation,
    delete: Operation,
    delete_prefix: Operation,
}

impl Blobs {
    /// This store, measured if there are figures.
    pub fn new(store: BlobStore, metrics: Option<&Metrics>, health: StoreHealth) -> Self {
        let figures = metrics.map(|metrics| {
            let figures = metrics.store(BLOBS);
            Arc::new(BlobFigures {
                put: figures.operation("put"),
                get: figures.operation("get"),
                head: figures.operation("head"),
                upload: figures.operation("upload"),
                delete: figures.operation("delete"),
                delete_prefix: figures.operation("delete-prefix"),
            })
        });
        Self {
            store,
            figures,
            health,
        }
    }

    /// See [`BlobStore::kind`].
    pub fn kind(&self) -> &'static str {
        self.store.kind()
    }

    /// See [`BlobStore::put`].
    pub async fn put(
        &self,
        key: &str,
        content: Bytes,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<(), BlobError> {
        let put = self.store.put(key, content, content_type, metadata);
        let operation = self.figures.as_ref().map(|figures| &figures.put);
        measured(operation, &self.health, put).await
    }

    /// See [`BlobStore::begin`].
    pub async fn begin(
        &self,
        key: &str,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<Upload, BlobError> {
        let figures = self.figures.clone();
        let begin = self.store.begin(key, content_type, metadata);
        let operation = figures.as_ref().map(|figures| &figures.upload);
        let upload = measured(operation, &self.health, begin).await?;
        Ok(Upload {
            upload,
            figures,
            health: self.health.clone(),
        })
    }

    /// See [`BlobStore::get`].
    pub async fn get(&self, key: &str) -> Result<Option<Object>, BlobError> {
        self.getting(self.store.get(key)).await
    }

    /// See [`BlobStore::get_content`].
    pub async fn get_content(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        self.getting(self.store.get_content(key)).await
    }

    /// See [`BlobStore::get_range`].
    pub async fn get_range(
        &self,
        key: &str,
        version: &str,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, BlobError> {
        self.getting(self.store.get_range(key, version, offset, length))
            .await
    }

    /// See [`BlobStore::head`].
    pub async fn head(&self, key: &str) -> Result<Option<Stored>, BlobError> {
        let operation = self.figures.as_ref().map(|figures| &figures.head);
        measured(operation, &self.health, self.store.head(key)).await
    }

    /// See [`BlobStore::delete`].
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let operation = self.figures.as_ref().map(|figures| &figures.delete);
        measured(operation, &self.health, self.store.delete(key)).await
    }

    /// See [`BlobStore::delete_prefix`].
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u32, BlobError> {
        let delete = self.store.delete_prefix(prefix);
        let operation = self.figures.as_ref().map(|figures| &figures.delete_prefix);
        measured(operation, &self.health, delete).await
    }

    async fn getting<T>(
        &self,
        get: impl Future<Output = Result<T, BlobError>>,
    ) -> Result<T, BlobError> {
        let operation = self.figures.as_ref().map(|figures| &figures.get);
        measured(operation, &self.health, get).await
    }
}

impl Upload {
    /// See [`blob_store::Upload::write`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let operation = self.figures.as_ref().map(|figures| &figures.upload);
        measured(operation, &self.health, self.upload.write(bytes)).await
    }

    /// See [`blob_store::Upload::finish`].
    pub async fn finish(self) -> Result<(), BlobError> {
        let operation = self.figures.as_ref().map(|figures| &figures.upload);
        measured(operation, &self.health, self.upload.finish()).await
    }
}

async fn measured<T>(
    operation: Option<&Operation>,
    health: &StoreHealth,
    work: impl Future<Output = Result<T, BlobError>>,
) -> Result<T, BlobError> {
    let since = Instant::now();
    let done = work.await;
    if done.is_err() {
        health.suspect();
    }
    if let Some(operation) = operation {
        operation.done(since, done.as_ref().err().map(blob_error));
    }
    done
}

fn blob_error(error: &BlobError) -> &'static str {
    match error {
        BlobError::Unavailable(_) => "unavailable",
        BlobError::Full(_) => "full",
        BlobError::Refused(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use key_value_store::{Durability, MAX_KEY_BYTES, SqliteStore};

    use super::*;

    #[track_caller]
    fn has(metrics: &Metrics, series: &str, count: u64) {
        let (text, line) = (metrics.text(), format!("{series} {count}"));
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }

    fn health() -> StoreHealth {
        StoreHealth::new("store", "the store")
    }

    #[tokio::test]
    async fn a_key_value_store_is_timed_and_its_errors_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let store = SqliteStore::open(&file, "default", Durability::Normal).unwrap();
        let metrics = Metrics::new("1");
        let store = key_value(Arc::new(store), "default", Some(&metrics), health());
        store.set("a", b"1").await.unwrap();
        assert_eq!(store.get("a").await.unwrap().as_deref(), Some(&b"1"[..]));
        assert!(!store.exists("b").await.unwrap());
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        store.get(&long).await.unwrap_err();
        let of = |operation: &str| {
            format!(
                "host_store_seconds_count{{store=\"key-value:default\",operation=\"{operation}\"}}"
            )
        };
        has(&metrics, &of("get"), 2);
        has(&metrics, &of("set"), 1);
        has(&metrics, &of("delete"), 0);
        let errors = "host_store_errors_total{store=\"key-value:default\",operation=\"get\",kind=\"too-large\"}";
        has(&metrics, errors, 1);
    }

    #[tokio::test]
    async fn blobs_are_timed_and_their_errors_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::new("1");
        let store = BlobStore::directory(folder.path()).unwrap();
        let blobs = Blobs::new(store, Some(&metrics), health());
        let content = Bytes::from_static(b"x");
        blobs.put("a/b", content, "text/plain", &[]).await.unwrap();
        assert!(blobs.get("a/b").await.unwrap().is_some());
        assert!(blobs.get_content("a/b").await.unwrap().is_some());
        blobs.get("../b").await.unwrap_err();
        let mut upload = blobs.begin("a/c", "text/plain", &[]).await.unwrap();
        upload.write(b"xy").await.unwrap();
        upload.finish().await.unwrap();
        assert_eq!(blobs.head("a/c").await.unwrap().unwrap().size, 2);
        blobs.delete("a/d").await.unwrap();
        assert_eq!(blobs.delete_prefix("a/").await.unwrap(), 2);
        let of = |operation: &str| {
            format!("host_store_seconds_count{{store=\"blobs\",operation=\"{operation}\"}}")
        };
        has(&metrics, &of("put"), 1);
        has(&metrics, &of("get"), 3);
        has(&metrics, &of("upload"), 3);
        has(&metrics, &of("head"), 1);
        has(&metrics, &of("delete"), 1);
        has(&metrics, &of("delete-prefix"), 1);
        let errors = "host_store_errors_total{store=\"blobs\",operation=\"get\",kind=\"refused\"}";
        has(&metrics, errors, 1);
    }
}
