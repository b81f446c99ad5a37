//! Ends of connections and of tasks that are no failures, odd frames, and a service that refuses for good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;

use super::tests_support::{Stream, opens};
use super::*;
use crate::phase::Connection;
use crate::settings::{MAX_EVIDENCE_CHARS, REJECTED_RETRY_CAP_MS, RETRY_CAP_MS};

fn notes(actions: &[Action]) -> Vec<&str> {
    let notes = actions.iter().filter_map(|action| match action {
        Action::Note(note) => Some(note.as_str()),
        _ => None,
    });
    notes.collect()
}

/// A task that was sent so many seconds and is to be finished.
fn finishing(seconds: u32) -> Stream {
    let mut stream = Stream::new();
    for seq in 1..=seconds {
        stream.store(seq);
    }
    stream.start("s1");
    stream.give([Input::Flush("f".into())]);
    stream
}

#[test]
fn a_connection_that_is_gone_is_over_when_its_end_is_told() {
    // The host knows the socket no more, and its last words wait behind a chunk.
    let mut stream = finishing(2);
    let arrived = stream.now;
    let actions = stream.give([Input::Stored { seq: 3, arrived }, Input::Gone]);
    assert!(!actions.iter().any(|a| matches!(a, Action::Failed { .. })));
    stream.sentence(0, 1_500, "said");
    stream.finished();
    let status = stream.state.status();
    assert_eq!((status.final_ms, status.last_error), (2_000, None));
    assert_eq!(
        status.connection,
        Connection::Connecting,
        "for the third second"
    );
    let task = stream.task();
    let reason = String::new();
    stream.give([Input::Closed {
        task: "the old one".into(),
        code: 1000,
        reason,
    }]);
    assert_eq!(stream.task(), task);
}

#[test]
fn a_connection_that_is_gone_gets_nothing_more_and_is_given_up_in_time() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    let arrived = stream.now;
    let actions = stream.give([Input::Stored { seq: 2, arrived }, Input::Gone]);
    let sends = |a: &Action| matches!(a, Action::SendText { .. } | Action::SendSeconds { .. });
    assert!(!actions.iter().any(sends), "{actions:?}");
    let timer = actions.iter().find_map(|a| match a {
        Action::SetTimer(ms) => Some(*ms),
        _ => None,
    });
    stream.now += timer.unwrap_or(GONE_WAIT_MS).min(GONE_WAIT_MS);
    let mut actions = stream.give([Input::Timer]);
    stream.now += GONE_WAIT_MS;
    actions.extend(stream.give([Input::Timer]));
    let failed = |a: &Action| {
        matches!(
            a,
            Action::Failed {
                failure: Failure::SendRefused,
                ..
            }
        )
    };
    assert!(actions.iter().any(failed), "{actions:?}");
    assert_eq!(stream.state.gone_until, None);
}

#[test]
fn a_task_in_which_nobody_spoke_is_over_and_nothing_is_sent_again() {
    let mut stream = finishing(3);
    let silent = json!({"header": {"event": "task-failed", "error_code": "NO_VALID_AUDIO_ERROR"}});
    let actions = stream.event(&silent);
    let (id, untranscribed) = ("f".into(), 0);
    assert!(actions.contains(&Action::Flushed { id, untranscribed }));
    let status = stream.state.status();
    assert_eq!((status.last_error, status.consecutive_failures), (None, 0));
    // Of a task that never was it says nothing.
    let mut stream = Stream::new();
    stream.store(1);
    let (task, socket) = (stream.task(), "s1".into());
    stream.give([Input::Opened { task, socket }]);
    stream.event(&silent);
    assert_eq!(stream.state.status().connection, Connection::Error);
}

#[test]
fn odd_frames_are_one_line_for_a_task() {
    let mut stream = finishing(1);
    for nth in 0..200 {
        let task = stream.task();
        let text = format!("<html>{nth}\u{1b}[31m busy</html>");
        let actions = stream.give([Input::Text { task, text }]);
        assert_eq!(notes(&actions), [""; 0]);
    }
    let actions = stream.finished();
    assert_eq!(
        notes(&actions),
        [
            r#"the service sent 200 frames that mean nothing here, the first: a frame is not JSON: "<html>0\u{1b}[31m busy</html>""#
        ]
    );
    // The next task has none.
    stream.store(2);
    stream.start("s2");
    stream.give([Input::Flush("g".into())]);
    assert_eq!(notes(&stream.finished()), [""; 0]);
}

