//! Two hosts on one Redis server and the same blobs: sessions, and single streams, wander between them,
//! and one of them is killed. No acknowledged second is lost, none is transcribed twice.

use std::net::SocketAddr;
use std::time::Duration;

use asr_simulator::mark;
use end_to_end::blobs::asked_more;
use end_to_end::wait::eventually;
use end_to_end::{
    Asr, AudioSocket, Expect, Gateway, Inference, Pace, Received, Recorded, Recorder, Reply,
    Settings, audit,
};
use http::Method;
use s3_simulator::S3Server;
use s3_simulator::faults::Fault;
use serde_json::json;
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
const MOVES: usize = 12;

fn settings(asr: &Asr) -> Settings {
    Settings::with_asr(asr).set("ASR_CATCH_UP_SPEED", "40")
}

async fn pair_with(settings: Settings) -> [Gateway; 2] {
    let one = Gateway::start_on_redis(settings.clone()).await;
    let other = one.start_beside(settings).await;
    [one, other]
}

async fn pair(asr: &Asr) -> [Gateway; 2] {
    pair_with(settings(asr)).await
}

/// Two hosts whose objects are on S3 whatever the run asks for.
async fn pair_on_s3(asr: &Asr) -> [Gateway; 2] {
    let one = Gateway::start_on_redis_and_s3(settings(asr)).await;
    let other = one.start_beside(settings(asr)).await;
    [one, other]
}

