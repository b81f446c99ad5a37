//! Reads Spin's locked app: what `spin up` makes of a manifest, with every source fetched to a local
//! file. Keys that it does not know are Spin's to add, so they are passed over, unless the app says
//! that they must be understood.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use crate::app::TRIGGER_TYPE;
use crate::assemble::{DependencySource, Draft, DraftComponent, DraftDependency, DraftTrigger};
use crate::error::{ManifestError, Problem};
use crate::spin_toml::Commands;
use crate::{App, Build, Inherit, VariableDecl};

/// What a host requirement is that can be passed over.
const OPTIONAL: &str = "optional";

/// The fields that an app can say must be understood, and are.
const UNDERSTOOD: [&str; 2] = ["host_requirements", "component_host_requirements"];

pub(crate) fn read(url: &str) -> Result<App, ManifestError> {
    let path =
        file_path(url).map_err(|message| Problem::new("SPIN_LOCKED_URL", message).of(url))?;
    let json = std::fs::read(&path).map_err(|source| ManifestError::Read {
        path: path.clone(),
        source,
    })?;
    parse(&json, &path.display().to_string())
}

pub(crate) fn parse(json: &[u8], file: &str) -> Result<App, ManifestError> {
    let locked: Locked = serde_json::from_slice(json).map_err(|error| ManifestError::Syntax {
        file: file.to_owned(),
        message: format!("not a locked app of Spin: {error}"),
    })?;
    locked
        .draft(file)
        .map_err(|problem| problem.of(file))?
        .assemble()
}

fn file_path(url: &str) -> Result<PathBuf, String> {
    let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "file");
    parsed
        .and_then(|url| url.to_file_path().ok())
        .ok_or_else(|| "not the URL of a local file; write file:///<path>".to_owned())
}

#[derive(Deserialize)]
struct Locked {
    spin_lock_version: u64,
    #[serde(default)]
    must_understand: Vec<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    host_requirements: Map<String, Value>,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    triggers: Vec<Trigger>,
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Variable {
    default: Option<String>,
    #[serde(default)]
    secret: bool,
}

#[derive(Deserialize)]
struct Trigger {
    id: String,
    trigger_type: String,
    trigger_config: Value,
}

#[derive(Deserialize)]
struct Component {
    id: String,
    #[serde(default)]
    metadata: Metadata,
    source: Source,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    files: Vec<Value>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    #[serde(default)]
    dependencies: BTreeMap<String, Dependency>,
    #[serde(default)]
    trigger_dependencies: Map<String, Value>,
    #[serde(default)]
    host_requirements: Map<String, Value>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    databases: Vec<String>,
    #[serde(default)]
    ai_models: Vec<String>,
    build: Option<BuildTable>,
}

#[derive(Deserialize)]
struct BuildTable {
    command: Commands,
    workdir: Option<String>,
}

#[derive(Deserialize)]
struct Source {
    source: Option<String>,
}

#[derive(Deserialize)]
struct Dependency {
    source: Source,
    export: Option<String>,
    #[serde(default)]
    inherit: Inheritance,
}

#[derive(Deserialize)]
enum Inheritance {
    All,
    Some(BTreeSet<String>),
}

impl Default for Inheritance {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl Locked {
    fn draft(self, file: &str) -> Result<Draft, Problem> {
        self.check_version()?;
        let directory = self.directory();
        let mut components = BTreeMap::new();
        for component in self.components {
            let id = component.id.clone();
            if components
                .insert(id.clone(), component.draft(&directory))
                .is_some()
            {
                return Err(Problem::new(
                    format!("components[{id}]"),
                    "the id is used twice",
                ));
            }
        }
        let mut triggers = Vec::new();
        for trigger in self.triggers {
            triggers.push(DraftTrigger {
                kind: trigger.trigger_type,
                id: Some(trigger.id).filter(|id| !id.is_empty()),
                config: match trigger.trigger_config {
                    Value::Object(config) => config,
                    _ => Map::new(),
                },
            });
        }
        let settings = self
            .metadata
            .get("triggers")
            .and_then(|types| types.get(TRIGGER_TYPE));
        Ok(Draft {
            file: file.to_owned(),
            name: self
                .metadata
                .get("name")
                .and_then(Value::as_str)
                .ok_or_else(|| Problem::new("metadata.name", "missing; Spin writes it"))?
                .to_owned(),
            components,
            triggers,
            variables: self.variables.into_iter().map(declaration).collect(),
            settings: settings
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
        })
    }

