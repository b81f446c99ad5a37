//! Prints what the calls of one event cost, reading three records and writing two of 300 bytes, for each store
//! and each `STORE_SYNC` (docs/durability.md). The Redis server is one on this machine, its file on the same
//! disk.
//!
//! `cargo run --release -p key-value-store --example key-value-cost`

use std::time::{Duration, Instant};

use key_value_store::{Durability, KeyValue, KvError, RedisSettings, RedisStore, SqliteStore};
use redis_server::RedisServer;

/// Calls of each kind; a tenth of them where each may wait for the disk.
const CALLS: u32 = 20_000;
const RECORD_BYTES: usize = 300;
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let directory = tempfile::tempdir_in(".")?;
    for (name, durability, calls) in [
        ("SQLite, process", Durability::Normal, CALLS),
        ("SQLite, power", Durability::Full, CALLS / 10),
    ] {
        let file = directory.path().join(format!("{durability:?}.db"));
        let store = SqliteStore::open(&file, "default", durability)?;
        measure(name, &store, calls).await?;
    }
    for (name, sync, calls) in [
        ("Redis, process (everysec)", "everysec", CALLS),
        ("Redis, power (always)", "always", CALLS / 10),
    ] {
        let server = RedisServer::with_options(&format!("appendfsync {sync}\n"));
        let settings = RedisSettings {
            url: server.url(),
            prefix: "cost:".to_owned(),
            host: "one".to_owned(),
            ca_file: None,
            connect_timeout: PATIENCE,
            response_timeout: PATIENCE,
        };
        let store = RedisStore::open(&settings).await?;
        if store.waits_for_disk().await != Some(sync == "always") {
            return Err(format!("the server does not do {sync}").into());
        }
        measure(name, &store, calls).await?;
    }
    Ok(())
}

async fn measure(name: &str, store: &dyn KeyValue, calls: u32) -> Result<(), Failure> {
    let names = ["session/a/ingest", "session/a/asr", "session/a/config"].map(str::to_owned);
    let records: Vec<_> = names[..2]
        .iter()
        .map(|name| (name.clone(), vec![7; RECORD_BYTES]))
        .collect();
    let record = &records[0].1;
    store.set_many(&records).await?;
    println!("{name}");
    timed("get_many(3)", calls, async |_| {
        store.get_many(&names).await.map(drop)
    })
    .await?;
    timed("set_many(2)", calls, async |_| {
        store.set_many(&records).await
    })
    .await?;
    timed("set of a new key", calls, async |number| {
        let key = format!("session/a/utterance/{number:08}");
        store.set(&key, record).await
    })
    .await?;
    timed("compare_and_swap", calls, async |_| {
        let swap = store.compare_and_swap(&names[0], Some(record), record);
        swap.await.map(drop)
    })
    .await?;
    Ok(())
}

/// Prints the microseconds of one call, over many: the mean and the one that a hundredth is above.
async fn timed(
    what: &str,
    calls: u32,
    mut call: impl AsyncFnMut(u32) -> Result<(), KvError>,
) -> Result<(), KvError> {
    let mut times = Vec::with_capacity(calls as usize);
    for number in 0..calls {
        let start = Instant::now();
        call(number).await?;
        times.push(start.elapsed());
    }
    let all: Duration = times.iter().sum();
    times.sort_unstable();
    let late = times.get(times.len() * 99 / 100).copied().unwrap_or(all);
    println!(
        "  {what:<20} {:>8.1} µs, 99 of 100 within {:>8.1} µs",
        micros(all) / f64::from(calls),
        micros(late)
    );
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
