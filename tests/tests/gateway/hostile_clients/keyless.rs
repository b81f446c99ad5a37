//! A gateway with keys, and clients that have none: they send large frames before they show one, connect
//! again and again, ask with wrong keys. The client that has one loses nothing.

use end_to_end::Gateway;
use end_to_end::http::{request, with_header};
use end_to_end::wait::in_time;
use futures::stream;
use futures::{Stream, StreamExt};

use super::{MIB, Scene, hits};
use crate::client_faults::wire::{self, Kind};
use crate::metrics::scrape;

const KEY: &str = "good-key-f0e1d2c3b4a59687";
/// Of each kind, and how many of them at a time.
const LARGE: usize = 400;
const RECONNECTS: usize = 2_000;
const REFUSED: usize = 2_000;
const AT_ONCE: usize = 50;
/// What is announced, which a client with a key may send, and how much of it comes.
const ANNOUNCED: usize = 1_000_000;
const SENT: usize = 64 * 1024;

async fn all<F: Future<Output = ()>>(what: &str, clients: impl Stream<Item = F>) {
    in_time(what, clients.buffer_unordered(AT_ONCE).collect::<Vec<()>>()).await;
}

/// Sends a part of a large frame in place of a key.
async fn large(gateway: &Gateway, number: usize) {
    // Sixteen may wait in one stream: they are told that they sent too much, and not that they are many.
    let session = format!("keyless-{}", number % AT_ONCE);
    let (mut sending, mut receiving) = wire::open(gateway, &session, "teacher").await;
    sending
        .bytes(&wire::head(Kind::Text, true, ANNOUNCED))
        .await;
    sending.bytes(&vec![b'x'; SENT]).await;
    loop {
        let frame = receiving.frame().await.expect("a close frame comes first");
        if frame.kind == Kind::Close {
            let (code, reason) = frame.close();
            assert_eq!(code, 1009, "{reason}");
            return;
        }
    }
}

#[tokio::test]
async fn clients_without_a_key_cost_one_that_has_it_nothing() {
    let keys = [("GATEWAY_API_KEYS", KEY)];
    let scene = Scene::start_with("with-a-key", &["--metrics", "on"], &keys, Some(KEY)).await;
    let gateway = &scene.gateway;
    let larges = stream::iter(0..LARGE).map(|number| large(gateway, number));
    let reconnects = stream::iter(0..RECONNECTS).map(|number| async move {
        // All of one stream: some find a place, the others are told that there is none.
        let role = ["teacher", "students"][number % 2];
        drop(wire::open(gateway, "reconnecting", role).await);
    });
    let refused = stream::iter(0..REFUSED).map(|number| async move {
        let ask = request("GET", "/v1/sessions/with-a-key/state", None);
        let wrong = format!("wrong-key-{number:020}");
        let answer = gateway.send(with_header(ask, "x-api-key", &wrong)).await;
        assert_eq!(answer.status, 401);
    });
    tokio::join!(
        all("large frames are told", larges),
        all("reconnects end", reconnects),
        all("wrong keys are told", refused)
    );
    assert_eq!(hits(gateway, "unknown-bytes").await, LARGE as f64);
    assert_eq!(hits(gateway, "message-bytes").await, 0.0);
    let unauthorized = [("reason", "unauthorized")];
    let figures = scrape(gateway).await;
    let counted = figures.value("gateway_access_failures_total", &unauthorized);
    assert!(counted >= REFUSED as f64, "{counted}");
    scene.end(96 * MIB).await;
}
