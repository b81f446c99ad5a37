//! Answers of the 200s that may say otherwise, and keys with the words by which others would tell that.

use blob_store::PART_BYTES;
use bytes::Bytes;
use http::Method;
use s3_simulator::faults::Fault;

use crate::{BUCKET, KEY, PREFIX, World, bounded, refused, unavailable};

const WORDS: [&str; 2] = ["SlowDown", "InternalError"];

/// No attempt is given up, however busy the machine is.
fn patient() -> World {
    World::with(&[
        ("S3_TIMEOUT_MS", "30000"),
        ("S3_ATTEMPT_TIMEOUT_MS", "20000"),
    ])
}

#[tokio::test]
async fn a_session_may_have_the_name_of_an_error() {
    for word in WORDS {
        let world = patient();
        let key = format!("sessions/{word}/result.json");
        let mut upload = world.store.begin(&key, "a/b", &[]).await.unwrap();
        upload.write(&vec![1; PART_BYTES + 1]).await.unwrap();
        upload.finish().await.unwrap();
        let posts = || world.server.faults().count(&Method::POST);
        assert_eq!(posts(), 2, "begun and finished, once each");
        let stored = world.server.object(BUCKET, &format!("{PREFIX}/{key}"));
        assert_eq!(stored.unwrap().content.len(), PART_BYTES + 1);
        let below = format!("sessions/{word}/");
        let removed = world.store.delete_prefix(&below);
        assert_eq!(bounded(removed).await.0, Ok(1));
        assert_eq!(posts(), 3, "removed at once");
        assert_eq!(world.server.keys(BUCKET, ""), [""; 0]);
    }
}

#[tokio::test]
async fn an_object_that_may_not_be_removed_is_said_at_once() {
    let world = World::new();
    world.put(b"content").await.unwrap();
    let denied = Fault::RefuseWithin("AccessDenied");
    world.server.faults().always(Some(Method::POST), denied);
    let removed = world.store.delete_prefix("sessions/").await;
    let text = removed.clone().unwrap_err().to_string();
    refused(
        removed,
        "AccessDenied: check the access key and what it may do",
    );
    assert!(!text.contains(KEY) && !text.contains("s-1"), "{text}");
    let posts = world.server.faults().count(&Method::POST);
    assert_eq!(posts, 1, "asked again");
}

#[tokio::test]
async fn an_object_that_could_not_be_removed_is_tried_again() {
    let patient = patient();
    for code in WORDS {
        patient.put(b"content").await.unwrap();
        let fault = Fault::RefuseWithin(code);
        patient.server.faults().next(Some(Method::POST), fault);
        assert_eq!(patient.store.delete_prefix("sessions/").await, Ok(1));
    }
    let world = World::new();
    world.put(b"content").await.unwrap();
    let fault = Fault::RefuseWithin("InternalError");
    world.server.faults().always(Some(Method::POST), fault);
    let (removed, _) = bounded(world.store.delete_prefix("sessions/")).await;
    unavailable(removed, "DELETE: it answered 500 InternalError");
}

#[tokio::test]
async fn an_upload_that_was_not_put_together_is_tried_again() {
    let world = patient();
    let faults = world.server.faults();
    faults.next(Some(Method::POST), Fault::Delay(std::time::Duration::ZERO));
    for code in WORDS {
        faults.next(Some(Method::POST), Fault::RefuseWithin(code));
    }
    let mut upload = world.store.begin(KEY, "a/b", &[]).await.unwrap();
    upload.write(&vec![1; PART_BYTES + 1]).await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(faults.count(&Method::POST), 4);
    assert_eq!(world.stored().unwrap().len(), PART_BYTES + 1);
}

/// Another program has the same bucket, and keys that are none.
#[tokio::test]
async fn what_others_keep_beside_is_not_looked_at() {
    let world = World::new();
    let put = |key: &str| {
        let object = s3_simulator::Object {
            content: Bytes::from_static(b"theirs"),
            ..s3_simulator::Object::default()
        };
        world.server.put(BUCKET, &format!("{PREFIX}/{key}"), object);
    };
    put("a//b");
    put("sessions//b");
    world.store.check().await.unwrap();
    world.put(b"content").await.unwrap();
    assert_eq!(world.store.delete_prefix("sessions/s-1/").await, Ok(1));
    put("sessions/s-1//b");
    let seen = world.server.faults().seen().len();
    let removed = world.store.delete_prefix("sessions/s-1/").await;
    refused(removed, "whose key another program made");
    let asked = world.server.faults().seen().len() - seen;
    assert_eq!(asked, 1, "asked again");
}
