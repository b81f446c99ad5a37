//! What `spin up` makes of this workspace's spin.toml: the app with every source at a file URL,
//! dependencies still apart.

use std::path::Path;

use end_to_end::build;
use serde_json::{Map, Value, json};
use url::Url;

const TRIGGER_TYPE: &str = "websocket";

/// The locked app.
pub fn of_this_workspace() -> Value {
    let manifest = std::fs::read_to_string(build::manifest()).unwrap();
    let manifest: Value = toml::from_str(&manifest).unwrap();
    let application = &manifest["application"];
    let triggers = manifest["trigger"][TRIGGER_TYPE]
        .as_array()
        .unwrap()
        .iter()
        .map(trigger);
    let components: Vec<_> = entries(&manifest["component"])
        .map(|(id, component)| locked(id, component, &manifest["component"]))
        .collect();
    let variables: Map<_, _> = entries(&manifest["variables"])
        .map(|(name, variable)| (name.clone(), variable.clone()))
        .collect();
    json!({
        "spin_lock_version": 0,
        "metadata": {
            "name": application["name"],
            "version": application["version"],
            "description": application["description"],
            "origin": url(&build::manifest()),
            "triggers": application["trigger"],
            "trigger": with_type(&application["trigger"][TRIGGER_TYPE]),
        },
        "variables": variables,
        "triggers": triggers.collect::<Vec<_>>(),
        "components": components,
    })
}

/// Writes it into a folder and gives the URL that goes into `SPIN_LOCKED_URL`.
pub fn write(locked: &str, folder: &Path) -> String {
    let path = folder.join("locked.json");
    std::fs::write(&path, locked).unwrap();
    url(&path)
}

fn trigger(trigger: &Value) -> Value {
    let component = trigger["component"].as_str().unwrap();
    json!({
        "id": format!("{component}-{TRIGGER_TYPE}-trigger"),
        "trigger_type": TRIGGER_TYPE,
        "trigger_config": trigger,
    })
}

fn locked(id: &str, component: &Value, all: &Value) -> Value {
    let mut metadata = Map::new();
    for name in [
        "description",
        "allowed_outbound_hosts",
        "key_value_stores",
        "build",
    ] {
        if let Some(value) = component.get(name) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    let mut locked = json!({"id": id, "metadata": metadata, "source": source(component)});
    if let Some(variables) = component.get("variables") {
        locked["config"] = variables.clone();
    }
    if let Some(dependencies) = component.get("dependencies") {
        locked["dependencies"] = entries(dependencies)
            .map(|(name, dependency)| (name.clone(), dependency_of(dependency, all)))
            .collect::<Map<_, _>>()
            .into();
    }
    locked
}

fn dependency_of(dependency: &Value, all: &Value) -> Value {
    let of = &all[dependency["component"]
        .as_str()
        .expect("a component of this app")];
    let mut locked = json!({"source": source(of), "export": dependency.get("export")});
    if let Some(inherited) = dependency.get("inherit_configuration") {
        locked["inherit"] = match inherited {
            Value::Bool(true) => json!("All"),
            Value::Bool(false) => json!({"Some": []}),
            names => json!({"Some": names}),
        };
    }
    locked
}

fn source(component: &Value) -> Value {
    let path = build::workspace().join(component["source"].as_str().unwrap());
    json!({"content_type": "application/wasm", "source": url(&path)})
}

fn with_type(settings: &Value) -> Value {
    let mut settings = settings.clone();
    settings["type"] = json!(TRIGGER_TYPE);
    settings
}

fn entries(table: &Value) -> impl Iterator<Item = (&String, &Value)> {
    table.as_object().unwrap().iter()
}

fn url(path: &Path) -> String {
    Url::from_file_path(path).unwrap().into()
}
