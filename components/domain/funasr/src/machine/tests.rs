//! The state machine against the faults it is there for, one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::demands::ROOM_RETRY_MS;
use super::tests_support::{Stream, sent};
use super::*;
use crate::phase::Connection;
use crate::settings::{
    FINISH_TIMEOUT_MS, IDLE_FINISH_MS, QUIET_TASK_MS, RETRY_CAP_MS, RETRY_FIRST_MS,
};

fn sentences(actions: &[Action]) -> Vec<(u64, u64, &str)> {
    let mut sentences = Vec::new();
    for action in actions {
        if let Action::Sentence(s) = action {
            sentences.push((s.start_ms, s.end_ms, s.text.as_str()));
        }
    }
    sentences
}

fn opens(actions: &[Action]) -> usize {
    actions
        .iter()
        .filter(|a| matches!(a, Action::Open { .. }))
        .count()
}

#[test]
fn the_first_second_opens_one_connection_and_audio_waits_for_task_started() {
    let mut stream = Stream::new();
    let actions = stream.store(1);
    assert_eq!(opens(&actions), 1);
    assert!(sent(&actions).is_empty());
    assert!(stream.task().starts_with("asr-realtime-teacher-"));
    assert_eq!(
        opens(&stream.store(2)),
        0,
        "one connection, not one per chunk"
    );

    let task = stream.task();
    let actions = stream.give([Input::Opened {
        task,
        socket: "s1".into(),
    }]);
    assert!(matches!(&actions[0], Action::SendText { text, .. } if text.contains("run-task")));
    assert!(sent(&actions).is_empty());
    let actions = stream.event(&serde_json::json!({"header": {"event": "task-started"}}));
    assert_eq!(sent(&actions), [(1, 2, 0)]);
    assert_eq!(sent(&stream.store(3)), [(3, 3, 0)]);
}

#[test]
fn a_task_that_dies_is_replayed_from_what_is_not_final_and_under_its_own_seconds() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.store(2);
    stream.start("s1");
    for seq in 3..=6 {
        stream.store(seq);
    }
    let actions = stream.sentence(200, 2_400, "one");
    assert_eq!(sentences(&actions), [(200, 2_400, "one")]);

    let task = stream.task();
    let actions = stream.give([Input::Closed {
        task: task.clone(),
        code: 1006,
        reason: String::new(),
    }]);
    assert_eq!(opens(&actions), 0, "not at once");
    assert_eq!(stream.state.status().connection, Connection::Error);
    assert!(stream.state.status().last_error.is_some());

    // The reconnect does not wait for a chunk.
    stream.now = stream.state.status().retry_at.unwrap();
    let actions = stream.give([Input::Timer]);
    assert_eq!(opens(&actions), 1);
    let actions = stream.start("s2");
    assert_eq!(
        sent(&actions),
        [(3, 6, 400)],
        "from the second that holds 2.4 s, its start silenced"
    );
    assert_eq!(stream.state.status().last_error, None);
    let actions = stream.sentence(400, 3_900, "two");
    assert_eq!(sentences(&actions), [(2_400, 5_900, "two")]);
}

#[test]
fn what_belongs_to_an_old_task_is_ignored() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    let old = stream.task();
    stream.give([Input::Closed {
        task: old.clone(),
        code: 1006,
        reason: String::new(),
    }]);
    stream.now += 20_000;
    stream.give([Input::Timer]);
    stream.start("s2");
    let before = stream.state.clone();
    let late = serde_json::json!({"header": {"event": "result-generated", "task_id": old},
        "payload": {"output": {"sentence": {"begin_time": 0, "end_time": 900, "text": "late"}}}});
    let actions = stream.give([
        Input::Text {
            task: old.clone(),
            text: late.to_string(),
        },
        Input::Closed {
            task: old.clone(),
            code: 1000,
            reason: String::new(),
        },
        Input::OpenFailed {
            task: old.clone(),
            status: None,
            reason: String::new(),
        },
    ]);
    assert!(sentences(&actions).is_empty());
    assert_eq!(stream.state, before);
    let actions = stream.give([Input::Opened {
        task: old,
        socket: "s9".into(),
    }]);
    assert!(actions.contains(&Action::Close {
        socket: "s9".into()
    }));
}

