//! Faults 12 to 14, 19 and 25 of the list, the clients'. Here: clients that come and go, and a session
//! that is long. Below: chunks that are missing, late or nonsense, and clients that press.

mod chunks;
pub mod memory;
mod pressure;
mod silence;
pub mod wire;

use std::time::{Duration, Instant};

use asr_simulator::{Options, Outcome, TaskRecord};
use end_to_end::session::{heard, number};
use end_to_end::wait::eventually_within;
use end_to_end::{Asr, Expect, Gateway, Pace, Recorded, Recorder, Settings, audit};
use serde_json::json;

use crate::kills::without_any_client;

const TEACHER: u16 = 1;
const STUDENTS: u16 = 2;
/// The gateway ends a task that is sent nothing for 5 s: what is to be in one task must be quicker. On a
/// machine that is busy it is tried again, in another session.
const ONE_TASK: Duration = Duration::from_secs(4);
const ATTEMPTS: u32 = 20;
/// How long all utterances of a long session may take to be looked up.
const LOOK_UPS: Duration = Duration::from_secs(300);

/// The tasks that heard a stream.
fn tasks_of(asr: &Asr, stream: u16) -> Vec<TaskRecord> {
    let is_of_stream = |task: &TaskRecord| task.heard.iter().any(|second| second.stream == stream);
    asr.log().into_iter().filter(is_of_stream).collect()
}

#[tokio::test]
async fn fault_12_one_task_hears_a_client_that_reconnects_at_once_or_opens_a_second_socket() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    for attempt in 1..=ATTEMPTS {
        let session = format!("fault-12-{attempt}");
        // Each attempt has marks of its own.
        let (ours, theirs) = (attempt as u16, 100 + attempt as u16);
        let students = Recorded::new(&session, "students", theirs);
        let students = Recorder::start(&gateway, students, Pace::Times(4.0));
        let mut teacher = Recorded::new(&session, "teacher", ours);
        let began = Instant::now();
        come_and_go(&gateway, &mut teacher).await;
        let took = began.elapsed();
        let recorded = [teacher, students.finish().await];
        audit(&gateway, &recorded, Expect::AllTranscribed).await;
        if took > ONE_TASK {
            continue;
        }

        let tasks = tasks_of(&asr, ours);
        let [task] = tasks.as_slice() else {
            panic!("one task hears all, within {took:?}: {tasks:#?}")
        };
        assert_eq!(task.outcome, Outcome::Finished, "{task:#?}");
        let seconds: Vec<_> = task.heard.iter().map(|second| second.seq).collect();
        assert_eq!(seconds, (1..=11).collect::<Vec<_>>(), "{task:#?}");
        // Sentences go on over the ends of connections.
        let utterances = gateway.utterances(&session, "teacher", "raw").await;
        let ends: Vec<_> = utterances.iter().map(|u| number(u, "end_seq")).collect();
        assert_eq!(ends, [3, 6, 9, 11], "{utterances:#?}");
        return;
    }
    panic!("{ATTEMPTS} attempts, and each took longer than {ONE_TASK:?}");
}

/// What a lost connection does not do, the last client's `close` does: nobody waits for what will not come.
#[tokio::test]
async fn a_close_of_the_last_client_finishes_the_task_at_once() {
    // Long sentences: the last words come only with the end of the task.
    let options = Options {
        sentence_seconds: 60,
        ..Options::default()
    };
    let asr = Asr::start_with(options).await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    for attempt in 1..=ATTEMPTS {
        let session = format!("closed-{attempt}");
        let mark = attempt as u16;
        let mut teacher = Recorded::new(&session, "teacher", mark);
        let mut first = gateway.open(&session, "teacher").await;
        let mut second = gateway.open(&session, "teacher").await;
        teacher.store(&mut first, 1..=5).await;
        first.close().await;
        teacher.store(&mut second, 6..=9).await;
        assert!(
            gateway
                .utterances(&session, "teacher", "raw")
                .await
                .is_empty(),
            "one is there still"
        );
        let began = Instant::now();
        second.close().await;
        eventually_within(LOOK_UPS, "the last words are there", async || {
            let utterances = gateway.utterances(&session, "teacher", "raw").await;
            let ends: Vec<_> = utterances.iter().map(|u| number(u, "end_seq")).collect();
            if ends == [9] { Ok(()) } else { Err(utterances) }
        })
        .await;
        let took = began.elapsed();
        // Who comes back finds its stream, in another task.
        let mut third = gateway.open(&session, "teacher").await;
        teacher.store(&mut third, 10..=11).await;
        third.close().await;
        audit(&gateway, &[teacher], Expect::AllTranscribed).await;
        let tasks = tasks_of(&asr, mark);
        let heard: Vec<Vec<_>> = tasks
            .iter()
            .map(|task| task.heard.iter().map(|second| second.seq).collect())
            .collect();
        assert_eq!(heard, [(1..=9).collect::<Vec<_>>(), vec![10, 11]]);
        if took < ONE_TASK {
            return;
        }
    }
    panic!("{ATTEMPTS} attempts, and each waited for the task to be idle");
}

