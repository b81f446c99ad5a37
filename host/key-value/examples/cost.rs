//! Prints what the writes of one event cost: reading three records and writing two of 300 bytes.
//!
//! `cargo run --release -p key-value-store --example cost`

use std::time::Instant;

use key_value_store::{Durability, KeyValue, KvError, SqliteStore};

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
    println!(
        "get_many(3)              {:>6.1} µs",
        timed(|| store.get_many(&names).map(drop))?
    );
    println!(
        "set_many(2)              {:>6.1} µs",
        timed(|| store.set_many(&records))?
    );
    println!(
        "get                      {:>6.1} µs",
        timed(|| store.get(&names[0]).map(drop))?
    );
    println!(
        "set                      {:>6.1} µs",
        timed(|| store.set(&names[0], &records[0].1))?
    );
    let mut number = 0;
    let appended = timed(|| {
        number += 1;
        store.set(&format!("session/a/utterance/{number:08}"), &records[0].1)
    })?;
    println!("set of a new key         {appended:>6.1} µs");
    let swapped = timed(|| {
        store
            .compare_and_swap(&names[0], Some(&records[0].1), &records[0].1)
            .map(drop)
    })?;
    println!("compare_and_swap         {swapped:>6.1} µs");
    Ok(())
}

/// Microseconds of one call, over many.
fn timed(mut call: impl FnMut() -> Result<(), KvError>) -> Result<f64, KvError> {
    let start = Instant::now();
    for _ in 0..EVENTS {
        call()?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(EVENTS))
}
