//! 9, 11 and 34: how tasks end that nothing breaks.

use asr_simulator::{Faults, Outcome, mark};
use end_to_end::session::number;
use end_to_end::{Asr, Expect, Gateway, Pace, Recorded, Recorder, audit};
use serde_json::{Value, json};

use super::{
    STREAMS, TEACHER, assert_calm, assert_resumed, count, error, fed, heard, log_has, of_role,
    settings, shown, started, streams, without_error,
};
use crate::kills::without_any_client;

/// Clocks of one machine agree on so many ms.
const CLOCK_MS: u64 = 100;

fn slow_flush(ms: u64) -> Faults {
    Faults {
        slow_flush_ms: Some(ms),
        ..Faults::default()
    }
}

#[tokio::test]
async fn fault_09_finalize_waits_for_a_slow_end() {
    const FLUSH_MS: u64 = 3000;
    let (asr, gateway) = started().await;
    let session = "fault-09-slow";
    asr.set_faults(slow_flush(FLUSH_MS));
    let recorded = fed(&gateway, session, 20).await;
    let finalized = without_error(&gateway, session, gateway.finalize(session)).await;
    // It is the first result.json that has it all.
    let key = finalized["result_key"].as_str().expect("a key");
    let file = gateway.blobs().read(key).expect("result.json");
    let result: Value = serde_json::from_slice(&file).expect("JSON");
    let log = asr.log();
    for (role, mark) in STREAMS {
        let raw = result["utterances_raw_by_stream"][role].as_array();
        let raw = raw.expect("utterances");
        end_to_end::session::assert_transcript(raw, mark, 1..=20);
        assert_eq!(result["untranscribed_by_stream"][role], json!([]));
        // The last sentence, of two words, is said two thirds on.
        let last = &raw[raw.len() - 1];
        let latency = number(last, "latency_ms") + CLOCK_MS;
        assert!(latency >= FLUSH_MS * 2 / 3, "the end was slow: {last:#}");
        let tasks = of_role(&log, role);
        assert_eq!(tasks.len(), 1, "{tasks:#?}");
        assert_eq!(tasks[0].outcome, Outcome::Finished, "{tasks:#?}");
    }
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_09_what_a_flush_beyond_the_limit_leaves_is_listed_and_comes_later() {
    let asr = Asr::start().await;
    let limited = settings(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "1000");
    let gateway = Gateway::start(limited).await;
    let session = "fault-09-limit";
    asr.set_faults(slow_flush(12_000));
    let recorded = fed(&gateway, session, 20).await;
    // So that all but the end is final, however busy the machine is.
    log_has(&asr, "the service has heard all", |log| {
        let heard = |role| of_role(log, role).iter().map(|task| task.heard.len()).sum();
        STREAMS.iter().all(|(role, _)| {
            let n: usize = heard(role);
            n >= 20
        })
    })
    .await;
    shown(&gateway, session, "18 seconds are final", |asr| {
        number(asr, "utterance_count") >= 6
    })
    .await;
    let documents = audit(&gateway, &recorded, Expect::OrListed).await;
    for (role, _) in STREAMS {
        assert_eq!(
            documents.result["untranscribed_by_stream"][role],
            json!([{"first_seq": 19, "last_seq": 20}]),
            "{role}"
        );
    }
    // Nobody gave it up: the end is waited for all the same.
    without_error(&gateway, session, without_any_client(&gateway, &recorded)).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    assert_eq!(count(&log, |it| *it == Outcome::Finished), 2, "{log:#?}");
    assert_eq!(log.len(), 2, "{log:#?}");
}

#[tokio::test]
async fn fault_09_an_end_that_does_not_come_is_given_up_and_what_it_owes_sent_again() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(settings(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "100")).await;
    let session = "fault-09-never";
    // The next words would come after five minutes.
    asr.set_faults(Faults {
        tasks: Some(2),
        ..slow_flush(600_000)
    });
    let recorded = fed(&gateway, session, 10).await;
    gateway.finalize(session).await;
    let gives_up = |asr: &Value| error(asr).contains("no task-finished in time");
    let failures = async {
        for (role, _) in STREAMS {
            log_has(&asr, "the connection is closed", |log| {
                of_role(log, role)[0].outcome == Outcome::Lost
            })
            .await;
        }
    };
    let seen = shown(&gateway, session, "the state says why", gives_up);
    let (_, ()) = tokio::join!(seen, failures);
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    for (role, mark) in STREAMS {
        let raw = gateway.utterances(session, role, "raw").await;
        let tasks = of_role(&log, role);
        assert_resumed(&tasks, mark, &raw);
        assert_eq!(tasks.len(), 2, "{tasks:#?}");
        assert_eq!(heard(tasks[1]), Some((10, 10)), "{tasks:#?}");
    }
}

#[tokio::test]
async fn fault_09_an_end_that_does_not_come_is_no_error_when_all_is_final() {
    let (asr, gateway) = started().await;
    let session = "fault-09-owes-nothing";
    asr.set_faults(Faults {
        tasks: Some(2),
        ..slow_flush(600_000)
    });
    // Three sentences: there is nothing more to say when the tasks are to end.
    let recorded = without_error(&gateway, session, async {
        let recorded = fed(&gateway, session, 9).await;
        gateway.finalize(session).await;
        without_any_client(&gateway, &recorded).await;
        recorded
    })
    .await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = log_has(&asr, "the connections are closed", |log| {
        count(log, |it| *it == Outcome::Running) == 0
    })
    .await;
    assert_eq!(log.len(), 2, "nothing was sent again: {log:#?}");
}

