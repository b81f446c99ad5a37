//! Whether something can be stored, as `/health` and the figures say it. A store that fails a call of a
//! component is asked to write at once, and then again and again until it does: what one call was refused
//! for says little of the next. It knows nothing of what is stored.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blob_store::{BlobError, BlobStore};
use host_metrics::Metrics;
use key_value_store::{KeyValue, KvError};
use tokio::sync::Notify;

/// From one look at a store that works to the next: no more than whether its file or server is there.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// From one attempt to write to the next, at a store that fails.
pub const PROBE_EVERY: Duration = Duration::from_secs(2);

/// The same in a bucket, where each attempt costs money.
pub const PROBE_BUCKET_EVERY: Duration = Duration::from_secs(10);

/// How long an attempt may take before the store is taken for failed. It is waited for before the next.
pub const PROBE_TIME: Duration = Duration::from_secs(20);

/// What is known of one store. Clones are the same store.
#[derive(Clone)]
pub struct StoreHealth(Arc<Known>);

struct Known {
    /// As figures name it.
    label: String,
    /// As messages name it.
    name: String,
    failing: Mutex<Option<Failing>>,
    is_suspect: AtomicBool,
    wake: Notify,
}

#[derive(Clone)]
struct Failing {
    since: Instant,
    /// For everybody: no place, no name.
    what: &'static str,
}

/// A store that can be asked.
#[derive(Clone)]
pub enum Asked {
    /// Sessions.
    KeyValue(Arc<dyn KeyValue>),
    /// Audio and results.
    Blobs(BlobStore),
}

/// Why a store did not do it: for the log, and for everybody.
struct Why {
    error: String,
    what: &'static str,
}

impl StoreHealth {
    /// A store that works as far as is known. `label` is what figures call it, `name` what messages do.
    pub fn new(label: &str, name: &str) -> Self {
        Self(Arc::new(Known {
            label: label.to_owned(),
            name: name.to_owned(),
            failing: Mutex::new(None),
            is_suspect: AtomicBool::new(false),
            wake: Notify::new(),
        }))
    }

