//! Intermediate results, and the notes of frames.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::tests_support::Stream;
use super::*;

fn partials(actions: &[Action]) -> Vec<(u64, &str)> {
    let of = |action| match action {
        &Action::Partial { start_ms, ref text } => Some((start_ms, text.as_str())),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

fn listening() -> Stream {
    let mut stream = Stream::new();
    stream.settings.wants_partials = true;
    stream
}

#[test]
fn a_partial_is_in_session_time_and_changes_no_state() {
    let mut stream = listening();
    for seq in 1..=4 {
        stream.store(seq);
    }
    stream.start("s1");
    stream.sentence(0, 1_500, "one");
    let before = stream.state.clone();
    assert_eq!(partials(&stream.partial(1_700, "tw")), [(1_700, "tw")]);
    assert_eq!(stream.state, before);
    // The next task's clock begins with the second that holds 1.5 s.
    stream.closed();
    stream.now += 20_000;
    stream.give([Input::Timer]);
    stream.start("s2");
    assert_eq!(partials(&stream.partial(700, "two")), [(1_700, "two")]);
}

#[test]
fn partials_are_given_only_to_who_wants_them() {
    let mut stream = Stream::new();
    stream.store(1);
    stream.start("s1");
    assert!(stream.partial(0, "hi").is_empty());
}

#[test]
fn no_partial_is_blank_or_comes_before_task_started_or_from_an_old_task() {
    let mut stream = listening();
    stream.store(1);
    let task = stream.task();
    assert!(partials(&stream.partial(0, "early")).is_empty());
    stream.give([Input::Opened {
        task,
        socket: "s1".into(),
    }]);
    assert!(partials(&stream.partial(0, "early")).is_empty());
    stream.event(&serde_json::json!({"header": {"event": "task-started"}}));
    assert!(partials(&stream.partial(0, " \n")).is_empty());
    assert_eq!(partials(&stream.partial(0, "in time")).len(), 1);
    let old = stream.task();
    stream.closed();
    stream.now += 20_000;
    stream.give([Input::Timer]);
    stream.start("s2");
    let late = serde_json::json!({"header": {"event": "result-generated"}, "payload": {"output":
        {"sentence": {"begin_time": 0, "end_time": null, "text": "late"}}}});
    let text = late.to_string();
    assert!(partials(&stream.give([Input::Text { task: old, text }])).is_empty());
}

#[test]
fn no_partial_is_of_audio_that_is_final() {
    let mut stream = listening();
    for seq in 1..=4 {
        stream.store(seq);
    }
    stream.start("s1");
    stream.sentence(0, 2_000, "one");
    assert!(partials(&stream.partial(100, "on")).is_empty());
    // Said to begin a little early, but its words end later: it is clipped.
    let frame = |end: u64| {
        serde_json::json!({"header": {"event": "result-generated"}, "payload": {"output":
        {"sentence": {"begin_time": 1_900, "end_time": null, "text": "two",
            "words": [{"end_time": end}]}}}})
    };
    assert_eq!(partials(&stream.event(&frame(2_300))), [(2_000, "two")]);
    assert!(partials(&stream.event(&frame(2_000))).is_empty());
    // Times beyond what was sent are cut to it.
    assert_eq!(partials(&stream.partial(90_000, "far")), [(4_000, "far")]);
}

#[test]
fn frames_are_noted_without_text_when_it_is_wanted() {
    let mut stream = listening();
    stream.store(1);
    stream.start("s1");
    let notes = |actions: &[Action]| {
        let note = |a: &Action| matches!(a, Action::Note(_));
        actions.iter().filter(|a| note(a)).count()
    };
    assert_eq!(notes(&stream.partial(0, "secret")), 0);
    stream.settings.notes_events = true;
    let actions = stream.partial(10, "secret");
    let task = stream.task();
    let expected = format!("frame: event=result-generated task={task} begin_ms=10");
    assert_eq!(actions[0], Action::Note(expected));
    for action in stream.sentence(0, 900, "secret") {
        assert!(!matches!(action, Action::Note(text) if text.contains("secret")));
    }
}
