//! The command line, and the command line that goes on with an interrupted run.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgGroup, Parser};
use hyper::header::HeaderValue;

use crate::gateway::Gateway;
use crate::resume::{self, Resume};
use crate::session::{Role, SessionId};
use crate::shell;

/// The gateway that `cargo up` starts.
const HERE: &str = "http://127.0.0.1:3000";

/// Streams audio files into a running gateway, as if they were being said now, and shows the text.
///
/// WAV files of any rate and number of channels are taken, and s16le mono samples in files that end in
/// .pcm or .raw. What is not acknowledged is sent again, over a new connection if need be. Ctrl-C stops in
/// good order and says how to go on.
///
/// The exit status is 0 when every second is acknowledged, whether or not anybody could read what is
/// said meanwhile. Proxies (HTTPS_PROXY, ALL_PROXY, NO_PROXY) are used for https:// gateways on other
/// machines only: a key is never shown to one.
#[derive(Debug, Parser)]
#[command(name = "feed", version, group = ArgGroup::new("files").required(true).multiple(true).args(["teacher", "students", "mixed"]))]
pub struct Arguments {
    /// The gateway: an http:// or https:// URL.
    #[arg(long, default_value = HERE, value_name = "URL")]
    pub url: Gateway,
    /// The certificate authorities to trust for https://, in PEM. Default: the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A key or a token, for a gateway that asks for one. Better in the environment: arguments are seen
    /// by others.
    #[arg(
        long,
        env = "GATEWAY_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub key: Option<String>,
    /// The session to stream into, behind what it has already. Default: a new one, named after the time.
    #[arg(long, value_name = "ID")]
    pub session: Option<SessionId>,
    /// Go on with the files of a run that was interrupted, as it said: what the session has of them
    /// is not sent again. Names the second of the session at which each file begins; without a value all
    /// begin at 1.
    #[arg(long, value_name = "ROLE:SECOND,...", num_args = 0..=1, require_equals = true, default_missing_value = resume::ALL, requires = "session")]
    pub resume: Option<Resume>,
    /// What the interviewer says.
    #[arg(long, value_name = "FILE")]
    pub teacher: Option<PathBuf>,
    /// What the candidates say.
    #[arg(long, value_name = "FILE")]
    pub students: Option<PathBuf>,
    /// What everybody says, in one stream.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["teacher", "students"])]
    pub mixed: Option<PathBuf>,
    /// As fast as the gateway answers, not a second of audio each second.
    #[arg(long)]
    pub fast: bool,
    /// The sample rate of .pcm and .raw files, which do not tell it.
    #[arg(long, default_value_t = crate::audio::RATE, value_name = "HZ")]
    pub raw_rate: u32,
    /// Leave the session open: more will be streamed into it.
    #[arg(long)]
    pub no_finalize: bool,
    /// The interviewer's name.
    #[arg(long, value_name = "NAME")]
    pub interviewer: Option<String>,
    /// The name of somebody who takes part; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub participant: Vec<String>,
    /// Write the result to stdout as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// The files, and the streams that they are.
    #[must_use]
    pub fn files(&self) -> Vec<(Role, &Path)> {
        let files = [
            (Role::Teacher, &self.teacher),
            (Role::Students, &self.students),
            (Role::Mixed, &self.mixed),
        ];
        let given = files.into_iter();
        given
            .filter_map(|(role, file)| Some((role, file.as_deref()?)))
            .collect()
    }

    /// A header's value that is not shown; an empty key counts as none.
    ///
    /// # Errors
    /// When no header can hold it.
    pub fn key(&self) -> anyhow::Result<Option<HeaderValue>> {
        let given = self.key.as_deref().map(str::trim);
        let Some(text) = given.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let mut key =
            HeaderValue::from_str(text).context("the key is not visible ASCII characters")?;
        key.set_sensitive(true);
        Ok(Some(key))
    }

    /// The command that goes on where this run stopped. The key is not in it.
    #[must_use]
    pub fn command_to_resume(&self, session: &SessionId, resume: &Resume) -> String {
        // Cargo tells what it runs.
        let program = match std::env::var_os("CARGO") {
            Some(_) => "cargo feed",
            None => "feed",
        };
        let mut command = program.to_owned();
        let mut add = |argument: &str| {
            command.push(' ');
            command.push_str(argument);
        };
        if self.url.to_string() != HERE {
            add(&format!("--url {}", shell::quoted(&self.url.to_string())));
        }
        if let Some(file) = &self.ca_file {
            add(&format!("--ca-file {}", quoted(file)));
        }
        // In one word where the id begins with a dash.
        let id = shell::quoted(session.as_str());
        add(&match session.as_str().starts_with('-') {
            true => format!("--session={id}"),
            false => format!("--session {id}"),
        });
        add(&resume.argument());
        for (role, file) in self.files() {
            add(&format!("--{role} {}", quoted(file)));
        }
        if self.fast {
            add("--fast");
        }
        if self.raw_rate != crate::audio::RATE {
            add(&format!("--raw-rate {}", self.raw_rate));
        }
        if self.no_finalize {
            add("--no-finalize");
        }
        if let Some(name) = &self.interviewer {
            add(&format!("--interviewer {}", shell::quoted(name)));
        }
        for name in &self.participant {
            add(&format!("--participant {}", shell::quoted(name)));
        }
        if self.json {
            add("--json");
        }
        command
    }
}

fn quoted(path: &Path) -> String {
    shell::quoted(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_command_to_resume_is_read_back_as_what_was_given() {
        let given = [
            "feed",
            "--session",
            "a b",
            "--resume=teacher:3,students:1",
            "--teacher",
            "t 1.wav",
            "--students",
            "s.wav",
            "--fast",
            "--interviewer",
            "Ada",
            "--participant",
            "it's",
        ];
        let arguments = Arguments::try_parse_from(given).unwrap();
        let session: SessionId = "a b".parse().unwrap();
        let command = arguments.command_to_resume(&session, arguments.resume.as_ref().unwrap());
        let command = command.trim_start_matches("cargo ");
        assert_eq!(
            command,
            r"feed --session 'a b' --resume=teacher:3,students:1 --teacher 't 1.wav' --students s.wav --fast --interviewer Ada --participant 'it'\''s'"
        );
    }

    #[test]
    fn resume_needs_a_session_and_no_value() {
        let parse = |more: &[&str]| {
            let given = ["feed", "--teacher", "t.wav"].iter().chain(more);
            Arguments::try_parse_from(given)
        };
        let resumed = parse(&["--session", "s", "--resume"]).unwrap();
        assert_eq!(resumed.resume, Some(Resume::All));
        assert!(parse(&["--resume"]).is_err());
        assert!(parse(&["--session", "s", "--resume=tutor:1"]).is_err());
    }
}