#[test]
fn what_a_service_said_instead_of_starting_is_kept_as_the_reason() {
    let mut stream = Stream::new();
    stream.settings.api_key = "sk-0123456789abcdef".into();
    stream.store(1);
    let (task, socket) = (stream.task(), "s1".into());
    stream.give([Input::Opened { task, socket }]);
    let page = format!(
        "<p>sk-0123456789abcdef is not welcome</p>{}",
        "x".repeat(900)
    );
    for _ in 0..3 {
        let (task, text) = (stream.task(), page.clone());
        stream.give([Input::Text { task, text }]);
    }
    let actions = stream.closed();
    let error = stream.state.status().last_error.unwrap();
    assert!(error.contains("was closed (code 1006)"), "{error}");
    assert!(
        error.contains("3 frames") && error.contains("<secret> is not welcome"),
        "{error}"
    );
    assert!(
        !error.contains("0123456789") && error.len() < 300 + MAX_EVIDENCE_CHARS,
        "{error}"
    );
    let lines = actions
        .iter()
        .filter(|a| matches!(a, Action::Note(_) | Action::Failed { .. }));
    assert_eq!(lines.count(), 1, "{actions:?}");
}

#[test]
fn what_was_said_is_in_no_evidence() {
    let mut stream = finishing(1);
    let event = json!({"header": {"event": "result-regenerated"}, "payload": {"output":
        {"sentence": {"begin_time": 3, "end_time": 9, "text": "a secret"}}}});
    stream.event(&event);
    let actions = stream.finished();
    let note = notes(&actions)[0];
    assert!(
        note.contains("result-regenerated") && note.contains("begin_ms=3"),
        "{note}"
    );
    assert!(!note.contains("secret"), "{note}");
}

/// Pauses after the first, second ... refusal.
fn pauses(refuse: impl Fn(&mut Stream), count: usize) -> (Stream, Vec<u64>) {
    let mut stream = Stream::new();
    stream.store(1);
    let mut pauses = Vec::new();
    for _ in 0..count {
        refuse(&mut stream);
        let until = stream.state.status().retry_at.unwrap();
        pauses.push(until - stream.now);
        stream.now = until;
        assert_eq!(opens(&stream.give([Input::Timer])), 1);
    }
    refuse(&mut stream);
    (stream, pauses)
}

fn unauthorized(stream: &mut Stream) {
    let (task, reason) = (stream.task(), "no".into());
    stream.give([Input::OpenFailed {
        task,
        status: Some(401),
        reason,
    }]);
}

#[test]
fn a_key_that_is_refused_is_tried_ever_less_often() {
    let (stream, pauses) = pauses(unauthorized, 8);
    assert!(pauses[0] <= 2_000 && pauses[2] > RETRY_CAP_MS, "{pauses:?}");
    assert!(pauses[7] >= REJECTED_RETRY_CAP_MS / 2 && pauses[7] <= REJECTED_RETRY_CAP_MS);
    // A new process does not begin anew: what is stored says it.
    let stored = serde_json::to_string(&stream.state).unwrap();
    let state: State = serde_json::from_str(&stored).unwrap();
    let missing = Missing::default();
    let (state, actions) = step(
        state,
        missing,
        &stream.settings,
        stream.now,
        1,
        0,
        [Input::Timer],
    );
    assert_eq!(opens(&actions), 0);
    assert!(state.status().retry_at.unwrap() > stream.now + RETRY_CAP_MS);
}

#[test]
fn what_somebody_has_to_pay_for_or_to_change_is_refused_for_good_and_the_rest_is_not() {
    let failed = |code: &'static str| {
        move |stream: &mut Stream| {
            let (task, socket) = (stream.task(), "s".into());
            stream.give([Input::Opened { task, socket }]);
            stream.event(&json!({"header": {"event": "task-failed", "error_code": code}}));
        }
    };
    for code in [
        "Arrearage",
        "InvalidParameter",
        "Model.AccessDenied",
        "InvalidApiKey",
    ] {
        let (_, pauses) = pauses(failed(code), 4);
        assert!(pauses[3] > 10 * RETRY_CAP_MS, "{code}: {pauses:?}");
    }
    for code in ["Throttling", "InternalError", "SystemError"] {
        let (_, pauses) = pauses(failed(code), 8);
        assert!(
            pauses.iter().all(|pause| *pause <= RETRY_CAP_MS),
            "{code}: {pauses:?}"
        );
    }
}

#[test]
fn other_settings_are_tried_at_once_and_a_success_closes_the_circuit() {
    let (mut stream, _) = pauses(unauthorized, 4);
    stream.settings.api_key = "another".into();
    assert_eq!(opens(&stream.give([Input::Timer])), 1);
    stream.start("s1");
    stream.sentence(0, 1_000, "at last");
    assert_eq!(stream.state.rejected, None);
    stream.finished();
    stream.store(2);
    unauthorized(&mut stream);
    let pause = stream.state.status().retry_at.unwrap() - stream.now;
    assert!(pause <= 2_000, "{pause}");
}