#[test]
fn failures_back_off_with_a_cap_and_stay_one_loop() {
    let mut stream = Stream::new();
    stream.store(1);
    let mut pauses = Vec::new();
    for seq in 2..12 {
        let task = stream.task();
        let reason = String::from("503");
        stream.give([Input::OpenFailed {
            task,
            status: Some(503),
            reason,
        }]);
        let until = stream.state.status().retry_at.unwrap();
        pauses.push(until - stream.now);
        assert_eq!(
            opens(&stream.store(seq)),
            0,
            "a chunk does not start a second loop"
        );
        stream.now = until;
        assert_eq!(opens(&stream.give([Input::Timer])), 1);
    }
    assert!(
        pauses[0] >= RETRY_FIRST_MS / 2 && pauses[0] <= RETRY_FIRST_MS,
        "{pauses:?}"
    );
    assert!(pauses.iter().all(|p| *p <= RETRY_CAP_MS), "{pauses:?}");
    assert!(*pauses.last().unwrap() >= RETRY_CAP_MS / 2, "{pauses:?}");
    // A refused key says what to check.
    let task = stream.task();
    stream.give([Input::OpenFailed {
        task,
        status: Some(401),
        reason: String::new(),
    }]);
    assert!(
        stream
            .state
            .status()
            .last_error
            .unwrap()
            .contains("ALIYUN_DASHSCOPE_API_KEY")
    );
}

#[test]
fn a_task_that_never_starts_is_given_up_and_closed() {
    let mut stream = Stream::new();
    stream.store(1);
    let task = stream.task();
    stream.give([Input::Opened {
        task,
        socket: "s1".into(),
    }]);
    stream.now += stream.settings.start_timeout_ms;
    let actions = stream.give([Input::Timer]);
    assert!(actions.contains(&Action::Close {
        socket: "s1".into()
    }));
    assert_eq!(stream.state.status().connection, Connection::Error);
}

#[test]
fn a_backlog_is_paced() {
    let mut stream = Stream::new();
    for seq in 1..=600 {
        stream.store(seq);
    }
    let actions = stream.start("s1");
    assert_eq!(sent(&actions), [(1, 10, 0)], "the burst");
    let mut total = 10;
    let begin = stream.now;
    while stream.now < begin + 10_000 {
        stream.now += 100;
        for (first, last, _) in sent(&stream.give([Input::Timer])) {
            total += last - first + 1;
        }
    }
    assert!(
        (45..=50).contains(&total),
        "10 s at four times real time and the burst: {total}"
    );
}

#[test]
fn a_full_socket_is_waited_for_and_a_dead_one_is_replaced() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    let state = std::mem::take(&mut stream.state);
    let arrived = stream.now;
    let (state, actions) = step(
        state,
        Missing::default(),
        &stream.settings,
        stream.now,
        5,
        0,
        [Input::Stored { seq: 2, arrived }],
    );
    assert!(sent(&actions).is_empty());
    assert!(actions.contains(&Action::SetTimer(ROOM_RETRY_MS)));
    stream.state = state;
    let actions = stream.give([Input::SendFailed("unknown socket".into())]);
    assert!(actions.contains(&Action::Close {
        socket: "s1".into()
    }));
    stream.now = stream.state.status().retry_at.unwrap();
    stream.give([Input::Timer]);
    assert_eq!(sent(&stream.start("s2")), [(1, 2, 0)]);
}

#[test]
fn an_idle_task_is_finished_and_shows_no_error() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    stream.now += IDLE_FINISH_MS;
    let actions = stream.give([Input::Timer]);
    assert!(matches!(&actions[0], Action::SendText { text, .. } if text.contains("finish-task")));
    // A chunk that comes now waits for the next task.
    assert!(sent(&stream.store(2)).is_empty());
    let actions = stream.finished();
    assert!(actions.contains(&Action::Close {
        socket: "s1".into()
    }));
    assert_eq!(opens(&actions), 1);
    assert_eq!(sent(&stream.start("s2")), [(2, 2, 0)]);
    stream.now += IDLE_FINISH_MS;
    stream.give([Input::Timer]);
    stream.finished();
    let status = stream.state.status();
    assert_eq!(
        (status.connection, status.last_error),
        (Connection::Disconnected, None)
    );
    assert_eq!(status.final_ms, 2_000);
}

