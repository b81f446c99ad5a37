//! A service and a clock that misbehave: what is sent, when it is tried again, and that nothing waits or
//! loops for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;

use super::tests_support::{Stream, is_finish, opens, running, sent, sentences};
use super::*;
use crate::phase::Connection;
use crate::settings::{
    FINISH_LIMIT_MS, FINISH_TIMEOUT_MS, IDLE_FINISH_MS, QUIET_TASK_MS, RETRY_CAP_MS,
};

const HOUR_MS: u64 = 3_600_000;

/// Follows the stream's own timer until `until`: when it rings, what it does.
fn ring_until(stream: &mut Stream, until: u64, mut see: impl FnMut(u64, &[Action])) {
    while let Some(at) = stream.state.timer_at.filter(|at| *at <= until) {
        stream.now = stream.now.max(at);
        let actions = stream.give([Input::Timer]);
        see(stream.now, &actions);
    }
}

#[test]
fn a_service_that_ends_every_task_at_once_is_called_ever_less_often() {
    // It closes in the same moment in which it says task-started, before any audio went out.
    let mut stream = Stream::new();
    stream.store(1);
    let mut pauses = Vec::new();
    for n in 0..8 {
        let (task, socket) = (stream.task(), format!("s{n}"));
        stream.give([Input::Opened { task, socket }]);
        let task = stream.task();
        let text = json!({"header": {"event": "task-started"}}).to_string();
        let reason = String::new();
        let actions = stream.give([
            Input::Text {
                task: task.clone(),
                text,
            },
            Input::Closed {
                task,
                code: 1000,
                reason,
            },
        ]);
        assert_eq!(opens(&actions), 0, "not at once");
        let until = stream.state.status().retry_at.unwrap();
        pauses.push(until - stream.now);
        stream.now = until;
        assert_eq!(opens(&stream.give([Input::Timer])), 1);
    }
    assert_eq!(stream.state.status().consecutive_failures, 8);
    assert!(*pauses.last().unwrap() >= RETRY_CAP_MS / 2, "{pauses:?}");
}

#[test]
fn a_task_that_the_service_ends_when_it_owes_nothing_shows_no_error() {
    for ends in [Stream::closed, Stream::finished] {
        let mut stream = running(2);
        stream.sentence(0, 2_000, "all");
        ends(&mut stream);
        let status = stream.state.status();
        assert_eq!(status.connection, Connection::Disconnected);
        assert_eq!((status.last_error, status.consecutive_failures), (None, 0));
        assert_eq!(opens(&stream.store(3)), 1);
    }
    // One that owes something is another matter.
    for ends in [Stream::closed, Stream::finished] {
        let mut stream = running(2);
        stream.sentence(0, 1_500, "some");
        ends(&mut stream);
        assert!(stream.state.status().last_error.is_some());
    }
}

#[test]
fn a_dead_connection_that_owes_nothing_is_no_error() {
    let gone = || Input::SendFailed("it is gone".into());
    let mut stream = running(2);
    stream.sentence(0, 2_000, "all");
    // After a restart: the socket is gone.
    stream.give([gone()]);
    let status = stream.state.status();
    assert_eq!(status.connection, Connection::Disconnected);
    assert_eq!((status.last_error, status.consecutive_failures), (None, 0));

    // The service never says task-finished: who waits is answered, and there is no error either.
    let mut stream = running(2);
    stream.sentence(0, 2_000, "all");
    stream.give([Input::Flush("f".into())]);
    stream.now += FINISH_TIMEOUT_MS;
    let actions = stream.give([Input::Timer]);
    let (id, untranscribed) = ("f".into(), 0);
    assert!(actions.contains(&Action::Flushed { id, untranscribed }));
    assert_eq!(stream.state.status().last_error, None);

    // A task that says that it failed has failed, until there was time to try again and no need.
    let mut stream = running(2);
    stream.sentence(0, 2_000, "all");
    stream.event(&json!({"header": {"event": "task-failed"}}));
    assert!(stream.state.status().last_error.is_some());
    stream.now = stream.state.status().retry_at.unwrap();
    assert_eq!(opens(&stream.give([Input::Timer])), 0);
    let status = stream.state.status();
    assert_eq!(status.connection, Connection::Disconnected);
    assert_eq!((status.last_error, status.consecutive_failures), (None, 0));

    // Something that is owed stays an error.
    let mut stream = running(3);
    stream.sentence(0, 2_000, "some");
    stream.give([gone()]);
    assert_eq!(stream.state.status().connection, Connection::Error);
}

