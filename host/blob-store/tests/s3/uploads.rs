//! Large objects: in parts, which nobody sees before all are put together.

use std::time::{Duration, Instant};

use blob_store::PART_BYTES;
use http::Method;
use s3_simulator::faults::Fault;

use crate::{KEY, World, bounded, unavailable};

/// Fills two parts and a bit.
async fn write(world: &World) -> Result<blob_store::Upload, blob_store::BlobError> {
    let mut upload = world.store.begin(KEY, "a/b", &[]).await?;
    for byte in 0..9 {
        upload.write(&vec![byte; PART_BYTES / 4]).await?;
    }
    Ok(upload)
}

fn is_whole(world: &World) -> bool {
    let stored = world.stored().unwrap_or_default();
    stored.len() == PART_BYTES / 4 * 9
        && stored
            .chunks(PART_BYTES / 4)
            .zip(0..)
            .all(|(piece, byte)| piece.iter().all(|other| *other == byte))
}

fn patient() -> World {
    World::with(&[
        ("S3_TIMEOUT_MS", "30000"),
        ("S3_ATTEMPT_TIMEOUT_MS", "2000"),
    ])
}

async fn no_upload_is_left(world: &World) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.server.open_uploads() > 0 {
        assert!(Instant::now() < deadline, "parts are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_small_one_is_one_request() {
    let world = World::new();
    let mut upload = world.store.begin(KEY, "a/b", &[]).await.unwrap();
    upload.write(b"con").await.unwrap();
    upload.write(b"tent").await.unwrap();
    assert_eq!(world.server.faults().seen(), []);
    upload.finish().await.unwrap();
    assert_eq!(world.stored().unwrap(), "content");
    assert_eq!(world.server.faults().seen().len(), 1);
}

#[tokio::test]
async fn a_large_one_survives_a_fault_of_each_request() {
    // Begin, three parts, the end: and each of them is answered late, not at all, or wrongly.
    for (method, fault) in [
        (Method::POST, Fault::Refuse(503, "SlowDown")),
        (Method::POST, Fault::CutWhenDone),
        (Method::PUT, Fault::Refuse(500, "InternalError")),
        (Method::PUT, Fault::CutWhenDone),
        (Method::PUT, Fault::Stall),
    ] {
        let world = patient();
        world.server.faults().next(Some(method), fault.clone());
        let upload = write(&world).await.unwrap();
        assert_eq!(world.stored(), None);
        upload.finish().await.unwrap();
        assert!(is_whole(&world), "{fault:?}");
    }
}

#[tokio::test]
async fn an_end_that_was_done_and_not_answered_is_known() {
    for fault in [Fault::CutWhenDone, Fault::StallWhenDone, Fault::CutBody(5)] {
        let world = patient();
        let upload = write(&world).await.unwrap();
        world
            .server
            .faults()
            .next(Some(Method::POST), fault.clone());
        upload.finish().await.unwrap();
        assert!(is_whole(&world), "{fault:?}");
        no_upload_is_left(&world).await;
        let shown = world.store.get(KEY).await.unwrap().unwrap();
        assert_eq!(shown.metadata, [], "its mark is nobody's affair");
    }
}

#[tokio::test]
async fn an_upload_that_disappeared_is_not_taken_for_done() {
    let world = patient();
    world.put(b"old").await.unwrap();
    let upload = write(&world).await.unwrap();
    let faults = world.server.faults();
    faults.next(Some(Method::POST), Fault::Cut);
    faults.next(Some(Method::POST), Fault::Refuse(404, "NoSuchUpload"));
    unavailable(upload.finish().await, "NoSuchUpload");
    assert_eq!(world.stored().unwrap(), "old");
}

#[tokio::test]
async fn one_that_is_given_up_or_fails_leaves_no_parts() {
    let world = patient();
    drop(write(&world).await.unwrap());
    no_upload_is_left(&world).await;
    assert_eq!(world.stored(), None);

    let world = World::new();
    let upload = write(&world).await.unwrap();
    world
        .server
        .faults()
        .always(Some(Method::POST), Fault::Refuse(503, "SlowDown"));
    let (finished, _) = bounded(upload.finish()).await;
    unavailable(finished, "503 SlowDown");
    world.server.faults().clear();
    assert_eq!(world.stored(), None);
}

#[tokio::test]
async fn a_part_that_cannot_be_stored_is_told_to_the_writer() {
    let world = World::new();
    let mut upload = world.store.begin(KEY, "a/b", &[]).await.unwrap();
    world
        .server
        .faults()
        .always(None, Fault::Refuse(503, "SlowDown"));
    let piece = vec![0; PART_BYTES];
    upload.write(&piece).await.unwrap();
    let (written, _) = bounded(upload.write(&piece)).await;
    unavailable(written, "503 SlowDown");
}
