//! Faults 21 to 24 of the list: the process is killed, is asked to end, finalizes under difficulties.
//!
//! 20, the stores, is in `key_value_faults` and `two_hosts`. 24, a component that traps, spins or eats memory, is shown with
//! real sockets where there is a component that does so on demand: `host/trigger-websocket/tests/guest.rs`
//! (`a_fault_costs_its_own_sockets_only`, `http_requests_are_answered_whatever_the_component_does`).
//! Many kills are in `kills`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use end_to_end::http::{request, try_send};
use end_to_end::session::number;
use end_to_end::wait::{eventually, in_time};
use end_to_end::{
    Asr, Expect, FeedLoad, FeedPace, Gateway, Pace, Received, Recorded, Recorder, Settings, audit,
};
use serde_json::{Value, json};

use crate::kills::without_any_client;

const TEACHER: u16 = 1;
const STUDENTS: u16 = 2;
/// What the host takes to end when it is asked to, at most: its `--shutdown-timeout`, and a little.
const END: Duration = Duration::from_secs(20 + 5);

fn streams(session: &str) -> [Recorded; 2] {
    [("teacher", TEACHER), ("students", STUDENTS)]
        .map(|(role, mark)| Recorded::new(session, role, mark))
}

fn clients(gateway: &Gateway, session: &str, pace: Pace) -> [Recorder; 2] {
    streams(session).map(|stream| Recorder::start(gateway, stream, pace))
}

/// Waits until each has so many acks.
async fn acked(clients: &mut [Recorder], count: usize) {
    for client in clients {
        client.acked(count).await;
    }
}

/// Clients that have sent all they have and stay. All of the teacher's is final, the students' last
/// second is not; both tasks run.
async fn all_heard(gateway: &Gateway, session: &str) -> [Recorder; 2] {
    let [teacher, students] = streams(session);
    let mut clients = [(teacher, 12), (students, 13)]
        .map(|(stream, last)| Recorder::start_up_to(gateway, stream, Pace::Fast, last));
    acked(&mut clients, 12).await;
    eventually("twelve seconds are final", async || {
        let asr = gateway.state(session).await["asr_by_stream"].clone();
        let ends = ["teacher", "students"].map(|role| number(&asr[role], "last_window_end_seq"));
        if ends == [12, 12] { Ok(()) } else { Err(asr) }
    })
    .await;
    clients
}

async fn finish(clients: [Recorder; 2]) -> [Recorded; 2] {
    let [teacher, students] = clients;
    [teacher.finish().await, students.finish().await]
}

async fn vanish(clients: [Recorder; 2]) -> [Recorded; 2] {
    let [teacher, students] = clients;
    [teacher.vanish().await, students.vanish().await]
}

/// Chunks that both streams have together.
async fn received(gateway: &Gateway, session: &str) -> u64 {
    let state = gateway.state(session).await;
    let of = |role: &str| number(&state["ingest_by_stream"][role], "received_chunks");
    of("teacher") + of("students")
}

async fn reaches_phase(gateway: &Gateway, session: &str, phase: &str) {
    eventually(&format!("{session} is {phase}"), async || {
        let shown = gateway.state(session).await["phase"].clone();
        if shown == phase { Ok(()) } else { Err(shown) }
    })
    .await;
}

fn finalize_path(session: &str) -> String {
    format!("/v1/sessions/{session}/finalize")
}

