//! A server that is away: nothing queues up behind it.

use std::time::{Duration, Instant};

use http::Method;
use s3_simulator::faults::Fault;

use crate::{KEY, World, bounded, unavailable};

#[tokio::test]
async fn a_batch_of_chunks_waits_once_and_not_for_each() {
    let world = World::new();
    world.server.faults().always(None, Fault::Stall);
    let (put, one) = bounded(world.put(b"content")).await;
    unavailable(put, "no answer in 200 ms");
    let asked = world.server.faults().count(&Method::PUT);
    let began = Instant::now();
    let mut at_once = 0;
    for _ in 0..16 {
        let (put, took) = bounded(world.put(b"content")).await;
        unavailable(put, "");
        at_once += u32::from(took < Duration::from_millis(100));
    }
    // All but the one that looks whether it is back.
    assert!(at_once >= 14, "{at_once} of 16");
    assert!(began.elapsed() < one * 16, "{:?}", began.elapsed());
    let probes = world.server.faults().count(&Method::PUT) - asked;
    let seconds = began.elapsed().as_secs();
    assert!(probes as u64 <= seconds + 1, "{probes} in {seconds} s");
    unavailable(
        world.store.get_content(KEY).await,
        "S3 has not answered for",
    );
}

#[tokio::test]
async fn what_goes_well_for_others_goes_on() {
    let world = World::new();
    world.put(b"content").await.unwrap();
    // Only writing is broken: a read that goes well meanwhile shows that the server is there.
    world
        .server
        .faults()
        .always(Some(Method::PUT), Fault::Stall);
    let put = world.put(b"other");
    let reads = async {
        for _ in 0..20 {
            let read = world.store.get_content(KEY).await;
            assert_eq!(read.unwrap().unwrap(), "content");
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    let ((put, ()), _) = bounded(futures::future::join(put, reads)).await;
    unavailable(put, "no answer");
    let read = world.store.get_content(KEY).await;
    assert_eq!(
        read.unwrap().unwrap(),
        "content",
        "it is not taken for an outage"
    );
}
