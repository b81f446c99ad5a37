//! The two readers: `spin.toml` and the locked app give the same application, under the same rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use app_manifest::{App, BlobSettings, Inherit, ManifestError};
use proptest::prelude::*;
use serde_json::{Value, json};

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "talk"
version = "1.0.0"

[application.trigger.websocket]
asr_simulator_unless = "key"
loopback_unless = "key"
health = "/health"
blob_store = { type = "directory", path = "objects" }

[[trigger.websocket]]
route = "/..."
component = "web"

[[trigger.websocket]]
id = "streams"
route = "/ws/:role"
component = "web"

[[trigger.http]]
route = "/other"
component = "page"

[variables]
key = { default = "", secret = true }
url = { required = true }

[component.web]
source = "web.wasm"
allowed_outbound_hosts = ["{{ url }}", "https://example.com"]
key_value_stores = ["default"]
environment = { LANG = "C" }
[component.web.variables]
token = "Bearer {{ key }}"
[component.web.dependencies]
"own:parts/state@0.1.0" = { component = "state", inherit_configuration = ["key_value_stores"] }
"own:parts/text" = { path = "text.wasm", export = "own:parts/text@0.2.0" }
"other:thing" = { component = "state", inherit_configuration = true }
[component.web.build]
command = ["one", "two"]
workdir = "src"

[component.state]
source = "state.wasm"

[component.page]
source = "page.wasm"
files = ["*.html"]
"#;

/// What Spin writes of it, with the paths of `directory`.
fn locked(directory: &Path) -> Value {
    let file = |name: &str| format!("file://{}/{name}", directory.display());
    let source = |name: &str| json!({"content_type": "application/wasm", "source": file(name)});
    let trigger_types = json!({
        "websocket": {
            "asr_simulator_unless": "key",
            "loopback_unless": "key",
            "health": "/health",
            "blob_store": {"type": "directory", "path": "objects"}
        }
    });
    json!({
        "spin_lock_version": 0,
        "metadata": {
            "name": "talk", "version": "1.0.0", "origin": file("spin.toml"),
            "triggers": trigger_types
        },
        "variables": {"key": {"default": "", "secret": true}, "url": {}},
        "triggers": [
            {
                "id": "page-http-trigger", "trigger_type": "http",
                "trigger_config": {"component": "page", "route": "/other"}
            },
            {
                "id": "web-websocket-trigger", "trigger_type": "websocket",
                "trigger_config": {"component": "web", "route": "/..."}
            },
            {
                "id": "streams", "trigger_type": "websocket",
                "trigger_config": {"component": "web", "route": "/ws/:role"}
            }
        ],
        "components": [
            {
                "id": "page", "source": source("page.wasm"),
                "files": [{"source": file("assets"), "path": "/"}]
            },
            {"id": "state", "source": source("state.wasm")},
            {
                "id": "web",
                "metadata": {
                    "description": "",
                    "allowed_outbound_hosts": ["{{ url }}", "https://example.com"],
                    "key_value_stores": ["default"],
                    "build": {"command": ["one", "two"], "workdir": "src"}
                },
                "source": source("web.wasm"),
                "env": {"LANG": "C"},
                "config": {"token": "Bearer {{ key }}"},
                "dependencies": {
                    "own:parts/state@0.1.0": {
                        "source": source("state.wasm"), "export": null,
                        "inherit": {"Some": ["key_value_stores"]}
                    },
                    "own:parts/text": {
                        "source": source("text.wasm"), "export": "own:parts/text@0.2.0"
                    },
                    "other:thing": {"source": source("state.wasm"), "export": null, "inherit": "All"}
                }
            }
        ]
    })
}

#[test]
fn the_text_of_a_manifest_is_read_as_its_file_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spin.toml");
    std::fs::write(&path, MANIFEST).unwrap();
    assert_eq!(
        App::from_spin_toml_text(MANIFEST, directory.path()).unwrap(),
        App::from_spin_toml(&path).unwrap()
    );
    let error = App::from_spin_toml_text("name =", directory.path()).unwrap_err();
    assert!(error.to_string().starts_with("spin.toml: "), "{error}");
}

fn read(manifest: &str) -> Result<App, ManifestError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spin.toml");
    std::fs::write(&path, manifest).unwrap();
    App::from_spin_toml(&path)
}

