//! How Spin starts an external trigger: what it asks first, and what it leaves in the environment.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::Cli;

/// Where Spin left the locked app: a `file:` URL.
pub const LOCKED_URL: &str = "SPIN_LOCKED_URL";

/// The folder of the app's spin.toml; empty or not set when the app came from a registry.
pub const LOCAL_APP_DIR: &str = "SPIN_LOCAL_APP_DIR";

/// What `spin up` started us with.
#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    /// See [`LOCKED_URL`].
    pub locked_url: String,
    /// See [`LOCAL_APP_DIR`].
    pub app_dir: Option<PathBuf>,
}

impl Launch {
    /// Reads the environment; none when it was not Spin that started us.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |name| lookup(name).filter(|value: &String| !value.is_empty());
        Some(Self {
            locked_url: set(LOCKED_URL)?,
            app_dir: set(LOCAL_APP_DIR).map(PathBuf::from),
        })
    }
}

/// Which options this trigger takes: an app with several triggers has `spin up` sort them by it.
#[derive(Debug, Serialize)]
struct LaunchMetadata {
    all_flags: Vec<Flag>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Flag {
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    long: Option<String>,
}

/// The answer to `--launch-metadata-only`: JSON, for standard error.
///
/// # Errors
/// Never: the metadata are plain strings.
pub fn metadata() -> serde_json::Result<String> {
    let all_flags = Cli::definition()
        .get_arguments()
        .map(|argument| Flag {
            short: argument.get_short().map(|short| format!("-{short}")),
            long: argument.get_long().map(|long| format!("--{long}")),
        })
        .collect();
    serde_json::to_string(&LaunchMetadata { all_flags })
}

/// The answer to `--help-args-only`: the help of the options, without the rest.
pub fn options_help() -> String {
    Cli::definition()
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .help_template("{options}")
        .render_long_help()
        .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn metadata_names_the_options() {
        let metadata: serde_json::Value = serde_json::from_str(&metadata().unwrap()).unwrap();
        let flags = metadata["all_flags"].as_array().unwrap();
        assert!(flags.contains(&serde_json::json!({"long": "--listen"})));
        assert!(flags.contains(&serde_json::json!({"short": "-q", "long": "--quiet"})));
        assert!(flags.contains(&serde_json::json!({"long": "--state-dir"})));
    }

    #[test]
    fn the_help_of_the_options_has_no_commands() {
        let help = options_help();
        assert!(help.contains("--listen"), "{help}");
        assert!(!help.contains("Commands:"), "{help}");
    }

    #[test]
    fn an_empty_app_dir_is_none() {
        let launch = Launch::from_environment(|name| {
            Some(if name == LOCKED_URL {
                "file:///x/locked.json".into()
            } else {
                String::new()
            })
        });
        assert_eq!(
            launch,
            Some(Launch {
                locked_url: "file:///x/locked.json".into(),
                app_dir: None
            })
        );
        assert_eq!(Launch::from_environment(|_| None), None);
    }
}
