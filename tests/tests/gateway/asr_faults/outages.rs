//! 2 and 3: the service is down, or says that it is, for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use asr_simulator::{Faults, Outcome, Refusal};
use end_to_end::gateway::up;
use end_to_end::session::number;
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, FeedLoad, FeedPace, Gateway, Pace, Recorder, audit};
use serde_json::Value;

use super::{
    FAST, STREAMS, error, fed, heard, log_has, of_role, seconds, settings, shown, started, streams,
};
use crate::kills::without_any_client;

/// More attempts than any test makes: what is left of it tells how many were made.
const MANY: u32 = 1_000_000;
/// How far a backlog may run ahead of its pace: `BURST_SECONDS` of the ASR bridge.
const BURST_SECONDS: u64 = 10;
/// The least pauses between attempts, in ms: half of 0.5 s, doubled up to half of 10 s.
const LEAST_PAUSES: [u64; 6] = [250, 500, 1000, 2000, 4000, 5000];

fn refusing(faults: Faults) -> Faults {
    Faults {
        connections: Some(MANY),
        ..faults
    }
}

fn with_status(status: u16) -> Faults {
    refusing(Faults {
        refuse: Some(Refusal::Status(status)),
        ..Faults::default()
    })
}

/// Connections that were refused since.
fn attempts(asr: &Asr) -> u32 {
    MANY - asr.faults().connections.expect("it refuses")
}

/// How many attempts one loop may have made in this time.
fn most_attempts(elapsed: Duration) -> u32 {
    let mut left = u64::try_from(elapsed.as_millis()).expect("not for ages");
    let mut attempts = 1;
    for nth in 0.. {
        let pause = LEAST_PAUSES[LEAST_PAUSES.len().min(nth + 1) - 1];
        if left < pause {
            break;
        }
        left -= pause;
        attempts += 1;
    }
    attempts
}

/// Chunks are acked as ever, there is one loop for each stream, and the state says why.
async fn out_for_a_while(session: &str, faults: Faults, says: &str) {
    let (asr, gateway) = started().await;
    asr.set_faults(faults);
    let began = Instant::now();
    let mut clients =
        streams(session).map(|it| Recorder::start_up_to(&gateway, it, Pace::Times(20.0), 100));
    eventually("it is tried again and again", async || {
        let made = attempts(&asr);
        let most = 2 * most_attempts(began.elapsed());
        assert!(made <= most, "{made} attempts, of {most} for two streams");
        if made >= 8 { Ok(()) } else { Err(made) }
    })
    .await;
    for client in &mut clients {
        client.acked(40).await;
    }
    let [teacher, students] = clients;
    let recorded = [teacher.finish().await, students.finish().await];
    let is_shown =
        |asr: &Value| asr["asr_ws_state"] == "error" && number(asr, "consecutive_failures") >= 3;
    let shown = shown(&gateway, session, "the state shows the error", is_shown).await;
    for (asr, sent) in shown.iter().zip(&recorded) {
        assert!(error(asr).contains(says), "{asr:#}");
        assert_eq!(asr["backlog_chunks"], sent.last(), "{asr:#}");
        assert_eq!(asr["ingest_lag_seconds"], sent.last(), "{asr:#}");
        assert!(number(asr, "next_retry_after_ms") <= 10_000, "{asr:#}");
    }
    // No chunk comes any more, and each loop goes on.
    let made = attempts(&asr);
    eventually("it is tried again, with no chunk to cause it", async || {
        let more = attempts(&asr) - made;
        let most = 2 * most_attempts(began.elapsed());
        assert!(made + more <= most, "{made} and {more} attempts of {most}");
        if more >= 2 { Ok(()) } else { Err(more) }
    })
    .await;

    asr.set_faults(Faults::default());
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    for sent in &recorded {
        let tasks = of_role(&log, sent.role());
        assert_eq!(tasks.len(), 1, "one loop, one task: {tasks:#?}");
        assert_eq!(heard(tasks[0]), Some((1, sent.last())), "{tasks:#?}");
        let times_sent = tasks[0].heard.len();
        assert_eq!(times_sent, sent.acked_count(), "each once: {tasks:#?}");
    }
}

