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
