//! Faults 1 to 11, 30 and 34 of the list: what the ASR service can do to a stream. Each test tells the
//! simulator to misbehave, plays two streams, and ends with the check that all faults share; what its own
//! fault is about it reads from the service's log, which says what every task was sent and how it ended.
//!
//! What depends on time is bounded on the side that a slow machine cannot break.

mod ends;
mod odd_results;
mod outages;
mod results;
mod starts;
mod tasks;

use asr_simulator::{Faults, Outcome, TaskRecord, mark};
use end_to_end::feed_load::{STUDENTS, TEACHER};
use end_to_end::wait::eventually;
use end_to_end::{Asr, FeedLoad, FeedPace, Gateway, Recorded, Settings};
use serde_json::Value;

/// The two streams of `feed`, with their marks.
const STREAMS: [(&str, u16); 2] = [("teacher", TEACHER), ("students", STUDENTS)];
/// Catching up is not what most tests are about.
const FAST: &str = "100";

/// A service that is well, and a gateway that catches up with it fast.
async fn started() -> (Asr, Gateway) {
    let asr = Asr::start().await;
    let gateway = Gateway::start(settings(&asr)).await;
    (asr, gateway)
}

fn settings(asr: &Asr) -> Settings {
    // A flush may take long on a busy machine, and none of these tests is about its limit.
    Settings::with_asr(asr)
        .set("ASR_CATCH_UP_SPEED", FAST)
        .set("FINALIZE_FLUSH_TIMEOUT_MS", "50000")
}

fn streams(session: &str) -> [Recorded; 2] {
    STREAMS.map(|(role, mark)| Recorded::new(session, role, mark))
}

/// Plays so many seconds into both streams, as fast as the gateway takes them.
async fn fed(gateway: &Gateway, session: &str, seconds: u32) -> [Recorded; 2] {
    let feed = FeedLoad::start(gateway, session, seconds, FeedPace::Fast);
    feed.finish().await
}

/// The tasks of a role, oldest first.
fn of_role<'a>(log: &'a [TaskRecord], role: &str) -> Vec<&'a TaskRecord> {
    let prefix = format!("asr-realtime-{role}");
    let is_its = |task: &&TaskRecord| task.prefix.as_deref() == Some(&prefix);
    log.iter().filter(is_its).collect()
}

fn count(log: &[TaskRecord], of: impl Fn(&Outcome) -> bool) -> usize {
    log.iter().filter(|task| of(&task.outcome)).count()
}

/// Whole seconds of audio that a task was sent.
fn seconds(task: &TaskRecord) -> u64 {
    task.audio_bytes / mark::SECOND_BYTES as u64
}

/// The first and the last second that a task heard; none when it heard nothing.
fn heard(task: &TaskRecord) -> Option<(u32, u32)> {
    Some((task.heard.first()?.seq, task.heard.last()?.seq))
}

/// What each task was sent is the stream without a gap, on a clock of its own, and begins where the
/// utterances that were final then end.
fn assert_resumed(tasks: &[&TaskRecord], mark: u16, utterances: &[Value]) {
    let mut reached = 0;
    for task in tasks {
        let Some((first, _)) = heard(task) else {
            continue;
        };
        for (second, seq) in task.heard.iter().zip(first..) {
            assert_eq!((second.stream, second.seq), (mark, seq), "{task:#?}");
            let begin = u64::from(seq - first) * 1000;
            assert_eq!(second.begin_ms, begin, "a task has a clock: {task:#?}");
            reached = reached.max(seq);
        }
        assert!(first <= reached + 1, "seconds were left out: {task:#?}");
        let ends_before = |item: &Value| item["end_seq"] == first - 1;
        assert!(
            first == 1 || utterances.iter().any(ends_before),
            "second {first} follows no final text: {task:#?}\n{utterances:#?}"
        );
    }
}

/// `asr` of both streams, once it is as wanted in each.
async fn shown(
    gateway: &Gateway,
    session: &str,
    what: &str,
    is_so: impl Fn(&Value) -> bool,
) -> [Value; 2] {
    let mut found = Vec::new();
    for (role, _) in STREAMS {
        let asr = eventually(&format!("{role}: {what}"), async || {
            let asr = gateway.asr_of(session, role).await;
            if is_so(&asr) { Ok(asr) } else { Err(asr) }
        })
        .await;
        found.push(asr);
    }
    found.try_into().expect("two streams")
}

/// `last_error`; nothing when there is none.
fn error(asr: &Value) -> &str {
    asr["last_error"].as_str().unwrap_or_default()
}

/// Does something, and sees that meanwhile no stream of the session ever shows an error.
async fn without_error<T>(gateway: &Gateway, session: &str, work: impl Future<Output = T>) -> T {
    let watch = async {
        loop {
            let state = gateway.state(session).await;
            let streams = state["asr_by_stream"].as_object().expect("streams");
            for (role, asr) in streams {
                assert_calm(role, asr);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = watch => unreachable!("it watches until the work is done"),
    }
}

fn assert_calm(role: &str, asr: &Value) {
    assert!(
        asr["last_error"].is_null()
            && asr["asr_ws_state"] != "error"
            && asr["consecutive_failures"] == 0
            && asr["next_retry_after_ms"] == 0,
        "{role} shows an error: {asr:#}"
    );
}

/// Waits until the service has done so much.
async fn log_has(
    asr: &Asr,
    what: &str,
    mut is_so: impl FnMut(&[TaskRecord]) -> bool,
) -> Vec<TaskRecord> {
    eventually(what, async || {
        let log = asr.log();
        if is_so(&log) { Ok(log) } else { Err(log) }
    })
    .await
}

/// Waits until the counted faults are used up.
async fn used_up(asr: &Asr) {
    eventually("all faults have happened", async || {
        let left = asr.faults();
        if left == Faults::default() {
            Ok(())
        } else {
            Err(left)
        }
    })
    .await;
}
