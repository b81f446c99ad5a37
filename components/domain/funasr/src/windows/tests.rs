//! The windows' machine, rule by rule.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::settings::{MAX_SENTENCES, RETRY_CAP_MS, ROOM_RETRY_MS};
use super::tests_support::{Windows, closes, done, opens, pieces, ran, settings, timer};
use super::*;
use crate::Connection;

fn texts(actions: &[Action]) -> Vec<Value> {
    let of = |action: &Action| match action {
        Action::SendText { text, .. } => serde_json::from_str(text).ok(),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

fn is_finish(actions: &[Action]) -> bool {
    let names = |frame: &Value| frame["header"]["action"] == "finish-task";
    texts(actions).iter().any(names)
}

#[test]
fn a_window_is_one_wav_task_and_its_sentences_are_one_text() {
    let mut windows = Windows::new(10);
    windows.settings.service.language_hint = Some("zh".into());
    let actions = windows.run("r", false);
    let Some(Action::Open {
        task,
        headers,
        timeout_ms,
        ..
    }) = actions.first()
    else {
        panic!("{actions:?}")
    };
    assert!(task.starts_with("asr-run-teacher-") && task.len() == "asr-run-teacher-".len() + 36);
    assert_eq!(headers[0], ("Authorization".into(), "bearer k".into()));
    assert_eq!(*timeout_ms, 30_000);

    let actions = windows.open("s");
    assert_eq!(
        texts(&actions)[0]["payload"]["parameters"],
        json!({"format": "wav", "sample_rate": 16000, "language_hints": ["zh"]})
    );
    let actions = windows.event(&json!({"header": {"event": "task-started"}}));
    assert_eq!(pieces(&actions), [(0, 44 + 320_000)]);
    assert!(is_finish(&actions));
    windows.sentence(0, 900, "One.");
    windows.sentence(1_000, 1_900, "你好。");
    windows.now += 700;
    let actions = windows.finished();
    assert_eq!(
        actions[..2],
        [
            Action::Close { socket: "s".into() },
            Action::Window {
                number: None,
                range: Range { first: 1, last: 10 },
                text: "One. 你好。".into(),
                took_ms: 700
            }
        ]
    );
    let answer = Ran {
        id: "r".into(),
        windows: 1,
        generated: 1,
        at_end: true,
        failed: None,
    };
    assert_eq!(ran(&actions), [answer]);
    assert_eq!(windows.state.status().last_end, 10);
    assert_eq!(opens(&actions), 0, "nobody asked for more");
}

#[test]
fn each_run_gives_one_window_and_says_when_none_is_left() {
    let mut windows = Windows::new(14);
    windows.run("a", false);
    windows.run("b", false);
    let actions = windows.hear("one");
    assert_eq!(done(&actions), [(1, 10, "one")]);
    let first = ran(&actions);
    assert_eq!((first.len(), first[0].at_end), (1, false));
    let actions = windows.hear("");
    assert_eq!(done(&actions), [(4, 13, "")]);
    let second = ran(&actions);
    assert_eq!(
        (
            second[0].id.as_str(),
            second[0].windows,
            second[0].generated
        ),
        ("b", 1, 0)
    );
    assert!(second[0].at_end);
    let none = ran(&windows.run("c", false));
    assert_eq!((none[0].windows, none[0].at_end), (0, true));
    assert_eq!(none[0].failed, None);
    // The last second takes a shorter window.
    assert!(ran(&windows.run("d", true)).is_empty());
    let actions = windows.hear("end");
    assert_eq!(done(&actions), [(7, 14, "end")]);
    assert!(ran(&actions)[0].at_end);
    let none = ran(&windows.run("e", true));
    assert_eq!((none[0].windows, none[0].at_end), (0, true));
}

#[test]
fn a_flush_goes_on_until_nothing_is_left() {
    let mut windows = Windows::new(17);
    assert!(ran(&windows.flush("f")).is_empty());
    let mut ranges = Vec::new();
    let answer = loop {
        let actions = windows.hear("x");
        ranges.extend(
            done(&actions)
                .iter()
                .map(|(first, last, _)| (*first, *last)),
        );
        if let Some(answer) = ran(&actions).pop() {
            break answer;
        }
    };
    assert_eq!(ranges, [(1, 10), (4, 13), (7, 16), (10, 17)]);
    assert_eq!((answer.windows, answer.generated), (4, 4));
    assert!(answer.at_end && answer.failed.is_none());
    assert!(ran(&windows.flush("again"))[0].at_end);
}

#[test]
fn realtime_seconds_are_nobody_else_s() {
    let mut windows = Windows::new(60);
    windows.realtime = true;
    assert!(ran(&windows.run("r", true))[0].at_end);
    windows.bridge.from_ms = 12_000;
    windows.bridge.final_ms = 30_000;
    windows.flush("f");
    assert_eq!(done(&windows.hear("a")), [(1, 10, "a")]);
    let actions = windows.hear("b");
    assert_eq!(done(&actions), [(4, 12, "b")]);
    assert!(ran(&actions)[0].at_end);
    // The realtime path is off: what it did not make final is left.
    windows.realtime = false;
    windows.run("r", false);
    assert_eq!(done(&windows.hear("c")), [(31, 40, "c")]);
}

#[test]
fn a_window_whose_seconds_became_realtime_s_is_given_up() {
    let mut windows = Windows::new(10);
    windows.run("r", false);
    windows.start("s");
    windows.realtime = true;
    let actions = windows.look();
    assert_eq!(closes(&actions), 1);
    assert!(ran(&actions)[0].at_end);
    assert_eq!(windows.state.status().consecutive_failures, 0);
}

#[test]
fn the_file_is_sent_as_the_socket_takes_it() {
    let mut windows = Windows::new(10);
    windows.run("r", false);
    windows.room = 0;
    let actions = windows.start("s");
    assert!(pieces(&actions).is_empty());
    assert_eq!(timer(&actions[1..]), Some(30_000));
    let actions = windows.look();
    assert_eq!(timer(&actions), Some(ROOM_RETRY_MS));
    windows.room = 20;
    let actions = windows.give([Input::Timer]);
    assert_eq!(pieces(&actions), [(0, 256_000)]);
    assert!(!is_finish(&actions));
    let actions = windows.give([Input::Timer]);
    assert_eq!(pieces(&actions), [(256_000, 64_044)]);
    assert!(is_finish(&actions));
}

#[test]
fn pieces_are_sent_at_the_stated_pace() {
    let mut windows = Windows::new(4);
    windows.settings.pacing_ms = 100;
    windows.settings.piece_bytes = 50_000;
    windows.flush("f");
    let actions = windows.start("s");
    assert_eq!(pieces(&actions), [(0, 50_000)]);
    assert!(actions.contains(&Action::SetTimer(100)), "{actions:?}");
    windows.now += 99;
    let early = windows.look();
    assert_eq!((pieces(&early).len(), timer(&early)), (0, Some(1)));
    windows.now += 1;
    windows.room = 0;
    let full = windows.give([Input::Timer]);
    assert_eq!(
        (pieces(&full).len(), timer(&full)),
        (0, Some(ROOM_RETRY_MS))
    );
    windows.room = 8;
    assert_eq!(pieces(&windows.give([Input::Timer])), [(50_000, 50_000)]);
    windows.now += 100;
    let actions = windows.give([Input::Timer]);
    assert_eq!(pieces(&actions), [(100_000, 28_044)]);
    assert!(is_finish(&actions));
}

/// Every way in which a window that takes audio, or is about to, may fail.
fn fail(windows: &mut Windows, way: usize) -> Vec<Action> {
    let task = windows.task();
    match way {
        0 => windows.refuse(),
        1 => {
            windows.start("s");
            windows.sentence(0, 900, "half");
            windows.give([Input::Closed {
                task,
                code: 1006,
                reason: String::new(),
            }])
        }
        2 => {
            windows.start("s");
            windows.event(&json!({"header": {"event": "task-failed", "error_code": "E"}}))
        }
        3 => {
            windows.start("s");
            windows.give([Input::SendFailed("unknown".into())])
        }
        4 => {
            windows.open("s");
            windows.now += 30_000;
            windows.give([Input::Timer])
        }
        5 => {
            windows.now += 30_000;
            windows.look()
        }
        _ => {
            windows.open("s");
            windows.finished()
        }
    }
}

#[test]
fn a_window_that_fails_leaves_nothing_and_is_begun_again() {
    for way in 0..7 {
        let mut windows = Windows::new(20);
        windows.run("r", false);
        windows.flush("f");
        let actions = fail(&mut windows, way);
        assert!(done(&actions).is_empty(), "way {way}");
        let answers = ran(&actions);
        assert_eq!(answers.len(), 2, "way {way}");
        for answer in answers {
            assert!(answer.failed.is_some() && !answer.at_end);
            assert_eq!((answer.windows, answer.generated), (0, 0));
        }
        let open_sockets = usize::from(matches!(way, 2..=4 | 6));
        assert_eq!(closes(&actions), open_sockets, "way {way}");
        let status = windows.state.status();
        assert_eq!((status.last_end, status.consecutive_failures), (0, 1));
        assert!(status.last_error.is_some());
        assert_eq!(opens(&actions), 0, "nobody waits any more");
        // A run does not wait for a pause to end.
        assert_eq!(opens(&windows.run("again", false)), 1);
        assert_eq!(done(&windows.hear("all")), [(1, 10, "all")]);
        let status = windows.state.status();
        assert_eq!((status.consecutive_failures, status.last_error), (0, None));
    }
}

#[test]
fn a_flush_that_fails_says_what_was_done_before() {
    let mut windows = Windows::new(20);
    windows.flush("f");
    windows.hear("one");
    windows.hear("");
    let actions = windows.refuse();
    let answer = &ran(&actions)[0];
    assert_eq!((answer.windows, answer.generated), (2, 1));
    assert!(answer.failed.as_ref().unwrap().contains("down"));
}

#[test]
fn the_windowed_mode_goes_on_by_itself_and_waits_longer_after_every_failure() {
    let mut windows = Windows::new(9);
    windows.settings.automatic = true;
    assert!(windows.look().is_empty());
    windows.bridge.stored = 14;
    assert_eq!(opens(&windows.look()), 1);
    let actions = windows.hear("one");
    assert_eq!(done(&actions), [(1, 10, "one")]);
    assert_eq!(opens(&actions), 1, "a second whole window is there");
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let actions = windows.refuse();
        assert_eq!(opens(&actions), 0);
        let pause = timer(&actions).unwrap();
        pauses.push(pause);
        let status = windows.state.status();
        assert_eq!(status.retry_at, Some(windows.now + pause));
        assert_eq!(status.connection, Connection::Error);
        windows.now += pause - 1;
        // Chunks do not shorten the pause, and one that finds no timer sets it.
        let actions = windows.look();
        assert_eq!((opens(&actions), timer(&actions)), (0, Some(1)));
        windows.now += 1;
        assert_eq!(opens(&windows.give([Input::Timer])), 1);
    }
    assert_eq!(
        pauses,
        [
            2_000,
            4_000,
            8_000,
            16_000,
            32_000,
            RETRY_CAP_MS,
            RETRY_CAP_MS,
            RETRY_CAP_MS
        ]
    );
    let actions = windows.hear("two");
    assert_eq!(done(&actions), [(4, 13, "two")]);
    let status = windows.state.status();
    assert_eq!((status.consecutive_failures, status.last_error), (0, None));
    assert_eq!(opens(&actions), 0, "the last second is no whole window");
    windows.refuse();
    assert_eq!(opens(&windows.flush("f")), 1);
    assert_eq!(done(&windows.hear("end")), [(7, 14, "end")]);
}

#[test]
fn a_run_during_a_pause_tries_at_once() {
    let mut windows = Windows::new(10);
    windows.settings.automatic = true;
    windows.look();
    windows.refuse();
    assert_eq!(opens(&windows.run("r", false)), 1);
    let actions = windows.hear("one");
    assert_eq!(ran(&actions)[0].windows, 1);
}

#[test]
fn what_belongs_to_an_old_task_changes_nothing() {
    let mut windows = Windows::new(30);
    windows.run("a", false);
    let never_opened = windows.task();
    windows.refuse();
    windows.run("b", false);
    windows.start("s1");
    let closed = windows.task();
    let task = closed.clone();
    windows.give([Input::Closed {
        task,
        code: 1000,
        reason: String::new(),
    }]);
    windows.run("c", false);
    windows.start("s2");
    let before = windows.state.clone();
    let finished = json!({"header": {"event": "task-finished", "task_id": closed}}).to_string();
    let sentence = json!({"header": {"event": "result-generated"}, "payload": {"output":
        {"sentence": {"begin_time": 0, "end_time": 5, "text": "late"}}}})
    .to_string();
    let actions = windows.give([
        Input::Text {
            task: closed.clone(),
            text: sentence,
        },
        Input::Text {
            task: closed.clone(),
            text: finished.clone(),
        },
        // It comes on the new connection, but names the old task.
        Input::Text {
            task: windows.task(),
            text: finished,
        },
        Input::Closed {
            task: closed.clone(),
            code: 1006,
            reason: String::new(),
        },
        Input::OpenFailed {
            task: closed,
            status: None,
            reason: String::new(),
        },
    ]);
    // But that odd frames are counted.
    let odd = windows
        .state
        .phase
        .task_mut()
        .and_then(|task| task.odd.take());
    assert!(odd.is_some_and(|odd| odd.contains("names another task")));
    assert_eq!(windows.state, before);
    assert!(done(&actions).is_empty() && ran(&actions).is_empty());
    let socket = "s9".to_owned();
    let actions = windows.give([Input::Opened {
        task: never_opened,
        socket: socket.clone(),
    }]);
    assert!(actions.contains(&Action::Close { socket }));
    assert_eq!(windows.state, before);
}

#[test]
fn runs_are_bounded() {
    let mut windows = Windows::new(10);
    for n in 0..MAX_RUNS {
        assert!(ran(&windows.run(&n.to_string(), false)).is_empty());
    }
    let answers = ran(&windows.run("more", false));
    assert_eq!(answers[0].id, "more");
    let why = answers[0].failed.as_deref();
    assert_eq!(why, Some("too many runs wait: try again"));
    // One window is there: the first has it, the others are told that none is left.
    let answers = ran(&windows.hear("one"));
    let counts: Vec<u32> = answers.iter().map(|ran| ran.windows).collect();
    assert_eq!(counts.len(), MAX_RUNS);
    assert_eq!((counts[0], counts.iter().sum::<u32>()), (1, 1));
}

#[test]
fn a_reset_forgets_everything_and_answers_who_waits() {
    let mut windows = Windows::new(20);
    windows.settings.automatic = true;
    windows.run("a", false);
    windows.hear("one");
    windows.start("s");
    windows.flush("b");
    let id = "c".into();
    let actions = windows.give([Input::Run { id, flush: false }, Input::Reset]);
    assert_eq!(closes(&actions), 1);
    let answers = ran(&actions);
    let ids: Vec<_> = answers.iter().map(|ran| ran.id.as_str()).collect();
    assert_eq!(ids, ["b", "c"]);
    assert!(answers.iter().all(|ran| ran.failed.is_some()));
    assert_eq!(windows.state, State::default());
    assert_eq!(opens(&actions), 0, "the next input begins anew");
    assert_eq!(opens(&windows.look()), 1);
    assert_eq!(done(&windows.hear("again")), [(1, 10, "again")]);
    // Who asks after the reset is served by the same step.
    let id = "d".into();
    let actions = windows.give([Input::Reset, Input::Run { id, flush: false }]);
    assert_eq!(opens(&actions), 1);
}

#[test]
fn a_reset_while_connecting_closes_the_socket_when_it_opens() {
    let mut windows = Windows::new(20);
    windows.run("a", false);
    let (task, socket) = (windows.task(), "s".to_owned());
    windows.give([Input::Reset]);
    let input = Input::Opened {
        task,
        socket: socket.clone(),
    };
    assert_eq!(windows.give([input]), [Action::Close { socket }]);
}

#[test]
fn a_new_run_does_not_fail_with_what_an_old_process_left() {
    let mut windows = Windows::new(10);
    windows.run("old", false);
    windows.start("s");
    // The process died. The first that its successor gives is a run, and that the socket is gone.
    let id = "new".into();
    let actions = windows.give([
        Input::Run { id, flush: false },
        Input::SendFailed("it is gone".into()),
    ]);
    assert_eq!(opens(&actions), 1);
    let answers = ran(&actions);
    assert_eq!((answers.len(), answers[0].id.as_str()), (1, "old"));
    // And again when it was still connecting.
    windows.now += 30_000;
    let actions = windows.run("newer", false);
    assert_eq!((opens(&actions), ran(&actions)[0].id.as_str()), (1, "new"));
    assert_eq!(ran(&windows.hear("one"))[0].id, "newer");
}

#[test]
fn every_sentence_counts_once() {
    let mut windows = Windows::new(10);
    windows.run("r", false);
    windows.start("s");
    windows.sentence(0, 900, "yes");
    windows.sentence(0, 900, "yes");
    windows.sentence(1_000, 1_900, "yes");
    let partial = json!({"header": {"event": "result-generated"}, "payload": {"output":
        {"sentence": {"begin_time": 0, "end_time": null, "text": "perhaps"}}}});
    windows.event(&partial);
    let last = |text: &str| {
        json!({"header": {"event": "task-finished"}, "payload": {"output":
        {"sentence": {"text": text, "sentence_end": true}}}})
    };
    assert_eq!(done(&windows.event(&last("bye"))), [(1, 10, "yes yes bye")]);
    let mut windows = Windows::new(10);
    windows.run("r", false);
    windows.start("s");
    windows.sentence(0, 900, "yes");
    assert_eq!(done(&windows.event(&last("yes"))), [(1, 10, "yes")]);
}

#[test]
fn a_window_holds_so_much_text_and_no_more() {
    let mut windows = Windows::new(10);
    windows.run("r", false);
    windows.start("s");
    windows.sentence(0, 1, &"a".repeat(settings::MAX_TEXT_BYTES + 1));
    for n in 0..(MAX_SENTENCES as u64 + 10) {
        windows.sentence(n, n + 1, "b");
    }
    let actions = windows.finished();
    let text = done(&actions)[0].2;
    assert_eq!(text, vec!["b"; MAX_SENTENCES].join(" "));
}

#[test]
fn without_a_service_who_asks_is_told_so() {
    let mut windows = Windows::new(30);
    windows.settings.service.enabled = false;
    windows.settings.automatic = true;
    assert!(windows.look().is_empty());
    for actions in [windows.run("r", true), windows.flush("f")] {
        let answer = &ran(&actions)[0];
        assert_eq!(
            answer.failed.as_deref(),
            Some("ASR disabled or API key missing")
        );
    }
}

#[test]
fn frames_are_noted_without_text_when_it_is_wanted() {
    let mut windows = Windows::new(10);
    windows.settings.service.notes_events = true;
    windows.run("r", false);
    windows.start("s");
    let actions = windows.sentence(5, 900, "secret");
    let notes: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Note(note) => Some(note.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        notes,
        ["frame: event=result-generated begin_ms=5 end_ms=900"]
    );
}

#[test]
fn an_empty_document_is_a_new_state() {
    let state: State = serde_json::from_str("{}").unwrap();
    assert_eq!(state, State::default());
    assert_eq!(settings().window(), 10);
}

#[test]
fn what_repeats_the_key_is_repeated_without_it() {
    const KEY: &str = "sk-0123456789abcdef";
    let failed =
        json!({"header": {"event": "task-failed", "error_code": "E", "error_message": KEY}});
    let text = |frame: &Value| frame.to_string();
    for (input, fails) in [
        (Ok(text(&failed)), true),
        (Ok(text(&json!({"header": {"event": KEY}}))), false),
        (Err(format!("who is {KEY}?")), true),
    ] {
        let mut windows = Windows::new(10);
        windows.settings.service.api_key = KEY.into();
        windows.run("r", false);
        windows.start("s");
        let task = windows.task();
        let actions = windows.give([match input {
            Ok(text) => Input::Text { task, text },
            Err(reason) => Input::Closed {
                task,
                code: 1008,
                reason,
            },
        }]);
        let said = format!("{actions:?} {:?}", windows.state);
        assert!(said.contains("<secret>") && !said.contains(KEY), "{said}");
        assert_eq!(windows.state.status().last_error.is_some(), fails, "{said}");
    }
}