/// The error's text for a manifest in which `from` is replaced by `to`.
fn refused(from: &str, to: &str) -> String {
    assert!(MANIFEST.contains(from), "{from}");
    let error = read(&MANIFEST.replacen(from, to, 1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("spin.toml"), "names the file: {error}");
    error
}

fn refused_locked(change: impl FnOnce(&mut Value)) -> String {
    let mut locked = locked(Path::new("/app"));
    change(&mut locked);
    App::from_locked(locked.to_string().as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn both_readers_give_the_same_application() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("spin.toml");
    std::fs::write(&manifest, MANIFEST).unwrap();
    let lock = directory.path().join("locked.json");
    std::fs::write(&lock, locked(directory.path()).to_string()).unwrap();

    let app = App::from_spin_toml(&manifest).unwrap();
    assert_eq!(
        app,
        App::from_locked_url(&format!("file://{}", lock.display())).unwrap()
    );
    assert_eq!(
        app,
        App::from_spin_toml(directory.path()).unwrap(),
        "a directory will do"
    );

    assert_eq!(app.name, "talk");
    assert_eq!(app.ignored_triggers, 1);
    assert_eq!(app.warnings, [""; 0]);
    let triggers: Vec<_> = app
        .triggers
        .iter()
        .map(|t| (t.id.as_str(), t.route.to_string()))
        .collect();
    assert_eq!(
        triggers,
        [
            ("web-websocket-trigger", "/...".to_owned()),
            ("streams", "/ws/:role".to_owned())
        ]
    );
    assert_eq!(app.settings.asr_simulator_unless.as_deref(), Some("key"));
    assert_eq!(app.settings.loopback_unless.as_deref(), Some("key"));
    assert_eq!(app.settings.health.as_deref(), Some("/health"));
    assert_eq!(
        app.settings.blob_store,
        BlobSettings::Directory {
            path: PathBuf::from("objects")
        }
    );
    let web = &app.components["web"];
    assert_eq!(web.source, directory.path().join("web.wasm"));
    let build = web.build.as_ref().unwrap();
    assert_eq!(
        (build.command.as_str(), &build.workdir),
        ("one && two", &directory.path().join("src"))
    );
    let [thing, state, text] = web.dependencies.as_slice() else {
        panic!()
    };
    assert_eq!(thing.inherit, Inherit::All);
    assert_eq!(state.source, directory.path().join("state.wasm"));
    assert_eq!(
        state.inherit,
        Inherit::Some(BTreeSet::from(["key_value_stores".to_owned()]))
    );
    assert!(state.inherit.allows("key_value_stores") && !state.inherit.allows("variables"));
    assert_eq!(text.export.as_deref(), Some("own:parts/text@0.2.0"));
    assert_eq!(text.inherit, Inherit::Some(BTreeSet::new()));
    assert!(app.variables["key"].secret && app.variables["url"].required);
}

#[test]
fn the_repositorys_own_manifest_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spin.toml");
    let app = App::from_spin_toml(&path).unwrap();
    assert_eq!(app.name, "interview-gateway");
    assert_eq!(app.warnings, [""; 0]);
    assert_eq!(app.triggers.len(), 3);
    assert_eq!(app.components["audio-stream"].dependencies.len(), 3);
    assert!(app.variables["aliyun_dashscope_api_key"].secret);
    assert!(
        app.components
            .values()
            .all(|component| component.build.is_some())
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = App::from_spin_toml(Path::new("no/such/spin.toml")).unwrap_err();
    assert!(error.to_string().contains("no/such/spin.toml"), "{error}");
    for url in [
        "file:///no/such/lock.json",
        "http://host/lock.json",
        "lock.json",
        "",
    ] {
        App::from_locked_url(url).unwrap_err();
    }
}

#[test]
fn the_version_must_be_two() {
    let error = refused("spin_manifest_version = 2", "spin_manifest_version = \"1\"");
    assert!(
        error.contains("spin_manifest_version") && error.contains("write 2"),
        "{error}"
    );
    assert!(refused("spin_manifest_version = 2", "").contains("missing; write 2"));
    let error = refused_locked(|app| app["spin_lock_version"] = json!(2));
    assert!(error.contains("spin_lock_version"), "{error}");
}

#[test]
fn unknown_keys_are_named_with_those_that_are_known() {
    let error = refused("key_value_stores =", "keyvalue_stores =");
    assert!(
        error.contains("keyvalue_stores") && error.contains("key_value_stores"),
        "{error}"
    );
    let error = refused("asr_simulator_unless =", "asr_simulator =");
    assert!(
        error.contains("application.trigger.websocket.asr_simulator:")
            && error.contains("asr_simulator_unless"),
        "{error}"
    );
    let error = refused("loopback_unless = \"key\"", "loopback_unless = \"keys\"");
    assert!(
        error.contains("application.trigger.websocket.loopback_unless"),
        "{error}"
    );
    let error = refused("health = \"/health\"", "health = \"health\"");
    assert!(
        error.contains("application.trigger.websocket.health") && error.contains("a path"),
        "{error}"
    );
    let error = refused("route = \"/...\"", "route = \"/...\"\nexecutor = \"x\"");
    assert!(error.contains("trigger.websocket[0].executor"), "{error}");
    let error = refused(
        "{ path = \"text.wasm\",",
        "{ path = \"text.wasm\", exports = \"x\",",
    );
    assert!(
        error.contains("component.web.dependencies.\"own:parts/text\".exports"),
        "{error}"
    );
    let error = refused_locked(|app| {
        app["metadata"]["triggers"]["websocket"]["blobs"] = json!({});
    });
    assert!(
        error.contains("application.trigger.websocket.blobs"),
        "{error}"
    );
}

#[test]
fn blob_stores_of_other_kinds_are_not_in_this_version() {
    let error = refused("type = \"directory\"", "type = \"s3\"");
    assert!(
        error.contains("blob_store.type") && error.contains("\"s3\" is not in"),
        "{error}"
    );
    assert!(refused("type = \"directory\", ", "").contains("blob_store.type: missing"));
    assert!(refused("path = \"objects\"", "bucket = \"b\"").contains("blob_store.bucket"));
}

#[test]
fn what_is_named_must_exist() {
    let error = refused("component = \"web\"", "component = \"wb\"");
    assert!(
        error.contains("trigger.websocket[0].component") && error.contains("page, state, web"),
        "{error}"
    );
    let error = refused("component = \"state\"", "component = \"stat\"");
    assert!(
        error.contains("own:parts/state@0.1.0\".component"),
        "{error}"
    );
    let error = refused("Bearer {{ key }}", "Bearer {{ kei }}");
    assert!(
        error.contains("component.web.variables.token") && error.contains("kei"),
        "{error}"
    );
    let error = refused("\"{{ url }}\"", "\"{{ uri }}\"");
    assert!(
        error.contains("component.web.allowed_outbound_hosts"),
        "{error}"
    );
    assert!(refused("unless = \"key\"", "unless = \"kei\"").contains("no variable \"kei\""));
}

#[test]
fn routes_are_checked_and_differ() {
    let error = refused("route = \"/ws/:role\"", "route = \"/ws/.../x\"");
    assert!(error.contains("only at the end"), "{error}");
    let error = refused("route = \"/ws/:role\"", "route = \"/*/\"");
    assert!(error.contains("trigger.websocket[1].route"), "{error}");
    assert!(error.contains("the same paths as \"/...\""), "{error}");
    assert!(refused("route = \"/ws/:role\"", "").contains("trigger.websocket[1].route: missing"));
    let error = refused("route = \"/ws/:role\"", "route = { private = true }");
    assert!(error.contains("write a route"), "{error}");
}

#[test]
fn dependencies_that_only_spin_can_fetch_say_so() {
    for other in [
        "\">= 0.1.0\"",
        "{ version = \"0.1.0\", registry = \"r.example\", package = \"own:text\" }",
        "{ url = \"https://example.com/text.wasm\", digest = \"sha256:00\" }",
    ] {
        let error = refused(
            "{ path = \"text.wasm\", export = \"own:parts/text@0.2.0\" }",
            other,
        );
        assert!(
            error.contains("spin up") && error.contains("component = "),
            "{error}"
        );
    }
    let error = refused(
        "source = \"state.wasm\"",
        "source = { url = \"https://x/a\", digest = \"d\" }",
    );
    assert!(error.contains("spin up"), "{error}");
}

#[test]
fn dependencies_do_not_overlap() {
    let error = refused("\"other:thing\"", "\"own:parts\"");
    assert!(error.contains("make the names disjoint"), "{error}");
    let error = refused("\"other:thing\"", "\"not a name!\"");
    assert!(error.contains("namespace:package"), "{error}");
    let error = refused(
        "\"other:thing\" = { component = \"state\",",
        "\"other:thing\" = { component = \"state\", export = \"x\",",
    );
    assert!(error.contains("name the interface"), "{error}");
}

#[test]
fn variables_have_a_default_or_are_required() {
    for wrong in ["{ }", "{ required = true, default = \"\" }"] {
        let error = refused("{ required = true }", wrong);
        assert!(
            error.contains("variables.url") && error.contains("required = true"),
            "{error}"
        );
    }
    assert!(refused("url = { required", "Url = { required").contains("lower-case"));
}

#[test]
fn what_this_host_does_not_serve_is_refused_only_where_it_is_run() {
    let error = refused(
        "source = \"web.wasm\"",
        "source = \"web.wasm\"\nsqlite_databases = [\"d\"]",
    );
    assert!(error.contains("component.web.sqlite_databases"), "{error}");
    let error = refused_locked(|app| {
        app["components"][2]["host_requirements"] = json!({"local_service_chaining": "required"});
    });
    assert!(error.contains("component.web.host_requirements"), "{error}");
    let error = refused_locked(|app| app["host_requirements"] = json!({"new": "required"}));
    assert!(error.contains("host_requirements.new"), "{error}");
    let error = refused_locked(|app| app["must_understand"] = json!(["new"]));
    assert!(error.contains("\"new\""), "{error}");

    let app = read(&MANIFEST.replacen(
        "source = \"page.wasm\"",
        "source = { url = \"https://x/a\", digest = \"d\" }",
        1,
    ))
    .unwrap();
    assert!(!app.components.contains_key("page"));
    assert!(
        app.warnings[0].contains("\"page\" is left out"),
        "{:?}",
        app.warnings
    );
}

#[test]
fn a_dependency_has_no_rights_of_its_own() {
    for own in [
        "key_value_stores = [\"default\"]",
        "environment = { A = \"b\" }",
    ] {
        let error = refused(
            "source = \"state.wasm\"",
            &format!("source = \"state.wasm\"\n{own}"),
        );
        assert!(error.contains("\"state\" has "), "{error}");
        assert!(error.contains("inherit_configuration"), "{error}");
    }
}

#[test]
fn inheritance_is_said_once() {
    let all = "[component.web]\ndependencies_inherit_configuration = true";
    assert!(refused("[component.web]", all).contains("write one of them"));
    let manifest = MANIFEST
        .replacen("[component.web]", all, 1)
        .replacen(", inherit_configuration = [\"key_value_stores\"]", "", 1)
        .replacen(", inherit_configuration = true", "", 1);
    let app = read(&manifest).unwrap();
    assert!(
        app.components["web"]
            .dependencies
            .iter()
            .all(|d| d.inherit == Inherit::All)
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z{}:/.*]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_manifest_reader_panic(
        at in 0..MANIFEST.len(), length in 0usize..12, new in "[ -~\n]{0,12}",
    ) {
        let end = (at + length).min(MANIFEST.len());
        let _ = read(&format!("{}{new}{}", &MANIFEST[..at], &MANIFEST[end..]));
    }

    #[test]
    fn no_bytes_make_the_lock_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = App::from_locked(&bytes);
    }

    #[test]
    fn no_json_in_any_place_makes_the_lock_reader_panic(
        place in prop::sample::select(vec![
            "/spin_lock_version", "/metadata", "/metadata/triggers",
            "/metadata/triggers/websocket", "/metadata/triggers/websocket/blob_store",
            "/metadata/origin", "/variables", "/variables/key", "/triggers", "/triggers/1",
            "/triggers/1/trigger_config", "/triggers/1/trigger_config/route", "/components",
            "/components/2", "/components/2/metadata", "/components/2/metadata/build",
            "/components/2/source", "/components/2/source/source", "/components/2/config",
            "/components/2/dependencies", "/components/2/dependencies/other:thing",
            "/components/2/dependencies/other:thing/inherit",
        ]),
        value in any_json(),
    ) {
        let mut app = locked(Path::new("/app"));
        *app.pointer_mut(place).unwrap() = value;
        let _ = App::from_locked(app.to_string().as_bytes());
    }
}
