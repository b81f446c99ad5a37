//! 1, 5 and 6: a task ends before its time, and what its old connection does then.

use asr_simulator::{CloseWith, Faults, Outcome, TaskRecord, mark};
use end_to_end::session::number;
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, Gateway, Pace, Recorded, Recorder, audit};

use super::starts::Scripted;
use super::{
    STREAMS, TEACHER, assert_resumed, count, error, fed, heard, log_has, of_role, seconds,
    settings, shown, started, streams, used_up,
};
use crate::kills::without_any_client;

/// Some tasks break off when they have heard five seconds, of which three are final.
async fn broken_off(session: &str, close_with: CloseWith) {
    let (asr, gateway) = started().await;
    asr.set_faults(Faults {
        tasks: Some(6),
        close_after_seconds: Some(5),
        close_with,
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 24).await;
    used_up(&asr).await;
    without_any_client(&gateway, &recorded).await;
    let documents = audit(&gateway, &recorded, Expect::AllTranscribed).await;

    let log = asr.log();
    let lost = |outcome: &Outcome| *outcome == Outcome::Lost;
    assert_eq!(count(&log, lost), 6, "{log:#?}");
    for (role, mark) in STREAMS {
        let tasks = of_role(&log, role);
        let raw = &documents.result["utterances_raw_by_stream"][role];
        assert_resumed(&tasks, mark, raw.as_array().expect("utterances"));
        for pair in tasks.windows(2) {
            let [ended, next] = pair else { continue };
            if ended.outcome != Outcome::Lost {
                continue;
            }
            assert_eq!(seconds(ended), 5, "{ended:#?}");
            let (Some((first, last)), Some((again, _))) = (heard(ended), heard(next)) else {
                panic!("{ended:#?} then {next:#?}")
            };
            // What was final at the break is not sent again, what was not is.
            let open = first + 3..=last;
            assert!(again <= *open.start(), "{ended:#?} then {next:#?}");
            for seq in open {
                let is_heard = next.heard.iter().any(|second| second.seq == seq);
                assert!(is_heard, "{seq} is not sent again: {next:#?}");
            }
        }
    }
}

#[tokio::test]
async fn fault_01_a_close_mid_task() {
    broken_off("fault-01-close", CloseWith::InternalError).await;
}

#[tokio::test]
async fn fault_01_a_reset_mid_task() {
    broken_off("fault-01-reset", CloseWith::Reset).await;
}

#[tokio::test]
async fn fault_01_a_service_that_is_stopped_and_started_mid_task() {
    let (mut asr, gateway) = started().await;
    let session = "fault-01-stopped";
    let clients = streams(session).map(|it| Recorder::start(&gateway, it, Pace::Times(10.0)));
    let mut clients = clients;
    for _ in 0..3 {
        for client in &mut clients {
            client.acked_more(7).await;
        }
        asr.stop().await;
        asr.up().await;
    }
    let [teacher, students] = clients;
    let recorded = [teacher.finish().await, students.finish().await];
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_05_a_failed_task_is_shown_as_long_as_it_lasts_and_replaced() {
    let (asr, gateway) = started().await;
    let session = "fault-05";
    // Before any sentence is final: every attempt fails.
    asr.set_faults(Faults {
        fail_after_seconds: Some(2),
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 12).await;
    let shows_it = |asr: &serde_json::Value| {
        asr["asr_ws_state"] == "error" && number(asr, "consecutive_failures") >= 2
    };
    for asr in shown(&gateway, session, "the state says that it failed", shows_it).await {
        assert!(error(&asr).contains("the ASR task failed"), "{asr:#}");
        assert!(error(&asr).contains("told to fail"), "{asr:#}");
        assert!(number(&asr, "next_retry_after_ms") <= 10_000, "{asr:#}");
        assert_eq!(number(&asr, "ingest_lag_seconds"), 12, "{asr:#}");
        assert_eq!(number(&asr, "utterance_count"), 0, "{asr:#}");
    }

    asr.set_faults(Faults::default());
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    for (role, _) in STREAMS {
        let tasks = of_role(&log, role);
        let (last, failed) = tasks.split_last().expect("tasks");
        assert_eq!(last.outcome, Outcome::Finished, "{last:#?}");
        assert_eq!(heard(last), Some((1, 12)), "{last:#?}");
        assert!(failed.len() >= 2, "{tasks:#?}");
        for task in failed {
            assert!(matches!(task.outcome, Outcome::Failed(_)), "{task:#?}");
            assert_eq!(seconds(task), 2, "{task:#?}");
        }
        let is_new = |task: &TaskRecord| {
            let same = |other: &&&TaskRecord| {
                other.task_id == task.task_id || other.connection == task.connection
            };
            tasks.iter().filter(same).count() == 1
        };
        assert!(tasks.iter().all(|task| is_new(task)), "{tasks:#?}");
    }
}

#[tokio::test]
async fn fault_05_nothing_more_is_sent_into_a_failed_task() {
    let mut asr = Asr::down();
    let mut service = Scripted::listen(&asr).await;
    let gateway = Gateway::start(settings(&asr)).await;
    let session = "fault-05-silent";
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let mut socket = gateway.open(session, "teacher").await;
    teacher.store(&mut socket, 1..=3).await;

    let mut failing = service.accept().await;
    let task = failing.task().await;
    failing.say(&task, "task-started", "").await;
    failing.audio(3 * mark::SECOND_BYTES).await;
    failing.say(&task, "task-failed", "out of order").await;
    let what = "the state says that it failed";
    let asr_shown = eventually(what, async || {
        let asr = gateway.asr_of(session, "teacher").await;
        if error(&asr).contains("out of order") {
            Ok(asr)
        } else {
            Err(asr)
        }
    })
    .await;
    assert_eq!(asr_shown["asr_ws_state"], "error", "{asr_shown:#}");
    // The service has not closed the connection, and there are chunks to send.
    teacher.store(&mut socket, 4..=9).await;
    let more = failing.until_closed().await;
    assert_eq!(more, 0, "bytes of audio went into the failed task");

    drop(service);
    asr.up().await;
    socket.close().await;
    audit(&gateway, &[teacher], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_06_late_close_and_late_result_of_a_failed_task() {
    let (asr, gateway) = started().await;
    let session = "fault-06-failed";
    asr.set_faults(Faults {
        tasks: Some(4),
        fail_after_seconds: Some(5),
        late_close_ms: Some(1500),
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 24).await;
    used_up(&asr).await;
    without_any_client(&gateway, &recorded).await;
    let documents = audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    assert_eq!(count(&log, failed), 4, "{log:#?}");
    let lost = |outcome: &Outcome| *outcome == Outcome::Lost;
    assert_eq!(count(&log, lost), 0, "a new task was given up: {log:#?}");
    for (role, mark) in STREAMS {
        let raw = &documents.result["utterances_raw_by_stream"][role];
        let raw = raw.as_array().expect("utterances");
        assert_resumed(&of_role(&log, role), mark, raw);
    }
}

#[tokio::test]
async fn fault_06_late_close_and_late_result_after_an_orderly_end() {
    let (asr, gateway) = started().await;
    let session = "fault-06-finished";
    asr.set_faults(Faults {
        late_close_ms: Some(1500),
        ..Faults::default()
    });
    let mut recorded = streams(session);
    // The old connections are still there, and say their last sentence again, while the next tasks run.
    for _ in 0..3 {
        let clients = recorded.map(|it| Recorder::start(&gateway, it, Pace::Times(10.0)));
        let mut sent = Vec::new();
        for mut client in clients {
            client.acked_more(8).await;
            sent.push(client.finish().await);
        }
        recorded = sent.try_into().expect("two streams");
        audit(&gateway, &recorded, Expect::AllTranscribed).await;
    }
    let log = log_has(&asr, "all tasks are over", |log| {
        count(log, |outcome| *outcome == Outcome::Running) == 0
    })
    .await;
    let finished = |outcome: &Outcome| *outcome == Outcome::Finished;
    assert_eq!(count(&log, finished), log.len(), "{log:#?}");
    for (role, mark) in STREAMS {
        let raw = gateway.utterances(session, role, "raw").await;
        let tasks = of_role(&log, role);
        assert!(tasks.len() >= 3, "{tasks:#?}");
        assert_resumed(&tasks, mark, &raw);
        let times_sent: usize = tasks.iter().map(|task| task.heard.len()).sum();
        let seconds = recorded.iter().find(|it| it.role() == role);
        let seconds = seconds.map(Recorded::acked_count);
        assert_eq!(Some(times_sent), seconds, "each was sent once: {tasks:#?}");
    }
}