#[test]
fn a_flush_is_answered_when_the_task_is_over_not_only_its_text() {
    let mut stream = running(2);
    stream.sentence(0, 2_000, "all");
    let actions = stream.give([Input::Flush("f".into())]);
    assert!(actions.iter().any(is_finish));
    let is_answer = |action: &Action| matches!(action, Action::Flushed { .. });
    assert!(!actions.iter().any(is_answer), "{actions:?}");
    let actions = stream.finished();
    assert!(actions.iter().any(is_answer), "{actions:?}");
    assert_eq!(stream.state.status().connection, Connection::Disconnected);
}

#[test]
fn a_service_that_takes_audio_and_says_nothing_costs_so_much_and_no_more() {
    let mut stream = running(1);
    let (mut sent_in_task, mut tasks) = (0, 0);
    for seq in 2..=600 {
        let until = stream.now + 1_000;
        let mut acted: Vec<Action> = Vec::new();
        ring_until(&mut stream, until, |_, actions| {
            acted.extend_from_slice(actions)
        });
        stream.now = until;
        acted.extend(stream.store(seq));
        if matches!(stream.state.phase, Phase::Connecting { .. }) {
            tasks += 1;
            sent_in_task = 0;
            acted.extend(stream.start(&format!("t{tasks}")));
        }
        let seconds = |(first, last, _): (u32, u32, u32)| last - first + 1;
        sent_in_task += sent(&acted).into_iter().map(seconds).sum::<u32>();
        assert!(
            u64::from(sent_in_task) * 1_000 <= QUIET_TASK_MS + 20_000,
            "{sent_in_task}"
        );
    }
    assert!((2..=10).contains(&tasks), "{tasks}");
    assert_eq!(stream.state.untranscribed(), 600, "nothing is given up");
    assert!(stream.state.status().consecutive_failures >= 2);
}

#[test]
fn a_service_that_only_keeps_itself_alive_does_not_keep_a_task_from_ending() {
    let mut stream = running(3);
    stream.give([Input::Flush("f".into())]);
    let begin = stream.now;
    let alive = json!({"header": {"event": "result-generated"}, "payload": {"output":
        {"sentence": {"heartbeat": true, "text": ""}}}});
    while matches!(stream.state.phase, Phase::Finishing { .. }) {
        stream.now += FINISH_TIMEOUT_MS - 1_000;
        stream.event(&alive);
        assert!(stream.now <= begin + FINISH_LIMIT_MS + FINISH_TIMEOUT_MS);
    }
    assert_eq!(stream.state.status().connection, Connection::Error);
    // One that makes sentences final is waited for.
    let mut stream = running(9);
    stream.give([Input::Flush("f".into())]);
    for n in 1..=9 {
        stream.now += FINISH_TIMEOUT_MS - 1;
        stream.sentence((n - 1) * 1_000, n * 1_000, "slow");
    }
    assert!(stream.now > begin + FINISH_LIMIT_MS);
    assert!(matches!(stream.state.phase, Phase::Finishing { .. }));
}

#[test]
fn a_failed_task_gets_nothing_more_even_in_the_same_moment() {
    let mut stream = running(1);
    let (task, arrived) = (stream.task(), stream.now);
    let text = json!({"header": {"event": "task-failed"}}).to_string();
    let late = json!({"header": {"event": "result-generated"}, "payload": {"output": {"sentence":
        {"begin_time": 0, "end_time": 900, "text": "late", "sentence_end": true}}}});
    let actions = stream.give([
        Input::Text {
            task: task.clone(),
            text,
        },
        Input::Stored { seq: 2, arrived },
        Input::Text {
            task,
            text: late.to_string(),
        },
        Input::Flush("f".into()),
    ]);
    assert!(sent(&actions).is_empty());
    assert!(sentences(&actions).is_empty());
    let is_text = |action: &Action| matches!(action, Action::SendText { .. });
    assert!(!actions.iter().any(is_text), "{actions:?}");
}

