//! Prints what storing one second of audio (32,000 bytes) costs, beside what a program would do
//! without this crate, and what metadata add.
//!
//! `cargo run --release -p blob-store --example blob-cost`
//!
//! The ways take turns, in rounds, and the figure is that of the middle round: a disk's and a
//! neighbour's moods hit all of them alike.

use std::path::Path;
use std::time::Instant;

use blob_store::BlobStore;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;

const ROUNDS: usize = 60;
const CHUNKS_PER_ROUND: usize = 50;
const CHUNK_BYTES: usize = 32_000;
const METADATA_BYTES: usize = 250;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, Debug)]
enum Way {
    WriteAndRename,
    TheSameOnAnotherThread,
    ObjectStorePut,
    PutWithMetadata,
    /// With `STORE_SYNC=power`.
    PutForPower,
    AttributeAlone,
    SidecarAlone,
    GetContent,
}

const WAYS: [Way; 8] = [
    Way::WriteAndRename,
    Way::TheSameOnAnotherThread,
    Way::ObjectStorePut,
    Way::PutWithMetadata,
    Way::PutForPower,
    Way::AttributeAlone,
    Way::SidecarAlone,
    Way::GetContent,
];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // The tasks of a server run on its worker threads; main itself does not.
    tokio::spawn(measure()).await?
}

async fn measure() -> Result<(), Failure> {
    let directory = tempfile::tempdir_in(".")?;
    let root = directory.path();
    let files = LocalFileSystem::new_with_prefix(root)?;
    let store = BlobStore::directory(root)?;
    let flushing = BlobStore::directory_with(root, blob_store::Sync::Power)?;
    let content = Bytes::from(vec![7; CHUNK_BYTES]);
    let metadata: Vec<_> = [
        "session_id",
        "stream_role",
        "seq",
        "timestamp_ms",
        "sample_rate",
    ]
    .map(|name| (name.to_owned(), "some-value-of-some-length".to_owned()))
    .to_vec();
    let mut costs = vec![Vec::new(); WAYS.len()];
    for round in 0..ROUNDS {
        for (way, costs) in WAYS.iter().zip(&mut costs) {
            std::fs::create_dir_all(root.join(format!("{way:?}")))?;
            let (start, cpu) = (Instant::now(), cpu_micros());
            for number in round * CHUNKS_PER_ROUND..(round + 1) * CHUNKS_PER_ROUND {
                let file = |way: Way| format!("{way:?}/{number:08}.pcm");
                let own = root.join(file(*way));
                match way {
                    Way::WriteAndRename => write_and_rename(&own, &content)?,
                    Way::TheSameOnAnotherThread => {
                        let content = content.clone();
                        tokio::task::spawn_blocking(move || write_and_rename(&own, &content))
                            .await??;
                    }
                    Way::ObjectStorePut => {
                        files
                            .put(&Location::parse(file(*way))?, content.clone().into())
                            .await?;
                    }
                    Way::PutWithMetadata => {
                        store
                            .put(&file(*way), content.clone(), "audio/L16", &metadata)
                            .await?;
                    }
                    Way::PutForPower => {
                        flushing
                            .put(&file(*way), content.clone(), "audio/L16", &metadata)
                            .await?;
                    }
                    Way::AttributeAlone => {
                        let path = root.join(file(Way::ObjectStorePut));
                        xattr::set(path, "user.object", &[b'x'; METADATA_BYTES])?;
                    }
                    Way::SidecarAlone => {
                        let sidecar = Location::parse(format!("{}.meta.json", file(*way)))?;
                        files
                            .put(&sidecar, vec![b'x'; METADATA_BYTES].into())
                            .await?;
                    }
                    Way::GetContent => {
                        store.get_content(&file(Way::PutWithMetadata)).await?;
                    }
                }
            }
            let each = CHUNKS_PER_ROUND as f64;
            let micros = start.elapsed().as_secs_f64() * 1e6 / each;
            costs.push((micros, (cpu_micros() - cpu) / each));
        }
    }
    for (way, costs) in WAYS.iter().zip(&costs) {
        let time = middle(costs.iter().map(|(time, _)| *time));
        let cpu = middle(costs.iter().map(|(_, cpu)| *cpu));
        println!(
            "{:<24} {time:>6.1} µs, of the processors {cpu:>6.1} µs",
            format!("{way:?}")
        );
    }
    Ok(())
}

fn write_and_rename(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let staged = path.with_extension("new");
    std::fs::write(&staged, content)?;
    std::fs::rename(staged, path)
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// What all threads of this process have used so far, in microseconds; 0 where the system does not
/// say.
fn cpu_micros() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 0.0;
    };
    let nanos: f64 = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .sum();
    nanos / 1e3
}
