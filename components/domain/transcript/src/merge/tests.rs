#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::utterance::tests::{utterance, window};
use proptest::prelude::*;

/// Seconds `start..=end` from 1, whole.
fn heard(start: u64, end: u64, text: &str) -> Utterance {
    utterance((start - 1) * 1000, end * 1000, text)
}

fn texts(utterances: &[Utterance]) -> Vec<String> {
    merge_all(utterances).into_iter().map(|e| e.text).collect()
}

/// The texts of two utterances merged, the second right after the first.
fn after(first: &str, second: &str) -> Vec<String> {
    texts(&[heard(1, 3, first), heard(4, 6, second)])
}

/// The texts of two utterances merged, both from nearly the same seconds.
fn over(first: &str, second: &str) -> Vec<String> {
    texts(&[heard(1, 10, first), heard(4, 13, second)])
}

#[test]
fn json_has_the_fields_of_the_api() {
    let entries = merge_all(&[
        heard(1, 3, "so I think we should"),
        heard(4, 6, "I think we should go"),
    ]);
    assert_eq!(
        serde_json::to_string(&entries).unwrap(),
        concat!(
            r#"[{"merged_id":"s-1-teacher-m-00000003","source_utterance_ids":"#,
            r#"["s-1-teacher-00000003-ab12","s-1-teacher-00000006-ab12"],"#,
            r#""session_id":"s-1","stream_role":"teacher","text":"so I think we should go","#,
            r#""start_seq":1,"end_seq":6,"start_ms":0,"end_ms":6000,"duration_ms":6000,"#,
            r#""asr_model":"model","asr_provider":"dashscope","confidence":null,"#,
            r#""created_at":"2026-02-11T09:30:00.123Z","latency_ms":420}]"#
        )
    );
}

#[test]
fn blank_texts_are_skipped() {
    let mut blank = heard(1, 3, "x");
    blank.text = " \u{3000}\n".to_owned();
    assert_eq!(merge_next(None, &blank), Merge::Skip);
    assert_eq!(texts(&[blank.clone(), heard(2, 3, "Hi"), blank]), ["Hi"]);
}

#[test]
fn equal_norms_are_one_and_raw_utterances_are_two() {
    assert_eq!(after("Hello, there!", "hello there"), ["Hello, there!"]);
    assert_eq!(after("你好。", "你好！"), ["你好。"]);
    assert_eq!(after("Привет!", "привет"), ["Привет!"]);
    // Fault 8 is about raw utterances: each has its own id in the entry.
    let entries = merge_all(&[heard(1, 3, "Yes."), heard(4, 6, "Yes.")]);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].source_utterance_ids.len(), 2);
    assert_eq!((entries[0].end_seq, entries[0].duration_ms), (6, 6000));
}

#[test]
fn fault_31_containment_counts_for_texts_of_comparable_length() {
    let long = "the database is fast enough for that";
    assert_eq!(after(long, "database is fast enough for that"), [long]);
    assert_eq!(after("database is fast enough for that", long), [long]);
    // 6 letters in 8 count, 5 in 8 do not.
    assert_eq!(after("abcdefgh", "bcdefg").len(), 1);
    assert_eq!(after("abcdefgh", "bcdef").len(), 2);
}

#[test]
fn fault_31_short_answers_stay() {
    for (question, answer) in [
        ("I know", "no"),
        ("no", "I know"),
        ("Yesterday", "Yes."),
        ("OK", "Okay"),
        ("Well, I'm sure", "Sure"),
        ("我不知道", "不"),
        ("好", "好的"),
        ("я знаю", "я"),
        ("Does that mean you do not know", "I do not know"),
        ("Well, I do not know", "I do not know"),
    ] {
        assert_eq!(after(question, answer), [question, answer]);
    }
}

#[test]
fn fault_31_containment_counts_over_the_same_seconds() {
    assert_eq!(
        over("and then we should look at it", "we should look"),
        ["and then we should look at it"]
    );
    assert_eq!(over("不知道", "我不知道你在说什么"), ["我不知道你在说什么"]);
    // Half of the contained text's time decides.
    let texts_at = |start_ms, end_ms| {
        texts(&[
            utterance(0, 4000, "I know it well"),
            utterance(start_ms, end_ms, "know"),
        ])
        .len()
    };
    assert_eq!(texts_at(3500, 4500), 1);
    assert_eq!(texts_at(3501, 4501), 2);
    // The same second is not the same time.
    assert_eq!(texts_at(4000, 4300), 2);
}

#[test]
fn fault_31_letters_of_every_script_are_letters() {
    // With Latin and Han letters only, the norms of these would be empty or equal.
    assert_eq!(after("Да", "Нет"), ["Да", "Нет"]);
    assert_eq!(after("はい", "いいえ"), ["はい", "いいえ"]);
    assert_eq!(after("año 2", "ao 2 b"), ["año 2", "ao 2 b"]);
    assert_eq!(
        after("я думаю что это хорошо", "что это хорошо для нас"),
        ["я думаю что это хорошо для нас"]
    );
}

