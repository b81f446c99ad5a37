//! 10 and 30: frames that say nothing, say something else, or say it in the wrong words.

use asr_simulator::{Faults, Garbage, Outcome};
use end_to_end::session::assert_transcript;
use end_to_end::{Expect, audit};

use super::{STREAMS, count, fed, of_role, started, without_error};
use crate::kills::without_any_client;

/// These come among the results of both streams: the transcript is as if they had not, and so is the
/// state.
async fn among(session: &str, garbage: &[Garbage]) -> String {
    let (asr, gateway) = started().await;
    asr.set_faults(Faults {
        garbage: garbage.to_vec(),
        ..Faults::default()
    });
    let recorded = without_error(&gateway, session, async {
        let recorded = fed(&gateway, session, 40).await;
        without_any_client(&gateway, &recorded).await;
        recorded
    })
    .await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    let finished = |outcome: &Outcome| *outcome == Outcome::Finished;
    assert_eq!(count(&log, finished), log.len(), "{log:#?}");
    for (role, mark) in STREAMS {
        let raw = gateway.utterances(session, role, "raw").await;
        assert_transcript(&raw, mark, 1..=40);
        let finals: u32 = of_role(&log, role).iter().map(|task| task.finals).sum();
        assert_eq!(
            raw.len(),
            finals as usize,
            "a final, an utterance: {raw:#?}"
        );
        for view in ["raw", "merged"] {
            let texts = format!("{:?}", gateway.utterances(session, role, view).await);
            assert!(!texts.contains("garbage"), "{texts}");
        }
    }
    gateway.log()
}

#[tokio::test]
async fn fault_10_frames_that_are_no_json_of_the_protocol() {
    // A task has one line for all that it says of this kind, and shows the first.
    let said = among("fault-10-json", &[Garbage::NotJson, Garbage::Binary]).await;
    assert!(said.contains("a frame is not JSON"), "it is logged");
    let lines = said
        .lines()
        .filter(|line| line.contains("mean nothing here"));
    assert!(
        lines.count() <= 2 * STREAMS.len(),
        "a line for each frame: {said}"
    );
    let said = among("fault-10-other-json", &[Garbage::OtherJson]).await;
    assert!(said.contains("a frame has no header.event"), "it is logged");
}

#[tokio::test]
async fn fault_10_huge_frames() {
    among("fault-10-huge", &[Garbage::Huge]).await;
}

#[tokio::test]
async fn fault_10_times_that_are_none() {
    among(
        "fault-10-times",
        &[Garbage::BeginAfterEnd, Garbage::BadTimes],
    )
    .await;
}

#[tokio::test]
async fn fault_10_results_of_another_task() {
    let said = among("fault-10-task", &[Garbage::OtherTask]).await;
    assert!(said.contains("names another task"), "it is logged");
}

#[tokio::test]
async fn fault_10_all_of_it_while_tasks_break() {
    let (asr, gateway) = started().await;
    let session = "fault-10-breaks";
    asr.set_faults(Faults {
        tasks: Some(6),
        garbage: Garbage::ALL.to_vec(),
        duplicate_finals: true,
        close_after_seconds: Some(7),
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 40).await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_30_only_what_the_service_calls_a_sentence_becomes_an_utterance() {
    let said = among(
        "fault-30",
        &[Garbage::OpenEnd, Garbage::UnknownEvent, Garbage::EmptyText],
    )
    .await;
    assert!(said.contains("unknown event"), "it is logged");
}
