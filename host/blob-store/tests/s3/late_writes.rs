//! A write that was given up may be carried out by the server much later. It must not undo what was
//! written since.

use blob_store::BlobStore;
use bytes::Bytes;
use http::Method;
use s3_simulator::Object;
use s3_simulator::faults::Fault;

use crate::{BUCKET, KEY, PREFIX, World, bounded, unavailable};

fn whole() -> String {
    format!("{PREFIX}/{KEY}")
}

fn foreign(text: &'static [u8]) -> Object {
    Object {
        content: Bytes::from_static(text),
        ..Object::default()
    }
}

#[tokio::test]
async fn a_late_first_write_finds_the_later_one() {
    let world = World::with(&[("S3_TIMEOUT_MS", "20000")]);
    world.server.faults().next(Some(Method::PUT), Fault::Hold);
    world.put(b"one").await.unwrap();
    world.put(b"two").await.unwrap();
    world.server.faults().release(1).await;
    assert_eq!(world.stored().unwrap(), "two");
}

#[tokio::test]
async fn a_late_replacement_finds_the_later_one() {
    let world = World::with(&[("S3_TIMEOUT_MS", "20000")]);
    world.put(b"old").await.unwrap();
    let faults = world.server.faults();
    // The first is refused, because there is an object; the second names that and is held.
    faults.next(Some(Method::PUT), Fault::Delay(std::time::Duration::ZERO));
    faults.next(Some(Method::PUT), Fault::Hold);
    world.put(b"one").await.unwrap();
    world.put(b"two").await.unwrap();
    world.server.faults().release(1).await;
    assert_eq!(world.stored().unwrap(), "two");
}

/// What no condition can prevent: for the server there is no object, as the write says.
#[tokio::test]
async fn a_late_first_write_after_a_deletion_brings_the_object_back() {
    let world = World::with(&[("S3_TIMEOUT_MS", "20000")]);
    world.server.faults().next(Some(Method::PUT), Fault::Hold);
    world.put(b"one").await.unwrap();
    assert_eq!(world.store.delete_prefix("sessions/").await, Ok(1));
    world.server.faults().release(1).await;
    assert_eq!(world.stored().unwrap(), "one", "docs/r2.md says so");
}

#[tokio::test]
async fn a_late_replacement_after_a_deletion_finds_nothing_to_replace() {
    let world = World::with(&[("S3_TIMEOUT_MS", "20000")]);
    world.put(b"old").await.unwrap();
    let faults = world.server.faults();
    faults.next(Some(Method::PUT), Fault::Delay(std::time::Duration::ZERO));
    faults.next(Some(Method::PUT), Fault::Hold);
    world.put(b"one").await.unwrap();
    assert_eq!(world.store.delete_prefix("sessions/").await, Ok(1));
    faults.release(1).await;
    assert_eq!(world.stored(), None);
}

#[tokio::test]
async fn a_write_that_was_given_up_is_done_or_not() {
    let world = World::new();
    world
        .server
        .faults()
        .always(Some(Method::PUT), Fault::StallWhenDone);
    unavailable(world.put(b"one").await, "");
    assert_eq!(world.stored().unwrap(), "one", "whole, if at all");
}

#[tokio::test]
async fn the_last_writer_wins_whoever_else_writes() {
    let world = World::new();
    world.server.put(BUCKET, &whole(), foreign(b"theirs"));
    world.put(b"ours").await.unwrap();
    assert_eq!(world.stored().unwrap(), "ours");
}

#[tokio::test]
async fn an_object_that_goes_between_the_look_and_the_write_is_written_all_the_same() {
    let world = World::with(&[("S3_TIMEOUT_MS", "20000")]);
    world.server.put(BUCKET, &whole(), foreign(b"theirs"));
    let faults = world.server.faults();
    // The first write finds an object; the second names it, and by then it is gone.
    faults.next(Some(Method::PUT), Fault::Delay(std::time::Duration::ZERO));
    faults.next(Some(Method::PUT), Fault::Hold);
    let gone = async {
        while faults.count(&Method::PUT) < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        world.server.delete(BUCKET, &whole());
    };
    let ((put, ()), _) = bounded(futures::future::join(world.put(b"ours"), gone)).await;
    put.unwrap();
    faults.release(1).await;
    assert_eq!(world.stored().unwrap(), "ours");
    let looks = faults.count(&Method::HEAD);
    assert_eq!(looks, 2, "it was looked at again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_that_write_the_same_object_end_with_one_of_both_whole() {
    let world = World::with(&[("S3_TIMEOUT_MS", "20000")]);
    let other = crate::store(&world.server.endpoint(), &[]);
    let write = |store: BlobStore, byte: u8| async move {
        for _ in 0..10 {
            let content = Bytes::from(vec![byte; 1000]);
            // Too many conflicts in a row are an error that says so; there is no other.
            if let Err(error) = store.put(KEY, content, "a/b", &[]).await {
                unavailable::<()>(Err(error), "others write the same object again and again");
            }
        }
    };
    let first = tokio::spawn(write(world.store.clone(), 1));
    let second = tokio::spawn(write(other, 2));
    first.await.unwrap();
    second.await.unwrap();
    let stored = world.stored().unwrap();
    assert_eq!(stored.len(), 1000);
    assert!(stored.iter().all(|byte| *byte == stored[0]));
}