/// Waits for a connection to be ended; gives its code.
async fn end_of(socket: &mut AudioSocket) -> u16 {
    loop {
        match socket.next().await {
            Received::Frame(_) => {}
            Received::Closed { code, .. } => return code,
            other => panic!("it ended without a word: {other:?}"),
        }
    }
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
    one.says(MOVED).await;
    assert!(!other.log().contains(MOVED));
    audit(&other, &[stream], Expect::AllTranscribed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_wander_between_hosts_under_load_and_each_is_killed() {
    let asr = Asr::start().await;
    let mut hosts = pair(&asr).await;
    let session = "wandering";
    // Each stream wanders by itself: now they are at one host, now at two.
    let mut places = [0, 0];
    let balancers = [Balancer::to(&hosts[0]), Balancer::to(&hosts[0])];
    let [teacher, students] = streams(session);
    let mut clients = [
        balancers[0].client(teacher, u32::MAX),
        balancers[1].client(students, u32::MAX),
    ];
    acked_more(&mut clients, 4).await;
    for step in 0..MOVES {
        let which = step % 2;
        places[which] = 1 - places[which];
        balancers[which].lead_to(&hosts[places[which]]);
        acked_more(&mut clients, 5).await;
        if step % 4 == 3 {
            // In the middle of it, now the one and now the other.
            let killed = step / 4 % 2;
            hosts[killed].kill().await;
            for (balancer, place) in balancers.iter().zip(&mut places) {
                *place = 1 - killed;
                balancer.lead_to(&hosts[*place]);
            }
            acked_more(&mut clients, 5).await;
            hosts[killed].restart().await;
        }
    }
    let recorded = finish(clients).await;
    eventually("lanes moved often, from both", async || {
        let moved = |host: &Gateway| host.log().matches(MOVED).count();
        let wandered = hosts.each_ref().map(moved);
        match wandered.iter().all(|lanes| *lanes >= 2) {
            true => Ok(()),
            false => Err(wandered),
        }
    })
    .await;
    audit(&hosts[0], &recorded, Expect::AllTranscribed).await;
    audit(&hosts[1], &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn a_host_that_stood_still_writes_nothing_over_what_the_other_did_meanwhile() {
    let asr = Asr::start().await;
    let [one, other] = pair(&asr).await;
    let session = "stood-still";
    let mut stream = Recorded::new(session, "teacher", TEACHER);
    let mut old = one.open(session, "teacher").await;
    stream.store(&mut old, 1..=5).await;
    one.freeze();
    // What it will find when it goes on, of this stream and of seconds that the other has by then.
    stream.sent(6);
    stream.sent(7);
    for seq in [6, 7] {
        old.send_chunk(seq, &mark::second(TEACHER, seq)).await;
    }
    let mut new = other.open(session, "teacher").await;
    stream.store(&mut new, 6..=12).await;
    one.thaw();
    assert_eq!(end_of(&mut old).await, ELSEWHERE);
    one.says(MOVED).await;
    assert!(!other.log().contains(MOVED));
    stream.store(&mut new, 13..=15).await;
    for host in [&one, &other] {
        let state = host.state(session).await;
        assert_eq!(
            state["ingest_by_stream"]["teacher"]["last_seq"], 15,
            "{state:#}"
        );
    }
    audit(&other, &[stream], Expect::AllTranscribed).await;
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
    assert_eq!(other.store().living_hosts(), 2);
    let ended = one.terminate().await;
    assert_eq!(ended.code(), Some(0), "{}", one.log());
    // It is not for the other to find out.
    assert_eq!(other.store().living_hosts(), 1);
    let [teacher, students] = clients;
    let recorded = [teacher.vanish().await, students.vanish().await];
    asr.up().await;
    without_any_client(&other, &recorded).await;
    audit(&other, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn a_request_at_the_other_host_takes_the_streams_and_their_clients_lose_nothing() {
    let asr = Asr::start().await;
    let [one, other] = pair_on_s3(&asr).await;
    let session = "asked-elsewhere";
    let balancer = Balancer::to(&one);
    let mut clients = streams(session).map(|stream| balancer.client(stream, u32::MAX));
    acked_more(&mut clients, 10).await;
    // Again and again: each time the other host does not know yet that its clients' has the streams.
    for _ in 0..4 {
        other.finalize(session).await;
        acked_more(&mut clients, 10).await;
    }
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
async fn what_a_request_takes_from_a_host_in_the_middle_of_a_backlog_goes_on_without_any_client() {
    let mut asr = Asr::down();
    let inference = Inference::start(|_| Reply::ok(json!({"source": "unknown"}))).await;
    let settings = settings(&asr).set("INFERENCE_BASE_URL", &inference.url());
    let [one, other] = pair_with(settings).await;
    let session = "taken-backlog";
    let balancer = Balancer::to(&one);
    let mut clients = streams(session).map(|stream| balancer.client(stream, u32::MAX));
    acked_more(&mut clients, 10).await;
    let [teacher, students] = clients;
    let recorded = [teacher.vanish().await, students.vanish().await];
    // It appends to the logs of the streams, and asks for nothing else.
    for stream in &recorded {
        let role = stream.role();
        let path = format!("/v1/sessions/{session}/resolve?stream_role={role}");
        let audio = json!({"content_b64": "UklGRg==", "format": "wav"});
        let question = json!({"audio": audio, "asr_text": "who is it"});
        let answer = other.post(&path, &question).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    asr.up().await;
    without_any_client(&other, &recorded).await;
    audit(&other, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn a_recording_at_one_host_is_deleted_at_the_other_by_force_only() {
    let asr = Asr::start().await;
    let [one, other] = pair(&asr).await;
    let session = "recorded-elsewhere";
    let path = format!("/v1/sessions/{session}");
    let mut stream = Recorded::new(session, "teacher", TEACHER);
    let mut socket = one.open(session, "teacher").await;
    stream.store(&mut socket, 1..=4).await;
    let refused = other.delete(&path).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    // Nobody noticed.
    stream.store(&mut socket, 5..=6).await;
    assert!(!one.log().contains(MOVED), "the lane moved");
    audit(&other, &[stream], Expect::AllTranscribed).await;

    let deleted = other.delete(&format!("{path}?force=true")).await.ok();
    assert_eq!(deleted["deleted"], true, "{deleted:#}");
    assert_eq!(end_of(&mut socket).await, ELSEWHERE);
    let answer = one.get(&format!("{path}/result")).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    // Nobody is connected any more.
    let mut socket = other.open(session, "teacher").await;
    socket.store_marked(STUDENTS, 1..=2).await;
    socket.close().await;
    eventually("the other host sees that it was closed", async || {
        let answer = one.delete(&path).await;
        (answer.status == 200).then_some(()).ok_or(answer)
    })
    .await;
}

/// Sends a second whose write takes longer than a deletion takes, and shorter than the gateway waits; gives the
/// bucket's server when it is on its way there.
async fn send_slowly<'a>(
    host: &'a Gateway,
    socket: &mut AudioSocket,
    stream: u16,
    seq: u32,
) -> &'a S3Server {
    let server = host.blobs().server().expect("a server");
    let before = server.faults().count(&Method::PUT);
    let slow = Fault::Delay(Duration::from_secs(4));
    server.faults().next(Some(Method::PUT), slow);
    socket.send_chunk(seq, &mark::second(stream, seq)).await;
    asked_more(server, &Method::PUT, before).await;
    server
}

#[tokio::test]
async fn a_second_that_was_on_its_way_when_its_session_was_deleted_at_the_other_host_goes_too() {
    let asr = Asr::start().await;
    let [one, other] = pair_on_s3(&asr).await;
    let session = "deleted-on-the-way";
    let mut socket = one.open(session, "teacher").await;
    socket.store_marked(TEACHER, 1..=3).await;
    let server = send_slowly(&one, &mut socket, TEACHER, 4).await;
    let path = format!("/v1/sessions/{session}?force=true");
    assert_eq!(other.delete(&path).await.ok()["removed_objects"], 3);
    let removals = server.faults().count(&Method::POST);
    assert_eq!(end_of(&mut socket).await, ELSEWHERE);
    // It arrives, and is removed.
    asked_more(server, &Method::POST, removals).await;
    let left = one.blobs().keys(&format!("sessions/{session}/"));
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(
        other.state(session).await["ingest_by_stream"]["teacher"]["last_seq"],
        0
    );
}

/// As above, but a new session has the id already, and the other host is storing the same second of it.
#[tokio::test]
async fn what_a_new_session_is_storing_is_not_removed_with_what_was_on_its_way_for_the_old_one() {
    let asr = Asr::start().await;
    let [one, other] = pair_on_s3(&asr).await;
    let session = "its-id-again";
    let mut old = one.open(session, "teacher").await;
    old.store_marked(STUDENTS, 1..=1).await;
    let server = send_slowly(&one, &mut old, STUDENTS, 2).await;
    let path = format!("/v1/sessions/{session}?force=true");
    let _ = other.delete(&path).await.ok();
    // Those after the first are one batch, which puts the second one before the old one comes, and is at work still
    // when that one is to be removed.
    let slow = Fault::Delay(Duration::from_secs(1));
    server.faults().always(Some(Method::PUT), slow);
    let mut stream = Recorded::new(session, "teacher", TEACHER);
    let mut new = other.open(session, "teacher").await;
    let before = server.faults().count(&Method::PUT);
    stream.sent(1);
    new.send_chunk(1, &mark::second(TEACHER, 1)).await;
    asked_more(server, &Method::PUT, before).await;
    for seq in 2..=12 {
        stream.sent(seq);
        new.send_chunk(seq, &mark::second(TEACHER, seq)).await;
    }
    let mut next = 1;
    let code = loop {
        match new.next().await {
            Received::Frame(ack) => stream.take(&ack),
            Received::Closed { code, .. } => break code,
            other => panic!("neither an answer nor the end: {other:?}"),
        }
        next += 1;
    };
    assert_eq!(code, ELSEWHERE);
    server.faults().clear();
    // Who comes back before the batch that was at work has ended is told once more.
    for seq in next..=14 {
        stream.sent(seq);
        let ack = eventually("it is stored", async || {
            let mut new = other.open(session, "teacher").await;
            new.send_chunk(seq, &mark::second(TEACHER, seq)).await;
            match new.next().await {
                Received::Frame(ack) => Ok(ack),
                end => Err(end),
            }
        })
        .await;
        stream.take(&ack);
    }
    audit(&other, &[stream], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn who_shows_no_key_at_one_host_takes_no_stream_from_the_other() {
    const KEY: &str = "write-key-f0e1d2c3b4a59687";
    let asr = Asr::start().await;
    let keys = format!("desk:write:{KEY}");
    let [one, other] = pair_with(settings(&asr).set("GATEWAY_API_KEYS", &keys)).await;
    let session = "at-the-door";
    let path = format!("/v1/audio/ws/{session}/teacher");
    let shown = [("authorization", format!("Bearer {KEY}"))];
    let shown = shown
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let open = async |host: &Gateway| {
        host.open_with(&path, &shown)
            .await
            .unwrap()
            .of(session, "teacher")
    };
    let mut recorder = open(&one).await;
    recorder.store_marked(TEACHER, 1..=3).await;
    // One who says something else, one with a wrong key, one who goes, and one who waits.
    let mut strangers = Vec::new();
    for frame in [
        json!({"type": "hello"}),
        json!({"type": "auth", "key": "no"}),
    ] {
        let mut stranger = other.open_path(&path).await.unwrap();
        stranger.send(&frame).await;
        assert_eq!(end_of(&mut stranger).await, 1008);
    }
    other
        .open_path(&path)
        .await
        .unwrap()
        .send_close(None, "")
        .await;
    strangers.push(other.open_path(&path).await.unwrap());
    let mut viewer = other
        .open_path(&format!("/v1/sessions/{session}/live"))
        .await
        .unwrap();
    viewer.send(&json!({"type": "auth", "key": "no"})).await;
    assert_eq!(end_of(&mut viewer).await, 1008);
    // The stranger's patience is at its end.
    assert_eq!(end_of(&mut strangers[0]).await, 1008);
    recorder.store_marked(TEACHER, 4..=6).await;
    assert!(!one.log().contains(MOVED), "a stranger took the stream");

    // With the key it is the recorder's, who came by way of the other host.
    let mut known = other.open_path(&path).await.unwrap().of(session, "teacher");
    known.send(&json!({"type": "auth", "key": KEY})).await;
    for seq in 7..=9 {
        known.send_chunk(seq, &mark::second(TEACHER, seq)).await;
    }
    assert_eq!(known.answer().await["type"], "auth_ok");
    for seq in 7..=9 {
        let ack = known.answer().await;
        assert_eq!(
            (&ack["type"], &ack["seq"]),
            (&json!("ack"), &json!(seq)),
            "{ack}"
        );
    }
    assert_eq!(end_of(&mut recorder).await, ELSEWHERE);
}

#[tokio::test]
async fn both_hosts_show_the_same() {
    let asr = Asr::start().await;
    let [one, other] = pair(&asr).await;
    let session = "both";
    let mut stream = Recorded::new(session, "teacher", TEACHER);
    let mut socket = one.open(session, "teacher").await;
    stream.store(&mut socket, 1..=3).await;
    let same = async |phase: &str| {
        eventually("both say the same", async || {
            let shown = [one.state(session).await, other.state(session).await];
            let seen = shown.each_ref().map(|state| {
                let chunks = &state["ingest_by_stream"]["teacher"]["received_chunks"];
                *chunks == 3 && state["phase"] == phase
            });
            (seen == [true, true]).then_some(()).ok_or(shown)
        })
        .await;
    };
    same("recording").await;
    socket.close().await;
    audit(&other, &[stream], Expect::AllTranscribed).await;
    let [before, after] = [one.state(session).await, other.state(session).await];
    assert_eq!(before["phase"], after["phase"]);
    assert_ne!(after["phase"], "recording");
}
