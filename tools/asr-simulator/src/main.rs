//! The simulator as a program: serves until it is told to stop, and can write down what it heard.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use asr_simulator::{Options, Simulator, TaskRecord};
use clap::Parser;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::{self, error::RecvError};

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
    /// Write what each task was sent to this file as it ends, a line of JSON for each task.
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    // Before the first line of output: who waits for it may signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulator = Simulator::start(Options {
        listen: arguments.listen,
        api_key: arguments.api_key,
        sentence_seconds: arguments.sentence_seconds,
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
    println!("listening on {}", simulator.url());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // With the simulator goes the last sender of records: the writer writes what is left and ends.
    simulator.stop().await;
    if let Some(writer) = writer {
        writer.await?.context("the log file is not complete")?;
    }
    Ok(())
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
