//! Prints what the writes of one event cost: reading three records and writing two of 300 bytes.
//!
//! `cargo run --release -p key-value-store --example key-value-cost`

use std::time::Instant;

use key_value_store::{Durability, KvError, SqliteStore};

const EVENTS: u32 = 20_000;
const RECORD_BYTES: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir_in(".")?;
    let store = SqliteStore::open(
        &directory.path().join("cost.db"),
        "default",
        Durability::Normal,
    )?;
    let names = ["session/a/ingest", "session/a/asr", "session/a/config"].map(str::to_owned);
    let records: Vec<_> = names[..2]
        .iter()
        .map(|name| (name.clone(), vec![7; RECORD_BYTES]))
        .collect();
    timed("get_many(3)", || store.get_many(&names).map(drop))?;
    timed("set_many(2)", || store.set_many(&records))?;
    timed("get", || store.get(&names[0]).map(drop))?;
    timed("set", || store.set(&names[0], &records[0].1))?;
    let mut number = 0;
    timed("set of a new key", || {
        number += 1;
        store.set(&format!("session/a/utterance/{number:08}"), &records[0].1)
    })?;
    let record = &records[0].1;
    timed("compare_and_swap", || {
        store
            .compare_and_swap(&names[0], Some(record), record)
            .map(drop)
    })?;
    Ok(())
}

/// Prints the microseconds of one call, over many.
fn timed(what: &str, mut call: impl FnMut() -> Result<(), KvError>) -> Result<(), KvError> {
    let start = Instant::now();
    let cpu_before = cpu_micros();
    for _ in 0..EVENTS {
        call()?;
    }
    let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(EVENTS);
    let cpu = (cpu_micros() - cpu_before) / f64::from(EVENTS);
    println!("{what:<20} {micros:>6.1} µs, of the processor {cpu:>6.1} µs");
    Ok(())
}

/// What this thread has used so far, in microseconds; 0 where the system does not say.
fn cpu_micros() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.unwrap_or_default() / 1e3
}
