//! Builds what a job needs, step by step, and says what is being built and about how long that takes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Instant;

use crate::prerequisites::Missing;
use crate::say;

/// One call of cargo.
pub struct Step {
    /// What is built, for people.
    pub what: &'static str,
    /// Cargo's arguments.
    pub cargo: &'static [&'static str],
    /// CPU seconds of a first build, on a core of a server of 2020 at 2.3 GHz.
    pub first_cpu_seconds: u64,
}

/// Why a job did not run.
#[derive(Debug)]
pub enum Failure {
    /// The machine lacks something.
    Missing(Missing),
    /// A build ended with another status than 0.
    Build {
        /// What was built.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program could not be started.
    NotStarted {
        /// Its path or name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure {
    /// The status to exit with: the build's own, if it had one.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Build { status, .. } => status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .filter(|code| *code != 0)
                .unwrap_or(1),
            Failure::Missing(_) | Failure::NotStarted { .. } => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Missing(missing) => missing.fmt(f),
            Failure::Build { what, status } => {
                write!(
                    f,
                    "{what} could not be built ({status}): cargo's messages are above"
                )
            }
            Failure::NotStarted { program, source } => {
                write!(f, "cannot start {program}: {source}")
            }
        }
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Failure {
        Failure::Missing(missing)
    }
}

/// Builds all steps in order. A first build says what it is doing and how long it takes; of later ones cargo says
/// enough.
pub fn run(steps: &[Step], is_first: bool) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    if is_first {
        let minutes = minutes(steps.iter().map(|step| step.first_cpu_seconds).sum(), cores);
        say(&format!(
            "First build: about {minutes} on {cores} {}; after that it takes a second.\n",
            if cores == 1 { "core" } else { "cores" }
        ));
    }
    for (index, step) in steps.iter().enumerate() {
        if is_first {
            let minutes = minutes(step.first_cpu_seconds, cores);
            let (number, of) = (index + 1, steps.len());
            say(&format!(
                "== {number}/{of} {}: about {minutes}\n",
                step.what
            ));
        }
        let began = Instant::now();
        let mut command = cargo();
        command.args(step.cargo);
        let status = command.status().map_err(|source| Failure::NotStarted {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        if !status.success() {
            return Err(Failure::Build {
                what: step.what,
                status,
            });
        }
        if is_first {
            say(&format!("   took {} s\n", began.elapsed().as_secs()));
        }
    }
    Ok(())
}

/// In words, rounded up: nobody is angry when it is ready earlier.
fn minutes(cpu_seconds: u64, cores: u64) -> String {
    match cpu_seconds.div_ceil(60 * cores.max(1)) {
        0 | 1 => "a minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

/// Cargo itself, in the root of the workspace.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    // What cargo tells this program of its own package: builds of dependencies that look at it would begin anew.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Where cargo builds into: where it has put this program, unless the environment names another folder.
pub fn target_dir() -> PathBuf {
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR").filter(|target| !target.is_empty()) {
        return workspace().join(target);
    }
    let here = std::env::current_exe().ok();
    here.as_deref()
        .and_then(|program| program.ancestors().nth(2))
        .map_or_else(|| workspace().join("target"), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_up() {
        assert_eq!(minutes(30, 2), "a minute");
        assert_eq!(minutes(121, 1), "3 minutes");
        assert_eq!(minutes(900, 2), "8 minutes");
        assert_eq!(minutes(900, 0), "15 minutes");
    }
}
