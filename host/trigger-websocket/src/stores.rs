//! Where this machine keeps things: the state directory, the key-value stores and the blobs in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use app_manifest::{App, BlobSettings, Component, KeyValueSettings, RuntimeConfig, ServerUrl};
use blob_store::{BlobError, BlobStore, Choice, Sync};
use host_metrics::Metrics;
use key_value_store::{Durability, KeyValue, KvError, RedisSettings, RedisStore, SqliteStore};
use tokio_util::task::AbortOnDropHandle;

use crate::host_id::HostId;
use crate::measured::{self, Blobs};
use crate::store_health::{self, Asked, StoreHealth};
use crate::store_lock::StoreLocks;
use crate::store_settings::StoreSettings;
use crate::variables::{self, Overrides, StoreKinds};

/// The state directory, below the app's, when nobody names one.
const DEFAULT_STATE_DIR: &str = ".spin";

/// The runtime configuration, beside the manifest, when nobody names one.
const DEFAULT_RUNTIME_CONFIG: &str = "runtime-config.toml";

/// The store that has the sessions, for /health.
const SESSIONS: &str = "default";

/// Compiled code, in the state directory.
const CACHE: &str = "cache";

/// What is kept, and where.
pub struct Stores {
    /// Absolute; exists.
    pub state_dir: PathBuf,
    /// By the names that components open them with.
    pub key_value: BTreeMap<String, Arc<dyn KeyValue>>,
    /// Those of them that other hosts may use too.
    shared: BTreeMap<String, RedisStore>,
    /// One for the app.
    pub blobs: Arc<Blobs>,
    /// For people: what is where, one line a store.
    pub description: Vec<String>,
    /// Of each store, with what it is asked by.
    watched: Vec<(StoreHealth, Asked)>,
    /// Held as long as the stores are used.
    _host: Option<HostId>,
    _locks: StoreLocks,
}

/// What stores are opened with.
struct Opening<'a> {
    app: &'a str,
    state_dir: &'a Path,
    settings: &'a StoreSettings,
    host: Option<HostId>,
    locks: StoreLocks,
}

impl Opening<'_> {
    /// A store in a file, which no other host may use: two would each take all lanes for theirs.
    fn sqlite(&mut self, name: &str, path: &Path) -> anyhow::Result<(SqliteStore, PathBuf)> {
        let file = self.state_dir.join(path);
        self.locks.take(&file)?;
        let store = SqliteStore::open(&file, name, self.settings.sync)?;
        Ok((store, file))
    }

    async fn redis(&mut self, name: &str, url: &ServerUrl) -> anyhow::Result<RedisStore> {
        let host = match &self.host {
            Some(host) => host,
            None => {
                let host = HostId::of(self.state_dir).with_context(|| {
                    format!(
                        "cannot keep this host's name in {}",
                        self.state_dir.display()
                    )
                })?;
                self.host.insert(host)
            }
        };
        let prefix = match &self.settings.key_prefix {
            Some(prefix) => prefix.clone(),
            None => format!("{}:", self.app),
        };
        let settings = RedisSettings {
            url: url.expose().to_owned(),
            prefix: format!("{prefix}{name}:"),
            host: host.name.clone(),
            ca_file: self.settings.ca_file.clone(),
            connect_timeout: self.settings.connect_timeout,
            response_timeout: self.settings.timeout,
        };
        let store = RedisStore::open(&settings).await.with_context(|| {
            format!("[key_value_store.{name}] of the runtime configuration cannot be used")
        })?;
        if self.settings.sync == Durability::Full {
            match store.waits_for_disk().await {
                Some(true) => {}
                Some(false) => bail!(
                    "STORE_SYNC is \"power\", and {} does not wait for its disk: set appendonly to yes and \
                     appendfsync to always there, or STORE_SYNC to process",
                    store.place()
                ),
                None => tracing::warn!(
                    server = store.place(),
                    "STORE_SYNC is \"power\", and the server does not tell whether it waits for its disk"
                ),
            }
        }
        Ok(store)
    }
}

/// The host's environment: a variable's value by its name.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + std::marker::Sync + 'a;

