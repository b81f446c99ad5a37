//! The simulator as a program: serves until it is told to stop, and can write down what it heard.
#![deny(clippy::print_stderr, clippy::print_stdout)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use asr_simulator::{FaultError, Faults, Options, Script, Simulator, TaskRecord};
use clap::Parser;
use host_process::{FLUSH_TIME, Output, Signals};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::broadcast::{self, error::RecvError};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A speech recognition service to develop and test against: the DashScope realtime protocol,
/// without a model behind it. Words are invented; marked audio comes back as the seconds it is.
#[derive(Parser)]
#[command(name = "asr-simulator", version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9100", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The only key to accept. Without it every key is accepted.
    #[arg(
        long,
        value_name = "KEY",
        env = "ASR_SIMULATOR_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// How many seconds of marked audio make a sentence.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    sentence_seconds: u32,
    /// Dense speech: every second of marked audio is this many sentences.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8), value_name = "COUNT")]
    sentences_per_second: Option<u32>,
    /// What to do wrong from the start, as JSON; the README lists the faults.
    #[arg(long, value_name = "JSON", value_parser = parse_faults)]
    faults: Option<Faults>,
    /// What to do wrong and when: a file with {"after_ms": 3000, "faults": {...}} in each line, or a
    /// JSON list of these. Times count from the start.
    #[arg(long, value_name = "PATH")]
    script: Option<PathBuf>,
    /// Write what each task was sent to this file as it ends, a line of JSON for each task.
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
}

fn parse_faults(json: &str) -> Result<Faults, FaultError> {
    Faults::parse(json.as_bytes())
}

fn read_script(path: &Path) -> anyhow::Result<Script> {
    let text = std::fs::read_to_string(path)?;
    Ok(Script::parse(&text)?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let log = start_log().context("cannot start a thread")?;
    let stdout = Output::stdout().context("cannot start a thread")?;
    let _flush = (stdout.flush_at_end(), log.flush_at_end());
    let script = match &arguments.script {
        Some(path) => {
            read_script(path).with_context(|| format!("cannot play {}", path.display()))?
        }
        None => Script::default(),
    };
    // Before the first line of output: who waits for it may signal at once.
    let mut signals = Signals::install().context("cannot take signals over")?;
    let simulator = Simulator::start(Options {
        listen: arguments.listen,
        api_key: arguments.api_key,
        sentence_seconds: arguments.sentence_seconds,
        sentences_per_second: arguments.sentences_per_second.unwrap_or(0),
        ..Options::default()
    })
    .await
    .with_context(|| {
        format!(
            "cannot listen on {}; choose another address with --listen",
            arguments.listen
        )
    })?;
    let writer = match arguments.log_file {
        Some(path) => {
            let file = File::create(&path)
                .await
                .with_context(|| format!("cannot write {}", path.display()))?;
            let ended = simulator.task_log().ended();
            Some(tokio::spawn(write_records(file, ended)))
        }
        None => None,
    };
    if let Some(faults) = arguments.faults {
        simulator.set_faults(faults)?;
    }
    simulator.play(script);
    stdout.line(&format!("listening on {}", simulator.url()));
    signals.end().await;
    tokio::spawn(async move {
        let name = signals.impatience().await;
        tracing::error!("{name} again: ending at once, connections are cut off");
        let _ = tokio::task::spawn_blocking(move || log.flush(FLUSH_TIME)).await;
        std::process::exit(1);
    });
    // With the simulator goes the last sender of records: the writer writes what is left and ends.
    simulator.stop().await;
    if let Some(writer) = writer {
        writer.await?.context("the log file is not complete")?;
    }
    Ok(())
}

/// The log on standard error, which can hold nobody up. `RUST_LOG` says what is logged.
fn start_log() -> std::io::Result<Output> {
    let log = Output::stderr(|lines| tracing::warn!(lines, "lines of the log are missing here"))?;
    let output = log.clone();
    let directives = std::env::var("RUST_LOG").unwrap_or_default();
    // What is no directive shows nothing more than without one.
    let filter = directives
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(LevelFilter::ERROR));
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .log_internal_errors(false)
        .with_writer(move || output.clone())
        .finish()
        .with(filter)
        .init();
    host_process::log_panics();
    Ok(log)
}

async fn write_records(
    mut file: File,
    mut ended: broadcast::Receiver<TaskRecord>,
) -> anyhow::Result<()> {
    loop {
        match ended.recv().await {
            Ok(record) => {
                let mut line = serde_json::to_vec(&record)?;
                line.push(b'\n');
                file.write_all(&line).await?;
                file.flush().await?;
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "tasks ended faster than they could be written down");
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}
