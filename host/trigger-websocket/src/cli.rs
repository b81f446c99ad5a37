//! The command line. Only its shape: what the options do is elsewhere.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use app_manifest::VariableSource;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::asr_service::AsrOption;
use crate::limits::{LimitOptions, MAX_SECONDS};
use crate::scrape::Mode;

/// What there is without options.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:3000";

const LONG_ABOUT: &str = "\
Runs the components of a spin.toml that has triggers of type `websocket`: HTTP and WebSockets on one \
port, with their key-value store and their blobs on this machine.

Run it alone with `trigger-websocket up`, or through Spin: `spin up` starts it for such an app when it \
is installed as the plugin `trigger-websocket`.";

const UP_HELP: &str = "\
Examples:
  trigger-websocket up --build
      Builds the components of ./spin.toml, runs them on http://127.0.0.1:3000.
  ASR_MODEL=my-model trigger-websocket up --from app/spin.toml
      Runs another app, with one of its variables set.
  trigger-websocket up --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
      Serves https:// and wss://, reachable from other machines. An app that says so in its manifest
      (`loopback_unless`) must have its keys set for that.
  trigger-websocket up --listen 127.0.0.1:0 --state-dir /tmp/try
      Takes a free port, prints it, and keeps everything in one folder that can be thrown away.

What is stored where, in the state directory (default: `.spin` beside spin.toml):
  sqlite_key_value.db   the key-value store (Spin's own format)
  blobs/                the blob store: one file an object
  cache/                compiled components; may be deleted at any time
  Other places: `[key_value_store.*]` in runtime-config.toml, and
  `[application.trigger.websocket.blob_store]` in spin.toml.

Environment:
  SPIN_VARIABLE_<NAME>, <NAME>   a variable of the app, such as ASR_MODEL for `asr_model`;
                                 @FILE takes it from a file. Also read: `.env` beside spin.toml
  BLOB_STORE=s3, S3_<NAME>       blobs in a bucket of S3 or R2 instead: docs/r2.md
  REDIS_<NAME>, STORE_SYNC       how stores are used: docs/redis.md, docs/durability.md
  RUST_LOG                       what is logged, such as `debug` or `lanes=trace,info` (default: info)

It ends with status 0 when SIGTERM, SIGINT (Ctrl-C) or SIGHUP came and all connections were closed in \
order. The same signal again, 2 s later or more, ends it at once with status 1; several signals together \
are one. Where SIGHUP is ignored at the start, as by `nohup`, it stays so. When it is ready it prints `listening on http://ADDRESS:PORT`, or https://.";

/// The program.
#[derive(Debug, Parser)]
#[command(name = "trigger-websocket", version, about = "Runs WebSocket and HTTP components of a Spin app", long_about = LONG_ABOUT)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Without one it is Spin that started the program.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What `spin up` passes on.
    #[command(flatten)]
    pub run: RunOptions,

    /// Print which options there are, for `spin up`, and exit.
    #[arg(long, hide = true)]
    pub launch_metadata_only: bool,

    /// Print the help of the options, for `spin up --help`, and exit.
    #[arg(long, hide = true)]
    pub help_args_only: bool,
}

/// What can be done without Spin.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an app.
    #[command(after_help = UP_HELP)]
    Up(Up),
}

/// `up`.
#[derive(Debug, Args)]
pub struct Up {
    /// The manifest of the app, or the folder it is in.
    #[arg(short = 'f', long, value_name = "FILE", default_value = "spin.toml")]
    pub from: PathBuf,

    /// Build the components first, with the commands that the manifest has for them.
    #[arg(long)]
    pub build: bool,

    /// How it is run.
    #[command(flatten)]
    pub run: RunOptions,
}

/// Options that are the same with and without Spin.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "WebSocket Trigger Options")]
pub struct RunOptions {
    /// Address and port for HTTP and WebSocket; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", env = "SPIN_HTTP_LISTEN_ADDR", default_value = DEFAULT_LISTEN)]
    pub listen: String,

    /// The certificate of the port, with those that it is signed by after it, in PEM format: then
    /// https:// and wss:// are served, and nothing else. The files are looked at again every few
    /// seconds.
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Its key, in PEM format.
    #[arg(long, value_name = "FILE", env = "SPIN_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Listen on any address although the app has no keys: whoever reaches the port may do everything.
    #[arg(long)]
    pub insecure: bool,

    /// The ASR service. `auto`: the real one when its key is set; without a key the built-in simulator, whose
    /// transcripts are invented, but only on loopback and without keys of the gateway's own.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = AsrOption::Auto)]
    pub asr: AsrOption,

    /// Where stores, blobs and compiled code are kept. Default: `.spin` beside spin.toml.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Which stores are where. Default: runtime-config.toml beside spin.toml, if it is there.
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE")]
    pub runtime_config_file: Option<PathBuf>,

