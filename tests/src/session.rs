//! A session as the HTTP API shows it, and what its transcript says of the seconds that were heard.

use std::ops::RangeInclusive;

use asr_simulator::mark;
use serde_json::{Value, json};

use crate::client::AudioSocket;
use crate::gateway::Gateway;
use crate::wait::eventually;

/// More than any test makes.
const LIMIT: u32 = 1000;

impl Gateway {
    /// `GET state`.
    pub async fn state(&self, session: &str) -> Value {
        self.get(&format!("/v1/sessions/{session}/state"))
            .await
            .ok()
    }

    /// `asr` of a stream.
    pub async fn asr_of(&self, session: &str, role: &str) -> Value {
        self.state(session).await["asr_by_stream"][role].clone()
    }

    /// All utterances of a stream; `view` is `raw` or `merged`.
    pub async fn utterances(&self, session: &str, role: &str, view: &str) -> Vec<Value> {
        let query = format!("stream_role={role}&view={view}&limit={LIMIT}");
        let answer = self
            .get(&format!("/v1/sessions/{session}/utterances?{query}"))
            .await
            .ok();
        items(&answer)
    }

    /// All speaker events of a stream.
    pub async fn events(&self, session: &str, role: &str) -> Vec<Value> {
        let query = format!("stream_role={role}&limit={LIMIT}");
        items(
            &self
                .get(&format!("/v1/sessions/{session}/events?{query}"))
                .await
                .ok(),
        )
    }

    /// `POST config`.
    pub async fn configure(&self, session: &str, config: &Value) -> Value {
        self.post(&format!("/v1/sessions/{session}/config"), config)
            .await
            .ok()
    }

    /// `POST finalize`.
    pub async fn finalize(&self, session: &str) -> Value {
        self.post(&format!("/v1/sessions/{session}/finalize"), &json!({}))
            .await
            .ok()
    }

    /// Waits until marked seconds `1..=last` are transcribed, and checks that each is, once, in
    /// order, under its own seconds. Gives the raw utterances.
    pub async fn transcribed(&self, session: &str, role: &str, mark: u16, last: u32) -> Vec<Value> {
        let what = format!("{session} {role}: seconds 1 to {last} are transcribed");
        eventually(&what, async || {
            let items = self.utterances(session, role, "raw").await;
            let heard = heard(&items).last().copied();
            if heard == Some((mark, last)) {
                Ok(())
            } else {
                Err((heard, self.state(session).await))
            }
        })
        .await;
        let items = self.utterances(session, role, "raw").await;
        assert_transcript(&items, mark, 1..=last);
        items
    }
}

fn items(answer: &Value) -> Vec<Value> {
    let items = answer["items"].as_array().expect("items").clone();
    assert_eq!(answer["count"], items.len(), "all are shown");
    items
}

/// The marked seconds that utterances name, in their order.
#[must_use]
pub fn heard(utterances: &[Value]) -> Vec<(u16, u32)> {
    let text = |item: &Value| item["text"].as_str().expect("a text").to_owned();
    utterances
        .iter()
        .flat_map(|item| mark::seconds_in(&text(item)))
        .collect()
}

/// Every one of these seconds of a marked stream is in the raw utterances once, in order and under
/// its own seconds.
///
/// # Panics
/// That is not so.
pub fn assert_transcript(utterances: &[Value], stream: u16, seconds: RangeInclusive<u32>) {
    let expected: Vec<_> = seconds.map(|seq| (stream, seq)).collect();
    assert_eq!(heard(utterances), expected, "{utterances:#?}");
    for item in utterances {
        let named = heard(std::slice::from_ref(item));
        let (first, last) = (named[0].1, named[named.len() - 1].1);
        assert_eq!(item["start_seq"], first, "{item:#}");
        assert_eq!(item["end_seq"], last, "{item:#}");
        let (start_ms, end_ms) = (number(item, "start_ms"), number(item, "end_ms"));
        assert!(u64::from(first - 1) * 1000 <= start_ms, "{item:#}");
        assert!(
            start_ms < end_ms && end_ms <= u64::from(last) * 1000,
            "{item:#}"
        );
        assert_eq!(number(item, "duration_ms"), end_ms - start_ms, "{item:#}");
    }
}

/// A field that is a whole number.
///
/// # Panics
/// It is none.
#[must_use]
pub fn number(object: &Value, field: &str) -> u64 {
    object[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {field} in {object:#}"))
}

impl AudioSocket {
    /// Stores marked seconds, each when the one before is acknowledged.
    pub async fn store_marked(&mut self, stream: u16, seconds: RangeInclusive<u32>) {
        for seq in seconds {
            self.store(seq, &mark::second(stream, seq)).await;
        }
    }
}
