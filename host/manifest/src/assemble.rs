//! What makes an application of what a reader found: the rules that hold for both readers.
//!
//! A manifest may hold more than this host runs: triggers of other types, and components that only
//! those use. What is wrong with them is for their host to say; here they are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::app::TRIGGER_TYPE;
use crate::error::{ManifestError, Problem};
use crate::template::is_variable_name;
use crate::{
    App, Build, Component, Dependency, DependencyName, Inherit, Route, Template, Trigger,
    TriggerSettings, VariableDecl,
};

/// An application as a reader found it, not yet checked.
pub(crate) struct Draft {
    /// What messages call the file.
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) components: BTreeMap<String, DraftComponent>,
    /// Of all types, in the file's order.
    pub(crate) triggers: Vec<DraftTrigger>,
    pub(crate) variables: BTreeMap<String, VariableDecl>,
    /// `[application.trigger.websocket]`.
    pub(crate) settings: Map<String, Value>,
}

pub(crate) struct DraftTrigger {
    pub(crate) kind: String,
    pub(crate) id: Option<String>,
    /// All other keys.
    pub(crate) config: Map<String, Value>,
}

pub(crate) struct DraftComponent {
    /// Or why there is no local file.
    pub(crate) source: Result<PathBuf, String>,
    pub(crate) dependencies: BTreeMap<String, DraftDependency>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) allowed_outbound_hosts: Vec<String>,
    pub(crate) key_value_stores: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) build: Option<Build>,
    /// Keys of the component that this host does not serve, with what to do about each.
    pub(crate) unserved: Vec<(&'static str, &'static str)>,
}

pub(crate) struct DraftDependency {
    pub(crate) source: DependencySource,
    pub(crate) export: Option<String>,
    pub(crate) inherit: Inherit,
}

pub(crate) enum DependencySource {
    File(PathBuf),
    Component(String),
    /// Somewhere else; the text says what to do.
    Elsewhere(String),
}

impl Draft {
    pub(crate) fn assemble(self) -> Result<App, ManifestError> {
        self.check().map_err(|problem| problem.of(&self.file))
    }

    fn check(&self) -> Result<App, Problem> {
        for name in self.variables.keys() {
            if !is_variable_name(name) {
                return Err(Problem::new(
                    format!("variables.{name}"),
                    "a name has lower-case letters, digits and single underscores between them",
                ));
            }
        }
        let settings = TriggerSettings::parse(&self.settings)?;
        for (key, variable) in [
            ("asr_simulator_unless", &settings.asr_simulator_unless),
            ("loopback_unless", &settings.loopback_unless),
        ] {
            let Some(name) = variable else { continue };
            self.known_variable(name).map_err(|message| {
                Problem::new(format!("application.trigger.websocket.{key}"), message)
            })?;
        }
        let triggers = self.triggers()?;
        let needed = self.needed(&triggers);
        let mut components = BTreeMap::new();
        let mut warnings = Vec::new();
        for (id, draft) in &self.components {
            match self.component(id, draft, needed.contains(id.as_str())) {
                Ok(component) => {
                    components.insert(id.clone(), component);
                }
                Err(problem) if needed.contains(id.as_str()) => return Err(problem),
                Err(problem) => warnings.push(format!(
                    "the component \"{id}\" is left out, no trigger of type {TRIGGER_TYPE} needs it: \
                     {}: {}",
                    problem.key, problem.message
                )),
            }
        }
        Ok(App {
            name: self.name.clone(),
            ignored_triggers: self.triggers.len() - triggers.len(),
            components,
            triggers,
            variables: self.variables.clone(),
            settings,
            warnings,
        })
    }

