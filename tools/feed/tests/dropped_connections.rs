//! A gateway that drops connections at random moments gets every chunk all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake;

use std::path::Path;

use fake::{Deed, Fake, PATIENCE, Rules};
use feed::audio::{CHUNK_BYTES, Source};
use feed::connection::Connector;
use feed::delivery::Pace;
use feed::gateway::Gateway;
use feed::reading;
use feed::session::Role;
use feed::stream::{self, Begin, End, Error, Observer, Outcome, Plan, Summary};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

async fn start(mut deeds: impl FnMut() -> Deed + Send + 'static) -> Fake {
    let deed = Box::new(move |_| deeds());
    Fake::start(Rules {
        deed,
        ..Rules::default()
    })
    .await
}

struct Quiet;

impl Observer for Quiet {
    fn progress(&self, sent: u32, acked: u32) {
        assert!(acked <= sent);
    }
    fn note(&self, _: &str) {}
}

/// Samples that differ from second to second.
fn pcm(seconds: usize) -> Vec<u8> {
    (0..seconds * CHUNK_BYTES)
        .map(|i| (i / 7 + i / CHUNK_BYTES) as u8)
        .collect()
}

fn assert_has(fake: &Fake, seconds: usize) {
    let stored = fake.stored.lock().unwrap();
    assert_eq!(stored.len(), seconds);
    let audio = pcm(seconds);
    for (seq, second) in audio.chunks(CHUNK_BYTES).enumerate() {
        assert_eq!(stored[&(seq as u32 + 1)], second, "{seq}");
    }
}

async fn feed(fake: &Fake, seconds: usize) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.raw");
    std::fs::write(&path, pcm(seconds)).unwrap();
    feed_file(fake, &path).await
}

async fn feed_file(fake: &Fake, path: &Path) -> Outcome {
    let gateway: Gateway = fake.url.parse().unwrap();
    let plan = Plan {
        connector: Connector::new(&gateway, None, None).unwrap(),
        gateway,
        session: "a session".parse().unwrap(),
        key: None,
        role: Role::Teacher,
        begin: Begin::Behind,
        pace: Pace::Fast,
        interviewer: Some("Ada Lovelace".to_owned()),
        participants: vec!["Ada Lovelace".to_owned(), "B".to_owned()],
    };
    let source = Source::open(path, 16_000).unwrap();
    let (_stop, stop) = watch::channel(false);
    let fed = stream::run(&plan, reading::start(source), &Quiet, stop);
    timeout(PATIENCE, fed).await.expect("an end in time")
}

fn complete(outcome: Outcome) -> Summary {
    assert!(matches!(outcome.end, End::Complete), "{outcome:?}");
    outcome.summary
}

/// Deeds drawn from a seed.
fn at_random(seed: u64) -> impl FnMut() -> Deed {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        match (state >> 33) % 32 {
            0 => Deed::DropBefore,
            1 => Deed::DropAfter,
            2 => Deed::Reject,
            _ => Deed::Ack,
        }
    }
}

#[tokio::test]
async fn nothing_dropped_means_nothing_sent_twice() {
    let fake = start(|| Deed::Ack).await;
    let summary = complete(feed(&fake, 70).await);
    assert_has(&fake, 70);
    let expected = Summary {
        first_seq: 1,
        chunks: 70,
        stored: 70,
        ..Summary::default()
    };
    assert_eq!(summary, expected);
    assert_eq!(*fake.closes.lock().unwrap(), 1);
    let hellos = fake.hellos.lock().unwrap();
    assert_eq!(hellos.len(), 1);
    assert_eq!(hellos[0]["interviewer_name"], "Ada Lovelace");
    assert_eq!(
        hellos[0]["teams_participants"],
        json!(["Ada Lovelace", "B"])
    );
}

#[tokio::test]
async fn every_chunk_arrives_whenever_connections_drop() {
    let runs = (1..=6).map(|seed| async move {
        let fake = start(at_random(seed)).await;
        let summary = complete(feed(&fake, 100).await);
        assert_has(&fake, 100);
        assert_eq!(summary.stored + summary.duplicate, summary.chunks);
        assert_eq!(summary.conflicting, 0);
        assert_eq!(*fake.closes.lock().unwrap(), 1);
        summary.reconnects
    });
    let reconnects = futures::future::join_all(runs).await;
    assert!(
        reconnects.iter().sum::<u32>() > 0,
        "no connection was dropped"
    );
}

#[tokio::test]
async fn a_chunk_that_is_always_refused_is_named() {
    let fake = start(|| Deed::Reject).await;
    let outcome = feed(&fake, 1).await;
    let End::Failed(error @ Error::ChunkRefused { seq: 1, .. }) = &outcome.end else {
        panic!("{outcome:?}");
    };
    assert!(error.to_string().contains("could not be stored"), "{error}");
    assert!(!outcome.summary.has_audio());
    assert!(fake.stored.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_file_goes_on_behind_what_the_stream_has() {
    let fake = Fake::start_with(Rules::default(), 1..=3).await;
    let summary = complete(feed(&fake, 4).await);
    let stored = fake.stored.lock().unwrap();
    assert_eq!(stored.len(), 7);
    assert_eq!(stored[&4], pcm(4)[..CHUNK_BYTES]);
    assert_eq!((summary.first_seq, summary.stored), (4, 4));
}