    /// Set a variable of the app; goes before the environment. `NAME=@FILE` takes the value from a file, as
    /// `@FILE` does in the environment; `@FILE.json` and `@FILE.toml` have several. Can be given again.
    #[arg(long, value_name = "NAME=VALUE | NAME=@FILE | @FILE", value_parser = VariableSource::from_str)]
    pub variable: Vec<VariableSource>,

    /// A file with variables of the environment, for names that the environment does not have. Default:
    /// `.env` beside spin.toml, if it is there.
    #[arg(long, value_name = "FILE", env = "HOST_ENV_FILE")]
    pub env_file: Option<PathBuf>,

    /// Set an environment variable of all components. Can be given again.
    #[arg(short = 'e', long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub env: Vec<Assignment>,

    /// Leave what the components print out of the log.
    #[arg(short = 'q', long)]
    pub quiet: bool,

    /// How the log (on standard error) is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Figures for Prometheus at the path /metrics of the port: `auto` only where the port is on
    /// loopback and the app has no keys. Do not let others reach them.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Mode::Auto)]
    pub metrics: Mode,

    /// Have them at another address instead; port 0 takes a free one. No key is asked for there; an
    /// app without keys has them on loopback only, unless --insecure is said.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<String>,

    /// How long a component may take for one call: a batch of events, or a request.
    #[arg(long, value_name = "SECONDS", env = "HOST_CALL_TIMEOUT", default_value = "60", value_parser = seconds_above_zero)]
    pub call_timeout: Duration,

    /// How long open connections and queued events have to end in order after a signal.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub shutdown_timeout: Duration,

    /// What is held and waited for at most.
    #[command(flatten)]
    pub limits: LimitOptions,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) if seconds <= MAX_SECONDS => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("give whole seconds from 0 to {MAX_SECONDS}")),
    }
}

fn seconds_above_zero(text: &str) -> Result<Duration, String> {
    match seconds(text) {
        Ok(Duration::ZERO) => Err("give at least one second".to_owned()),
        other => other,
    }
}

fn assignment(text: &str) -> Result<Assignment, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Assignment {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// `NAME=VALUE`. The value may be a key: it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    /// What is set.
    pub name: String,
    /// To what.
    pub value: String,
}

impl Assignment {
    /// Name and value.
    pub fn pair(&self) -> (String, String) {
        (self.name.clone(), self.value.clone())
    }
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=<value>", self.name)
    }
}

impl Cli {
    /// The options as clap knows them.
    pub fn definition() -> clap::Command {
        Self::command()
    }

    /// Reads the command line; exits with help or a usage error (status 2) where that is the answer.
    pub fn read() -> Self {
        // `cargo up -- --help` arrives here as `up --build -- --help`; there are no arguments that a
        // `--` would have to set apart.
        Self::parse_from(std::env::args_os().filter(|argument| argument != "--"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn up(arguments: &[&str]) -> Up {
        let all = ["trigger-websocket", "up"].iter().chain(arguments);
        match Cli::try_parse_from(all).unwrap().command {
            Some(Command::Up(up)) => up,
            None => panic!("no command"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::definition().debug_assert();
    }

    #[test]
    fn up_has_defaults() {
        let up = up(&[]);
        assert_eq!(up.from, PathBuf::from("spin.toml"));
        assert_eq!(up.run.listen, DEFAULT_LISTEN);
        assert_eq!(up.run.shutdown_timeout, Duration::from_secs(20));
        assert_eq!(up.run.log_format, LogFormat::Text);
        assert_eq!((up.run.metrics, up.run.metrics_listen), (Mode::Auto, None));
    }

    #[test]
    fn variables_are_assignments() {
        let up = up(&["--variable", "a=b=c", "--variable", "empty="]);
        let expected = [("a", "b=c"), ("empty", "")].map(|(name, value)| VariableSource::One {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        assert_eq!(up.run.variable, expected);
        let shown = format!("{up:?}");
        assert!(
            shown.contains("a=<value>") && !shown.contains("b=c"),
            "{shown}"
        );
        let broken = ["trigger-websocket", "up", "--variable", "nothing"];
        assert!(
            Cli::try_parse_from(broken)
                .unwrap_err()
                .to_string()
                .contains("NAME=VALUE")
        );
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let both = up(&["--tls-cert", "a", "--tls-key", "b"]);
        assert_eq!(both.run.tls_key, Some(PathBuf::from("b")));
        for one in ["--tls-cert", "--tls-key"] {
            let options = ["trigger-websocket", "up", one, "a"];
            assert!(Cli::try_parse_from(options).is_err(), "{one}");
        }
    }

    #[test]
    fn spin_passes_options_without_a_command() {
        let cli = Cli::try_parse_from([
            "trigger-websocket",
            "--listen",
            "127.0.0.1:0",
            "--state-dir",
            "x",
            "--quiet",
        ]);
        let cli = cli.unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.listen, "127.0.0.1:0");
        assert!(cli.run.quiet);
    }

    #[test]
    fn a_time_is_bounded() {
        assert!(seconds("0").is_ok());
        assert!(seconds("3601").is_err());
        assert!(seconds_above_zero("0").is_err());
        assert!(seconds("-1").is_err());
    }
}
