//! Two hosts on one Redis server and the same blobs: sessions, and single streams, wander between them,
//! and one of them is killed. No acknowledged second is lost, none is transcribed twice.

use std::net::SocketAddr;

use asr_simulator::mark;
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, Gateway, Pace, Received, Recorded, Recorder, Settings, audit};
use tokio::sync::watch;

use crate::kills::without_any_client;

const TEACHER: u16 = 1;
const STUDENTS: u16 = 2;
/// What a client is told whose stream goes on at the other host.
const ELSEWHERE: u16 = 1012;
/// What a host says of a lane that it gives up.
const MOVED: &str = "the lane goes on at another host";
/// Seconds of audio a second that each client sends.
const SPEED: f64 = 8.0;
/// How often the streams wander.
const MOVES: u32 = 12;

async fn pair(asr: &Asr) -> [Gateway; 2] {
    let settings = || Settings::with_asr(asr).set("ASR_CATCH_UP_SPEED", "40");
    let one = Gateway::start_on_redis(settings()).await;
    let other = one.start_beside(settings()).await;
    [one, other]
}

fn streams(session: &str) -> [Recorded; 2] {
    [("teacher", TEACHER), ("students", STUDENTS)]
        .map(|(role, mark)| Recorded::new(session, role, mark))
}

/// Where a load balancer leads to.
struct Balancer(watch::Sender<Option<SocketAddr>>);

impl Balancer {
    fn to(gateway: &Gateway) -> Self {
        Self(watch::Sender::new(Some(gateway.address())))
    }

    fn lead_to(&self, gateway: &Gateway) {
        self.0.send_replace(Some(gateway.address()));
    }

    fn client(&self, stream: Recorded, last: u32) -> Recorder {
        Recorder::start_anywhere(self.0.subscribe(), stream, Pace::Times(SPEED), last)
    }
}

async fn acked_more(clients: &mut [Recorder], count: usize) {
    for client in clients {
        client.acked_more(count).await;
    }
}

async fn finish(clients: [Recorder; 2]) -> [Recorded; 2] {
    let [one, other] = clients;
    [one.finish().await, other.finish().await]
}

#[tokio::test]
async fn a_stream_goes_on_at_the_other_host_while_its_old_socket_is_half_open() {
    let asr = Asr::start().await;
    let [one, other] = pair(&asr).await;
    let session = "half-open";
    let mut stream = Recorded::new(session, "teacher", TEACHER);
    let mut old = one.open(session, "teacher").await;
    stream.store(&mut old, 1..=5).await;
    let mut new = other.open(session, "teacher").await;
    stream.store(&mut new, 6..=9).await;
    // The old connection comes back to life with a second that nobody has yet.
    stream.sent(10);
    old.send_chunk(10, &mark::second(TEACHER, 10)).await;
    match old.next().await {
        Received::Closed { code, reason } => {
            assert_eq!(code, ELSEWHERE, "{reason}");
            assert!(reason.contains("connect again"), "{reason}");
        }
        other => panic!("answered by a host that has the stream no more: {other:?}"),
    }
    stream.store(&mut new, 10..=13).await;
    assert!(one.log().contains(MOVED) && !other.log().contains(MOVED));
    audit(&other, &[stream], Expect::AllTranscribed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_wander_between_hosts_under_load_and_one_is_killed() {
    let asr = Asr::start().await;
    let mut hosts = pair(&asr).await;
    let session = "wandering";
    // Each stream wanders by itself: now they are at one host, now at two.
    let balancers = [Balancer::to(&hosts[0]), Balancer::to(&hosts[0])];
    let [teacher, students] = streams(session);
    let mut clients = [
        balancers[0].client(teacher, u32::MAX),
        balancers[1].client(students, u32::MAX),
    ];
    acked_more(&mut clients, 4).await;
    for step in 0..MOVES {
        let (which, at) = (step as usize % 2, (step as usize / 2 + 1) % 2);
        balancers[which].lead_to(&hosts[at]);
        acked_more(&mut clients, 5).await;
        if step % 4 == 3 {
            // In the middle of it, the one where both are.
            hosts[at].kill().await;
            for balancer in &balancers {
                balancer.lead_to(&hosts[1 - at]);
            }
            acked_more(&mut clients, 5).await;
            hosts[at].restart().await;
        }
    }
    let recorded = finish(clients).await;
    let wandered: usize = hosts
        .iter()
        .map(|host| host.log().matches(MOVED).count())
        .sum();
    assert!(wandered >= 4, "lanes hardly moved: {wandered}");
    audit(&hosts[0], &recorded, Expect::AllTranscribed).await;
    audit(&hosts[1], &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn what_a_killed_host_left_is_done_by_the_other_without_any_client() {
    let mut asr = Asr::down();
    let [mut one, other] = pair(&asr).await;
    let session = "left-behind";
    let balancer = Balancer::to(&one);
    let mut clients = streams(session).map(|stream| balancer.client(stream, u32::MAX));
    acked_more(&mut clients, 10).await;
    one.kill().await;
    let [teacher, students] = clients;
    let recorded = [teacher.vanish().await, students.vanish().await];
    asr.up().await;
    without_any_client(&other, &recorded).await;
    audit(&other, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn what_a_host_that_was_asked_to_end_left_is_done_by_the_other() {
    let mut asr = Asr::down();
    let [mut one, other] = pair(&asr).await;
    let session = "handed-over";
    let balancer = Balancer::to(&one);
    let mut clients = streams(session).map(|stream| balancer.client(stream, u32::MAX));
    acked_more(&mut clients, 5).await;
    let ended = one.terminate().await;
    assert_eq!(ended.code(), Some(0), "{}", one.log());
    balancer.lead_to(&other);
    acked_more(&mut clients, 5).await;
    asr.up().await;
    let recorded = finish(clients).await;
    without_any_client(&other, &recorded).await;
    audit(&other, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn a_request_at_the_other_host_takes_the_streams_and_their_clients_lose_nothing() {
    let asr = Asr::start().await;
    let [one, other] = pair(&asr).await;
    let session = "asked-elsewhere";
    let balancer = Balancer::to(&one);
    let mut clients = streams(session).map(|stream| balancer.client(stream, u32::MAX));
    acked_more(&mut clients, 10).await;
    other.finalize(session).await;
    acked_more(&mut clients, 10).await;
    for client in &clients {
        let ends = client.ends();
        let is_told =
            |end: &Received| matches!(end, Received::Closed { code, .. } if *code == ELSEWHERE);
        assert!(ends.iter().any(is_told), "{ends:?}");
    }
    let recorded = finish(clients).await;
    audit(&one, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn both_hosts_show_the_same() {
    let asr = Asr::start().await;
    let [one, other] = pair(&asr).await;
    let session = "both";
    let mut stream = Recorded::new(session, "teacher", TEACHER);
    let mut socket = one.open(session, "teacher").await;
    stream.store(&mut socket, 1..=3).await;
    eventually("both say the same", async || {
        let shown = [one.state(session).await, other.state(session).await];
        let seen = shown
            .each_ref()
            .map(|state| state["ingest_by_stream"]["teacher"]["received_chunks"] == 3);
        if seen == [true, true] {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;
    audit(&other, &[stream], Expect::AllTranscribed).await;
}