#[test]
fn a_flush_finishes_the_task_and_is_answered_when_all_is_final() {
    let mut stream = Stream::new();
    assert_eq!(
        stream.give([Input::Flush("empty".into())]),
        [Action::Flushed {
            id: "empty".into(),
            untranscribed: 0
        }]
    );
    stream.store(1);
    let actions = stream.give([Input::Flush("f".into())]);
    assert!(!actions.iter().any(|a| matches!(a, Action::Flushed { .. })));
    let actions = stream.start("s1");
    assert_eq!(sent(&actions), [(1, 1, 0)]);
    assert!(matches!(&actions[1], Action::SendText { text, .. } if text.contains("finish-task")));
    stream.sentence(0, 800, "done");
    let actions = stream.finished();
    assert!(actions.contains(&Action::Flushed {
        id: "f".into(),
        untranscribed: 0
    }));
}

#[test]
fn a_flush_after_a_restart_does_not_trust_the_old_timer() {
    let mut stream = Stream::new();
    stream.store(1);
    let task = stream.task();
    stream.give([Input::OpenFailed {
        task,
        status: None,
        reason: "down".into(),
    }]);
    // The process dies with its timers, and starts again within the pause.
    let actions = stream.give([Input::Flush("f".into())]);
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::SetTimer(_))),
        "{actions:?}"
    );
}

#[test]
fn flushes_are_bounded_and_answered_at_once_when_asr_is_off() {
    let mut stream = Stream::new();
    (1..=3).for_each(|seq| drop(stream.store(seq)));
    for n in 0..MAX_FLUSHES {
        stream.give([Input::Flush(n.to_string())]);
    }
    let actions = stream.give([Input::Flush("more".into())]);
    assert!(actions.contains(&Action::Flushed {
        id: "more".into(),
        untranscribed: 3
    }));
    let mut off = Stream::new();
    off.settings.enabled = false;
    assert!(off.store(1).is_empty());
    assert!(off.store(2).is_empty());
    let actions = off.give([Input::Flush("f".into())]);
    assert_eq!(
        actions,
        [Action::Flushed {
            id: "f".into(),
            untranscribed: 2
        }]
    );
}

#[test]
fn a_slow_end_is_waited_for_while_results_come_and_given_up_when_they_do_not() {
    let mut stream = Stream::new();
    (1..=5).for_each(|seq| drop(stream.store(seq)));
    stream.give([Input::Flush("f".into())]);
    stream.start("s1");
    stream.now += FINISH_TIMEOUT_MS - 1;
    stream.sentence(0, 1_000, "slow");
    stream.now += FINISH_TIMEOUT_MS - 1;
    assert!(
        !stream
            .give([Input::Timer])
            .iter()
            .any(|a| matches!(a, Action::Close { .. }))
    );
    stream.now += 1;
    let actions = stream.give([Input::Timer]);
    assert!(actions.contains(&Action::Close {
        socket: "s1".into()
    }));
    assert_eq!(stream.state.untranscribed(), 4);
}

#[test]
fn repeated_finals_are_one_and_repeated_texts_are_two() {
    let mut stream = Stream::new();
    for seq in 1..=4 {
        stream.store(seq);
    }
    stream.start("s1");
    assert_eq!(sentences(&stream.sentence(0, 1_000, "yes")).len(), 1);
    assert_eq!(sentences(&stream.sentence(0, 1_000, "yes")).len(), 0);
    assert_eq!(
        sentences(&stream.sentence(1_000, 2_000, "yes")),
        [(1_000, 2_000, "yes")]
    );
}

#[test]
fn odd_times_give_rising_ranges_within_what_was_sent() {
    let mut stream = Stream::new();
    for seq in 1..=5 {
        stream.store(seq);
    }
    stream.start("s1");
    assert_eq!(
        sentences(&stream.sentence(1_500, 1_000, "back")),
        [(999, 1_000, "back")]
    );
    // One that ends beyond what was sent ends with the task, or where another one begins.
    assert!(sentences(&stream.sentence(0, 90_000, "far")).is_empty());
    assert!(sentences(&stream.sentence(0, 90_000, "far again")).is_empty());
    assert_eq!(sentences(&stream.finished()), [(1_000, 5_000, "far again")]);
}