#[test]
fn frames_that_make_no_sense_change_nothing() {
    let mut stream = running(3);
    stream.sentence(0, 1_500, "one");
    let before = stream.state.clone();
    let sentence = |sentence: serde_json::Value| json!({"header": {"event": "result-generated"}, "payload": {"output": {"sentence": sentence}}});
    for frame in [
        json!(null),
        json!([]),
        json!({"header": []}),
        json!({"header": {"event": ["task-finished"]}}),
        json!({"header": {"event": "task-finished", "task_id": "another"}}),
        json!({"header": {"event": "task-started"}}),
        sentence(json!([])),
        sentence(
            json!({"begin_time": 0, "end_time": 1_500, "text": "again", "sentence_end": true}),
        ),
        sentence(
            json!({"begin_time": 900, "end_time": 1_000, "text": "old", "sentence_end": true}),
        ),
        sentence(json!({"begin_time": "NaN", "end_time": null, "text": {"a": 1}})),
        sentence(json!({"begin_time": 0, "end_time": 2_500, "text": "x", "heartbeat": true})),
    ] {
        let actions = stream.event(&frame);
        stream.state.odd.take();
        assert_eq!(stream.state, before, "{frame}");
        let is_note = |action: &Action| matches!(action, Action::Note(_));
        assert!(actions.iter().all(is_note), "{actions:?}");
    }
    for (text, evidence) in [
        ("{\"header\":".repeat(200), "nested more than"),
        ("{\"header\":".repeat(100), "not JSON"),
    ] {
        let task = stream.task();
        stream.give([Input::Text { task, text }]);
        let odd = stream.state.odd.take().unwrap();
        assert!(odd.contains(evidence), "{odd}");
        assert_eq!(stream.state, before);
    }
}

#[test]
fn a_final_sentence_without_an_end_ends_with_its_last_word_not_with_what_was_sent() {
    let mut stream = running(9);
    let frame = json!({"header": {"event": "result-generated"}, "payload": {"output": {"sentence":
        {"begin_time": 0, "text": "one", "sentence_end": true, "words": [{"end_time": 2_000}]}}}});
    assert_eq!(sentences(&stream.event(&frame)), [(0, 2_000, "one")]);
    let actions = stream.sentence(2_100, 3_000, "two");
    assert_eq!(sentences(&actions), [(2_100, 3_000, "two")]);
}

#[test]
fn an_empty_sentence_is_no_utterance_and_takes_nothing_from_the_true_one() {
    let mut stream = running(3);
    assert!(sentences(&stream.sentence(0, 2_000, "  ")).is_empty());
    assert_eq!(stream.state.status().final_ms, 0);
    let actions = stream.sentence(0, 2_000, "said");
    assert_eq!(sentences(&actions), [(0, 2_000, "said")]);
}

#[test]
fn results_of_a_replay_about_what_is_final_are_left_out() {
    let mut stream = running(4);
    stream.sentence(0, 2_400, "one");
    stream.closed();
    stream.now += 20_000;
    stream.give([Input::Timer]);
    assert_eq!(sent(&stream.start("s2")), [(3, 4, 400)]);
    // The service heard something in the silenced part after all.
    assert!(sentences(&stream.sentence(0, 400, "one")).is_empty());
    let actions = stream.sentence(0, 1_900, "two");
    assert_eq!(sentences(&actions), [(2_400, 3_900, "two")]);
}

#[test]
fn a_clock_that_is_set_back_stalls_nothing() {
    let back = |stream: &mut Stream| stream.now -= HOUR_MS;
    let fresh = || {
        let mut stream = Stream::new();
        stream.now += 2 * HOUR_MS;
        stream
    };
    let longest = RETRY_CAP_MS + FINISH_TIMEOUT_MS + IDLE_FINISH_MS;
    // The host's timers do not follow the wall clock: the one that was set rings in its time.
    let rings = |stream: &mut Stream| {
        let until = stream.now + longest;
        stream.give([Input::Timer]);
        let mut all = Vec::new();
        ring_until(stream, until, |_, actions| all.extend_from_slice(actions));
        all
    };

    // In the pause after a failure.
    let mut stream = fresh();
    stream.store(1);
    let (task, reason) = (stream.task(), "down".into());
    let status = None;
    stream.give([Input::OpenFailed {
        task,
        status,
        reason,
    }]);
    back(&mut stream);
    let retry_at = {
        stream.give([]);
        stream.state.status().retry_at.unwrap()
    };
    assert!(retry_at <= stream.now + RETRY_CAP_MS);
    assert!(opens(&rings(&mut stream)) >= 1);

    // While connecting, starting, and finishing: given up in their time.
    let gives_up = |mut stream: Stream| {
        back(&mut stream);
        let failed = |a: &Action| matches!(a, Action::Failed { .. });
        assert!(rings(&mut stream).iter().any(failed), "{:?}", stream.state);
    };
    let mut stream = fresh();
    stream.store(1);
    gives_up(stream);
    let mut stream = fresh();
    stream.store(1);
    let (task, socket) = (stream.task(), "s1".into());
    stream.give([Input::Opened { task, socket }]);
    gives_up(stream);
    let mut stream = fresh();
    stream.store(1);
    stream.start("s1");
    stream.give([Input::Flush("f".into())]);
    gives_up(stream);

    // While a backlog is paced, while nothing comes, and while a missing second is waited for.
    let mut stream = fresh();
    for seq in 1..=40 {
        stream.store(seq);
    }
    stream.start("s1");
    back(&mut stream);
    assert_eq!(sent(&rings(&mut stream)).last().unwrap().1, 40);
    let mut stream = fresh();
    stream.store(1);
    stream.start("s1");
    back(&mut stream);
    assert!(rings(&mut stream).iter().any(is_finish));
    let mut stream = fresh();
    stream.store(1);
    stream.start("s1");
    stream.store(3);
    back(&mut stream);
    assert_eq!(sent(&rings(&mut stream)), [(2, 3, 0)]);
}