impl Stores {
    /// Opens all stores that components of the app name; they are measured if there are figures. The host's
    /// own settings for them are read from `environment` and `given`.
    ///
    /// # Errors
    /// A folder, file or server cannot be used, a store is named that nobody has configured, or a setting
    /// is wrong.
    pub async fn open(
        app: &App,
        app_dir: &Path,
        state_dir: Option<&Path>,
        runtime_config: Option<&Path>,
        metrics: Option<&Metrics>,
        (environment, given): (&Environment<'_>, &Overrides),
    ) -> anyhow::Result<Self> {
        let default_config = app_dir.join(DEFAULT_RUNTIME_CONFIG);
        let runtime_config =
            runtime_config.or_else(|| default_config.exists().then_some(default_config.as_path()));
        let config = RuntimeConfig::load(runtime_config)?;
        let state_dir = match (state_dir, &config.state_dir) {
            (Some(given), _) => given.to_owned(),
            (None, Some(configured)) => configured.clone(),
            (None, None) => app_dir.join(DEFAULT_STATE_DIR),
        };
        let state_dir = usable_directory(&state_dir)?;
        let settings =
            StoreSettings::read(|name| variables::host_setting(name, &environment, given))?;
        let mut opening = Opening {
            app: &app.name,
            state_dir: &state_dir,
            settings: &settings,
            host: None,
            locks: StoreLocks::default(),
        };
        let mut watched = Vec::new();
        let mut description = Vec::new();
        let mut key_value: BTreeMap<String, Arc<dyn KeyValue>> = BTreeMap::new();
        let mut shared: BTreeMap<String, RedisStore> = BTreeMap::new();
        for name in named_stores(app) {
            let Some(wanted) = config.key_value_stores.get(name) else {
                bail!(
                    "a component's key_value_stores names \"{name}\", which is not configured: add \
                     [key_value_store.{name}] with type = \"spin\" and a path, or type = \"redis\" and \
                     an url, to {}",
                    runtime_config.unwrap_or(&default_config).display()
                );
            };
            let (store, place): (Arc<dyn KeyValue>, String) = match wanted {
                KeyValueSettings::Spin { path } => {
                    let (store, file) = opening.sqlite(name, path)?;
                    (Arc::new(store), format!("sqlite, {}", file.display()))
                }
                KeyValueSettings::Redis { url } => {
                    let store = opening.redis(name, url).await?;
                    shared.insert(name.to_owned(), store.clone());
                    let place = format!("redis, {}", store.place());
                    (Arc::new(store), place)
                }
            };
            let message_name = format!("the key-value store \"{name}\"");
            let health = StoreHealth::new(&measured::key_value_label(name), &message_name);
            watched.push((health.clone(), Asked::KeyValue(Arc::clone(&store))));
            let store = measured::key_value(store, name, metrics, health);
            key_value.insert(name.to_owned(), store);
            description.push(format!("key-value store \"{name}\": {place}"));
        }
        let Opening { host, locks, .. } = opening;
        let choice = Choice::read(|name| variables::host_setting(name, &environment, given))?;
        let blobs = match choice {
            Choice::S3(settings) => BlobStore::s3(&settings)?,
            Choice::Directory => {
                let BlobSettings::Directory { path } = &app.settings.blob_store;
                let sync = match settings.sync {
                    Durability::Normal => Sync::Process,
                    Durability::Full => Sync::Power,
                };
                BlobStore::directory_with(&state_dir.join(path), sync)?
            }
        };
        description.push(format!("blobs: {}, {}", blobs.kind(), blobs.place()));
        let health = StoreHealth::new(measured::BLOBS, "the blob store");
        watched.push((health.clone(), Asked::Blobs(blobs.clone())));
        let blobs = Arc::new(Blobs::new(blobs, metrics, health));
        if let Some(metrics) = metrics {
            let stores = watched.iter().map(|(health, _)| health.clone());
            store_health::show(metrics, stores.collect());
        }
        Ok(Self {
            state_dir,
            key_value,
            shared,
            blobs,
            description,
            watched,
            _host: host,
            _locks: locks,
        })
    }

    /// The one of these stores that other hosts may use too.
    ///
    /// # Errors
    /// There are several: a lane can be claimed in one only.
    pub fn shared_by(&self, component: &Component) -> anyhow::Result<Option<RedisStore>> {
        let mut found = component
            .key_value_stores
            .iter()
            .filter_map(|name| self.shared.get(name));
        let first = found.next().cloned();
        if found.next().is_some() {
            bail!(
                "component '{}' has several key-value stores in Redis, and its lanes can be claimed in \
                 one only: give it one, and others of type \"spin\"",
                component.id
            );
        }
        Ok(first)
    }

    /// Has each store write, read and remove something. One that cannot now and may later is logged, and
    /// `/health` says so.
    ///
    /// # Errors
    /// One will not by itself: there is no such bucket, the key or the user may not write.
    pub async fn check(&self) -> anyhow::Result<()> {
        for (health, asked) in &self.watched {
            match asked {
                Asked::KeyValue(store) => match store.probe().await {
                    Ok(()) => {}
                    Err(
                        error @ (KvError::Busy { .. }
                        | KvError::Full { .. }
                        | KvError::Unanswered { .. }),
                    ) => health.fails(&error.to_string(), store_health::of_key_value(&error)),
                    Err(error) => return Err(error).context("nothing can be stored"),
                },
                Asked::Blobs(store) => match ask(store).await {
                    Ok(()) => {}
                    Err(error @ (BlobError::Unavailable(_) | BlobError::Full(_))) => {
                        tracing::warn!(%error, "nothing can be stored until it is back");
                        health.fails(&error.to_string(), store_health::of_blobs(&error));
                    }
                    Err(error) => {
                        return Err(error).with_context(|| {
                            format!("no audio can be stored: {}", may_be_written(store))
                        });
                    }
                },
            }
        }
        Ok(())
    }

    /// Looks after the stores until the handles are dropped.
    pub fn watch(&self) -> Vec<AbortOnDropHandle<()>> {
        let watches = self.watched.iter().cloned();
        watches
            .map(|(health, asked)| AbortOnDropHandle::new(tokio::spawn(health.watch(asked))))
            .collect()
    }

    /// What is known of each store.
    pub fn health(&self) -> Vec<StoreHealth> {
        self.watched
            .iter()
            .map(|(health, _)| health.clone())
            .collect()
    }

    /// Where compiled code is kept.
    pub fn cache(&self) -> PathBuf {
        self.state_dir.join(CACHE)
    }

    /// What the app is told of its stores.
    pub fn kinds(&self) -> StoreKinds {
        StoreKinds {
            session_store: match self.shared.contains_key(SESSIONS) {
                true => "redis",
                false => "sqlite",
            },
            blob_store: self.blobs.kind(),
        }
    }
}

/// Whether the blob store is there and can be used.
async fn ask(store: &BlobStore) -> Result<(), BlobError> {
    store.check().await?;
    store.probe().await
}

/// What to do so that it can.
fn may_be_written(store: &BlobStore) -> String {
    match store.kind() {
        "s3" => "let the access key list, read, write and delete objects (docs/r2.md)".to_owned(),
        _ => format!(
            "have {} belong to the user that the gateway runs as, or name another directory with \
             [application.trigger.websocket.blob_store] in spin.toml or with --state-dir",
            store.place()
        ),
    }
}

fn named_stores(app: &App) -> BTreeSet<&str> {
    app.triggers
        .iter()
        .filter_map(|trigger| app.components.get(&trigger.component))
        .flat_map(|component| &component.key_value_stores)
        .map(String::as_str)
        .collect()
}

fn usable_directory(path: &Path) -> anyhow::Result<PathBuf> {
    let context = || {
        format!(
            "cannot use {} as state directory; give another one with --state-dir",
            path.display()
        )
    };
    std::fs::create_dir_all(path).with_context(context)?;
    path.canonicalize().with_context(context)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn app(folder: &Path, stores: &str) -> App {
        let path = folder.join("spin.toml");
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "test"
            [[trigger.websocket]]
            route = "/..."
            component = "entry"
            [component.entry]
            source = "entry.wasm"
            key_value_stores = [{stores}]
            "#
        );
        std::fs::write(&path, manifest).unwrap();
        App::from_spin_toml(&path).unwrap()
    }

