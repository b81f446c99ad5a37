//! The values of the app's variables, with those that only the host knows: which stores are in use,
//! and where the built-in ASR simulator listens when it stands in for the real service.

use std::collections::BTreeMap;
use std::path::Path;

use app_manifest::{App, EnvFile, GivenError, GivenVariables, VariableError, Variables};

use crate::cli::RunOptions;
use crate::store_settings;

/// The variables of the simulator that take its place in the app, where the app declares them.
const ASR_URL: &str = "asr_ws_url";
const ASR_KEY: &str = "aliyun_dashscope_api_key";
const ASR_PROVIDER: &str = "asr_provider";

/// What `asr_provider` and the key say while the simulator is used.
const SIMULATOR: &str = "simulator";

/// The kinds of stores in use, for whoever shows them.
#[derive(Clone, Copy, Debug)]
pub struct StoreKinds {
    /// Of the key-value store `default`.
    pub session_store: &'static str,
    /// Of the blob store.
    pub blob_store: &'static str,
}

/// Values given by whoever starts the host, from the command line.
pub type Overrides = BTreeMap<String, String>;

/// The names of the host's own settings, in lower case, as `--variable` has them.
fn host_settings() -> impl Iterator<Item = String> {
    let of_stores = store_settings::NAMES.iter().copied();
    let of_blobs = blob_store::SETTINGS.iter().map(|setting| setting.name);
    of_stores.chain(of_blobs).map(str::to_ascii_lowercase)
}

/// What was given for the app's variables and the host's settings, by options, in the environment, and in a
/// `.env` file, which is beside the manifest if no option names another one. Files that values name are read.
///
/// # Errors
/// A file cannot be used, or a value is no text.
pub fn given(
    app: &App,
    app_dir: &Path,
    options: &RunOptions,
) -> Result<GivenVariables, GivenError> {
    let env_file = match &options.env_file {
        Some(path) => EnvFile::Named(path.clone()),
        None => EnvFile::IfThere(app_dir.join(EnvFile::NAME)),
    };
    let settings: Vec<String> = host_settings().collect();
    let names = app.variables.keys().chain(&settings).map(String::as_str);
    let environment = |name: &str| std::env::var_os(name);
    let given = GivenVariables::read(names, &options.variable, environment, &env_file)?;
    if !given.unknown_in_file().is_empty() {
        tracing::warn!(
            file = %env_file.path().display(),
            names = given.unknown_in_file().join(", "),
            "the file sets names that are no variable of the app and no setting of a store: they are \
             ignored. Options of the host are read from the environment only"
        );
    }
    let elsewhere = Path::new(EnvFile::NAME);
    if options.env_file.is_none() && elsewhere.exists() && !env_file.path().exists() {
        tracing::warn!(
            "the .env file of the working directory is ignored: put it beside the manifest ({}), or name it \
             with --env-file",
            env_file.path().display()
        );
    }
    Ok(given)
}

/// The overrides of the app's variables: a setting of the host's need not be declared by it.
pub fn of_app(app: &App, given: &Overrides) -> Overrides {
    let settings: Vec<String> = host_settings().collect();
    let is_the_apps = |name: &String| app.variables.contains_key(name) || !settings.contains(name);
    let all = given.iter().filter(|(name, _)| is_the_apps(name));
    all.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The value of a setting of the host's own, by its name in the environment: from the command line, else
/// with `SPIN_VARIABLE_` before it, else as it is. The app need not declare it.
pub fn host_setting(
    name: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    given: &Overrides,
) -> Option<String> {
    given
        .get(&name.to_ascii_lowercase())
        .cloned()
        .or_else(|| environment(&format!("SPIN_VARIABLE_{name}")))
        .or_else(|| environment(name))
}

/// The variable with the app's keys, when it has none although its manifest asks for some: then only
/// this machine may reach it.
///
/// # Errors
/// A required variable is not set, or an override names none of the app's.
pub fn missing_keys<'a>(
    app: &'a App,
    environment: impl Fn(&str) -> Option<String>,
    given: &Overrides,
) -> Result<Option<&'a str>, VariableError> {
    let name = app.settings.loopback_unless.as_deref();
    when_empty(name, app, environment, given)
}

/// The variable with the app's keys, when it has some: then not everybody who reaches its port may do
/// what they like.
///
/// # Errors
/// A required variable is not set, or an override names none of the app's.
pub fn keys<'a>(
    app: &'a App,
    environment: impl Fn(&str) -> Option<String>,
    given: &Overrides,
) -> Result<Option<&'a str>, VariableError> {
    let missing = missing_keys(app, environment, given)?;
    let name = app.settings.loopback_unless.as_deref();
    Ok(name.filter(|_| missing.is_none()))
}

