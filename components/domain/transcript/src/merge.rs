//! The merged view: raw utterances of one role folded into entries, so that what was heard twice is
//! shown once. `docs/merge.md` states the rules. An utterance is compared with the last entry only;
//! raw utterances are never changed.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::range::Range;
use crate::utterance::Utterance;
use crate::words::{Token, after, are_nearly_equal_sets, norm, overlap, tokens};

/// The most utterances in one entry; the next one starts a new entry.
pub const MAX_SOURCES: usize = 256;

/// The longest text, in bytes, that is compared and that merging may make. An utterance or entry
/// with a longer one stays as it is, and what follows starts a new entry.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// The fewest tokens that two texts must share, end to start, to be joined.
pub const MIN_OVERLAP: usize = 3;

/// One entry of the merged view. The fields are those of the HTTP API; all but the text and the
/// range are the first utterance's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergedEntry {
    /// `<session>-<role>-m-<end_seq of the first utterance, 8 digits>`.
    pub merged_id: String,
    /// The utterances in it, in order; 1 to [`MAX_SOURCES`].
    pub source_utterance_ids: Vec<String>,
    /// The session it belongs to.
    pub session_id: String,
    /// `mixed`, `teacher` or `students`.
    pub stream_role: String,
    /// What was said.
    pub text: String,
    /// The first second it covers, from 1.
    pub start_seq: u32,
    /// The last second it covers.
    pub end_seq: u32,
    /// Session time of its start, in ms.
    pub start_ms: u64,
    /// Session time of its end, in ms.
    pub end_ms: u64,
    /// `end_ms - start_ms`.
    pub duration_ms: u64,
    /// The model that heard the first utterance.
    pub asr_model: String,
    /// Who ran the model.
    pub asr_provider: String,
    /// 0 to 1, of the first utterance; null when unknown.
    pub confidence: Option<f64>,
    /// When the first utterance was made, RFC 3339.
    pub created_at: String,
    /// Of the first utterance, in ms; null when unknown.
    pub latency_ms: Option<u64>,
}

/// What one more utterance does to the merged view.
#[derive(Debug, Clone, PartialEq)]
pub enum Merge {
    /// The last entry becomes this one.
    Extend(MergedEntry),
    /// This is a new entry.
    Append(MergedEntry),
    /// The utterance is blank: nothing changes.
    Skip,
}

/// Merges one more utterance of a role into its view, of which `last` is the last entry. The cost
/// depends on the two texts only. Fed in the order of [`order`], it makes what [`merge_all`] makes.
pub fn merge_next(last: Option<&MergedEntry>, next: &Utterance) -> Merge {
    if next.text.trim().is_empty() {
        return Merge::Skip;
    }
    match last.and_then(|last| Some((last, merged_text(last, next)?))) {
        Some((last, text)) => Merge::Extend(extended(last, next, text)),
        None => Merge::Append(entry(next)),
    }
}

/// The merged view of all utterances of one role, in any order.
pub fn merge_all(utterances: &[Utterance]) -> Vec<MergedEntry> {
    let mut sorted: Vec<&Utterance> = utterances.iter().collect();
    sorted.sort_by(|a, b| order(a, b));
    let mut entries: Vec<MergedEntry> = Vec::new();
    for utterance in sorted {
        match merge_next(entries.last(), utterance) {
            Merge::Extend(entry) => {
                entries.pop();
                entries.push(entry);
            }
            Merge::Append(entry) => entries.push(entry),
            Merge::Skip => {}
        }
    }
    entries
}

/// The order in which utterances are merged: by `start_seq`, then `end_seq`; equal ones as they
/// came. Sentences that follow one another in session time are in this order.
pub fn order(a: &Utterance, b: &Utterance) -> Ordering {
    order_key(a.start_seq, a.end_seq).cmp(&order_key(b.start_seq, b.end_seq))
}

/// Where an utterance of these seconds is in the order: before all whose key is greater.
pub const fn order_key(start_seq: u32, end_seq: u32) -> (u32, u32) {
    (start_seq, end_seq)
}

