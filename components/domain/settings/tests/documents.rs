//! The files that repeat the table: the documentation and the manifest.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;

use interview_settings::{ALL, page};
use toml::{Table, Value};

/// The components that read settings; each reads them all.
const READERS: [&str; 2] = ["audio-stream", "http-routes"];

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../..")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest() -> Table {
    file("spin.toml").parse().unwrap()
}

#[test]
fn the_page_is_what_the_table_says() {
    assert!(
        file("docs/settings.md") == page::render(),
        "docs/settings.md is old. Write it anew: {}",
        page::COMMAND
    );
}

#[test]
fn the_manifest_declares_exactly_the_settings() {
    let manifest = manifest();
    let declared: BTreeMap<&str, (&str, bool)> = manifest["variables"]
        .as_table()
        .unwrap()
        .iter()
        .map(|(name, variable)| {
            let default = variable["default"].as_str().unwrap();
            let secret = variable.get("secret").and_then(Value::as_bool);
            (name.as_str(), (default, secret.unwrap_or(false)))
        })
        .collect();
    let settings: BTreeMap<&str, (&str, bool)> = ALL
        .iter()
        .map(|row| (row.name(), (row.default(), row.is_secret())))
        .collect();
    assert_eq!(declared, settings);
}

#[test]
fn the_components_that_read_settings_are_given_them_all() {
    let manifest = manifest();
    let all: BTreeMap<String, String> = ALL
        .iter()
        .map(|row| (row.name().to_owned(), format!("{{{{ {} }}}}", row.name())))
        .collect();
    for (id, component) in manifest["component"].as_table().unwrap() {
        let given: BTreeMap<String, String> = component
            .get("variables")
            .map(|variables| variables.clone().try_into().unwrap())
            .unwrap_or_default();
        if READERS.contains(&id.as_str()) {
            assert_eq!(given, all, "{id}");
        } else {
            assert!(given.is_empty(), "{id} reads no settings");
        }
    }
}

/// Under a host that grants what a manifest says, they reach the services that settings name.
#[test]
fn the_components_may_connect_to_where_the_settings_point() {
    let manifest = manifest();
    let hosts = |id: &str| -> Vec<String> {
        let hosts = manifest["component"][id].get("allowed_outbound_hosts");
        hosts.map_or_else(Vec::new, |hosts| hosts.clone().try_into().unwrap())
    };
    let inference = "{{ inference_base_url }}".to_owned();
    assert!(hosts("audio-stream").contains(&"{{ asr_ws_url }}".to_owned()));
    assert!(hosts("audio-stream").contains(&inference));
    assert!(hosts("http-routes").contains(&inference));
}
