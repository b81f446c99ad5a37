//! The pair, measured in the same run, and the table.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use asr_simulator::{Options, Simulator};

use crate::load::{Load, Seen, send};
use crate::processes::Server;

/// Sent before the measurement, so that neither side pays for its start in it.
const WARM_UP: Load = Load {
    streams: 8,
    chunks: 20,
    window: 1,
};

/// One side of one round.
struct Figures {
    cpu_us: f64,
    seen: Seen,
    peak_kib: u64,
}

/// Measures both sides `rounds` times, in turn, and prints them.
pub async fn compare(host: &Path, load: Load, rounds: u32) -> anyhow::Result<()> {
    println!(
        "{} streams of {} chunks, {} ahead of acks, {} cores",
        load.streams,
        load.chunks,
        load.window,
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    println!(
        "{:<12} {:>12} {:>10} {:>10} {:>10} {:>10}",
        "", "CPU us/chunk", "ack p50", "ack p99", "chunks/s", "peak MiB"
    );
    let (mut native, mut components) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        native.push(measure("native", None, load).await?);
        components.push(measure("components", Some(host), load).await?);
    }
    let (native, components) = (median(native)?, median(components)?);
    println!(
        "median: native {native:.1} us, components {components:.1} us, ratio {:.2}",
        components / native
    );
    Ok(())
}

async fn measure(name: &str, host: Option<&Path>, load: Load) -> anyhow::Result<f64> {
    let simulator = Simulator::start(Options::default()).await?;
    let state = tempfile::tempdir()?;
    let server = match host {
        Some(host) => Server::host(host, state.path(), &simulator.url()).await?,
        None => Server::native(state.path(), &simulator.url()).await?,
    };
    send(&server.address, "warm", WARM_UP).await?;
    let before = server.cpu()?;
    let seen = send(&server.address, "load", load).await?;
    // What was forwarded comes back as text: that belongs to a chunk's cost as well.
    let heard = tokio::time::timeout(Duration::from_secs(60), async {
        while heard(&simulator) < load.total() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    heard.await.context("not every chunk was forwarded")?;
    let cpu = server.cpu()? - before;
    let figures = Figures {
        cpu_us: cpu.as_secs_f64() * 1e6 / f64::from(load.total()),
        seen,
        peak_kib: server.memory()?.1,
    };
    print(name, load, &figures);
    simulator.stop().await;
    Ok(figures.cpu_us)
}

/// Seconds of the load that reached the service, without the warm-up's.
fn heard(simulator: &Simulator) -> u32 {
    let warm_up = WARM_UP.total();
    let all: usize = simulator.log().iter().map(|task| task.heard.len()).sum();
    u32::try_from(all)
        .unwrap_or(u32::MAX)
        .saturating_sub(warm_up)
}

fn print(name: &str, load: Load, figures: &Figures) {
    let ack = |q: f64| {
        let index = ((figures.seen.acks.len() - 1) as f64 * q) as usize;
        format!("{:.2} ms", figures.seen.acks[index].as_secs_f64() * 1e3)
    };
    println!(
        "{name:<12} {:>12.1} {:>10} {:>10} {:>10.0} {:>10}",
        figures.cpu_us,
        ack(0.5),
        ack(0.99),
        f64::from(load.total()) / figures.seen.wall.as_secs_f64(),
        figures.peak_kib / 1024,
    );
}

fn median(mut values: Vec<f64>) -> anyhow::Result<f64> {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .context("measure at least one round")
}