#[tokio::test]
async fn fault_11_a_paused_client() {
    let (asr, gateway) = started().await;
    let session = "fault-11-paused";
    let mut recorded = streams(session);
    without_error(&gateway, session, async {
        for round in 1..=2_u32 {
            let clients = recorded
                .clone()
                .map(|it| Recorder::start_up_to(&gateway, it, Pace::Times(10.0), round * 8));
            let mut clients = clients;
            for client in &mut clients {
                client.acked(round as usize * 8).await;
            }
            // They stay connected and send nothing. The service would fail such a task.
            let all_ended = |log: &[asr_simulator::TaskRecord]| {
                STREAMS.iter().all(|(role, _)| {
                    let tasks = of_role(log, role);
                    let all: usize = tasks.iter().map(|task| task.heard.len()).sum();
                    all >= round as usize * 8
                        && tasks.iter().all(|task| task.outcome != Outcome::Running)
                })
            };
            log_has(&asr, "the tasks are ended", all_ended).await;
            let is_idle = |asr: &Value| {
                asr["asr_ws_state"] == "disconnected" && asr["ingest_lag_seconds"] == 0
            };
            shown(&gateway, session, "nothing is under way", is_idle).await;
            let [teacher, students] = clients;
            recorded = [teacher.vanish().await, students.vanish().await];
        }
    })
    .await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    assert_eq!(
        count(&log, |it| *it == Outcome::Finished),
        log.len(),
        "{log:#?}"
    );
    for (role, mark) in STREAMS {
        let raw = gateway.utterances(session, role, "raw").await;
        let tasks = of_role(&log, role);
        assert!(tasks.len() >= 2, "{tasks:#?}");
        assert_resumed(&tasks, mark, &raw);
        let sent: usize = tasks.iter().map(|task| task.heard.len()).sum();
        assert_eq!(sent, 16, "nothing was sent again: {tasks:#?}");
    }
}

#[tokio::test]
async fn fault_11_long_silence() {
    /// Longer than a task is kept that makes nothing final.
    const SILENT: u32 = 150;
    let (asr, gateway) = started().await;
    let session = "fault-11-silent";
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    without_error(&gateway, session, async {
        let mut socket = gateway.open(session, "teacher").await;
        teacher.store(&mut socket, 1..=6).await;
        let silence = vec![0; mark::SECOND_BYTES];
        for seq in 7..=6 + SILENT {
            teacher.sent(seq);
            let ack = socket.store(seq, &silence).await;
            teacher.acked_pcm(seq, ack["key"].as_str(), &silence);
        }
        teacher.store(&mut socket, 7 + SILENT..=12 + SILENT).await;
        socket.close().await;
        without_any_client(&gateway, std::slice::from_ref(&teacher)).await;
    })
    .await;
    audit(&gateway, &[teacher], Expect::AllTranscribed).await;
    let log = asr.log();
    assert!(log.len() >= 2, "a task was begun again: {log:#?}");
    assert_eq!(
        count(&log, |it| *it == Outcome::Finished),
        log.len(),
        "{log:#?}"
    );
    let silent: u64 = log.iter().map(|task| task.silent_seconds).sum();
    assert_eq!(silent, u64::from(SILENT), "sent once: {log:#?}");
    let raw = gateway.utterances(session, "teacher", "raw").await;
    let spoken = |item: &&Value| number(item, "start_ms") >= u64::from(6 + SILENT) * 1000;
    assert_eq!(raw.iter().filter(spoken).count(), 2, "{raw:#?}");
}

/// All three streams are at rest and show no error, now and as long as the service may still close
/// what is over.
async fn stays_calm(gateway: &Gateway, session: &str) {
    let long_enough = tokio::time::sleep(std::time::Duration::from_secs(2));
    without_error(gateway, session, long_enough).await;
    let state = gateway.state(session).await;
    for role in ["mixed", "teacher", "students"] {
        let asr = &state["asr_by_stream"][role];
        assert_calm(role, asr);
        assert_eq!(asr["asr_ws_state"], "disconnected", "{role}: {asr:#}");
        assert_eq!(asr["backlog_chunks"], 0, "{role}: {asr:#}");
    }
}

#[tokio::test]
async fn fault_34_no_error_after_an_orderly_end() {
    let (asr, gateway) = started().await;
    let session = "fault-34";
    // The service closes a second after it has finished.
    asr.set_faults(Faults {
        late_close_ms: Some(1000),
        ..Faults::default()
    });
    let recorded = without_error(&gateway, session, async {
        let recorded = fed(&gateway, session, 20).await;
        gateway.finalize(session).await;
        recorded
    })
    .await;
    stays_calm(&gateway, session).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_34_no_error_after_the_clients_closed_and_nobody_finalized() {
    let (_asr, gateway) = started().await;
    let session = "fault-34-closed";
    let recorded = without_error(&gateway, session, async {
        let recorded = fed(&gateway, session, 20).await;
        without_any_client(&gateway, &recorded).await;
        recorded
    })
    .await;
    stays_calm(&gateway, session).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_34_an_error_that_is_over_is_not_shown_after_the_end() {
    let (asr, gateway) = started().await;
    let session = "fault-34-recovered";
    asr.set_faults(Faults {
        tasks: Some(2),
        fail_after_seconds: Some(4),
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 20).await;
    gateway.finalize(session).await;
    let log = asr.log();
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    assert_eq!(count(&log, failed), 2, "{log:#?}");
    stays_calm(&gateway, session).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_34_no_error_after_sigterm_and_a_new_start() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(settings(&asr)).await;
    let session = "fault-34-sigterm";
    let recorded = fed(&gateway, session, 20).await;
    gateway.finalize(session).await;
    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
    gateway.restart().await;
    stays_calm(&gateway, session).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}
