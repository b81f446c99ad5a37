//! Reads a Spin manifest, version 2.
//!
//! Every key that Spin has is known here, so that a mistyped one is an error in both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use toml::Value;

use crate::app::TRIGGER_TYPE;
use crate::assemble::{DependencySource, Draft, DraftComponent, DraftDependency, DraftTrigger};
use crate::error::{ManifestError, Problem};
use crate::{App, Build, Inherit, VariableDecl};

/// The manifest's name in a directory.
const FILE_NAME: &str = "spin.toml";

/// What to do about code that is not in a local file.
const FETCHED_BY_SPIN: &str = "only Spin fetches registry packages and URLs: run the application \
                               with `spin up`, or use { path = \"<file>\" } or { component = \
                               \"<id>\" }";

pub(crate) fn read(path: &Path) -> Result<App, ManifestError> {
    let path = if path.is_dir() {
        path.join(FILE_NAME)
    } else {
        path.to_owned()
    };
    let fail = |source| ManifestError::Read {
        path: path.clone(),
        source,
    };
    let text = std::fs::read_to_string(&path).map_err(fail)?;
    let absolute = std::path::absolute(&path).map_err(fail)?;
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    parse(&text, &path.display().to_string(), directory)
}

pub(crate) fn parse(text: &str, file: &str, directory: &Path) -> Result<App, ManifestError> {
    let syntax = |error: toml::de::Error| ManifestError::Syntax {
        file: file.to_owned(),
        message: error.to_string(),
    };
    check_version(&toml::from_str(text).map_err(syntax)?).map_err(|problem| problem.of(file))?;
    let manifest: Manifest = toml::from_str(text).map_err(syntax)?;
    manifest
        .draft(file, directory)
        .map_err(|problem| problem.of(file))?
        .assemble()
}

fn check_version(table: &toml::Table) -> Result<(), Problem> {
    match table.get("spin_manifest_version") {
        Some(Value::Integer(2)) => Ok(()),
        Some(other) => Err(Problem::new(
            "spin_manifest_version",
            format!("{other} is not supported; write 2 and the manifest in that version's form"),
        )),
        None => Err(Problem::new("spin_manifest_version", "missing; write 2")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "spin_manifest_version")]
    _version: Value,
    application: Application,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    #[serde(default)]
    trigger: BTreeMap<String, Vec<toml::Table>>,
    #[serde(default)]
    component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Application {
    name: String,
    #[serde(default, rename = "version")]
    _version: Option<String>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
    #[serde(default, rename = "targets")]
    _targets: Option<Value>,
    #[serde(default, rename = "tool")]
    _tool: Option<toml::Table>,
    #[serde(default)]
    trigger: BTreeMap<String, toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    required: bool,
    default: Option<String>,
    #[serde(default)]
    secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    source: Value,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    files: Vec<Value>,
    #[serde(default, rename = "exclude_files")]
    _exclude_files: Vec<String>,
    #[serde(default)]
    allowed_http_hosts: Vec<String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    sqlite_databases: Vec<String>,
    #[serde(default)]
    ai_models: Vec<String>,
    #[serde(default, rename = "targets")]
    _targets: Option<Value>,
    build: Option<BuildTable>,
    #[serde(default, rename = "tool")]
    _tool: Option<toml::Table>,
    dependencies_inherit_configuration: Option<bool>,
    #[serde(default)]
    dependencies: BTreeMap<String, Value>,
    #[serde(default, rename = "profile")]
    _profile: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuildTable {
    command: Commands,
    workdir: Option<String>,
    #[serde(default, rename = "watch")]
    _watch: Vec<String>,
}

/// One command of a build, or several that run one after another.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Commands {
    One(String),
    Several(Vec<String>),
}

impl Commands {
    /// As one line for a shell.
    pub(crate) fn joined(self) -> String {
        match self {
            Self::One(command) => command,
            Self::Several(commands) => commands.join(" && "),
        }
    }
}

impl Manifest {
    fn draft(self, file: &str, directory: &Path) -> Result<Draft, Problem> {
        let mut variables = BTreeMap::new();
        for (name, variable) in self.variables {
            variables.insert(name.clone(), variable.declaration(&name)?);
        }
        let mut components = BTreeMap::new();
        for (id, component) in self.component {
            let draft = component.draft(&id, directory)?;
            components.insert(id, draft);
        }
        let mut triggers = Vec::new();
        for (kind, tables) in self.trigger {
            for table in tables {
                let mut config = json_table(&table);
                let id = match config.remove("id") {
                    Some(Json::String(id)) if !id.is_empty() => Some(id),
                    _ => None,
                };
                triggers.push(DraftTrigger {
                    kind: kind.clone(),
                    id,
                    config,
                });
            }
        }
        let settings = self.application.trigger.get(TRIGGER_TYPE).map(json_table);
        Ok(Draft {
            file: file.to_owned(),
            name: self.application.name,
            components,
            triggers,
            variables,
            settings: settings.unwrap_or_default(),
        })
    }
}

impl Variable {
    fn declaration(self, name: &str) -> Result<VariableDecl, Problem> {
        if self.required == self.default.is_some() {
            return Err(Problem::new(
                format!("variables.{name}"),
                "write either required = true or default = \"<value>\"",
            ));
        }
        Ok(VariableDecl {
            default: self.default,
            required: self.required,
            secret: self.secret,
        })
    }
}

impl Component {
    fn draft(self, id: &str, directory: &Path) -> Result<DraftComponent, Problem> {
        let unserved = self.unserved();
        let mut dependencies = BTreeMap::new();
        for (name, value) in &self.dependencies {
            let key = format!("component.{id}.dependencies.\"{name}\"");
            let dependency = dependency(
                value,
                &key,
                directory,
                self.dependencies_inherit_configuration,
            )?;
            dependencies.insert(name.clone(), dependency);
        }
        Ok(DraftComponent {
            source: match self.source {
                Value::String(path) => Ok(directory.join(path)),
                _ => Err(FETCHED_BY_SPIN.to_owned()),
            },
            dependencies,
            variables: self.variables,
            allowed_outbound_hosts: self.allowed_outbound_hosts,
            key_value_stores: self.key_value_stores,
            environment: self.environment,
            build: self.build.map(|build| Build {
                command: build.command.joined(),
                workdir: match build.workdir {
                    Some(workdir) => directory.join(workdir),
                    None => directory.to_owned(),
                },
            }),
            unserved,
        })
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
                !self.sqlite_databases.is_empty(),
                "this host gives components no databases; use key_value_stores",
            ),
            (
                "ai_models",
                !self.ai_models.is_empty(),
                "this host has no AI models; remove it",
            ),
            (
                "allowed_http_hosts",
                !self.allowed_http_hosts.is_empty(),
                "use allowed_outbound_hosts = [\"https://<host>\"] in its place",
            ),
        ];
        used.into_iter()
            .filter(|(_, used, _)| *used)
            .map(|(name, _, message)| (name, message))
            .collect()
    }
}

