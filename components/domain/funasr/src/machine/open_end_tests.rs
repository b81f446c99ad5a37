//! Final sentences whose end is not said, or cannot be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests_support::{Stream, running, sentences};
use super::*;

fn said(stream: &mut Stream, sentence: &Value) -> Vec<Action> {
    stream.event(
        &json!({"header": {"event": "result-generated"}, "payload": {"output":
        {"sentence": sentence}}}),
    )
}

fn open(begin: Value, end: Value, text: &str) -> Value {
    json!({"begin_time": begin, "end_time": end, "text": text, "sentence_end": true})
}

#[test]
fn a_final_without_an_end_ends_where_the_next_one_begins() {
    let mut stream = running(9);
    assert_eq!(
        sentences(&said(&mut stream, &open(json!(100), json!(null), "one"))),
        []
    );
    let actions = stream.sentence(3_000, 4_500, "two");
    assert_eq!(
        sentences(&actions),
        [(100, 3_000, "one"), (3_000, 4_500, "two")]
    );
    // Also where that is still being heard, and where it has no end either.
    said(&mut stream, &open(json!(4_600), json!(null), "three"));
    let actions = stream.partial(6_000, "fo");
    assert_eq!(sentences(&actions), [(4_600, 6_000, "three")]);
    said(&mut stream, &open(json!(6_000), json!(null), "four"));
    let actions = said(&mut stream, &open(json!(7_000), json!(null), "five"));
    assert_eq!(sentences(&actions), [(6_000, 7_000, "four")]);
    assert_eq!(sentences(&stream.finished()), [(7_000, 9_000, "five")]);
}

#[test]
fn an_end_beyond_what_was_sent_is_none() {
    let mut stream = running(5);
    said(&mut stream, &open(json!(0), json!(90_000), "far"));
    let actions = stream.sentence(2_000, 3_000, "next");
    assert_eq!(
        sentences(&actions),
        [(0, 2_000, "far"), (2_000, 3_000, "next")]
    );
}

#[test]
fn a_sentence_without_a_begin_begins_with_its_first_word_or_after_the_last_one() {
    let mut stream = running(9);
    let words =
        json!([{"begin_time": 400, "end_time": 600}, {"begin_time": 700, "end_time": null}]);
    let sentence = json!({"text": "one", "sentence_end": true, "words": words});
    assert_eq!(
        sentences(&said(&mut stream, &sentence)),
        [(400, 600, "one")]
    );
    let actions = said(&mut stream, &open(json!(null), json!(2_000), "two"));
    assert_eq!(sentences(&actions), [(600, 2_000, "two")]);
    let actions = said(&mut stream, &open(json!(80_000), json!(3_000), "three"));
    assert_eq!(sentences(&actions), [(2_000, 3_000, "three")]);
}

#[test]
fn sentences_without_any_time_are_all_kept() {
    let mut stream = running(4);
    let nothing = || json!(null);
    said(&mut stream, &open(nothing(), nothing(), "one"));
    let second = said(&mut stream, &open(nothing(), nothing(), "two"));
    assert_eq!(sentences(&second), [(0, 2_000, "one")]);
    let third = stream.sentence(0, 4_000, "three");
    assert_eq!(
        sentences(&third),
        [(2_000, 3_000, "two"), (3_000, 4_000, "three")]
    );
}

#[test]
fn the_same_one_twice_is_one() {
    let mut stream = running(9);
    let one = open(json!(0), json!(null), "one");
    said(&mut stream, &one);
    said(&mut stream, &one);
    let actions = stream.sentence(3_000, 4_000, "two");
    assert_eq!(sentences(&actions).len(), 2);
    assert_eq!(sentences(&said(&mut stream, &one)), []);
    assert_eq!(sentences(&stream.finished()), []);
    // With its end it takes the place of the one without.
    let mut stream = running(9);
    said(&mut stream, &one);
    let actions = stream.sentence(0, 1_500, "one");
    assert_eq!(sentences(&actions), [(0, 1_500, "one")]);
    assert_eq!(sentences(&stream.finished()), []);
}

#[test]
fn one_that_comes_before_it_leaves_it_where_it_is() {
    let mut stream = running(9);
    said(&mut stream, &open(json!(3_000), json!(null), "later"));
    let actions = stream.sentence(0, 2_000, "sooner");
    assert_eq!(sentences(&actions), [(0, 2_000, "sooner")]);
    assert_eq!(sentences(&stream.finished()), [(3_000, 9_000, "later")]);
}

#[test]
fn a_task_that_dies_takes_it_along_and_its_audio_is_heard_again() {
    let mut stream = running(4);
    said(&mut stream, &open(json!(0), json!(null), "one"));
    assert_eq!(sentences(&stream.closed()), []);
    stream.now += 20_000;
    stream.give([Input::Timer]);
    let actions = stream.start("s2");
    assert!(matches!(
        actions[..],
        [
            ..,
            Action::SendSeconds {
                first: 1,
                last: 4,
                ..
            },
            _
        ] | [
            ..,
            Action::SendSeconds {
                first: 1,
                last: 4,
                ..
            }
        ]
    ));
    assert_eq!(sentences(&stream.finished()), []);
}

#[test]
fn one_that_is_too_long_to_be_kept_is_told_at_once() {
    let mut stream = running(4);
    let text = "x".repeat(crate::settings::MAX_OPEN_END_BYTES + 1);
    let actions = said(&mut stream, &open(json!(0), json!(null), &text));
    assert_eq!(sentences(&actions), [(0, 4_000, text.as_str())]);
}

proptest! {
    /// However ends are left out: every sentence is told, in order, and none reaches over the begin of the
    /// next one.
    #[test]
    fn no_sentence_loses_the_next_one(
        lengths in proptest::collection::vec((200u64..3_000, 0u8..3), 1..20), twice in any::<bool>(),
    ) {
        let mut stream = running(60);
        while stream.state.status().sent < 60 {
            stream.now += 1_000;
            stream.give([Input::Timer]);
        }
        let (mut at, mut told, mut begins) = (0, Vec::new(), Vec::new());
        for (nth, (length, end)) in lengths.iter().enumerate() {
            let text = format!("sentence {nth}");
            let end = match end {
                0 => json!(null),
                1 => json!(9_000_000),
                _ => json!(at + length),
            };
            for _ in 0..=u8::from(twice) {
                let actions = said(&mut stream, &open(json!(at), end.clone(), &text));
                told.extend(sentences(&actions).iter().map(|(s, e, t)| (*s, *e, (*t).to_owned())));
            }
            begins.push(at);
            at += length;
        }
        let actions = stream.finished();
        told.extend(sentences(&actions).iter().map(|(s, e, t)| (*s, *e, (*t).to_owned())));
        prop_assert_eq!(told.len(), lengths.len(), "{:?}", told);
        for (nth, (start, end, text)) in told.iter().enumerate() {
            prop_assert_eq!(*start, begins[nth]);
            prop_assert_eq!(text, &format!("sentence {nth}"));
            prop_assert!(end > start);
            prop_assert!(begins.get(nth + 1).is_none_or(|begin| end <= begin));
        }
    }
}
