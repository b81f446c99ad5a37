//! The merged view: folding utterances one by one makes what merging all of them makes, nothing that
//! was said is lost or shown twice as a source, and the limits hold. And names that speakers give.
#![no_main]

use arbitrary::Arbitrary;
use interview_transcript::merge::{MAX_SOURCES, MAX_TEXT_BYTES};
use interview_transcript::{
    FinalSentence, KnownNames, Merge, MergedEntry, Utterance, WindowText, introduced_name,
    merge_all, merge_next, order, teacher_event,
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Said<'a> {
    /// From the end of the one before, in tenths of a second; a negative one overlaps.
    gap: i8,
    /// In tenths of a second.
    length: u8,
    is_window: bool,
    text: Text<'a>,
}

#[derive(Debug, Arbitrary)]
enum Text<'a> {
    Any(&'a str),
    /// Few words, often the same ones.
    Words(&'a [u8]),
    /// A word, often enough to be near the limit of what is compared.
    Long(u8),
    /// What the one before said, but for so many characters at its start.
    Again(u8),
}

const WORDS: [&str; 16] = [
    "no",
    "I",
    "know",
    "yes",
    "well-known",
    "the",
    "database",
    "my",
    "name",
    "is",
    "Ada",
    "你好",
    "我叫",
    "Straße",
    "İ",
    "...",
];

fuzz_target!(|said: Vec<Said<'_>>| {
    let utterances = utterances(&said);
    let mut sorted: Vec<&Utterance> = utterances.iter().collect();
    sorted.sort_by(|a, b| order(a, b));
    let mut folded: Vec<MergedEntry> = Vec::new();
    for utterance in sorted {
        match merge_next(folded.last(), utterance) {
            Merge::Extend(entry) => {
                let last = folded.pop().expect("an entry is extended");
                assert_eq!(entry.merged_id, last.merged_id);
                assert!(entry.end_ms >= last.end_ms && entry.start_ms == last.start_ms);
                folded.push(entry);
            }
            Merge::Append(entry) => folded.push(entry),
            Merge::Skip => panic!("no utterance is blank"),
        }
        // It is stored after every utterance.
        let last = folded.last_mut().expect("something was said");
        let document = serde_json::to_string(last).expect("an entry is written");
        *last = serde_json::from_str(&document).expect("an entry is read");
    }
    assert_eq!(
        folded,
        merge_all(&utterances),
        "one by one, and all at once"
    );
    let mut sources: Vec<&str> = Vec::new();
    for entry in &folded {
        assert!(!entry.text.trim().is_empty());
        assert!(entry.source_utterance_ids.len() <= MAX_SOURCES);
        assert!(entry.source_utterance_ids.len() == 1 || entry.text.len() <= MAX_TEXT_BYTES);
        assert_eq!(entry.duration_ms, entry.end_ms - entry.start_ms);
        assert!(entry.start_seq <= entry.end_seq);
        sources.extend(entry.source_utterance_ids.iter().map(String::as_str));
    }
    let mut all: Vec<&str> = utterances
        .iter()
        .map(|said| said.utterance_id.as_str())
        .collect();
    sources.sort_unstable();
    all.sort_unstable();
    assert_eq!(sources, all, "each utterance is in one entry");
});

fn utterances(said: &[Said<'_>]) -> Vec<Utterance> {
    let mut utterances: Vec<Utterance> = Vec::new();
    let mut end_ms = 0u64;
    let mut before = String::new();
    for (index, said) in said.iter().take(300).enumerate() {
        let start_ms = end_ms.saturating_add_signed(i64::from(said.gap) * 100);
        end_ms = start_ms + u64::from(said.length) * 100;
        let text = match said.text {
            Text::Any(text) => text.to_owned(),
            Text::Words(words) => {
                let words = words.iter().take(64);
                let words: Vec<&str> = words
                    .map(|at| WORDS[usize::from(*at) % WORDS.len()])
                    .collect();
                words.join(" ")
            }
            Text::Long(count) => format!("{count} long ").repeat(usize::from(count) * 16),
            Text::Again(skip) => before.chars().skip(skip.into()).collect(),
        };
        let suffix = index.to_string();
        let made = if said.is_window {
            Utterance::window(&WindowText {
                session_id: "g",
                stream_role: "teacher",
                text: &text,
                start_seq: (start_ms / 1000) as u32,
                end_seq: (end_ms / 1000) as u32,
                number: None,
                asr_model: "m",
                asr_provider: "p",
                created_at: "2026-11-23T00:00:00.000Z",
                took_ms: 1,
            })
            .map(|window| Utterance {
                utterance_id: format!("{}-{suffix}", window.utterance_id),
                ..window
            })
        } else {
            Utterance::realtime(&FinalSentence {
                session_id: "g",
                stream_role: "teacher",
                text: &text,
                start_ms,
                end_ms,
                asr_model: "m",
                asr_provider: "p",
                confidence: Some(0.5),
                created_at: "2026-11-23T00:00:00.000Z",
                latency_ms: Some(1),
                suffix: &suffix,
            })
        };
        assert_eq!(made.is_err(), text.trim().is_empty());
        if let Ok(made) = made {
            name(&made);
            utterances.push(made);
        }
        before = text;
    }
    utterances
}

fn name(utterance: &Utterance) {
    let name = introduced_name(&utterance.text);
    if let Some(name) = &name {
        assert!(!name.trim().is_empty());
        assert!(
            name.len() <= utterance.text.len(),
            "{name} of {}",
            utterance.text
        );
    }
    let event = teacher_event(
        utterance,
        &KnownNames::default(),
        "2026-11-23T00:00:00.000Z",
    );
    assert_eq!(
        event.speaker_name,
        Some(name.unwrap_or_else(|| "teacher".to_owned()))
    );
}
