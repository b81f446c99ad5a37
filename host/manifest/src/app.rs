//! The application as the host needs it. Values of these types are valid: what they name exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{DependencyName, ManifestError, Route, Template, TriggerSettings};
use crate::{locked, spin_toml};

/// The type of the triggers that this host serves, as in `[[trigger.websocket]]`.
pub(crate) const TRIGGER_TYPE: &str = "websocket";

/// An application: what `spin.toml` describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// `[application] name`.
    pub name: String,
    /// All components whose code is a local file, by id; those that are not are left out unless a
    /// trigger of ours needs them, which is an error.
    pub components: BTreeMap<String, Component>,
    /// The triggers of type `websocket`, in the manifest's order.
    pub triggers: Vec<Trigger>,
    /// How many triggers of other types the manifest has; another host serves them.
    pub ignored_triggers: usize,
    /// `[variables]` by name.
    pub variables: BTreeMap<String, VariableDecl>,
    /// `[application.trigger.websocket]`.
    pub settings: TriggerSettings,
    /// What was left out and why, in sentences for the log.
    pub warnings: Vec<String>,
}

impl App {
    /// Reads a Spin manifest (version 2). Paths in it are relative to its directory.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, or says something that this host cannot do; the message
    /// names file and key and says what to write.
    pub fn from_spin_toml(path: &Path) -> Result<Self, ManifestError> {
        spin_toml::read(path)
    }

    /// Reads the text of a Spin manifest whose paths are relative to `directory`.
    ///
    /// # Errors
    /// As for [`App::from_spin_toml`], but there is no file that could not be read.
    pub fn from_spin_toml_text(text: &str, directory: &Path) -> Result<Self, ManifestError> {
        spin_toml::parse(text, "spin.toml", directory)
    }

    /// Reads a locked app: the JSON that Spin makes of a manifest.
    ///
    /// # Errors
    /// As for [`App::from_spin_toml`].
    pub fn from_locked(json: &[u8]) -> Result<Self, ManifestError> {
        locked::parse(json, "the locked app")
    }

    /// Reads the locked app at a `file:` URL, as in the environment variable `SPIN_LOCKED_URL`.
    ///
    /// # Errors
    /// As for [`App::from_spin_toml`], and when the URL is not one of a local file.
    pub fn from_locked_url(url: &str) -> Result<Self, ManifestError> {
        locked::read(url)
    }
}

/// `[component.<id>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its id in the manifest.
    pub id: String,
    /// The file with its code, made absolute where the manifest's own path was.
    pub source: PathBuf,
    /// What is composed into it, in the order of the names.
    pub dependencies: Vec<Dependency>,
    /// Its variables: templates over the application's.
    pub variables: BTreeMap<String, Template>,
    /// What it may connect to; see [`crate::AllowedHosts`].
    pub allowed_outbound_hosts: Vec<Template>,
    /// The key-value stores it may open.
    pub key_value_stores: Vec<String>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// How it is built from source; a locked app keeps this too.
    pub build: Option<Build>,
}

/// `[component.<id>.build]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// For a shell. Several commands of the manifest are joined by `&&`.
    pub command: String,
    /// Where the command runs.
    pub workdir: PathBuf,
}

/// One entry of `[component.<id>.dependencies]`: a component that satisfies imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Which imports it satisfies.
    pub name: DependencyName,
    /// The file with its code.
    pub source: PathBuf,
    /// The export to use; without it the one that is named like the import.
    pub export: Option<String>,
    /// What it may use of its dependent's rights.
    pub inherit: Inherit,
}

/// `inherit_configuration` of a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// All rights of the dependent.
    All,
    /// These keys of the dependent's table, such as `key_value_stores`; none when empty.
    Some(BTreeSet<String>),
}

impl Inherit {
    /// Whether the dependency has the dependent's right of this name, such as `key_value_stores`.
    pub fn allows(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(keys) => keys.contains(key),
        }
    }
}

/// `[[trigger.websocket]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its id: the manifest's, or one made like Spin makes it.
    pub id: String,
    /// The component that serves it.
    pub component: String,
    /// The paths it serves.
    pub route: Route,
}

/// One entry of `[variables]`.
#[derive(Clone, PartialEq, Eq)]
pub struct VariableDecl {
    /// What it is when nobody sets it.
    pub default: Option<String>,
    /// It has no default and must be set.
    pub required: bool,
    /// Its value must not be shown.
    pub secret: bool,
}

/// Does not show the default of a secret.
impl fmt::Debug for VariableDecl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match (&self.default, self.secret) {
            (Some(default), true) if !default.is_empty() => Some("<secret>"),
            (default, _) => default.as_deref(),
        };
        f.debug_struct("VariableDecl")
            .field("default", &shown)
            .field("required", &self.required)
            .field("secret", &self.secret)
            .finish()
    }
}