    fn check_version(&self) -> Result<(), Problem> {
        if self.spin_lock_version > 1 {
            let message = format!(
                "{} is newer than this host; use Spin 4",
                self.spin_lock_version
            );
            return Err(Problem::new("spin_lock_version", message));
        }
        let unknown = self
            .must_understand
            .iter()
            .find(|name| !UNDERSTOOD.contains(&name.as_str()));
        if let Some(name) = unknown {
            let message = format!("this host does not know \"{name}\"; use Spin 4");
            return Err(Problem::new("must_understand", message));
        }
        if let Some(name) = required(&self.host_requirements).next() {
            return Err(Problem::new(
                format!("host_requirements.{name}"),
                "this host does not have it; remove from spin.toml what needs it",
            ));
        }
        Ok(())
    }

    /// Where the manifest was: build commands are relative to it.
    fn directory(&self) -> PathBuf {
        let origin = self.metadata.get("origin").and_then(Value::as_str);
        origin
            .and_then(|origin| file_path(origin).ok())
            .and_then(|path| path.parent().map(Path::to_owned))
            .unwrap_or_else(|| PathBuf::from("."))
    }
}

fn required(requirements: &Map<String, Value>) -> impl Iterator<Item = &str> {
    requirements
        .iter()
        .filter(|(_, need)| need.as_str() != Some(OPTIONAL))
        .map(|(name, _)| name.as_str())
}

fn declaration((name, variable): (String, Variable)) -> (String, VariableDecl) {
    let required = variable.default.is_none();
    (
        name,
        VariableDecl {
            default: variable.default,
            required,
            secret: variable.secret,
        },
    )
}

impl Component {
    fn draft(self, directory: &Path) -> DraftComponent {
        let unserved = self.unserved();
        let dependencies = self.dependencies.into_iter().map(|(name, dependency)| {
            let source = match dependency.source.path() {
                Ok(path) => DependencySource::File(path),
                Err(message) => DependencySource::Elsewhere(message),
            };
            let inherit = match dependency.inherit {
                Inheritance::All => Inherit::All,
                Inheritance::Some(names) => Inherit::Some(names),
            };
            (
                name,
                DraftDependency {
                    source,
                    export: dependency.export,
                    inherit,
                },
            )
        });
        DraftComponent {
            source: self.source.path(),
            dependencies: dependencies.collect(),
            variables: self.config,
            allowed_outbound_hosts: self.metadata.allowed_outbound_hosts,
            key_value_stores: self.metadata.key_value_stores,
            environment: self.env,
            build: self.metadata.build.map(|build| Build {
                command: build.command.joined(),
                workdir: match build.workdir {
                    Some(workdir) => directory.join(workdir),
                    None => directory.to_owned(),
                },
            }),
            unserved,
        }
    }

    fn unserved(&self) -> Vec<(&'static str, &'static str)> {
        let used = [
            (
                "files",
                !self.files.is_empty(),
                "this host gives components no files; remove it",
            ),
            (
                "sqlite_databases",
                !self.metadata.databases.is_empty(),
                "this host gives components no databases; use key_value_stores",
            ),
            (
                "ai_models",
                !self.metadata.ai_models.is_empty(),
                "this host has no AI models; remove it",
            ),
            (
                "trigger_dependencies",
                !self.trigger_dependencies.is_empty(),
                "this host composes no middleware: put it into the component's own dependencies",
            ),
            (
                "host_requirements",
                required(&self.host_requirements).next().is_some(),
                "this host does not have it (service chaining, middleware); remove from spin.toml \
                 what needs it",
            ),
        ];
        used.into_iter()
            .filter(|(_, used, _)| *used)
            .map(|(name, _, message)| (name, message))
            .collect()
    }
}

impl Source {
    fn path(&self) -> Result<PathBuf, String> {
        match &self.source {
            Some(url) => file_path(url),
            None => Err("the locked app has no file for it; run it with `spin up`".to_owned()),
        }
    }
}
