//! What a chunk costs: CPU time of the server process per chunk, from the client's JSON to the ack,
//! with the second stored and forwarded to the ASR service. It is measured through the real host
//! over loopback, and beside it through a native program that does the same work with the same
//! stores, sockets and domain crates, but without components.
//!
//! The client and the ASR service run in this process: their time is not counted.

mod hostile;
mod load;
mod long_session;
mod measure;
mod native;
mod processes;
mod soak;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::load::Load;
use crate::long_session::LongSession;
use crate::soak::Soak;

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
    /// A session of eight hours and more than 100,000 utterances in one stream.
    LongSession {
        /// Chunks.
        #[arg(long, default_value_t = 28_800)]
        seconds: u32,
        /// Sentences that the ASR service makes of each, 1 to 8.
        #[arg(long, default_value_t = 4)]
        per_second: u32,
    },
    /// A client in real time, alone and beside others that mean no good.
    Hostile {
        /// How long each part takes.
        #[arg(long, default_value_t = 30)]
        seconds: u32,
    },
    /// Memory over time: streams in real time, session after session, and bursts beside them.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 10)]
        minutes: u32,
        /// Streams in real time.
        #[arg(long, default_value_t = 50)]
        streams: u32,
    },
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
    match arguments.command {
        Some(Command::Native {
            listen,
            state_dir,
            asr_url,
        }) => return native::run(listen, &state_dir, asr_url).await,
        Some(Command::LongSession {
            seconds,
            per_second,
        }) => {
            let session = LongSession {
                seconds,
                per_second,
            };
            return long_session::run(&arguments.host, &session).await;
        }
        Some(Command::Hostile { seconds }) => {
            return hostile::run(&arguments.host, seconds).await;
        }
        Some(Command::Soak { minutes, streams }) => {
            let soak = Soak { minutes, streams };
            return soak::run(&arguments.host, &soak).await;
        }
        None => {}
    }
    let load = Load {
        streams: arguments.streams,
        chunks: arguments.chunks,
        window: arguments.window,
    };
    measure::compare(&arguments.host, load, arguments.rounds).await
}
