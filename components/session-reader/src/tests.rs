//! Logs that change while they are read: what is read is what was there when it was begun.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::{Cell, RefCell};

use interview_session::error::ApiError;
use interview_session::role::{ByRole, StreamRole};
use interview_transcript::{Utterance, merge_all};
use serde_json::{Value, json};

use crate::bindings::interview::gateway::session_state::{Log, Page};
use crate::{EventPages, Extent, LogPages, MergedPages, Source, Unread};

const MIXED: StreamRole = StreamRole::Mixed;

/// The logs of each stream, alike; `then` happens after each page.
struct Logs<'a> {
    life: Cell<u64>,
    utterances: RefCell<Vec<String>>,
    events: RefCell<Vec<String>>,
    pages: Cell<u32>,
    then: Box<dyn Fn(&Logs<'a>) + 'a>,
}

impl<'a> Logs<'a> {
    fn new(entries: u32, then: impl Fn(&Logs<'a>) + 'a) -> Self {
        let logs = Self {
            life: Cell::new(7),
            utterances: RefCell::default(),
            events: RefCell::default(),
            pages: Cell::new(0),
            then: Box::new(then),
        };
        logs.append(entries);
        logs
    }

    fn append(&self, entries: u32) {
        for _ in 0..entries {
            let n = self.utterances.borrow().len() as u32;
            self.utterances
                .borrow_mut()
                .push(utterance(n, &format!("w{n}a w{n}b w{n}c")));
            let event = json!({"ts": format!("{n:09}"), "n": n});
            self.events.borrow_mut().push(event.to_string());
        }
    }

    fn empty(&self) {
        self.life.set(self.life.get() + 1);
        self.utterances.borrow_mut().clear();
        self.events.borrow_mut().clear();
    }

    fn extent(&self, out_of_order: bool) -> Extent {
        Extent {
            life: self.life.get(),
            utterances: self.utterances.borrow().len() as u32,
            merged: 0,
            events: self.events.borrow().len() as u32,
            out_of_order,
            identified: 0,
        }
    }
}

fn utterance(n: u32, text: &str) -> String {
    json!({
        "utterance_id": format!("s-mixed-{:08}-x", n + 1), "session_id": "s", "stream_role": "mixed",
        "text": text, "start_seq": n + 1, "end_seq": n + 1, "start_ms": n * 1000,
        "end_ms": n * 1000 + 900, "duration_ms": 900, "asr_model": "m", "asr_provider": "p",
        "confidence": null, "created_at": "2026-01-01T00:00:00.000Z", "latency_ms": null,
    })
    .to_string()
}

impl Source for Logs<'_> {
    fn read_from(
        &self,
        _role: StreamRole,
        log: Log,
        index: u32,
        limit: u32,
    ) -> Result<Page, ApiError> {
        let entries = match log {
            Log::Utterances => self.utterances.borrow(),
            Log::Events => self.events.borrow(),
            Log::Merged => panic!("nobody reads a whole merged log"),
        };
        let page = Page {
            life: self.life.get(),
            count: entries.len() as u32,
            first: index,
            items: entries
                .iter()
                .skip(index as usize)
                .take(limit as usize)
                .cloned()
                .collect(),
            out_of_order: false,
        };
        drop(entries);
        self.pages.set(self.pages.get() + 1);
        (self.then)(self);
        Ok(page)
    }
}

/// What a view of these utterances is.
fn merged_of(utterances: &[String]) -> Value {
    let utterances: Vec<Utterance> = utterances
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    serde_json::to_value(merge_all(&utterances)).unwrap()
}

fn all(mut view: MergedPages<'_>) -> Value {
    let mut entries = Vec::new();
    while let Some(entry) = view.next_entry().unwrap() {
        entries.push(serde_json::from_str::<Value>(entry.get()).unwrap());
    }
    Value::Array(entries)
}

#[test]
fn what_is_appended_meanwhile_is_not_read() {
    let logs = Logs::new(1_700, |logs| logs.append(300));
    let extent = logs.extent(false);
    let mut pages = LogPages::new(&logs, MIXED, Log::Utterances, extent);
    let mut count = 0;
    while pages.next_entry().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 1_700);
}

/// The stored merged log changes at its end, and is given up when a window comes before it.
#[test]
fn the_merged_view_is_of_the_utterances_that_were_there() {
    for out_of_order in [false, true] {
        let logs = Logs::new(2_100, |logs| logs.append(1));
        if out_of_order {
            logs.utterances.borrow_mut().swap(3, 1_500);
        }
        // Some that say the same, and become one entry.
        for n in [10, 11, 600, 601] {
            let said = utterance(n, "we said so and we meant what we said");
            logs.utterances.borrow_mut()[n as usize] = said;
        }
        let expected = merged_of(&logs.utterances.borrow());
        let extent = logs.extent(out_of_order);
        let view = all(MergedPages::new(&logs, MIXED, extent));
        assert_eq!(view, expected);
    }
}

#[test]
fn a_log_that_is_emptied_meanwhile_is_no_log() {
    // Emptied, and as long again.
    let logs = Logs::new(1_000, |logs| {
        logs.empty();
        logs.append(1_000);
    });
    let mut pages = LogPages::new(&logs, MIXED, Log::Utterances, logs.extent(false));
    let end = loop {
        match pages.next_entry() {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Err(Unread::Emptied)), "{end:?}");
}

#[test]
fn events_of_all_streams_are_of_one_moment_and_in_order() {
    let logs = Logs::new(600, |logs| logs.append(10));
    let extents = ByRole::new(|_| logs.extent(false));
    let mut pages = EventPages::new(&logs, &extents).unwrap();
    let mut times = Vec::new();
    while let Some(event) = pages.next_entry().unwrap() {
        times.push(crate::pages::time_of(&event));
    }
    assert_eq!(times.len(), 3 * 600);
    assert!(times.is_sorted());
}