#[test]
fn nearly_equal_word_sets_are_one() {
    assert_eq!(
        after(
            "one two three four five six seven eight nine",
            "two one three four five six seven eight nine ten"
        ),
        ["two one three four five six seven eight nine ten"]
    );
    assert_eq!(
        after(
            "one two three four five six seven eight",
            "two one three four five six seven eight nine"
        )
        .len(),
        2
    );
    assert_eq!(after("no no", "No, no, no"), ["No, no, no"]);
}

#[test]
fn texts_without_letters_are_never_alike() {
    assert_eq!(after("…", "…"), ["…", "…"]);
    assert_eq!(over("🙂", "🙂 yes"), ["🙂", "🙂 yes"]);
}

#[test]
fn shared_words_end_to_start_join() {
    assert_eq!(
        after("So,  I think we", "I think — we should\ngo. Now!"),
        ["So, I think we should go. Now!"]
    );
    assert_eq!(after("so I think", "I think we should go").len(), 2);
    assert_eq!(
        after("and that is well", "that is well-known — \"in\" Berlin"),
        ["and that is well known — \"in\" Berlin"]
    );
    assert_eq!(
        after("I can say I don't", "I don't know"),
        ["I can say I don't know"]
    );
}

#[test]
fn only_what_touches_is_compared() {
    let same = |start| {
        texts(&[
            heard(1, 3, "Hello there"),
            heard(start, start + 1, "hello there"),
        ])
        .len()
    };
    assert_eq!(same(4), 1);
    assert_eq!(same(5), 2);
}

#[test]
fn only_the_last_entry_is_compared() {
    assert_eq!(
        texts(&[
            heard(1, 3, "Hello"),
            heard(3, 4, "World"),
            heard(3, 5, "Hello")
        ]),
        ["Hello", "World", "Hello"]
    );
}

#[test]
fn the_range_never_shrinks_and_the_rest_is_the_first_one_s() {
    let mut second = heard(2, 2, "hello there");
    second.created_at = "later".to_owned();
    second.confidence = Some(0.5);
    let entries = merge_all(&[second.clone(), heard(1, 5, "Hello there")]);
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!((entry.start_seq, entry.end_seq, entry.end_ms), (1, 5, 5000));
    assert_eq!(entry.merged_id, "s-1-teacher-m-00000005");
    assert_eq!(entry.confidence, None);
    assert_ne!(entry.created_at, "later");
}

#[test]
fn an_entry_has_so_many_sources_at_most() {
    let all: Vec<_> = (1..=600)
        .map(|second| heard(second, second, "uh"))
        .collect();
    let sources: Vec<_> = merge_all(&all)
        .iter()
        .map(|entry| entry.source_utterance_ids.len())
        .collect();
    assert_eq!(sources, [MAX_SOURCES, MAX_SOURCES, 600 - 2 * MAX_SOURCES]);
}

#[test]
fn a_text_does_not_grow_past_its_limit() {
    let all: Vec<_> = (0..1500)
        .map(|n| {
            heard(
                n + 1,
                n + 1,
                &format!("word{n} word{} word{} word{}", n + 1, n + 2, n + 3),
            )
        })
        .collect();
    let entries = merge_all(&all);
    assert!(entries.len() > 1);
    assert!(
        entries
            .iter()
            .all(|entry| entry.text.len() <= MAX_TEXT_BYTES)
    );
    // Nothing is lost where one entry ends and the next begins.
    assert!(entries.windows(2).all(|pair| {
        let last = pair[0].text.rsplit(' ').next().unwrap();
        pair[1].text.contains(last)
    }));
    let sources: usize = entries
        .iter()
        .map(|entry| entry.source_utterance_ids.len())
        .sum();
    assert_eq!(sources, 1500);
}

#[test]
fn a_longer_text_is_an_entry_of_its_own() {
    let long = "a".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(over(&long, &long).len(), 2);
    assert_eq!(over(&long, "a").len(), 2);
    assert_eq!(over("a", &long).len(), 2);
    let limit = "a".repeat(MAX_TEXT_BYTES);
    assert_eq!(over(&limit, &limit).len(), 1);
    // Joining would make it too long.
    let almost = format!("{} x y z", "a".repeat(MAX_TEXT_BYTES - 8));
    assert_eq!(over(&almost, "x y z b").len(), 1);
    let full = format!("{} x y z", "a".repeat(MAX_TEXT_BYTES - 7));
    assert_eq!(over(&full, "x y z b"), [full.as_str(), "x y z b"]);
}

