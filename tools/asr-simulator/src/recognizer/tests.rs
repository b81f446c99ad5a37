#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::mark::{SECOND_BYTES, parts_in, second, seconds_in};

const SETTINGS: Settings = Settings {
    max_silence_ms: DEFAULT_SILENCE_MS,
    sentence_seconds: 3,
    sentences_per_second: 0,
};

fn silence(ms: usize) -> Vec<u8> {
    vec![0; ms * 32]
}

/// Loud, and different wherever it is heard.
fn voice(ms: usize) -> Vec<u8> {
    (0..ms * 16)
        .flat_map(|i| ((i * i % 7919) as i16).to_le_bytes())
        .collect()
}

fn marked(stream: u16, seqs: impl IntoIterator<Item = u32>) -> Vec<u8> {
    seqs.into_iter()
        .flat_map(|seq| second(stream, seq))
        .collect()
}

fn recognize(pcm: &[u8], cut: usize) -> Results {
    recognize_with(SETTINGS, pcm, cut)
}

fn recognize_with(settings: Settings, pcm: &[u8], cut: usize) -> Results {
    let mut recognizer = Recognizer::new(settings);
    let mut all = Results::default();
    let mut add = |results: Results| {
        all.sentences.extend(results.sentences);
        all.heard.extend(results.heard);
    };
    for piece in pcm.chunks(cut) {
        add(recognizer.push(piece));
    }
    add(recognizer.finish());
    all
}

fn finals(results: &Results) -> Vec<String> {
    let finals = results.sentences.iter().filter(|s| s.is_final);
    let text = |s: &Sentence| {
        s.words
            .iter()
            .map(|w| &*w.text)
            .collect::<Vec<_>>()
            .join(" ")
    };
    finals.map(text).collect()
}

#[test]
fn marked_seconds_become_sentences_of_three() {
    let results = recognize(&marked(1, 1..=7), 3200);
    let texts = finals(&results);
    let seconds: Vec<_> = texts.iter().map(|text| seconds_in(text)).collect();
    assert_eq!(
        seconds,
        [
            vec![(1, 1), (1, 2), (1, 3)],
            vec![(1, 4), (1, 5), (1, 6)],
            vec![(1, 7)]
        ]
    );
    let last = results.sentences.last().unwrap();
    assert_eq!(
        (last.id, last.words[0].begin_ms(), last.words[0].end_ms()),
        (3, 6000, 7000)
    );
    assert!(results.heard.iter().all(|second| second.tenths == 10));
}

#[test]
fn a_sentence_grows_before_it_is_final() {
    let results = recognize(&marked(1, 1..=3), 3200);
    let shown: Vec<_> = results
        .sentences
        .iter()
        .map(|s| (s.id, s.words.len(), s.is_final))
        .collect();
    assert_eq!(
        shown,
        [(1, 1, false), (1, 2, false), (1, 3, false), (1, 3, true)]
    );
}

#[test]
fn a_second_with_a_silenced_start_is_heard_from_there() {
    let mut pcm = marked(1, [5]);
    pcm[..250 * 32].fill(0);
    let results = recognize(&pcm, SECOND_BYTES);
    assert_eq!(finals(&results), ["s1t5e"]);
    let heard = HeardSecond {
        stream: 1,
        seq: 5,
        begin_ms: 300,
        tenths: 7,
    };
    assert_eq!(results.heard, [heard]);
}

#[test]
fn a_hole_in_a_second_does_not_make_it_two() {
    let mut pcm = marked(1, [5, 6]);
    pcm[3200..9 * 3200].fill(0);
    let results = recognize(&pcm, 3200);
    assert_eq!(finals(&results), ["s1t5e s1t6e"]);
    assert_eq!(results.heard[0].tenths, 2);
}

#[test]
fn a_second_sent_twice_is_reported_twice() {
    let next = recognize(&marked(1, [5, 5]), 3200);
    assert_eq!(finals(&next), ["s1t5e s1t5e"]);
    let later = recognize(
        &[marked(1, [5]), silence(2000), marked(1, [5])].concat(),
        3200,
    );
    assert_eq!(finals(&later), ["s1t5e", "s1t5e"]);
}

#[test]
fn a_missing_second_ends_the_sentence_and_keeps_the_clock() {
    let results = recognize(
        &[marked(1, [1]), silence(1000), marked(1, [3])].concat(),
        32_000,
    );
    assert_eq!(finals(&results), ["s1t1e", "s1t3e"]);
    assert_eq!(results.heard[1].begin_ms, 2000);
}

#[test]
fn silence_is_no_sentence() {
    assert_eq!(recognize(&silence(20_000), 3200), Results::default());
}

#[test]
fn a_pause_ends_a_sentence_of_voice() {
    let pcm = [
        silence(500),
        voice(1400),
        silence(900),
        voice(700),
        silence(300),
    ]
    .concat();
    let results = recognize(&pcm, 3200);
    let ends: Vec<_> = results
        .sentences
        .iter()
        .filter(|s| s.is_final)
        .map(|s| {
            (
                s.id,
                s.words.len(),
                s.words[0].begin_ms(),
                s.words.last().unwrap().end_ms(),
            )
        })
        .collect();
    assert_eq!(ends, [(1, 4, 500, 1900), (2, 2, 2800, 3500)]);
}