#[tokio::test]
async fn fault_21_after_kill_9_a_backlog_is_transcribed_without_any_client() {
    let mut asr = Asr::down();
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-21";
    let mut clients = clients(&gateway, session, Pace::Fast);
    acked(&mut clients, 30).await;

    gateway.kill().await;
    let recorded = vanish(clients).await;
    asr.up().await;
    gateway.restart().await;

    // Not even a question is asked before all is heard.
    eventually("the service hears what is acknowledged", async || {
        let tasks = asr.log();
        let heard: BTreeSet<_> = tasks
            .iter()
            .flat_map(|task| &task.heard)
            .map(|heard| (heard.stream, heard.seq))
            .collect();
        let is_heard = |stream: &Recorded| {
            (1..=stream.last()).all(|seq| heard.contains(&(stream.mark(), seq)))
        };
        if recorded.iter().all(is_heard) {
            Ok(())
        } else {
            Err(heard.len())
        }
    })
    .await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_21_after_kill_9_in_the_middle_of_the_tasks_all_is_transcribed_without_any_client() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-21-mid-task";
    let clients = all_heard(&gateway, session).await;
    gateway.kill().await;
    let recorded = vanish(clients).await;
    gateway.restart().await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_21_feed_plays_on_over_kill_9() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("ASR_CATCH_UP_SPEED", "100");
    let mut gateway = Gateway::start_at_one_address(settings).await;
    let session = "fault-21-feed";
    let feed = FeedLoad::start(&gateway, session, 240, FeedPace::Fast);
    for count in [60, 180] {
        eventually("feed gets on", async || {
            let received = received(&gateway, session).await;
            if received >= count {
                Ok(())
            } else {
                Err(received)
            }
        })
        .await;
        gateway.kill().await;
        gateway.restart().await;
    }
    let recorded = feed.finish().await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_22_sigterm_under_load_ends_in_time_and_the_clients_are_told() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-22";
    let mut clients = clients(&gateway, session, Pace::Times(20.0));
    acked(&mut clients, 15).await;

    let asked = Instant::now();
    let status = gateway.terminate().await;
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < END, "it took {took:?}");
    for client in &clients {
        eventually("the client is told", async || {
            match client.ends().as_slice() {
                [Received::Closed { code: 1001, .. }] => Ok(()),
                other => Err(other.to_vec()),
            }
        })
        .await;
    }
    gateway.restart().await;
    acked(&mut clients, 40).await;
    let recorded = finish(clients).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_22_feed_plays_on_over_an_orderly_end() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("ASR_CATCH_UP_SPEED", "100");
    let mut gateway = Gateway::start_at_one_address(settings).await;
    let session = "fault-22-feed";
    let feed = FeedLoad::start(&gateway, session, 200, FeedPace::Fast);
    eventually("feed gets on", async || {
        let received = received(&gateway, session).await;
        if received >= 80 {
            Ok(())
        } else {
            Err(received)
        }
    })
    .await;
    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
    gateway.restart().await;
    let recorded = feed.finish().await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_22_sigterm_while_a_finalize_waits_ends_in_time() {
    let mut asr = Asr::down();
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-22-finalize";
    let [mut teacher, _] = streams(session);
    let mut socket = gateway.open(session, "teacher").await;
    teacher.store(&mut socket, 1..=4).await;
    let address = gateway.address();
    let finalize = request("POST", &finalize_path(session), Some(&json!({})));
    let waiting = tokio::spawn(async move { try_send(address, finalize).await.ok() });
    reaches_phase(&gateway, session, "finalizing").await;

    let asked = Instant::now();
    let status = gateway.terminate().await;
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < END, "it took {took:?}");
    drop(
        waiting
            .await
            .expect("the client of `finalize` does not panic"),
    );
    asr.up().await;
    gateway.restart().await;
    audit(&gateway, &[teacher], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_23_finalize_twice_and_both_at_once() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-23-twice";
    // Nobody has to leave for it.
    let clients = all_heard(&gateway, session).await;
    let (one, other) = tokio::join!(gateway.finalize(session), gateway.finalize(session));
    assert_eq!(one["event_count"], other["event_count"]);
    let recorded = finish(clients).await;
    let first = audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let second = audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let written = |result: &Value| {
        let mut result = result.clone();
        result["finalized_at"] = Value::Null;
        result
    };
    assert_eq!(
        written(&first.result),
        written(&second.result),
        "nothing happened between them"
    );
}