/// The view as the session state keeps it: a log of documents of which only the tail is replaced.
fn incremental(utterances: &[Utterance]) -> Vec<MergedEntry> {
    let mut log: Vec<String> = Vec::new();
    for utterance in utterances {
        let last: Option<MergedEntry> = log.last().map(|last| serde_json::from_str(last).unwrap());
        match merge_next(last.as_ref(), utterance) {
            Merge::Extend(entry) => {
                *log.last_mut().unwrap() = serde_json::to_string(&entry).unwrap()
            }
            Merge::Append(entry) => log.push(serde_json::to_string(&entry).unwrap()),
            Merge::Skip => {}
        }
    }
    log.iter()
        .map(|entry| serde_json::from_str(entry).unwrap())
        .collect()
}

fn any_text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "I",
        "know",
        "no",
        "No.",
        "I don't",
        "don't",
        "well-known",
        "and",
        "then,",
        "—",
        "…",
        "🙂",
        "é",
        "É!",
        "e\u{301}",
        "İ",
        "ß",
        "你好",
        "你",
        "好的。",
        "はい",
        "да",
        "Да?",
        "42",
        "४२",
    ]);
    prop_oneof![
        8 => prop::collection::vec(word, 0..8).prop_map(|words| words.join(" ")),
        1 => "\\PC{0,12}",
    ]
}

/// Any ranges at all, blank texts included.
fn any_utterances() -> impl Strategy<Value = Vec<Utterance>> {
    let one = (0u64..20_000, 0u64..6000, any_text(), "[a-z]{4}").prop_map(
        |(start, length, text, suffix)| {
            let mut utterance = utterance(start, start + length, "x");
            utterance.utterance_id.push_str(&suffix);
            utterance.text = text;
            utterance
        },
    );
    prop::collection::vec(one, 0..24)
}

/// Sentences as a stream makes them: one after another, with or without a pause.
fn sentences() -> impl Strategy<Value = Vec<Utterance>> {
    let one = (prop_oneof![Just(0u64), 0u64..3000], 0u64..4000, any_text());
    prop::collection::vec(one, 0..24).prop_map(|pieces| {
        let mut now = 0;
        let mut said = Vec::new();
        for (pause, length, text) in pieces {
            let start = now + pause;
            now = start + length;
            said.extend(Utterance::realtime(&crate::utterance::tests::sentence(
                start, now, &text,
            )));
        }
        said
    })
}

/// The windows of a backfill as they come: each ends later than the one before and begins no earlier,
/// and most of them overlap it. What was said in the shared seconds is in both texts.
fn windows() -> impl Strategy<Value = Vec<Utterance>> {
    let steps = prop::collection::vec((1u32..=4, any::<bool>()), 0..24);
    let said = prop::collection::vec(any_text(), 120);
    (steps, said).prop_map(|(steps, said)| {
        let (mut start, mut end) = (1, 0);
        let mut heard = Vec::new();
        for (hop, skips) in steps {
            end += if skips { hop + 6 } else { hop };
            start = start.max((end + 1).saturating_sub(6));
            let seconds = (start - 1) as usize..end as usize;
            let text = said
                .get(seconds)
                .map_or(String::new(), |words| words.join(" "));
            heard.extend(Utterance::window(&window(start, end, &text)));
        }
        heard
    })
}

proptest! {
    #[test]
    fn overlapping_windows_in_order_need_no_sorting(windows in windows()) {
        prop_assert!(windows.is_sorted_by(|a, b| order(a, b).is_le()));
        prop_assert_eq!(incremental(&windows), merge_all(&windows));
    }

    #[test]
    fn one_by_one_is_the_same_as_all_at_once(mut utterances in any_utterances()) {
        let full = merge_all(&utterances);
        utterances.sort_by(order);
        prop_assert_eq!(incremental(&utterances), full);
    }

    #[test]
    fn sentences_in_the_order_of_time_need_no_sorting(utterances in sentences()) {
        prop_assert!(utterances.is_sorted_by(|a, b| order(a, b).is_le()));
        prop_assert_eq!(incremental(&utterances), merge_all(&utterances));
    }

    #[test]
    fn every_utterance_is_in_one_entry_and_ranges_cover_their_sources(utterances in any_utterances()) {
        let mut sorted: Vec<_> = utterances.iter().filter(|u| !u.text.trim().is_empty()).collect();
        sorted.sort_by(|a, b| order(a, b));
        let entries = merge_all(&utterances);
        let ids: Vec<_> = entries.iter().flat_map(|e| &e.source_utterance_ids).collect();
        prop_assert_eq!(ids, sorted.iter().map(|u| &u.utterance_id).collect::<Vec<_>>());
        let mut rest = sorted.iter();
        for entry in &entries {
            prop_assert!(!entry.text.trim().is_empty());
            for source in rest.by_ref().take(entry.source_utterance_ids.len()) {
                prop_assert!(entry.start_seq <= source.start_seq);
                prop_assert!(entry.end_seq >= source.end_seq);
                prop_assert!(entry.end_ms >= source.end_ms);
            }
            prop_assert_eq!(entry.duration_ms, entry.end_ms - entry.start_ms);
        }
    }
}