#[test]
fn a_clock_that_is_set_forward_costs_at_most_one_attempt() {
    let mut stream = running(3);
    stream.give([Input::Flush("f".into())]);
    stream.now += HOUR_MS;
    stream.give([Input::Timer]);
    stream.now = stream.state.status().retry_at.unwrap();
    assert_eq!(opens(&stream.give([Input::Timer])), 1);
    assert_eq!(sent(&stream.start("s2")), [(1, 3, 0)]);
}

#[test]
fn late_openings_of_tasks_that_were_given_up_are_closed_and_touch_nothing() {
    let mut stream = Stream::new();
    stream.store(1);
    let old = stream.task();
    stream.now += 60_000;
    stream.give([Input::Timer]);
    stream.now = stream.state.status().retry_at.unwrap();
    stream.give([Input::Timer]);
    let before = stream.state.clone();
    let (task, socket) = (old, String::from("s-old"));
    let actions = stream.give([Input::Opened { task, socket }]);
    let socket = "s-old".into();
    assert_eq!(actions, [Action::Close { socket }]);
    assert_eq!(stream.state, before);
}

/// A service that repeats the key which it was sent must not have it shown in a state, stored or logged.
#[test]
fn what_repeats_the_key_is_repeated_without_it() {
    const KEY: &str = "sk-0123456789abcdef";
    let long = format!("{} {KEY}", "x".repeat(290));
    let as_url = "sk%2D0123456789abcdef";
    let failed = |message: &str| json!({"header": {"event": "task-failed", "error_code": "E", "error_message": message}});
    let text = |frame: serde_json::Value| {
        move |task: String| Input::Text {
            task,
            text: frame.to_string(),
        }
    };
    type Make = Box<dyn Fn(String) -> Input>;
    let inputs: [(Make, bool); 7] = [
        (Box::new(text(failed(&format!("no key {KEY}")))), true),
        (Box::new(text(failed(&long))), true),
        (Box::new(text(failed(as_url))), true),
        (
            Box::new(|task| Input::Closed {
                task,
                code: 1008,
                reason: format!("who is {KEY}?"),
            }),
            true,
        ),
        (Box::new(text(json!({"header": {"event": KEY}}))), false),
        (
            Box::new(text(json!({"header": {"event": "x", "task_id": KEY}}))),
            false,
        ),
        (Box::new(text(json!({"header": {"event": long}}))), false),
    ];
    for (input, fails) in inputs {
        let mut stream = Stream::new();
        stream.settings.api_key = KEY.into();
        stream.settings.notes_events = true;
        stream.store(1);
        stream.start("s1");
        let task = stream.task();
        let actions = stream.give([input(task)]);
        let said = format!("{actions:?} {:?}", stream.state);
        assert!(said.contains("<sec") || said.contains("xxx"), "{said}");
        assert!(
            !said.contains("0123456789") && !said.contains("sk-0"),
            "{said}"
        );
        assert_eq!(stream.state.status().last_error.is_some(), fails, "{said}");
    }
    // A connection that cannot be made, and the last word of one that took no more.
    let mut stream = Stream::new();
    stream.settings.api_key = KEY.into();
    stream.store(1);
    let (task, reason) = (stream.task(), format!("no route to ?key={KEY}"));
    let refused = stream.give([Input::OpenFailed {
        task,
        status: None,
        reason,
    }]);
    assert!(!format!("{refused:?} {:?}", stream.state).contains(KEY));
    let mut stream = Stream::new();
    stream.settings.api_key = KEY.into();
    stream.store(1);
    stream.start("s1");
    let task = stream.task();
    stream.give([Input::SendFailed("it is gone".into())]);
    stream.give([text(failed(&format!("no key {KEY}")))(task)]);
    let error = stream.state.status().last_error.unwrap();
    assert_eq!(error, "the ASR task failed: E: no key <secret>");
}