/// Eleven seconds over six connections to one stream.
async fn come_and_go(gateway: &Gateway, teacher: &mut Recorded) {
    let session = teacher.session().to_owned();
    let open = async || gateway.open(&session, "teacher").await;
    let mut first = open().await;
    teacher.store(&mut first, 1..=2).await;
    // Gone without a word, in the middle of a sentence, and back after as long as the client waits.
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut second = open().await;
    let ready = second.ask(&json!({"type": "hello"})).await;
    assert_eq!(ready["ingest"]["last_seq"], 2, "the timeline goes on");
    teacher.store(&mut second, 3..=4).await;
    // A second socket on the role, and the older one is closed in order.
    let mut third = open().await;
    teacher.store(&mut third, 5..=5).await;
    second.close().await;
    teacher.store(&mut third, 6..=7).await;
    // A second socket, and the newer one vanishes.
    let mut fourth = open().await;
    teacher.store(&mut fourth, 8..=8).await;
    drop(fourth);
    teacher.store(&mut third, 9..=9).await;
    // A close frame of WebSocket alone says nothing of the recording, and back at once.
    third.send_close(Some(1000), "").await;
    let mut fifth = open().await;
    teacher.store(&mut fifth, 10..=10).await;
    fifth.send_close(Some(1001), "").await;
    let mut sixth = open().await;
    teacher.store(&mut sixth, 11..=11).await;
    sixth.close().await;
}

#[tokio::test]
async fn fault_19_a_long_session_loses_no_utterance() {
    const SECONDS: u32 = 1_500;
    let options = Options {
        sentence_seconds: 1,
        ..Options::default()
    };
    let asr = Asr::start_with(options).await;
    let settings = Settings::with_asr(&asr).set("ASR_CATCH_UP_SPEED", "1000");
    let gateway = Gateway::start(settings).await;
    let session = "fault-19";
    let streams = [("teacher", TEACHER), ("students", STUDENTS)]
        .map(|(role, mark)| Recorded::new(session, role, mark));
    let clients =
        streams.map(|stream| Recorder::start_up_to(&gateway, stream, Pace::Fast, SECONDS));
    let mut recorded = Vec::new();
    for mut client in clients {
        client.acked(SECONDS as usize).await;
        recorded.push(client.finish().await);
    }
    without_any_client(&gateway, &recorded).await;
    let what = "each students' utterance has its event";
    eventually_within(LOOK_UPS, what, async || {
        let path = format!("/v1/sessions/{session}/events?stream_role=students&limit=1");
        let page = gateway.get(&path).await.ok();
        if page["count"] == SECONDS {
            Ok(())
        } else {
            Err(page)
        }
    })
    .await;

    let documents = audit(&gateway, &recorded, Expect::AllTranscribed).await;
    for stream in &recorded {
        let role = stream.role();
        let raw = documents.result["utterances_raw_by_stream"][role].as_array();
        let raw = raw.expect("utterances");
        assert_eq!(
            raw.len(),
            SECONDS as usize,
            "{role}: one utterance a second"
        );
        let expected: Vec<_> = (1..=SECONDS).map(|seq| (stream.mark(), seq)).collect();
        assert!(heard(raw) == expected, "{role}: each second once, in order");
        let shown = &documents.state["utterance_count_by_stream"][role];
        assert_eq!(*shown, raw.len(), "{role}");
    }
}
