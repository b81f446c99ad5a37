//! `--build`: runs the build commands of the components that are used, each once.

use std::collections::BTreeSet;
use std::process::{Command, ExitStatus};

use app_manifest::{App, Build, Component};
use thiserror::Error;

/// A build did not work out.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The command could not be run at all.
    #[error("cannot run the build of component '{component}' in {}: {source}. Correct [component.{component}.build] in spin.toml", workdir.display())]
    NotStarted {
        /// Its id in the manifest.
        component: String,
        /// Where the command was to run.
        workdir: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The command said that it failed.
    #[error(
        "the build of component '{component}' failed ({status}): `{command}`. Its messages are above"
    )]
    Failed {
        /// Its id in the manifest.
        component: String,
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
}

impl BuildError {
    /// The status to exit with: the command's own, if it had one.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotStarted { .. } => 1,
            Self::Failed { status, .. } => {
                status
                    .code()
                    .and_then(|code| u8::try_from(code).ok())
                    .filter(|code| *code != 0)
            }
            .unwrap_or(1),
        }
    }
}

/// Builds the components that triggers name, and those that are composed into them.
///
/// # Errors
/// The first build that fails.
pub fn run(app: &App) -> Result<(), BuildError> {
    for (component, build) in wanted(app) {
        tracing::info!(component = component.id, "building: {}", build.command);
        let not_started = |source| BuildError::NotStarted {
            component: component.id.clone(),
            workdir: build.workdir.clone(),
            source,
        };
        let status = Command::new("sh")
            .arg("-c")
            .arg(&build.command)
            .current_dir(&build.workdir)
            // Standard output is for the line that says where we listen.
            .stdout(std::io::stderr())
            .status()
            .map_err(not_started)?;
        if !status.success() {
            return Err(BuildError::Failed {
                component: component.id.clone(),
                command: build.command.clone(),
                status,
            });
        }
    }
    Ok(())
}

/// What is to be built: dependencies first, since they are what most others need.
fn wanted(app: &App) -> Vec<(&Component, &Build)> {
    let used: BTreeSet<&str> = app
        .triggers
        .iter()
        .map(|trigger| trigger.component.as_str())
        .collect();
    let roots = || used.iter().filter_map(|id| app.components.get(*id));
    let parts: BTreeSet<_> = roots()
        .flat_map(|component| &component.dependencies)
        .map(|dependency| &dependency.source)
        .collect();
    let leaves = app
        .components
        .values()
        .filter(|component| parts.contains(&component.source));
    let mut seen = BTreeSet::new();
    leaves
        .chain(roots())
        .filter_map(|component| Some((component, component.build.as_ref()?)))
        .filter(|(_, build)| seen.insert((&build.workdir, &build.command)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "test"
        [[trigger.websocket]]
        route = "/..."
        component = "entry"
        [component.entry]
        source = "entry.wasm"
        [component.entry.build]
        command = "echo entry >> order"
        [component.entry.dependencies]
        "a:b/c" = { component = "leaf" }
        "a:b/d" = { component = "leaf" }
        [component.leaf]
        source = "leaf.wasm"
        [component.leaf.build]
        command = "echo leaf >> order"
        [component.unused]
        source = "unused.wasm"
        [component.unused.build]
        command = "exit 9"
    "#;

    fn app(manifest: &str) -> (tempfile::TempDir, App) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spin.toml");
        std::fs::write(&path, manifest).unwrap();
        let app = App::from_spin_toml(&path).unwrap();
        (folder, app)
    }

    #[test]
    fn each_used_component_is_built_once_and_leaves_first() {
        let (folder, app) = app(MANIFEST);
        run(&app).unwrap();
        let order = std::fs::read_to_string(folder.path().join("order")).unwrap();
        assert_eq!(order, "leaf\nentry\n");
    }

    #[test]
    fn a_failed_build_gives_its_status() {
        let (_folder, app) = app(&MANIFEST.replace("echo leaf >> order", "exit 7"));
        let error = run(&app).unwrap_err();
        assert_eq!(error.exit_code(), 7);
        assert!(error.to_string().contains("'leaf'"), "{error}");
    }
}