#[tokio::test]
async fn fault_02_answers_503_for_a_while() {
    out_for_a_while("fault-02-503", with_status(503), "HTTP 503").await;
}

#[tokio::test]
async fn fault_02_drops_connections_for_a_while() {
    let faults = refusing(Faults {
        refuse: Some(Refusal::DROP),
        ..Faults::default()
    });
    out_for_a_while("fault-02-drop", faults, "cannot be reached").await;
}

#[tokio::test]
async fn fault_02_refuses_the_key_for_a_while() {
    // What lasts is tried ever less often, also by a new process: until somebody sets another key.
    let session = "fault-02-401";
    let asr = Asr::start().await;
    let (key, url) = (Arc::new(AtomicU32::new(1)), asr.url());
    let key_now = Arc::clone(&key);
    let mut gateway = Gateway::start_by(move |state| {
        let mut command = up(state);
        let key = format!("a-key-{}", key_now.load(Ordering::SeqCst));
        command.env("ASR_WS_URL", &url);
        command.env("ALIYUN_DASHSCOPE_API_KEY", key);
        command.env("ASR_CATCH_UP_SPEED", FAST);
        command
    })
    .await;
    asr.set_faults(refusing(Faults {
        unauthorized: true,
        ..Faults::default()
    }));
    let recorded = fed(&gateway, session, 40).await;
    let is_given_time = |asr: &Value| number(asr, "next_retry_after_ms") > 10_000;
    let states = shown(
        &gateway,
        session,
        "the next attempt is far away",
        is_given_time,
    )
    .await;
    for (state, sent) in states.iter().zip(&recorded) {
        assert!(
            error(state).contains("ALIYUN_DASHSCOPE_API_KEY"),
            "{state:#}"
        );
        assert_eq!(state["asr_ws_state"], "error", "{state:#}");
        assert_eq!(state["backlog_chunks"], sent.last(), "{state:#}");
    }
    let made = attempts(&asr);
    assert!(made <= 2 * 4, "{made} attempts of two streams");
    gateway.kill().await;
    gateway.restart().await;
    let states = shown(&gateway, session, "it still is", |asr| {
        number(asr, "next_retry_after_ms") > 0
    })
    .await;
    assert!(attempts(&asr) <= made + 2, "{states:#?}");

    asr.set_faults(Faults::default());
    gateway.kill().await;
    key.store(2, Ordering::SeqCst);
    gateway.restart().await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_02_a_backlog_is_paced() {
    const SPEED: u64 = 20;
    const BACKLOG: u32 = 150;
    let asr = Asr::start().await;
    let settings = settings(&asr).set("ASR_CATCH_UP_SPEED", &SPEED.to_string());
    let gateway = Gateway::start(settings).await;
    let session = "fault-02-paced";
    asr.set_faults(with_status(503));
    let recorded = fed(&gateway, session, BACKLOG).await;
    asr.set_faults(Faults::default());
    log_has(&asr, "the backlog is sent, no faster than stated", |log| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = u64::try_from(now.expect("it is later").as_millis()).expect("not for ages");
        STREAMS.iter().all(|(role, _)| {
            let tasks = of_role(log, role);
            let Some(first) = tasks.first() else {
                return false;
            };
            let elapsed = now.saturating_sub(first.began_unix_ms);
            let sent: u64 = tasks.iter().map(|task| seconds(task)).sum();
            let most = BURST_SECONDS + SPEED * elapsed / 1000 + 1;
            assert!(sent <= most, "{role}: {sent} s of audio in {elapsed} ms");
            sent >= u64::from(BACKLOG)
        })
    })
    .await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    for (role, _) in STREAMS {
        let log = asr.log();
        let tasks = of_role(&log, role);
        let sent: usize = tasks.iter().map(|task| task.heard.len()).sum();
        assert_eq!(sent, BACKLOG as usize, "each second once: {tasks:#?}");
    }
}

