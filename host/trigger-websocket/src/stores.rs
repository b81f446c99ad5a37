//! Where this machine keeps things: the state directory, the key-value stores and the blobs in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use app_manifest::{App, BlobSettings, KeyValueSettings, RuntimeConfig};
use blob_store::{BlobError, BlobStore, Choice};
use host_metrics::Metrics;
use key_value_store::{Durability, KeyValue, SqliteStore};

use crate::measured::{self, Blobs};
use crate::variables::{self, Overrides, StoreKinds};

/// The state directory, below the app's, when nobody names one.
const DEFAULT_STATE_DIR: &str = ".spin";

/// The runtime configuration, beside the manifest, when nobody names one.
const DEFAULT_RUNTIME_CONFIG: &str = "runtime-config.toml";

/// Compiled code, in the state directory.
const CACHE: &str = "cache";

/// What is kept, and where.
pub struct Stores {
    /// Absolute; exists.
    pub state_dir: PathBuf,
    /// By the names that components open them with.
    pub key_value: BTreeMap<String, Arc<dyn KeyValue>>,
    /// One for the app.
    pub blobs: Arc<Blobs>,
    /// For people: what is where, one line a store.
    pub description: Vec<String>,
}

impl Stores {
    /// Opens all stores that components of the app name; they are measured if there are figures. The
    /// blob store's settings are read from `environment` and `given`.
    ///
    /// # Errors
    /// A folder or file cannot be used, a store is named that nobody has configured, or the blob
    /// store's settings are wrong.
    pub fn open(
        app: &App,
        app_dir: &Path,
        state_dir: Option<&Path>,
        runtime_config: Option<&Path>,
        metrics: Option<&Metrics>,
        (environment, given): (&dyn Fn(&str) -> Option<String>, &Overrides),
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
        let mut description = Vec::new();
        let mut key_value: BTreeMap<String, Arc<dyn KeyValue>> = BTreeMap::new();
        for name in named_stores(app) {
            let Some(KeyValueSettings::Spin { path }) = config.key_value_stores.get(name) else {
                bail!(
                    "a component's key_value_stores names \"{name}\", which is not configured: add \
                     [key_value_store.{name}] with type = \"spin\" and a path to {}",
                    runtime_config.unwrap_or(&default_config).display()
                );
            };
            let file = state_dir.join(path);
            let store = SqliteStore::open(&file, name, Durability::default())?;
            let store = measured::key_value(Arc::new(store), name, metrics);
            key_value.insert(name.to_owned(), store);
            description.push(format!(
                "key-value store \"{name}\": sqlite, {}",
                file.display()
            ));
        }
        let choice = Choice::read(|name| variables::host_setting(name, environment, given))?;
        let blobs = match choice {
            Choice::S3(settings) => BlobStore::s3(&settings)?,
            Choice::Directory => {
                let BlobSettings::Directory { path } = &app.settings.blob_store;
                BlobStore::directory(&state_dir.join(path))?
            }
        };
        description.push(format!("blobs: {}, {}", blobs.kind(), blobs.place()));
        let blobs = Arc::new(Blobs::new(blobs, metrics));
        Ok(Self {
            state_dir,
            key_value,
            blobs,
            description,
        })
    }

    /// Asks the blob store whether it can be used. One that is not there now may come: that is logged.
    ///
    /// # Errors
    /// It will not come by itself: there is no such bucket, or the key may not use it.
    pub async fn check(&self) -> anyhow::Result<()> {
        match self.blobs.check().await {
            Err(error @ BlobError::Unavailable(_)) => {
                tracing::warn!(%error, "nothing can be stored until it is back");
                Ok(())
            }
            checked => checked.context("the blob store's first answer"),
        }
    }

    /// Where compiled code is kept.
    pub fn cache(&self) -> PathBuf {
        self.state_dir.join(CACHE)
    }

    /// What the app is told of its stores.
    pub fn kinds(&self) -> StoreKinds {
        StoreKinds {
            session_store: "sqlite",
            blob_store: self.blobs.kind(),
        }
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

    fn open(app: &App, folder: &Path, state_dir: Option<&Path>) -> anyhow::Result<Stores> {
        let settings: (&dyn Fn(&str) -> Option<String>, _) = (&|_| None, &Overrides::new());
        Stores::open(app, folder, state_dir, None, None, settings)
    }

    #[test]
    fn everything_is_in_the_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        let stores = open(&app(folder.path(), "\"default\""), folder.path(), None);
        let stores = stores.unwrap();
        assert_eq!(stores.kinds().blob_store, "directory");
        let state = folder.path().canonicalize().unwrap().join(".spin");
        assert_eq!(stores.state_dir, state);
        assert!(state.join("sqlite_key_value.db").exists());
        assert!(state.join("blobs").is_dir());
        assert_eq!(stores.key_value.len(), 1);
    }

    #[test]
    fn an_unknown_store_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "\"default\", \"other\"");
        let Err(error) = open(&app, folder.path(), None) else {
            panic!("opened a store that is not configured");
        };
        assert!(
            error.to_string().contains("[key_value_store.other]"),
            "{error}"
        );
    }

    #[test]
    fn a_file_is_no_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let Err(error) = open(&app, folder.path(), Some(&file)) else {
            panic!("took a file for a folder");
        };
        assert!(error.to_string().contains("--state-dir"), "{error}");
    }

    #[test]
    fn blobs_are_on_s3_when_the_environment_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), "");
        let with = |endpoint: &'static str| {
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
        };
        let stores = with("https://r2.invalid").unwrap();
        assert_eq!(stores.kinds().blob_store, "s3");
        let shown = stores.description.join("\n");
        assert!(
            shown.contains("s3, https://r2.invalid/interviews/"),
            "{shown}"
        );
        assert!(!shown.contains("key-1"), "{shown}");
        assert!(!folder.path().join(".spin/blobs").exists());
        let Err(error) = with("http://r2.invalid") else {
            panic!("took an endpoint without TLS");
        };
        assert!(error.to_string().contains("S3_ENDPOINT is"), "{error}");
    }
}