fn entry(first: &Utterance) -> MergedEntry {
    MergedEntry {
        merged_id: format!(
            "{}-{}-m-{:08}",
            first.session_id, first.stream_role, first.end_seq
        ),
        source_utterance_ids: vec![first.utterance_id.clone()],
        session_id: first.session_id.clone(),
        stream_role: first.stream_role.clone(),
        text: first.text.trim().to_owned(),
        start_seq: first.start_seq,
        end_seq: first.end_seq,
        start_ms: first.start_ms,
        end_ms: first.end_ms,
        duration_ms: first.end_ms.saturating_sub(first.start_ms),
        asr_model: first.asr_model.clone(),
        asr_provider: first.asr_provider.clone(),
        confidence: first.confidence,
        created_at: first.created_at.clone(),
        latency_ms: first.latency_ms,
    }
}

fn extended(last: &MergedEntry, next: &Utterance, text: String) -> MergedEntry {
    let mut entry = last.clone();
    entry.source_utterance_ids.push(next.utterance_id.clone());
    entry.text = text;
    entry.end_seq = entry.end_seq.max(next.end_seq);
    entry.end_ms = entry.end_ms.max(next.end_ms);
    entry.duration_ms = entry.end_ms.saturating_sub(entry.start_ms);
    entry
}

/// The text of `last` with `next` merged into it; none when `next` is an entry of its own.
fn merged_text(last: &MergedEntry, next: &Utterance) -> Option<String> {
    let adjacent = next.start_seq <= last.end_seq.saturating_add(1);
    let within_limits = last.source_utterance_ids.len() < MAX_SOURCES
        && last.text.len() <= MAX_TEXT_BYTES
        && next.text.len() <= MAX_TEXT_BYTES;
    if !adjacent || !within_limits {
        return None;
    }
    let said = Said::new(&last.text, Range::new(last.start_ms, last.end_ms));
    let heard = Said::new(&next.text, Range::new(next.start_ms, next.end_ms));
    if say_the_same(&said, &heard) {
        let longer = if heard.chars > said.chars {
            heard
        } else {
            said
        };
        return Some(longer.text.to_owned());
    }
    joined(&said, &heard)
}

/// A text, as it is compared, and the session time it was said in.
struct Said<'a> {
    text: &'a str,
    range: Range,
    norm: String,
    /// Of the norm.
    chars: usize,
    tokens: Vec<Token>,
}

impl<'a> Said<'a> {
    fn new(text: &'a str, range: Range) -> Self {
        let text = text.trim();
        let norm = norm(text);
        Said {
            text,
            range,
            chars: norm.chars().count(),
            norm,
            tokens: tokens(text),
        }
    }
}

/// Rule 1.
fn say_the_same(a: &Said<'_>, b: &Said<'_>) -> bool {
    if a.norm.is_empty() || b.norm.is_empty() {
        return false;
    }
    let (inner, outer) = if a.chars < b.chars { (a, b) } else { (b, a) };
    inner.norm == outer.norm
        || outer.norm.contains(&inner.norm) && counts_as_contained(inner, outer)
        || are_nearly_equal_sets(&a.tokens, &b.tokens)
}

/// A text within another says the same only when it is not much shorter, or when both were heard in
/// the same seconds: "no" after "I know" is an answer.
fn counts_as_contained(inner: &Said<'_>, outer: &Said<'_>) -> bool {
    let comparable = 4 * inner.chars >= 3 * outer.chars;
    comparable || inner.range.is_mostly_within(outer.range)
}

/// Rule 2: when `next` begins with the words that `last` ends with, the two joined.
fn joined(last: &Said<'_>, next: &Said<'_>) -> Option<String> {
    let shared = overlap(&last.tokens, &next.tokens);
    if shared < MIN_OVERLAP {
        return None;
    }
    let new = after(next.text, &next.tokens, shared);
    if new.is_empty() {
        // All of `next` is contained in `last`, and rule 1 has said no.
        return None;
    }
    let text = (last.text.split_whitespace())
        .chain(new.split_whitespace())
        .collect::<Vec<_>>()
        .join(" ");
    (text.len() <= MAX_TEXT_BYTES).then_some(text)
}