    fn triggers(&self) -> Result<Vec<Trigger>, Problem> {
        let mut ids: BTreeSet<String> = self.triggers.iter().filter_map(|t| t.id.clone()).collect();
        let mut triggers: Vec<Trigger> = Vec::new();
        let ours = self
            .triggers
            .iter()
            .filter(|trigger| trigger.kind == TRIGGER_TYPE);
        for (index, draft) in ours.enumerate() {
            let key = format!("trigger.{TRIGGER_TYPE}[{index}]");
            let (component, route) = self.trigger_config(draft, &key)?;
            if let Some(other) = triggers.iter().find(|other| other.route.same_paths(&route)) {
                let message = format!(
                    "\"{route}\" serves the same paths as \"{}\" of the component \"{}\"; give each \
                     its own",
                    other.route, other.component
                );
                return Err(Problem::new(format!("{key}.route"), message));
            }
            let id = draft
                .id
                .clone()
                .unwrap_or_else(|| new_trigger_id(&component, &ids));
            ids.insert(id.clone());
            triggers.push(Trigger {
                id,
                component,
                route,
            });
        }
        Ok(triggers)
    }

    fn trigger_config(&self, draft: &DraftTrigger, key: &str) -> Result<(String, Route), Problem> {
        let mut component = None;
        let mut route = None;
        for (name, value) in &draft.config {
            let key = format!("{key}.{name}");
            match (name.as_str(), value) {
                ("component", Value::String(id)) => component = Some(id.clone()),
                ("component", _) => {
                    return Err(Problem::new(key, "name a component of [component.<id>]"));
                }
                ("route", Value::String(text)) => {
                    let parsed = Route::parse(text);
                    route = Some(parsed.map_err(|error| Problem::new(key, error.to_string()))?);
                }
                ("route", _) => {
                    return Err(Problem::new(
                        key,
                        "write a route in quotes, such as \"/...\"",
                    ));
                }
                // Spin reads these of triggers of any type.
                ("components" | "dependencies", Value::Object(table)) if table.is_empty() => {}
                ("components" | "dependencies", _) => {
                    return Err(Problem::new(
                        key,
                        "this host composes no middleware: put it into the component's own \
                         dependencies",
                    ));
                }
                _ => {
                    return Err(Problem::new(
                        key,
                        "unknown setting; known are id, component and route",
                    ));
                }
            }
        }
        let missing = |name, example| {
            Problem::new(
                format!("{key}.{name}"),
                format!("missing; write {name} = {example}"),
            )
        };
        let component = component.ok_or_else(|| missing("component", "\"<id>\""))?;
        let route = route.ok_or_else(|| missing("route", "\"/...\""))?;
        if !self.components.contains_key(&component) {
            let message = format!("there is no component \"{component}\"; {}", self.known());
            return Err(Problem::new(format!("{key}.component"), message));
        }
        Ok((component, route))
    }

    /// The components that the triggers need, themselves or as a dependency.
    fn needed(&self, triggers: &[Trigger]) -> BTreeSet<&str> {
        let mut needed = BTreeSet::new();
        for trigger in triggers {
            let Some((id, component)) = self.components.get_key_value(&trigger.component) else {
                continue;
            };
            needed.insert(id.as_str());
            needed.extend(component.dependencies.values().filter_map(|dependency| {
                match &dependency.source {
                    DependencySource::Component(id) => Some(id.as_str()),
                    _ => None,
                }
            }));
        }
        needed
    }

    fn component(&self, id: &str, draft: &DraftComponent, run: bool) -> Result<Component, Problem> {
        let key = |name: &str| format!("component.{id}.{name}");
        let source = draft
            .source
            .clone()
            .map_err(|message| Problem::new(key("source"), message))?;
        if let (true, Some((name, message))) = (run, draft.unserved.first()) {
            return Err(Problem::new(key(name), *message));
        }
        let mut variables = BTreeMap::new();
        for (name, text) in &draft.variables {
            let key = key(&format!("variables.{name}"));
            if !is_variable_name(name) {
                return Err(Problem::new(
                    key,
                    "a name has lower-case letters, digits and single underscores between them",
                ));
            }
            variables.insert(name.clone(), self.template(text, &key)?);
        }
        let hosts = key("allowed_outbound_hosts");
        let allowed_outbound_hosts = draft
            .allowed_outbound_hosts
            .iter()
            .map(|text| self.template(text, &hosts))
            .collect::<Result<_, _>>()?;
        Ok(Component {
            id: id.to_owned(),
            source,
            dependencies: self.dependencies(id, draft)?,
            variables,
            allowed_outbound_hosts,
            key_value_stores: draft.key_value_stores.clone(),
            environment: draft.environment.clone(),
            build: draft.build.clone(),
        })
    }

