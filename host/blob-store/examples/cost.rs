//! Prints what storing one second of audio (32,000 bytes) costs, in parts: object_store's put, the
//! same with metadata, and what a program would do without either.
//!
//! `cargo run --release -p blob-store --example cost`

use std::path::Path;
use std::time::Instant;

use blob_store::BlobStore;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;

const CHUNKS: usize = 3000;
const CHUNK_BYTES: usize = 32_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // The tasks of a server run on its worker threads; main itself does not.
    tokio::spawn(measure()).await?
}

async fn measure() -> Result<(), Failure> {
    let directory = tempfile::tempdir_in(".")?;
    let root = directory.path();
    let content = Bytes::from(vec![7; CHUNK_BYTES]);
    let names = ["session_id", "stream_role", "meeting_id", "seq", "timestamp_ms", "sample_rate"];
    let metadata: Vec<_> =
        names.iter().map(|name| ((*name).to_owned(), "some-value-1".to_owned())).collect();
    let file = |kind: &str, number: usize| format!("{kind}/chunks/teacher/{number:08}.pcm");

    let plain = root.join("plain/chunks/teacher");
    std::fs::create_dir_all(&plain)?;
    let start = Instant::now();
    for number in 0..CHUNKS {
        write_and_rename(&plain.join(format!("{number:08}.pcm")), &content)?;
    }
    report("write and rename, on this thread", start);

    let plain = root.join("hop/chunks/teacher");
    std::fs::create_dir_all(&plain)?;
    let start = Instant::now();
    for number in 0..CHUNKS {
        let (path, content) = (plain.join(format!("{number:08}.pcm")), content.clone());
        tokio::task::spawn_blocking(move || write_and_rename(&path, &content)).await??;
    }
    report("write and rename, on another thread", start);

    let store = LocalFileSystem::new_with_prefix(root)?;
    let start = Instant::now();
    for number in 0..CHUNKS {
        store.put(&Location::parse(file("store", number))?, content.clone().into()).await?;
    }
    report("object_store's put", start);

    let store = BlobStore::directory(root)?;
    let start = Instant::now();
    for number in 0..CHUNKS {
        store.put(&file("blob", number), content.clone(), "audio/L16", &metadata).await?;
    }
    report("put with metadata", start);

    let start = Instant::now();
    for number in 0..CHUNKS {
        store.get_content(&file("blob", number)).await?;
    }
    report("get_content", start);
    Ok(())
}

fn write_and_rename(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let staged = path.with_extension("new");
    std::fs::write(&staged, content)?;
    std::fs::rename(staged, path)
}

fn report(what: &str, start: Instant) {
    let micros = start.elapsed().as_secs_f64() * 1e6 / CHUNKS as f64;
    println!("{what:<36} {micros:>6.1} µs");
}