    async fn open(app: &App, folder: &Path, state_dir: Option<&Path>) -> anyhow::Result<Stores> {
        let none = Overrides::new();
        Stores::open(app, folder, state_dir, None, None, (&|_| None, &none)).await
    }

    #[tokio::test]
    async fn everything_is_in_the_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "\"default\"");
        let stores = open(&app, folder.path(), None).await.unwrap();
        assert_eq!(stores.kinds().blob_store, "directory");
        let state = folder.path().canonicalize().unwrap().join(".spin");
        assert_eq!(stores.state_dir, state);
        assert!(state.join("sqlite_key_value.db").exists());
        assert!(state.join("blobs").is_dir());
        assert_eq!(stores.key_value.len(), 1);
    }

    #[tokio::test]
    async fn two_hosts_do_not_use_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "\"default\"");
        let first = open(&app, folder.path(), None).await.unwrap();
        let Err(error) = open(&app, folder.path(), None).await else {
            panic!("two hosts have one file");
        };
        assert!(error.to_string().contains("another gateway"), "{error}");
        drop(first);
        open(&app, folder.path(), None).await.unwrap();
    }

    #[tokio::test]
    async fn two_hosts_do_not_use_one_file_by_two_names() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let file = |number: usize| folders[number].path().join(".spin/sqlite_key_value.db");
        let apps = [0, 1].map(|number: usize| app(folders[number].path(), "\"default\""));
        let first = open(&apps[0], folders[0].path(), None).await.unwrap();
        std::fs::create_dir(folders[1].path().join(".spin")).unwrap();
        for is_hard in [false, true] {
            match is_hard {
                false => std::os::unix::fs::symlink(file(0), file(1)).unwrap(),
                true => std::fs::hard_link(file(0), file(1)).unwrap(),
            }
            let Err(error) = open(&apps[1], folders[1].path(), None).await else {
                panic!("two hosts have one file; a hard link: {is_hard}");
            };
            assert!(error.to_string().contains("another gateway"), "{error}");
            std::fs::remove_file(file(1)).unwrap();
        }
        drop(first);
    }

    #[tokio::test]
    async fn a_directory_for_blobs_that_cannot_be_written_ends_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "\"default\"");
        open(&app, folder.path(), None)
            .await
            .unwrap()
            .check()
            .await
            .unwrap();
        let blobs = folder.path().join(".spin/blobs");
        assert_eq!(
            std::fs::read_dir(&blobs).unwrap().count(),
            0,
            "nothing is left"
        );
        std::fs::remove_dir(&blobs).unwrap();
        // Nobody may make a file there, not even root.
        std::os::unix::fs::symlink("/sys/kernel", &blobs).unwrap();
        let stores = open(&app, folder.path(), None).await.unwrap();
        let error = format!("{:#}", stores.check().await.unwrap_err());
        for part in ["no audio can be stored", "blobs", "--state-dir"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[tokio::test]
    async fn an_unknown_store_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "\"default\", \"other\"");
        let Err(error) = open(&app, folder.path(), None).await else {
            panic!("opened a store that is not configured");
        };
        assert!(
            error.to_string().contains("[key_value_store.other]"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_file_is_no_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let Err(error) = open(&app, folder.path(), Some(&file)).await else {
            panic!("took a file for a folder");
        };
        assert!(error.to_string().contains("--state-dir"), "{error}");
    }

    #[tokio::test]
    async fn blobs_are_on_s3_when_the_environment_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "");
        let with = async |endpoint: &'static str| {
            let environment = move |name: &str| match name {
                "BLOB_STORE" => Some("s3".to_owned()),
                "S3_ENDPOINT" => Some(endpoint.to_owned()),
                "S3_BUCKET" => Some("not-this-one".to_owned()),
                "SPIN_VARIABLE_S3_BUCKET" => Some("interviews".to_owned()),
                "S3_ACCESS_KEY_ID" | "S3_SECRET_ACCESS_KEY" => Some("key-1".to_owned()),
                _ => None,
            };
            let given = Overrides::new();
            Stores::open(
                &app,
                folder.path(),
                None,
                None,
                None,
                (&environment, &given),
            )
            .await
        };
        let stores = with("https://r2.invalid").await.unwrap();
        assert_eq!(stores.kinds().blob_store, "s3");
        let shown = stores.description.join("\n");
        assert!(
            shown.contains("s3, https://r2.invalid/interviews/"),
            "{shown}"
        );
        assert!(!shown.contains("key-1"), "{shown}");
        assert!(!folder.path().join(".spin/blobs").exists());
        let Err(error) = with("http://r2.invalid").await else {
            panic!("took an endpoint without TLS");
        };
        assert!(error.to_string().contains("S3_ENDPOINT is"), "{error}");
    }
}