/// The name, if there is one and the variable of that name is empty.
fn when_empty<'a>(
    name: Option<&'a str>,
    app: &App,
    environment: impl Fn(&str) -> Option<String>,
    given: &Overrides,
) -> Result<Option<&'a str>, VariableError> {
    let Some(name) = name else {
        return Ok(None);
    };
    let variables = Variables::resolve(app, environment, given)?;
    Ok(variables
        .get(name)
        .is_some_and(|value| value.trim().is_empty())
        .then_some(name))
}

/// The values for the components.
///
/// # Errors
/// A required variable is not set, or an override names none of the app's.
pub fn resolve(
    app: &App,
    environment: impl Fn(&str) -> Option<String>,
    given: &Overrides,
    stores: StoreKinds,
    simulator_url: Option<&str>,
) -> Result<Variables, VariableError> {
    let mut overrides = given.clone();
    let mut replace = |name: &str, value: &str| {
        if app.variables.contains_key(name) {
            overrides.insert(name.to_owned(), value.to_owned());
        }
    };
    replace("session_store", stores.session_store);
    replace("blob_store", stores.blob_store);
    if let Some(url) = simulator_url {
        replace(ASR_URL, url);
        replace(ASR_KEY, SIMULATOR);
        replace(ASR_PROVIDER, SIMULATOR);
    }
    Variables::resolve(app, environment, &overrides)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const STORES: StoreKinds = StoreKinds {
        session_store: "sqlite",
        blob_store: "directory",
    };

    fn app() -> App {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spin.toml");
        let manifest = r#"
            spin_manifest_version = 2
            [application]
            name = "test"
            [application.trigger.websocket]
            asr_simulator_unless = "aliyun_dashscope_api_key"
            [variables]
            aliyun_dashscope_api_key = { default = "", secret = true }
            asr_ws_url = { default = "wss://real/" }
            session_store = { default = "?" }
            [[trigger.websocket]]
            route = "/..."
            component = "entry"
            [component.entry]
            source = "entry.wasm"
        "#;
        std::fs::write(&path, manifest).unwrap();
        App::from_spin_toml(&path).unwrap()
    }

    #[test]
    fn the_nearest_value_of_a_host_setting_wins() {
        let environment = |name: &str| match name {
            "SPIN_VARIABLE_S3_BUCKET" => Some("spin".to_owned()),
            "S3_BUCKET" | "S3_REGION" => Some("plain".to_owned()),
            _ => None,
        };
        let given = Overrides::from([("s3_bucket".to_owned(), "given".to_owned())]);
        let none = Overrides::new();
        let value = |name, given| host_setting(name, &environment, given);
        assert_eq!(value("S3_BUCKET", &given).as_deref(), Some("given"));
        assert_eq!(value("S3_BUCKET", &none).as_deref(), Some("spin"));
        assert_eq!(value("S3_REGION", &none).as_deref(), Some("plain"));
        assert_eq!(value("S3_PREFIX", &none), None);
    }

    #[test]
    fn a_setting_of_the_hosts_can_be_an_option_and_need_not_be_the_apps() {
        let app = app();
        let of_app = |name: &str| {
            let given = Overrides::from([(name.to_owned(), "b".to_owned())]);
            resolve(&app, |_| None, &of_app(&app, &given), STORES, None)
        };
        assert_eq!(of_app("s3_bucket").unwrap().get("s3_bucket"), None);
        assert_eq!(of_app("store_sync").unwrap().get("store_sync"), None);
        assert_eq!(of_app("asr_ws_url").unwrap().get("asr_ws_url"), Some("b"));
        let error = of_app("s3_buckte").unwrap_err().to_string();
        assert!(error.contains("s3_buckte"), "{error}");
    }

    #[test]
    fn the_simulator_replaces_what_the_app_declares() {
        let app = app();
        let none = Overrides::new();
        let variables = resolve(&app, |_| None, &none, STORES, Some("ws://sim/")).unwrap();
        assert_eq!(variables.get("asr_ws_url"), Some("ws://sim/"));
        assert_eq!(variables.get("aliyun_dashscope_api_key"), Some("simulator"));
        assert_eq!(variables.get("session_store"), Some("sqlite"));
        assert_eq!(variables.get("asr_provider"), None);
        assert_eq!(variables.get("blob_store"), None);
    }

    #[test]
    fn with_a_key_nothing_of_the_service_is_replaced() {
        let variables = resolve(&app(), |_| None, &Overrides::new(), STORES, None).unwrap();
        assert_eq!(variables.get("asr_ws_url"), Some("wss://real/"));
    }
}
