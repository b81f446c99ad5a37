//! Where this machine keeps things: the state directory, the key-value stores and the blobs in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use app_manifest::{App, BlobSettings, KeyValueSettings, RuntimeConfig};
use blob_store::BlobStore;
use host_metrics::Metrics;
use key_value_store::{Durability, KeyValue, SqliteStore};

use crate::measured::{self, Blobs};
use crate::variables::StoreKinds;

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
    /// Opens all stores that components of the app name; they are measured if there are figures.
    ///
    /// # Errors
    /// A folder or file cannot be used, or a store is named that nobody has configured.
    pub fn open(
        app: &App,
        app_dir: &Path,
        state_dir: Option<&Path>,
        runtime_config: Option<&Path>,
        metrics: Option<&Metrics>,
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
        let BlobSettings::Directory { path } = &app.settings.blob_store;
        let root = state_dir.join(path);
        let blobs = Arc::new(Blobs::new(BlobStore::directory(&root)?, metrics));
        description.push(format!("blobs: {}, {}", blobs.kind(), root.display()));
        Ok(Self {
            state_dir,
            key_value,
            blobs,
            description,
        })
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

    #[test]
    fn everything_is_in_the_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::open(
            &app(folder.path(), "\"default\""),
            folder.path(),
            None,
            None,
            None,
        );
        let stores = stores.unwrap();
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
        let Err(error) = Stores::open(&app, folder.path(), None, None, None) else {
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
        let Err(error) = Stores::open(&app, folder.path(), Some(&file), None, None) else {
            panic!("took a file for a folder");
        };
        assert!(error.to_string().contains("--state-dir"), "{error}");
    }
}
