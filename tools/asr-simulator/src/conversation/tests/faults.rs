//! What a conversation does wrong when it is told to.

use super::*;

/// A task `a` that has been started, told to misbehave like this.
fn started(faults: &str) -> (Conversation, TaskLog, FaultControl) {
    let (mut conversation, log, control) = faulty(faults);
    let reply = conversation.text(&run("a", "pcm"));
    assert_eq!(events(&reply), ["task-started"]);
    (conversation, log, control)
}

fn ending(reply: &Reply) -> Option<Ending> {
    reply.end.as_ref().map(|end| end.how)
}

fn closed() -> Option<Ending> {
    Some(Ending::InternalError("the simulator was told to close"))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The final texts of a reply.
fn finals(reply: &Reply) -> Vec<String> {
    let events = reply.send.iter().map(event);
    let sentences = events.map(|event| event["payload"]["output"]["sentence"].clone());
    let finals = sentences.filter(|sentence| sentence["sentence_end"] == true);
    finals
        .map(|s| s["text"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_task_is_not_started_and_the_connection_closed() {
    let (mut conversation, log, _) = faulty(r#"{"close_before_start": true}"#);
    let reply = conversation.text(&run("a", "pcm"));
    assert!(reply.send.is_empty());
    assert_eq!(ending(&reply), closed());
    assert_eq!(log.records()[0].outcome, Outcome::Lost);

    let reset = r#"{"close_before_start": true, "close_with": "reset"}"#;
    let reply = faulty(reset).0.text(&run("a", "pcm"));
    assert_eq!(ending(&reply), Some(Ending::Reset));
}

#[test]
fn a_task_that_is_never_started_hears_nothing() {
    let (mut conversation, log, control) = faulty(r#"{"never_start": true}"#);
    for text in [run("a", "pcm"), action("finish-task", "a"), run("b", "pcm")] {
        assert_eq!(conversation.text(&text), Reply::default());
    }
    set(&control, "{}");
    assert_eq!(conversation.audio(&mark::second(1, 1)), Reply::default());
    assert_eq!(conversation.patience(), MAX_MUTE);
    assert!(conversation.expired().end.is_some());
    let records = log.records();
    assert_eq!((records.len(), &records[0].outcome), (1, &Outcome::Lost));
    assert_eq!(records[0].audio_bytes, 0);
}

#[test]
fn a_connection_closes_after_so_much_audio_and_reports_what_it_heard() {
    let (mut conversation, log, _) = started(r#"{"close_after_seconds": 2}"#);
    assert_eq!(conversation.audio(&mark::second(1, 1)).end, None);
    let reply = conversation.audio(&mark::second(1, 2));
    assert_eq!(finals(&reply), ["s1t1e s1t2e."]);
    assert_eq!(ending(&reply), closed());
    assert_eq!(log.records()[0].outcome, Outcome::Lost);
    assert_eq!(log.records()[0].heard.len(), 2);

    let (mut conversation, ..) = started(r#"{"close_after_seconds": 0, "close_with": "reset"}"#);
    let reply = conversation.audio(&[0; 3200]);
    assert_eq!(ending(&reply), Some(Ending::Reset));
}

#[test]
fn a_task_fails_after_so_much_audio() {
    let (mut conversation, log, _) = started(r#"{"fail_after_seconds": 1}"#);
    let reply = conversation.audio(&mark::second(1, 1));
    assert_eq!(events(&reply), ["result-generated", "task-failed"]);
    assert_eq!(
        event(&reply.send[1])["header"]["error_code"],
        "InternalError"
    );
    assert_eq!(reply.end.unwrap().delay, Duration::ZERO);
    assert!(matches!(log.records()[0].outcome, Outcome::Failed(_)));
    conversation.lost();
    assert!(matches!(log.records()[0].outcome, Outcome::Failed(_)));
}

#[test]
fn a_running_task_sees_a_change_at_its_next_frame() {
    let (mut conversation, _, control) = started("{}");
    assert_eq!(conversation.audio(&mark::second(1, 1)).end, None);
    set(&control, r#"{"close_after_seconds": 1}"#);
    assert_eq!(ending(&conversation.audio(&[0; 3200])), closed());
}

#[test]
fn a_failed_task_says_late_what_it_had_heard() {
    let (mut conversation, ..) = started(r#"{"fail_after_seconds": 1, "late_close_ms": 400}"#);
    let reply = conversation.audio(&mark::second(1, 1));
    assert_eq!(
        events(&reply),
        ["result-generated", "task-failed", "result-generated"]
    );
    assert_eq!(finals(&reply), ["s1t1e."]);
    let delays: Vec<_> = reply.send.iter().map(|outgoing| outgoing.delay).collect();
    assert_eq!(delays, [ms(0), ms(0), ms(200)]);
    assert_eq!(reply.end.unwrap().delay, ms(400));
}

#[test]
fn a_finished_task_says_its_last_sentence_again_late() {
    let (mut conversation, log, _) = started(r#"{"late_close_ms": 400}"#);
    conversation.audio(&mark::second(1, 1));
    let reply = conversation.text(&action("finish-task", "a"));
    assert_eq!(
        events(&reply),
        ["result-generated", "task-finished", "result-generated"]
    );
    assert_eq!(finals(&reply), ["s1t1e.", "s1t1e."]);
    assert!(reply.send[1].is_task_end);
    assert_eq!(reply.send[2].delay, ms(200));
    assert_eq!(reply.end.unwrap().delay, ms(400));
    conversation.finished();
    conversation.lost();
    assert_eq!(log.records()[0].outcome, Outcome::Finished);
}

#[test]
fn a_half_open_connection_says_nothing_and_forgets_what_is_late() {
    let (mut conversation, log, _) = started(r#"{"half_open_after_seconds": 2}"#);
    assert_eq!(conversation.audio(&mark::second(1, 1)).end, None);
    let reply = conversation.audio(&mark::second(1, 2));
    assert!(reply.send.is_empty());
    let end = reply.end.unwrap();
    assert_eq!((end.how, end.is_abrupt), (Ending::HalfOpen, true));
    assert_eq!(log.records()[0].outcome, Outcome::Running);
    conversation.lost();
    let record = &log.records()[0];
    assert_eq!((&record.outcome, record.mute), (&Outcome::Lost, true));
    assert_eq!(record.heard.len(), 2);
}

#[test]
fn results_are_late_and_the_end_of_the_task_waits_for_them() {
    let (mut conversation, log, _) = started(r#"{"delay_results_ms": 700}"#);
    for seq in 1..=3 {
        for outgoing in conversation.audio(&mark::second(1, seq)).send {
            assert_eq!(outgoing.delay, ms(700));
        }
    }
    let reply = conversation.text(&action("finish-task", "a"));
    assert_eq!(finals(&reply), ["s1t3e."]);
    // The order is kept whatever the delays.
    assert_eq!(reply.send[0].delay, ms(700));
    assert_eq!(log.records()[0].outcome, Outcome::Running);
    conversation.finished();
    assert_eq!(log.records()[0].outcome, Outcome::Finished);
}

#[test]
fn what_is_late_when_a_task_fails_is_not_said() {
    let faults = r#"{"delay_results_ms": 700, "fail_after_seconds": 2}"#;
    let (mut conversation, ..) = started(faults);
    conversation.audio(&mark::second(1, 1));
    let reply = conversation.audio(&mark::second(1, 2));
    assert_eq!(events(&reply), ["task-failed"]);
    assert!(reply.end.unwrap().is_abrupt);
}

#[test]
fn finals_come_twice_and_the_same_second_again_is_another_sentence() {
    let (mut conversation, log, _) = started(r#"{"duplicate_finals": true}"#);
    let mut sentences = Vec::new();
    for seq in [1, 2, 1, 2] {
        for outgoing in conversation.audio(&mark::second(1, seq)).send {
            let sentence = event(&outgoing)["payload"]["output"]["sentence"].clone();
            if sentence["sentence_end"] == true {
                let text = sentence["text"].as_str().unwrap().to_owned();
                sentences.push((text, sentence["begin_time"].as_u64().unwrap()));
            }
        }
    }
    let said = |begin| ("s1t1e s1t2e.".to_owned(), begin);
    assert_eq!(sentences, [said(0), said(0), said(2000), said(2000)]);
    assert_eq!(log.records()[0].finals, 2);
}

#[test]
fn garbage_comes_before_results_all_kinds_first_then_in_turn() {
    let (mut conversation, ..) = started(r#"{"garbage": ["binary", "begin_after_end"]}"#);
    let kinds = |reply: &Reply| -> String {
        let kind = |outgoing: &Outgoing| match &outgoing.frame {
            Frame::Binary(_) => 'b',
            Frame::Text(text) if text.contains("garbage") => 'g',
            Frame::Text(_) => 'r',
        };
        reply.send.iter().map(kind).collect()
    };
    assert_eq!(kinds(&conversation.audio(&mark::second(1, 1))), "bgr");
    assert_eq!(kinds(&conversation.audio(&mark::second(1, 2))), "brgr");
    assert_eq!(kinds(&conversation.text(&action("finish-task", "a"))), "r");
}

#[test]
fn a_slow_flush_brings_the_last_results_word_by_word() {
    let (mut conversation, ..) = started(r#"{"slow_flush_ms": 900}"#);
    conversation.audio(&mark::second(1, 1));
    conversation.audio(&mark::second(1, 2)[..16_000]);
    let reply = conversation.text(&action("finish-task", "a"));
    let said: Vec<_> = reply
        .send
        .iter()
        .map(|outgoing| {
            let event = event(outgoing);
            let sentence = &event["payload"]["output"]["sentence"];
            (sentence["text"].as_str().map(str::to_owned), outgoing.delay)
        })
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        said,
        [
            (text("s1t1e"), ms(300)),
            (text("s1t1e s1t2e."), ms(600)),
            (None, ms(900)),
        ]
    );
    assert!(reply.send[2].is_task_end && reply.end.is_none());
    assert_eq!(
        events(&conversation.text(&run("b", "pcm"))),
        ["task-failed"]
    );
}

#[test]
fn a_late_close_does_not_drop_late_results() {
    let faults = r#"{"late_close_ms": 400, "delay_results_ms": 700, "slow_flush_ms": 100}"#;
    let (mut conversation, ..) = started(faults);
    conversation.audio(&mark::second(1, 1));
    let end = conversation.text(&action("finish-task", "a")).end.unwrap();
    assert_eq!((end.delay, end.is_abrupt), (ms(1200), false));
}

#[test]
fn silent_seconds_are_counted() {
    let (mut conversation, log, _) = started("{}");
    conversation.audio(&[mark::second(1, 1), vec![0; 64_000]].concat());
    assert_eq!(log.records()[0].silent_seconds, 2);
}
