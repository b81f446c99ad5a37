//! 7 and 8: results that come late, repeat a text, or come twice.

use asr_simulator::{Faults, Outcome, mark};
use end_to_end::session::{assert_transcript, number};
use end_to_end::{Expect, Gateway, Recorded, audit};
use serde_json::{Value, json};

use super::{STREAMS, assert_resumed, count, fed, heard, of_role, started, used_up};
use crate::kills::without_any_client;

/// Clocks of one machine agree on so many ms.
const CLOCK_MS: u64 = 100;

#[tokio::test]
async fn fault_07_results_come_late_while_chunks_come_fast() {
    const LATE_MS: u64 = 3000;
    let (asr, gateway) = started().await;
    let session = "fault-07";
    asr.set_faults(Faults {
        delay_results_ms: Some(LATE_MS),
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 60).await;
    without_any_client(&gateway, &recorded).await;
    let documents = audit(&gateway, &recorded, Expect::AllTranscribed).await;
    for (role, mark) in STREAMS {
        let raw = &documents.result["utterances_raw_by_stream"][role];
        let raw = raw.as_array().expect("utterances");
        // Where the send cursor was when they came does not show.
        assert_transcript(raw, mark, 1..=60);
        for (item, first) in raw.iter().zip((0..).step_by(3000)) {
            assert_eq!(number(item, "start_ms"), first, "{item:#}");
            assert_eq!(number(item, "duration_ms"), 3000, "{item:#}");
            assert!(number(item, "latency_ms") + CLOCK_MS >= LATE_MS, "{item:#}");
        }
        let log = asr.log();
        let tasks = of_role(&log, role);
        assert_eq!(tasks.len(), 1, "late is no failure: {tasks:#?}");
        assert_eq!(heard(tasks[0]), Some((1, 60)), "{tasks:#?}");
    }
}

#[tokio::test]
async fn fault_07_late_results_over_broken_tasks() {
    let (asr, gateway) = started().await;
    let session = "fault-07-breaks";
    // What is late when a task breaks is never said: nothing of it is final.
    asr.set_faults(Faults {
        tasks: Some(4),
        delay_results_ms: Some(1500),
        close_after_seconds: Some(8),
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 40).await;
    used_up(&asr).await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    assert_eq!(count(&log, |it| *it == Outcome::Lost), 4, "{log:#?}");
    for (role, mark) in STREAMS {
        let raw = gateway.utterances(session, role, "raw").await;
        assert_resumed(&of_role(&log, role), mark, &raw);
    }
}

#[tokio::test]
async fn fault_08_the_same_final_twice_is_one_utterance() {
    let (asr, gateway) = started().await;
    let session = "fault-08-twice";
    asr.set_faults(Faults {
        duplicate_finals: true,
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 31).await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    for (role, mark) in STREAMS {
        let raw = gateway.utterances(session, role, "raw").await;
        assert_transcript(&raw, mark, 1..=31);
        let finals: u32 = of_role(&log, role).iter().map(|task| task.finals).sum();
        assert_eq!(raw.len(), finals as usize, "{raw:#?}");
    }
}

/// A second in which the service hears the one word that it makes of this tone, and a pause.
fn spoken() -> Vec<u8> {
    const WORD_SAMPLES: usize = 35 * 160;
    let sample = |at: usize| match at {
        WORD_SAMPLES.. => 0,
        _ if (at / 40).is_multiple_of(2) => 4000_i16,
        _ => -4000,
    };
    let samples = 0..mark::SECOND_BYTES / 2;
    samples.flat_map(|at| sample(at).to_le_bytes()).collect()
}

/// Says the same word every two seconds, so that each is a sentence.
async fn says_the_same(gateway: &Gateway, session: &str, times: u32) -> Recorded {
    let mut recorded = Recorded::new(session, "students", 0);
    let mut socket = gateway.open(session, "students").await;
    let (word, pause) = (spoken(), vec![0; mark::SECOND_BYTES]);
    for seq in 1..=2 * times {
        let pcm = if seq % 2 == 1 { &word } else { &pause };
        recorded.sent(seq);
        let ack = socket.store(seq, pcm).await;
        recorded.acked_pcm(seq, ack["key"].as_str(), pcm);
    }
    socket.close().await;
    recorded
}

#[tokio::test]
async fn fault_08_finals_that_repeat_a_text_for_new_audio_all_stay() {
    const TIMES: u32 = 8;
    let (asr, gateway) = started().await;
    asr.set_faults(Faults {
        duplicate_finals: true,
        ..Faults::default()
    });
    let (by_feed, recorded) = tokio::join!(
        fed(&gateway, "fault-08-beside", 30),
        says_the_same(&gateway, "fault-08-again", TIMES),
    );
    let documents = audit(&gateway, &[recorded], Expect::AllTranscribed).await;
    audit(&gateway, &by_feed, Expect::AllTranscribed).await;
    let raw = &documents.result["utterances_raw_by_stream"]["students"];
    let raw = raw.as_array().expect("utterances");
    let texts: Vec<&Value> = raw.iter().map(|item| &item["text"]).collect();
    assert_eq!(texts.len(), TIMES as usize, "each once: {texts:?}");
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    for (item, start) in raw.iter().zip((0..).step_by(2000)) {
        let times = (&item["start_ms"], &item["end_ms"]);
        assert_eq!(times, (&json!(start), &json!(start + 350)), "{item:#}");
    }
}