    fn dependencies(&self, id: &str, draft: &DraftComponent) -> Result<Vec<Dependency>, Problem> {
        let mut dependencies: Vec<Dependency> = Vec::new();
        for (name, dependency) in &draft.dependencies {
            let key = format!("component.{id}.dependencies.\"{name}\"");
            let name = DependencyName::parse(name)
                .map_err(|error| Problem::new(&key, error.to_string()))?;
            if let Some(other) = dependencies.iter().find(|other| other.name.overlaps(&name)) {
                let message = format!(
                    "one import could be satisfied by this and by \"{}\"; make the names disjoint",
                    other.name
                );
                return Err(Problem::new(key, message));
            }
            let whole_package = matches!(
                &name,
                DependencyName::Package {
                    interface: None,
                    ..
                }
            );
            if whole_package && dependency.export.is_some() {
                return Err(Problem::new(
                    format!("{key}.export"),
                    "a whole package cannot be one export; name the interface",
                ));
            }
            let source = match &dependency.source {
                DependencySource::File(path) => path.clone(),
                DependencySource::Component(other) => {
                    self.component_as_dependency(other, &format!("{key}.component"))?
                }
                DependencySource::Elsewhere(message) => return Err(Problem::new(key, message)),
            };
            dependencies.push(Dependency {
                name,
                source,
                export: dependency.export.clone(),
                inherit: dependency.inherit.clone(),
            });
        }
        Ok(dependencies)
    }

    /// The code of the component `id`, which another one depends on. It runs by the rights of that one,
    /// so Spin refuses an application in which it has its own, and so do we.
    fn component_as_dependency(&self, id: &str, key: &str) -> Result<PathBuf, Problem> {
        let component = self.components.get(id).ok_or_else(|| {
            let message = format!("there is no component \"{id}\"; {}", self.known());
            Problem::new(key, message)
        })?;
        if let Some(name) = component.own_rights() {
            let message = format!(
                "\"{id}\" has {name}, and a dependency can have no rights of its own: remove that from \
                 [component.{id}] and let this entry's inherit_configuration name it"
            );
            return Err(Problem::new(key, message));
        }
        component
            .source
            .clone()
            .map_err(|message| Problem::new(key, message))
    }

    fn template(&self, text: &str, key: &str) -> Result<Template, Problem> {
        let template =
            Template::parse(text).map_err(|error| Problem::new(key, error.to_string()))?;
        for name in template.variables() {
            self.known_variable(name)
                .map_err(|message| Problem::new(key, message))?;
        }
        Ok(template)
    }

    fn known_variable(&self, name: &str) -> Result<(), String> {
        if self.variables.contains_key(name) {
            return Ok(());
        }
        Err(format!(
            "there is no variable \"{name}\"; add it to [variables]"
        ))
    }

    fn known(&self) -> String {
        let ids: Vec<&str> = self.components.keys().map(String::as_str).collect();
        match ids.as_slice() {
            [] => "add it as [component.<id>]".to_owned(),
            ids => format!("there are {}", ids.join(", ")),
        }
    }
}

impl DraftComponent {
    /// The first of the keys by which this component has rights of its own.
    fn own_rights(&self) -> Option<&'static str> {
        let own = [
            (
                "allowed_outbound_hosts",
                self.allowed_outbound_hosts.is_empty(),
            ),
            ("dependencies", self.dependencies.is_empty()),
            ("environment", self.environment.is_empty()),
            ("key_value_stores", self.key_value_stores.is_empty()),
            ("variables", self.variables.is_empty()),
        ];
        own.into_iter()
            .find(|(_, empty)| !empty)
            .map(|(name, _)| name)
    }
}

/// An id for a trigger without one, as Spin makes it.
fn new_trigger_id(component: &str, taken: &BTreeSet<String>) -> String {
    let natural = format!("{component}-{TRIGGER_TYPE}-trigger");
    if !taken.contains(&natural) {
        return natural;
    }
    let mut number = 1;
    loop {
        let id = format!("{TRIGGER_TYPE}-trigger{number}");
        if !taken.contains(&id) {
            return id;
        }
        number += 1;
    }
}