/// Memory of the gateway's process that is in use, in KiB.
fn resident_kib(gateway: &Gateway) -> u64 {
    let state = gateway.state_dir().to_str().expect("a plain path");
    let is_its = |process: &std::path::Path| {
        let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
        command
            .split(|byte| *byte == 0)
            .any(|word| word == state.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").expect("/proc");
    let process = processes
        .flatten()
        .map(|entry| entry.path())
        .find(|process| is_its(process))
        .expect("the gateway's process");
    let status = std::fs::read_to_string(process.join("status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("VmRSS").trim().parse().expect("a number")
}

#[tokio::test]
async fn fault_02_memory_does_not_grow_with_the_backlog() {
    const WARM_UP: u32 = 60;
    const BACKLOG: u32 = 600;
    let (asr, gateway) = started().await;
    asr.set_faults(with_status(503));
    // Instances, buffers and caches are there before anything is measured.
    let warm = fed(&gateway, "fault-02-warm", WARM_UP).await;
    let before = resident_kib(&gateway);

    let session = "fault-02-memory";
    let feed = FeedLoad::start(&gateway, session, BACKLOG, FeedPace::Fast);
    let recorded = feed.finish().await;
    let with_backlog = resident_kib(&gateway);
    asr.set_faults(Faults::default());
    let mut most = with_backlog;
    log_has(&asr, "the backlog is sent", |log| {
        most = most.max(resident_kib(&gateway));
        let of = |role| {
            of_role(log, role)
                .iter()
                .map(|task| seconds(task))
                .sum::<u64>()
        };
        STREAMS
            .iter()
            .all(|(role, _)| of(role) >= u64::from(BACKLOG + WARM_UP))
    })
    .await;
    let audio = 2 * u64::from(BACKLOG) * 32_000 / 1024;
    println!("KiB: {before}, {with_backlog} with {audio} of backlog, {most} at most");
    let bound = audio / 2;
    assert!(
        with_backlog < before + bound,
        "{before} to {with_backlog} KiB"
    );
    assert!(most < before + bound, "{before} to {most} KiB");

    for recorded in [recorded, warm] {
        without_any_client(&gateway, &recorded).await;
        audit(&gateway, &recorded, Expect::AllTranscribed).await;
    }
}

#[tokio::test]
async fn fault_03_recovers_while_no_chunk_arrives() {
    let (asr, gateway) = started().await;
    let session = "fault-03";
    asr.set_faults(with_status(503));
    // They stay connected and say nothing.
    let mut clients =
        streams(session).map(|it| Recorder::start_up_to(&gateway, it, Pace::Fast, 20));
    for client in &mut clients {
        client.acked(20).await;
    }
    let is_error = |asr: &Value| asr["asr_ws_state"] == "error";
    shown(&gateway, session, "the service is away", is_error).await;
    asr.set_faults(Faults::default());
    log_has(&asr, "all is sent, with no chunk to cause it", |log| {
        STREAMS.iter().all(|(role, _)| {
            let tasks = of_role(log, role);
            let all = tasks.iter().map(|task| task.heard.len()).sum::<usize>() >= 20;
            all && tasks.iter().all(|task| task.outcome == Outcome::Finished)
        })
    })
    .await;
    for client in &clients {
        let ends = client.ends();
        assert!(
            ends.is_empty(),
            "they were connected all the time: {ends:?}"
        );
    }
    let [teacher, students] = clients;
    let recorded = [teacher.finish().await, students.finish().await];
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_03_comes_back_when_all_clients_have_gone() {
    let mut asr = Asr::down();
    let gateway = Gateway::start(settings(&asr).set("ASR_CATCH_UP_SPEED", FAST)).await;
    let session = "fault-03-gone";
    let recorded = fed(&gateway, session, 20).await;
    asr.up().await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    assert_eq!(asr.log().len(), 2, "a task for each: {:#?}", asr.log());
}
