//! Starts the jobs that the README names: checks the machine first, builds what the job needs, then runs it.
//! It has no dependencies, so it is compiled in a second and tells what is missing before a long build begins.
//! It knows programs and their names only: how the gateway works is elsewhere.

mod build;
mod job;
mod prerequisites;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::job::Job;

const USAGE: &str = "\
Prepares and runs one of these jobs:
  cargo up [OPTIONS]       run the gateway on http://127.0.0.1:3000 (`cargo up --help` lists the options)
  cargo feed [OPTIONS]     play audio files into a running gateway (`cargo feed --help`)
  cargo verify [ARGUMENTS] run all tests; the arguments go to `cargo test --release`
  cargo xtask check        only look whether this machine has what the jobs need
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let job = arguments.next().and_then(|name| Job::named(&name));
    let Some(job) = job else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let arguments: Vec<OsString> = arguments.collect();
    match job.run(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            say(&format!("error: {failure}\n"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints to standard error. Nobody has to read it: a reader that is gone changes nothing.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
