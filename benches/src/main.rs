//! What a chunk costs: CPU time of the server process per chunk, from the client's JSON to the ack,
//! with the second stored and forwarded to the ASR service. It is measured through the real host
//! over loopback, and beside it through a native program that does the same work with the same
//! stores, sockets and domain crates, but without components.
//!
//! The client and the ASR service run in this process: their time is not counted.

mod load;
mod measure;
mod native;
mod processes;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::load::Load;

#[derive(Parser)]
#[command(about = "CPU microseconds per chunk, through components and natively")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Streams at the same time.
    #[arg(long, default_value_t = 20)]
    streams: u32,
    /// Chunks of each stream.
    #[arg(long, default_value_t = 300)]
    chunks: u32,
    /// Chunks a stream sends ahead of its acks. 1 is what a live client does.
    #[arg(long, default_value_t = 1)]
    window: u32,
    /// How often the pair is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The host's binary.
    #[arg(long, default_value = "target/release/trigger-websocket")]
    host: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// The native program; started by the benchmark itself.
    #[command(hide = true)]
    Native {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        state_dir: PathBuf,
        #[arg(long)]
        asr_url: String,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::Native {
        listen,
        state_dir,
        asr_url,
    }) = arguments.command
    {
        return native::run(listen, &state_dir, asr_url).await;
    }
    let load = Load {
        streams: arguments.streams,
        chunks: arguments.chunks,
        window: arguments.window,
    };
    measure::compare(&arguments.host, load, arguments.rounds).await
}