    /// It failed a call: it is asked at once whether it works.
    pub fn suspect(&self) {
        self.0.is_suspect.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    /// It does not work now.
    pub fn fails(&self, error: &str, what: &'static str) {
        let mut failing = self.failing();
        if failing.is_none() {
            tracing::error!(
                store = self.0.name,
                error,
                "nothing can be stored, and nothing is acknowledged, until this is mended"
            );
        }
        let since = failing
            .as_ref()
            .map_or_else(Instant::now, |failing| failing.since);
        *failing = Some(Failing { since, what });
    }

    fn works(&self) {
        if let Some(failing) = self.failing().take() {
            let seconds = failing.since.elapsed().as_secs();
            tracing::info!(store = self.0.name, seconds, "storing works again");
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.0
            .failing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_failing(&self) -> bool {
        self.failing().is_some()
    }

    /// What is wrong with it, for everybody; none: it works.
    pub fn problem(&self) -> Option<String> {
        let what = self.failing().as_ref()?.what;
        Some(format!("{} {what}", self.0.name))
    }

    /// Looks after the store for ever.
    pub async fn watch(self, asked: Asked) {
        let pause = match &asked {
            Asked::Blobs(store) if store.kind() == "s3" => PROBE_BUCKET_EVERY,
            _ => PROBE_EVERY,
        };
        loop {
            if self.is_failing() {
                tokio::time::sleep(pause).await;
            } else {
                let _ = tokio::time::timeout(LOOK_EVERY, self.0.wake.notified()).await;
            }
            let was_suspect = self.0.is_suspect.swap(false, Ordering::AcqRel);
            if was_suspect || self.is_failing() || asked.look().await.is_err() {
                self.probe(&asked).await;
                // Whatever calls fail meanwhile: once a second is enough.
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Has the store write something.
    async fn probe(&self, asked: &Asked) {
        let asked = asked.clone();
        // A task of its own: one that takes too long goes on, and no second one is begun beside it.
        let mut probing = tokio::spawn(async move { asked.probe().await });
        let done = match tokio::time::timeout(PROBE_TIME, &mut probing).await {
            Ok(done) => done,
            Err(_) => {
                let seconds = PROBE_TIME.as_secs();
                self.fails(&format!("no answer in {seconds} s"), "does not answer");
                probing.await
            }
        };
        match done {
            Ok(Ok(())) => self.works(),
            Ok(Err(why)) => self.fails(&why.error, why.what),
            Err(error) => self.fails(&error.to_string(), "failed in an unexpected way"),
        }
    }
}

impl Asked {
    /// Whether it is there.
    async fn look(&self) -> Result<(), Why> {
        match self {
            Self::KeyValue(store) => store.check().await.map_err(Why::from),
            // A directory that is gone is made again by the next put; a bucket is not asked without need.
            Self::Blobs(_) => Ok(()),
        }
    }

    async fn probe(&self) -> Result<(), Why> {
        match self {
            Self::KeyValue(store) => store.probe().await.map_err(Why::from),
            Self::Blobs(store) => store.probe().await.map_err(Why::from),
        }
    }
}

impl From<KvError> for Why {
    fn from(error: KvError) -> Self {
        Self {
            what: of_key_value(&error),
            error: error.to_string(),
        }
    }
}

impl From<BlobError> for Why {
    fn from(error: BlobError) -> Self {
        Self {
            what: of_blobs(&error),
            error: error.to_string(),
        }
    }
}

/// What everybody may know of it.
pub fn of_key_value(error: &KvError) -> &'static str {
    match error {
        KvError::Busy { .. } => "is held by another program",
        KvError::Full { .. } => "has no space left",
        KvError::Damaged { .. } => "is damaged",
        KvError::Unanswered { .. } => "does not answer",
        _ => "cannot be written",
    }
}

/// As [`of_key_value`].
pub fn of_blobs(error: &BlobError) -> &'static str {
    match error {
        BlobError::Full(_) => "has no space left",
        BlobError::Unavailable(_) => "is not available",
        BlobError::Refused(_) => "cannot be written",
    }
}

/// Whether a call that failed so says anything of the next one.
pub fn is_of_the_store(error: &KvError) -> bool {
    match error {
        KvError::Busy { .. }
        | KvError::Unavailable { .. }
        | KvError::Unanswered { .. }
        | KvError::Full { .. }
        | KvError::Damaged { .. } => true,
        KvError::ClaimLost
        | KvError::TooLarge { .. }
        | KvError::BadCursor
        | KvError::NotANumber { .. } => false,
    }
}

/// From now on the figures show which of these stores work.
pub fn show(metrics: &Metrics, stores: Vec<StoreHealth>) {
    metrics.sample(move |sample| {
        let series: Vec<(&str, &str, u64)> = stores
            .iter()
            .map(|store| {
                let works = u64::from(!store.is_failing());
                ("store", store.0.label.as_str(), works)
            })
            .collect();
        sample.gauge("host_store_up", "Whether something can be stored", &series);
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use key_value_store::{Durability, SqliteStore};

    use super::*;

    async fn until(is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_so() {
            assert!(Instant::now() < deadline, "it does not come");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_noticed_without_any_call_and_so_is_that_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let (file, away) = (folder.path().join("state.db"), folder.path().join("away"));
        let store = Arc::new(SqliteStore::open(&file, "default", Durability::Normal).unwrap());
        let health = StoreHealth::new("key-value:default", "the key-value store \"default\"");
        let watch = tokio::spawn(health.clone().watch(Asked::KeyValue(store)));
        assert_eq!(health.problem(), None);
        std::fs::rename(&file, &away).unwrap();
        until(|| health.problem().is_some()).await;
        let problem = health.problem().unwrap();
        assert_eq!(problem, "the key-value store \"default\" cannot be written");
        std::fs::rename(&away, &file).unwrap();
        until(|| health.problem().is_none()).await;
        watch.abort();
    }

    #[tokio::test]
    async fn a_directory_that_fails_a_call_is_asked_and_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (root, away) = (folder.path().join("blobs"), folder.path().join("away"));
        let store = BlobStore::directory(&root).unwrap();
        let health = StoreHealth::new("blobs", "the blob store");
        let metrics = Metrics::new("1");
        show(&metrics, vec![health.clone()]);
        let shows = |works: u8| {
            let line = format!("host_store_up{{store=\"blobs\"}} {works}");
            let text = metrics.text();
            assert!(text.lines().any(|other| other == line), "{text}");
        };
        let watch = tokio::spawn(health.clone().watch(Asked::Blobs(store)));
        // One call's failure alone is no failure of the store.
        health.suspect();
        until(|| !health.0.is_suspect.load(Ordering::Acquire)).await;
        shows(1);
        std::fs::rename(&root, &away).unwrap();
        std::fs::write(&root, "no directory").unwrap();
        health.suspect();
        until(|| health.problem().is_some()).await;
        shows(0);
        let problem = health.problem().unwrap();
        assert!(problem.starts_with("the blob store "), "{problem}");
        assert!(!problem.contains('/'), "no place: {problem}");
        std::fs::remove_file(&root).unwrap();
        std::fs::rename(&away, &root).unwrap();
        until(|| health.problem().is_none()).await;
        shows(1);
        watch.abort();
    }
}