#[test]
fn voice_without_a_pause_is_cut_at_the_limit() {
    let results = recognize(&voice(40_000), 3200);
    for sentence in results.sentences.iter().filter(|s| s.is_final) {
        let last = sentence.words.last().unwrap();
        assert!(last.end_ms() - sentence.words[0].begin_ms() <= MAX_SENTENCE_MS);
    }
    assert_eq!(finals(&results).len(), 3);
}

#[test]
fn intermediate_results_are_bounded() {
    let results = recognize(&[voice(15_000), marked(1, 1..=20)].concat(), 640);
    let intermediates = results.sentences.iter().filter(|s| !s.is_final).count();
    assert!(intermediates <= 35_000 / 200, "{intermediates}");
}

#[test]
fn settings_out_of_range_are_brought_into_it() {
    let settings = Settings {
        max_silence_ms: 0,
        sentence_seconds: 0,
        sentences_per_second: 0,
    };
    let results = Recognizer::new(settings).push(&marked(1, [1, 2]));
    assert_eq!(finals(&results), ["s1t1e", "s1t2e"]);
}

fn dense(sentences_per_second: u32, pcm: &[u8], cut: usize) -> Vec<Sentence> {
    let settings = Settings {
        sentences_per_second,
        ..SETTINGS
    };
    let all = recognize_with(settings, pcm, cut).sentences;
    all.into_iter().filter(|s| s.is_final).collect()
}

fn parts(sentences: &[Sentence]) -> Vec<(u32, u8)> {
    let words = sentences.iter().flat_map(|s| &s.words);
    let parts = words.flat_map(|word| parts_in(&word.text));
    parts.map(|(_, seq, part)| (seq, part)).collect()
}

#[test]
fn a_dense_second_is_so_many_sentences_side_by_side() {
    for per_second in 1..=MAX_SENTENCES_PER_SECOND {
        let sentences = dense(per_second, &marked(1, 1..=12), 32_000);
        let all = (1..=12).flat_map(|seq| (1..=per_second as u8).map(move |part| (seq, part)));
        assert_eq!(parts(&sentences), all.collect::<Vec<_>>());
        let mut until = 0;
        for sentence in &sentences {
            assert_eq!(sentence.words.len(), 1);
            let (begin, end) = (sentence.words[0].begin_ms(), sentence.words[0].end_ms());
            assert_eq!(begin, until);
            assert!(begin < end && end - begin <= 1000);
            until = end;
        }
        assert_eq!(until, 12_000);
    }
    assert_eq!(dense(99, &marked(1, [1]), 3200).len(), 8);
}

#[test]
fn a_dense_second_that_is_silenced_up_to_a_part_says_the_rest() {
    for per_second in 1..=MAX_SENTENCES_PER_SECOND {
        for known in dense(per_second, &marked(1, [1]), 3200) {
            let [word] = &known.words[..] else {
                panic!("{known:?}");
            };
            let mut pcm = marked(1, 1..=2);
            pcm[..word.end_ms() as usize * 32].fill(0);
            let again = dense(per_second, &pcm, 3200);
            let after = known.id as u8 + 1..=per_second as u8;
            let rest = after.map(|part| (1, part));
            let next = (1..=per_second as u8).map(|part| (2, part));
            assert_eq!(parts(&again), rest.chain(next).collect::<Vec<_>>());
            let begins = again[0].words[0].begin_ms();
            assert!(begins >= word.end_ms(), "{begins} {word:?}");
        }
    }
}

#[derive(Debug, Clone)]
enum Piece {
    Marked(u16, u32),
    Voice(usize),
    Silence(usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        3 => (0u16..3, any::<u32>()).prop_map(|(stream, seq)| Piece::Marked(stream, seq)),
        1 => (1usize..900).prop_map(Piece::Voice),
        1 => (1usize..1500).prop_map(Piece::Silence),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_marked_second_is_final_once_and_in_order_however_the_audio_is_cut(
        pieces in proptest::collection::vec(piece(), 1..12),
        cut in prop_oneof![Just(3200), Just(12_800), Just(32_000), 1usize..40_000],
    ) {
        let pcm: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| match piece {
                Piece::Marked(stream, seq) => second(*stream, *seq),
                Piece::Voice(ms) => voice(*ms),
                Piece::Silence(ms) => silence(*ms),
            })
            .collect();
        let results = recognize(&pcm, cut);
        prop_assert_eq!(&results, &recognize(&pcm, usize::MAX));
        let expected: Vec<_> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Marked(stream, seq) => Some((*stream, *seq)),
                Piece::Voice(_) | Piece::Silence(_) => None,
            })
            .collect();
        let named: Vec<_> = finals(&results).iter().flat_map(|text| seconds_in(text)).collect();
        prop_assert_eq!(&named, &expected);
        let heard: Vec<_> = results.heard.iter().map(|h| (h.stream, h.seq)).collect();
        prop_assert_eq!(&heard, &expected);
        for sentence in &results.sentences {
            prop_assert!(!sentence.words.is_empty());
            prop_assert!(sentence.words.iter().all(|word| word.begin < word.end));
        }
        let sentences = dense(4, &pcm, cut);
        let expected: Vec<_> = expected
            .iter()
            .flat_map(|(_, seq)| (1..=4).map(move |part| (*seq, part)))
            .collect();
        prop_assert_eq!(parts(&sentences), expected);
        let said = sentences.iter().filter(|s| !parts_in(&s.words[0].text).is_empty());
        let times: Vec<_> = said.map(|s| (s.words[0].begin_ms(), s.words[0].end_ms())).collect();
        prop_assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{:?}", times);
    }
}
