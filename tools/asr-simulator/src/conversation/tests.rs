#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;
use crate::fault_control::FaultControl;
use crate::mark;
use crate::task_log::TaskRecord;

mod faults;

fn conversation() -> (Conversation, TaskLog) {
    let (conversation, log, _) = faulty("{}");
    (conversation, log)
}

fn faulty(faults: &str) -> (Conversation, TaskLog, FaultControl) {
    let control = FaultControl::default();
    set(&control, faults);
    let log = TaskLog::new(8);
    let rules = Rules {
        idle_timeout: Duration::from_secs(60),
        audio_timeout: Duration::from_secs(23),
        sentence_seconds: 2,
        sentences_per_second: 0,
    };
    let conversation = Conversation::new(1, rules, log.clone(), control.connect());
    (conversation, log, control)
}

fn set(control: &FaultControl, faults: &str) {
    control
        .set(Faults::parse(faults.as_bytes()).unwrap())
        .unwrap();
}

fn run(task_id: &str, format: &str) -> String {
    json!({
        "header": {"action": "run-task", "task_id": task_id, "streaming": "duplex"},
        "payload": {
            "task_group": "audio", "task": "asr", "function": "recognition", "model": "m",
            "parameters": {"format": format, "sample_rate": 16000}, "input": {},
        },
    })
    .to_string()
}

fn action(action: &str, task_id: &str) -> String {
    json!({
        "header": {"action": action, "task_id": task_id, "streaming": "duplex"},
        "payload": {"input": {}},
    })
    .to_string()
}

fn text(outgoing: &Outgoing) -> &str {
    match &outgoing.frame {
        Frame::Text(text) => text,
        Frame::Binary(_) => panic!("a binary frame"),
    }
}

fn event(outgoing: &Outgoing) -> Value {
    serde_json::from_str(text(outgoing)).unwrap()
}

fn events(reply: &Reply) -> Vec<String> {
    let name = |outgoing| {
        event(outgoing)["header"]["event"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    reply.send.iter().map(name).collect()
}

#[test]
fn a_task_runs_and_another_follows_on_the_connection() {
    let (mut conversation, log) = conversation();
    for id in ["a", "b"] {
        assert_eq!(conversation.patience(), Duration::from_secs(60));
        assert_eq!(
            events(&conversation.text(&run(id, "pcm"))),
            ["task-started"]
        );
        assert_eq!(conversation.patience(), Duration::from_secs(23));
        assert_eq!(
            conversation.text(&action("continue-task", id)),
            Reply::default()
        );
        let heard = conversation.audio(&mark::second(1, 1));
        assert_eq!(events(&heard), ["result-generated"]);
        let finished = conversation.text(&action("finish-task", id));
        assert_eq!(events(&finished), ["result-generated", "task-finished"]);
        assert_eq!(finished.end, None);
        assert!(conversation.is_finishing() && finished.send[1].is_task_end);
        conversation.finished();
    }
    let records = log.records();
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!(record.outcome, Outcome::Finished);
        assert_eq!(
            (record.audio_bytes, record.finals, record.intermediates),
            (32_000, 1, 1)
        );
        assert_eq!((record.heard[0].seq, record.heard[0].tenths), (1, 10));
    }
}

#[test]
fn a_wav_task_hears_what_is_in_the_file() {
    let (mut conversation, log) = conversation();
    conversation.text(&run("a", "wav"));
    let mut file =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data"
            .to_vec();
    file.extend(32_000u32.to_le_bytes());
    file.extend(mark::second(3, 9));
    for piece in file.chunks(12_800) {
        assert_eq!(conversation.audio(piece).end, None);
    }
    conversation.text(&action("finish-task", "a"));
    conversation.finished();
    let record = &log.records()[0];
    assert_eq!((record.audio_bytes, record.heard[0].stream), (32_000, 3));
}

#[test]
fn what_comes_at_the_wrong_time_fails_the_task_and_closes() {
    type Wrong = fn(&mut Conversation) -> Reply;
    let cases: [(&str, Wrong); 8] = [
        ("audio first", |c| c.audio(&[0; 3200])),
        ("finish first", |c| c.text(&action("finish-task", "a"))),
        ("not JSON", |c| c.text("{")),
        ("unknown action", |c| c.text(&action("pause-task", "a"))),
        ("bad format", |c| c.text(&run("a", "opus"))),
        ("run twice", |c| {
            c.text(&run("a", "pcm"));
            c.text(&run("a", "pcm"))
        }),
        ("another task", |c| {
            c.text(&run("a", "pcm"));
            c.text(&action("finish-task", "b"))
        }),
        ("no WAV file", |c| {
            c.text(&run("a", "wav"));
            c.audio(b"OggS and so on")
        }),
    ];
    for (name, wrong) in cases {
        let (mut conversation, log) = conversation();
        let reply = wrong(&mut conversation);
        assert_eq!(events(&reply), ["task-failed"], "{name}");
        assert!(reply.end.is_some(), "{name}");
        let failure = event(&reply.send[0]);
        for field in ["error_code", "error_message"] {
            assert!(
                failure["header"][field]
                    .as_str()
                    .is_some_and(|s| !s.is_empty()),
                "{name}"
            );
        }
        let failed = |record: &TaskRecord| matches!(record.outcome, Outcome::Failed(_));
        assert!(log.records().iter().all(failed), "{name}");
    }
}

#[test]
fn a_task_without_audio_fails_and_an_idle_connection_closes() {
    let (mut conversation, log) = conversation();
    conversation.text(&run("a", "pcm"));
    let reply = conversation.expired();
    assert_eq!(events(&reply), ["task-failed"]);
    assert!(text(&reply.send[0]).contains("request timeout after 23 seconds."));
    assert!(matches!(log.records()[0].outcome, Outcome::Failed(_)));

    let (mut idle, _) = self::conversation();
    let reply = idle.expired();
    assert!(reply.send.is_empty() && reply.end.is_some());
}

#[test]
fn a_lost_connection_loses_its_task() {
    let (mut conversation, log) = conversation();
    conversation.text(&run("a", "pcm"));
    conversation.lost();
    assert_eq!(log.records()[0].outcome, Outcome::Lost);
}