fn dependency(
    value: &Value,
    key: &str,
    directory: &Path,
    inherit_all: Option<bool>,
) -> Result<DraftDependency, Problem> {
    let elsewhere = || DependencySource::Elsewhere(FETCHED_BY_SPIN.to_owned());
    let mut source = None;
    let mut export = None;
    let mut inherit = None;
    let table = match value {
        Value::String(_) => {
            return Ok(DraftDependency {
                source: elsewhere(),
                export: None,
                inherit: Inherit::Some(Default::default()),
            });
        }
        Value::Table(table) => table,
        _ => {
            return Err(Problem::new(
                key,
                "write { component = \"<id>\" } or { path = \"<file>\" }",
            ));
        }
    };
    for (name, value) in table {
        let text = || match value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(Problem::new(
                format!("{key}.{name}"),
                "write a text in quotes",
            )),
        };
        let found = match name.as_str() {
            "component" => Some(DependencySource::Component(text()?)),
            "path" => Some(DependencySource::File(
                directory.join(PathBuf::from(text()?)),
            )),
            "url" | "version" => Some(elsewhere()),
            "digest" | "registry" | "package" => None,
            "export" => {
                export = Some(text()?);
                None
            }
            "inherit_configuration" => {
                inherit = Some(inherited(value, &format!("{key}.{name}"))?);
                None
            }
            _ => {
                return Err(Problem::new(
                    format!("{key}.{name}"),
                    "unknown setting; known are component, path, export and inherit_configuration",
                ));
            }
        };
        if found.is_some() && source.is_some() {
            return Err(Problem::new(key, "write one of component and path"));
        }
        source = source.or(found);
    }
    let inherit = match (inherit, inherit_all) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                format!("{key}.inherit_configuration"),
                "the component has dependencies_inherit_configuration too; write one of them",
            ));
        }
        (Some(inherit), None) => inherit,
        (None, Some(true)) => Inherit::All,
        (None, _) => Inherit::Some(Default::default()),
    };
    let source = source.ok_or_else(|| {
        Problem::new(key, "write component = \"<id>\" or path = \"<file>\" in it")
    })?;
    Ok(DraftDependency {
        source,
        export,
        inherit,
    })
}

fn inherited(value: &Value, key: &str) -> Result<Inherit, Problem> {
    let fail = || {
        Problem::new(
            key,
            "write true, false or a list such as [\"key_value_stores\"]",
        )
    };
    match value {
        Value::Boolean(true) => Ok(Inherit::All),
        Value::Boolean(false) => Ok(Inherit::Some(Default::default())),
        Value::Array(names) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or_else(fail))
            .collect::<Result<_, _>>()
            .map(Inherit::Some),
        _ => Err(fail()),
    }
}

/// The table in the form that a locked app has it in.
fn json_table(table: &toml::Table) -> Map<String, Json> {
    table
        .iter()
        .map(|(name, value)| (name.clone(), json(value)))
        .collect()
}

fn json(value: &Value) -> Json {
    match value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Boolean(flag) => Json::from(*flag),
        Value::Datetime(time) => Json::from(time.to_string()),
        Value::Array(values) => values.iter().map(json).collect(),
        Value::Table(table) => Json::Object(json_table(table)),
    }
}
