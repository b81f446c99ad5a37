//! The jobs: what each needs of the machine, what it builds, and what it becomes.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::build::{self, Failure, Step};
use crate::prerequisites::{self, Disk};
use crate::say;

const HOST: &str = "trigger-websocket";
const FEED: &str = "feed";

/// Disk that a first build of the host, `feed` and the components takes, in MiB, with some room.
const DISK_TO_RUN: Disk = Disk { mib: 3_000 };
/// The same with the tests.
const DISK_TO_TEST: Disk = Disk { mib: 8_000 };

const COMPONENTS: Step = Step {
    what: "the WebAssembly components",
    cargo: &["components"],
    first_cpu_seconds: 100,
};
/// One selection of packages for all programs: cargo would otherwise choose other features for what they
/// share, and build that twice.
const PROGRAMS: Step = Step {
    what: "the host (with wasmtime and its compiler) and `feed`",
    cargo: &["build", "--release", "--bin", HOST, "--bin", FEED],
    first_cpu_seconds: 720,
};
const FEED_ALONE: Step = Step {
    what: "`feed`",
    cargo: &["build", "--release", "--bin", FEED],
    first_cpu_seconds: 120,
};

/// What somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Run the gateway.
    Up,
    /// Play audio files into one.
    Feed,
    /// Run all tests.
    Verify,
    /// Only look what is missing.
    Check,
}

impl Job {
    /// The job of that name.
    pub fn named(name: &OsStr) -> Option<Job> {
        match name.to_str()? {
            "up" => Some(Job::Up),
            "feed" => Some(Job::Feed),
            "verify" => Some(Job::Verify),
            "check" => Some(Job::Check),
            _ => None,
        }
    }

    /// Runs it. A program that is started replaces this one, so that signals and the exit status are its own.
    pub fn run(self, arguments: &[OsString]) -> Result<ExitCode, Failure> {
        match self {
            Job::Up => {
                let host = built(HOST);
                match (wants_help(arguments), host.is_file()) {
                    (true, false) => {
                        say(UP_HELP);
                        return Ok(ExitCode::SUCCESS);
                    }
                    (true, true) => {
                        return become_program(Command::new(host).args(["up", "--help"]));
                    }
                    (false, _) => {}
                }
                prerequisites::check(DISK_TO_RUN, &host)?;
                build::run(&[COMPONENTS, PROGRAMS], !host.is_file())?;
                become_program(Command::new(host).arg("up").args(arguments))
            }
            Job::Feed => {
                let feed = built(FEED);
                prerequisites::check(DISK_TO_RUN, &feed)?;
                build::run(&[FEED_ALONE], !feed.is_file())?;
                become_program(Command::new(feed).args(arguments))
            }
            Job::Verify => {
                let host = built(HOST);
                prerequisites::check(DISK_TO_TEST, &host)?;
                prerequisites::check_redis()?;
                build::run(&[COMPONENTS, PROGRAMS], !host.is_file())?;
                say("== the tests: unit and property tests, the simulation, then end to end\n");
                let mut test = build::cargo();
                test.args(["test", "--release"]).args(arguments);
                become_program(&mut test)
            }
            Job::Check => {
                prerequisites::check(DISK_TO_TEST, &built(HOST))?;
                prerequisites::check_redis()?;
                say("this machine has what is needed\n");
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Where cargo puts a program.
fn built(program: &str) -> PathBuf {
    build::target_dir().join("release").join(program)
}

fn wants_help(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
}

/// What `cargo up --help` says while the host, which knows its options, is not built.
const UP_HELP: &str = "\
Builds the gateway and runs it on http://127.0.0.1:3000. The host is not built yet, and it is the host that
lists its options: run `cargo up` once, then `cargo up --help`. The most used ones:
  --listen ADDRESS:PORT    another address; port 0 takes a free one
  --state-dir DIR          where sessions, audio and results are kept (default: .spin)
  --asr simulator          invented transcripts although other machines can connect
Settings are environment variables: docs/settings.md.
";

fn become_program(command: &mut Command) -> Result<ExitCode, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let source = command.exec();
    Err(Failure::NotStarted { program, source })
}