#[test]
fn a_failed_task_is_told_and_replaced() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    let actions = stream.event(&serde_json::json!({"header":
        {"event": "task-failed", "error_code": "CLIENT_ERROR", "error_message": "timeout"}}));
    assert!(actions.contains(&Action::Close {
        socket: "s1".into()
    }));
    assert!(
        stream
            .state
            .status()
            .last_error
            .unwrap()
            .contains("CLIENT_ERROR")
    );
    assert!(
        sent(&stream.store(2)).is_empty(),
        "nothing goes into the failed task"
    );
}

#[test]
fn every_failure_says_its_kind() {
    let kinds = |actions: &[Action]| {
        let of = |action: &Action| match action {
            Action::Failed { failure, .. } => Some(*failure),
            _ => None,
        };
        actions.iter().filter_map(of).collect::<Vec<_>>()
    };
    let asked = || {
        let mut stream = Stream::new();
        stream.store(1);
        stream
    };
    let running = || {
        let mut stream = asked();
        stream.start("s1");
        stream
    };
    let refused = |status| {
        let mut stream = asked();
        let (task, reason) = (stream.task(), "no".into());
        stream.give([Input::OpenFailed {
            task,
            status,
            reason,
        }])
    };
    assert_eq!(kinds(&refused(Some(401))), [Failure::Unauthorized]);
    assert_eq!(kinds(&refused(Some(503))), [Failure::Refused]);
    assert_eq!(kinds(&refused(None)), [Failure::Unreachable]);
    let mut stream = asked();
    stream.now += 60_000;
    assert_eq!(kinds(&stream.give([Input::Timer])), [Failure::Unreachable]);
    let mut stream = asked();
    let (task, socket) = (stream.task(), "s1".into());
    stream.give([Input::Opened { task, socket }]);
    stream.now += 60_000;
    assert_eq!(kinds(&stream.give([Input::Timer])), [Failure::StartTimeout]);
    let mut stream = running();
    stream.give([Input::Flush("f".into())]);
    stream.now += FINISH_TIMEOUT_MS;
    assert_eq!(
        kinds(&stream.give([Input::Timer])),
        [Failure::FinishTimeout]
    );
    let failed = serde_json::json!({"header": {"event": "task-failed"}});
    assert_eq!(kinds(&running().event(&failed)), [Failure::Failed]);
    assert_eq!(kinds(&running().closed()), [Failure::Closed]);
    let gone = [Input::SendFailed("it is gone".into())];
    assert_eq!(kinds(&running().give(gone)), [Failure::SendRefused]);
    assert_eq!(kinds(&running().finished()), [Failure::Unasked]);
    let names: std::collections::BTreeSet<_> = Failure::ALL.map(Failure::name).into();
    assert_eq!(names.len(), Failure::ALL.len());
}

#[test]
fn a_long_silence_is_finished_so_that_a_replay_stays_short() {
    let mut stream = Stream::new();
    stream.settings.catch_up_speed = 1_000.0;
    stream.store(1);
    stream.start("s1");
    let mut finished = false;
    for seq in 2..=u32::try_from(QUIET_TASK_MS / 1000).unwrap() {
        stream.now += 1_000;
        let actions = stream.store(seq);
        finished |= actions
            .iter()
            .any(|a| matches!(a, Action::SendText { text, .. } if text.contains("finish-task")));
    }
    assert!(finished);
}

#[test]
fn latencies_know_when_the_last_second_came() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    stream.now += 1_000;
    stream.store(2);
    let came = stream.now;
    stream.now += 400;
    let actions = stream.sentence(0, 1_700, "x");
    let Some(Action::Sentence(sentence)) = actions.first() else {
        panic!("{actions:?}")
    };
    assert_eq!(sentence.arrived, Some(came));
}

#[test]
fn the_state_survives_storage() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    stream.give([Input::Flush("f".into())]);
    let text = serde_json::to_string(&stream.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), stream.state);
    assert_eq!(
        serde_json::from_str::<State>("{}").unwrap(),
        State::default()
    );
}
