//! Each fault of the server: what a call makes of it, how long that takes, and what is stored then.

use std::time::Duration;

use blob_store::BlobError;
use http::Method;
use s3_simulator::faults::Fault;

use crate::{ATTEMPT, KEY, World, bounded, refused, unavailable};

const BUSY: Fault = Fault::Refuse(503, "SlowDown");

#[tokio::test]
async fn what_passes_is_not_noticed() {
    for fault in [
        BUSY,
        Fault::Refuse(500, "InternalError"),
        Fault::Refuse(429, "TooManyRequests"),
        Fault::Refuse(409, "OperationAborted"),
        Fault::Refuse(400, "RequestTimeout"),
        Fault::Cut,
        Fault::Stall,
        Fault::CutWhenDone,
        Fault::StallWhenDone,
    ] {
        let world = World::with(&[("S3_TIMEOUT_MS", "20000")]);
        world.server.faults().next(None, fault.clone());
        let put = world.put(b"content").await;
        put.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(world.stored().unwrap(), "content", "{fault:?}");
        world.server.faults().next(None, fault.clone());
        let read = world.store.get_content(KEY).await;
        assert_eq!(read.unwrap().unwrap(), "content", "{fault:?}");
        // The answer to HEAD has no body that says why.
        if fault != Fault::Refuse(400, "RequestTimeout") {
            world.server.faults().next(None, fault.clone());
            assert!(world.store.head(KEY).await.unwrap().is_some(), "{fault:?}");
        }
        world.server.faults().next(None, fault.clone());
        let removed = world.store.delete_prefix("sessions/").await;
        assert_eq!(removed, Ok(1), "{fault:?}");
        assert_eq!(world.stored(), None, "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    for fault in [Fault::CutBody(3), Fault::StallBody(3), Fault::CutBody(0)] {
        let world = World::with(&[("S3_TIMEOUT_MS", "20000")]);
        world.put(b"content").await.unwrap();
        world.server.faults().next(Some(Method::GET), fault.clone());
        world.server.faults().next(Some(Method::GET), fault.clone());
        let read = world.store.get_content(KEY).await;
        assert_eq!(read.unwrap().unwrap(), "content", "{fault:?}");
        assert_eq!(world.server.faults().count(&Method::GET), 3, "{fault:?}");
        let version = world.store.head(KEY).await.unwrap().unwrap().version;
        world.server.faults().next(Some(Method::GET), fault.clone());
        let read = world.store.get_range(KEY, &version, 1, 4).await;
        assert_eq!(read.unwrap().unwrap(), "onte", "{fault:?}");
        // A list, too.
        world.server.faults().next(Some(Method::GET), fault.clone());
        assert_eq!(world.store.delete_prefix("sessions/").await, Ok(1));
    }
}

#[tokio::test]
async fn what_lasts_ends_in_time_and_says_why() {
    for (fault, says) in [
        (BUSY, "it answered 503 SlowDown"),
        (Fault::Stall, "no answer in 200 ms"),
        (Fault::Cut, "the connection broke off"),
    ] {
        let world = World::new();
        world.server.faults().always(None, fault.clone());
        let (put, _) = bounded(world.put(b"content")).await;
        unavailable(put, says);
        assert_eq!(world.stored(), None);
        assert!(world.server.faults().count(&Method::PUT) > 1, "{fault:?}");
        // It recovers by itself.
        world.server.faults().clear();
        recovers(&world).await;
    }
}

#[tokio::test]
async fn reading_ends_in_time_too() {
    for fault in [BUSY, Fault::Stall, Fault::Cut, Fault::StallBody(3)] {
        let world = World::new();
        world.put(b"content").await.unwrap();
        world.server.faults().always(None, fault.clone());
        let (read, _) = bounded(world.store.get_content(KEY)).await;
        unavailable(read, "GET: ");
        world.server.faults().clear();
        recovers(&world).await;
        world.server.faults().always(None, fault);
        let (removed, _) = bounded(world.store.delete_prefix("sessions/")).await;
        unavailable(removed, ": ");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_may_come() {
    let world = World::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let store = crate::store(&endpoint, &[]);
    let (check, _) = bounded(store.check()).await;
    unavailable(check, "no connection: Connection refused");
    let named = crate::store("https://name.invalid", &[]);
    let (check, _) = bounded(named.check()).await;
    unavailable(check, "no connection");
    drop(world);
}

#[tokio::test]
async fn what_will_not_pass_is_said_at_once() {
    for (fault, says) in [
        (
            Fault::Refuse(403, "AccessDenied"),
            "check the access key and what it may do",
        ),
        (Fault::Refuse(401, "Unauthorized"), "check the access key"),
        (
            Fault::Refuse(403, "RequestTimeTooSkewed"),
            "set this machine's clock",
        ),
        (Fault::Refuse(400, "InvalidArgument"), "400 InvalidArgument"),
        (
            Fault::Refuse(404, "NoSuchBucket"),
            "check the bucket's name",
        ),
        (
            Fault::Refuse(301, "PermanentRedirect"),
            "check the endpoint",
        ),
    ] {
        let world = World::new();
        world.server.faults().always(None, fault.clone());
        refused(world.put(b"content").await, says);
        assert_eq!(
            world.server.faults().seen().len(),
            1,
            "{fault:?}: asked again"
        );
        refused(world.store.get_content(KEY).await, says);
        refused(world.store.delete_prefix("sessions/").await, says);
        // A refusal is no outage.
        world.server.faults().clear();
        world.put(b"content").await.unwrap();
    }
}

#[tokio::test]
async fn a_server_without_conditions_is_written_to_all_the_same() {
    let world = World::new();
    let unknown = Fault::Refuse(501, "NotImplemented");
    world.server.faults().next(Some(Method::PUT), unknown);
    world.put(b"content").await.unwrap();
    world.put(b"other").await.unwrap();
    assert_eq!(world.stored().unwrap(), "other");
    assert_eq!(world.server.faults().seen().len(), 3, "it is asked once");
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let world = World::with(&[("S3_ATTEMPT_TIMEOUT_MS", "1000")]);
    world.server.faults().always(None, Fault::Delay(ATTEMPT));
    world.put(b"content").await.unwrap();
    assert_eq!(world.server.faults().count(&Method::PUT), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_requests_at_once_and_no_more() {
    let world = World::with(&[("S3_CONCURRENCY", "2"), ("S3_TIMEOUT_MS", "20000")]);
    world.put(b"content").await.unwrap();
    world
        .server
        .faults()
        .always(None, Fault::Delay(Duration::from_millis(20)));
    let reads = (0..10).map(|_| world.store.get_content(KEY));
    for read in futures::future::join_all(reads).await {
        assert_eq!(read.unwrap().unwrap(), "content");
    }
    assert!(
        world.server.most_at_once() <= 2,
        "{}",
        world.server.most_at_once()
    );
    // Those that find no place in their time say so.
    let world = World::with(&[("S3_CONCURRENCY", "1"), ("S3_ATTEMPT_TIMEOUT_MS", "1000")]);
    // A write has more time, by its size: it holds the place for longer than a read has.
    let large = bytes::Bytes::from(vec![0; 2 << 20]);
    world.server.faults().always(None, Fault::Stall);
    let put = world.store.put(KEY, large, "a/b", &[]);
    let ((put, read), _) = bounded(futures::future::join(put, world.store.head(KEY))).await;
    unavailable(put, "no answer");
    unavailable(read, "too many calls wait for S3");
}

/// A server that is back is found within the time of a probe.
async fn recovers(world: &World) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        match world.put(b"content").await {
            Ok(()) => return,
            Err(BlobError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(std::time::Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