#[tokio::test]
async fn fault_23_finalize_while_chunks_arrive() {
    let asr = Asr::start().await;
    // It cannot wait for the end of what does not end.
    let settings = Settings::with_asr(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "1000");
    let gateway = Gateway::start(settings).await;
    let session = "fault-23-live";
    let mut clients = clients(&gateway, session, Pace::Times(8.0));
    acked(&mut clients, 2).await;
    for _ in 0..4 {
        let finalized = gateway.finalize(session).await;
        let result = gateway
            .get(&format!("/v1/sessions/{session}/result"))
            .await
            .ok();
        assert_eq!(result["finalized_at"], finalized["finalized_at"]);
        for stream in streams(session) {
            is_consistent(&result, &stream);
        }
        for client in &mut clients {
            client.acked_more(3).await;
        }
        let phase = gateway.state(session).await["phase"].clone();
        assert_eq!(
            phase, "recording",
            "chunks came after result.json was written"
        );
    }
    let recorded = finish(clients).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

/// Of a stream that is still sent, all that a `result.json` counts is in it: transcribed or listed.
fn is_consistent(result: &Value, stream: &Recorded) {
    let role = stream.role();
    let received = number(&result["ingest_by_stream"][role], "last_seq");
    let raw = result["utterances_raw_by_stream"][role].as_array();
    let mut there: Vec<u64> = end_to_end::session::heard(raw.expect("utterances"))
        .iter()
        .map(|(_, seq)| u64::from(*seq))
        .collect();
    let listed = result["untranscribed_by_stream"][role].as_array();
    for item in listed.expect("a list") {
        there.extend(number(item, "first_seq")..=number(item, "last_seq"));
    }
    let expected: Vec<u64> = (1..=received).collect();
    assert_eq!(there, expected, "{role}: each second once; {result:#}");
}

#[tokio::test]
async fn fault_23_finalize_while_the_service_is_down_says_what_is_missing() {
    let mut asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "500");
    let gateway = Gateway::start(settings).await;
    let session = "fault-23-down";
    let mut clients = clients(&gateway, session, Pace::Fast);
    acked(&mut clients, 9).await;
    let recorded = finish(clients).await;
    without_any_client(&gateway, &recorded).await;
    asr.stop().await;
    let clients = recorded.map(|stream| Recorder::start(&gateway, stream, Pace::Fast));
    let mut recorded = Vec::new();
    for mut client in clients {
        client.acked_more(12).await;
        recorded.push(client.finish().await);
    }

    let (one, other) = tokio::join!(gateway.finalize(session), gateway.finalize(session));
    assert_eq!(one["result_key"], other["result_key"]);
    let documents = audit(&gateway, &recorded, Expect::OrListed).await;
    for stream in &recorded {
        let listed = &documents.result["untranscribed_by_stream"][stream.role()];
        assert_eq!(
            listed[0]["last_seq"],
            stream.last(),
            "the seconds that nobody heard are listed: {listed}"
        );
    }

    asr.up().await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

/// It waits for longer than the mark of one that died is taken for one that runs.
#[tokio::test]
async fn fault_23_a_long_finalize_is_shown_until_it_ends() {
    let asr = Asr::down();
    let settings = Settings::with_asr(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "13000");
    let gateway = Gateway::start(settings).await;
    let session = "fault-23-long";
    let mut clients = clients(&gateway, session, Pace::Fast);
    acked(&mut clients, 10).await;
    let recorded = finish(clients).await;
    let watch = async {
        reaches_phase(&gateway, session, "finalizing").await;
        // One that is over before its answer came would be idle, or finalized already.
        eventually("it is finalized", async || {
            let phase = gateway.state(session).await["phase"].clone();
            assert!(phase == "finalizing" || phase == "finalized", "{phase}");
            if phase == "finalized" {
                Ok(())
            } else {
                Err(phase)
            }
        })
        .await;
    };
    in_time("finalize", async {
        tokio::join!(gateway.finalize(session), watch)
    })
    .await;
    audit(&gateway, &recorded, Expect::OrListed).await;
}

#[tokio::test]
async fn fault_23_a_finalize_that_is_killed_is_over_and_can_be_repeated() {
    let mut asr = Asr::down();
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-23-killed";
    let mut clients = clients(&gateway, session, Pace::Fast);
    acked(&mut clients, 10).await;
    let recorded = finish(clients).await;
    let address = gateway.address();
    let finalize = request("POST", &finalize_path(session), Some(&json!({})));
    let waiting = tokio::spawn(async move { try_send(address, finalize).await.ok() });
    reaches_phase(&gateway, session, "finalizing").await;
    gateway.kill().await;
    let answer = waiting
        .await
        .expect("the client of `finalize` does not panic");
    assert!(answer.is_none(), "{answer:?}");

    gateway.restart().await;
    reaches_phase(&gateway, session, "idle").await;
    let result = gateway.get(&format!("/v1/sessions/{session}/result")).await;
    assert_eq!(result.status, 404, "{result:?}");
    asr.up().await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}
