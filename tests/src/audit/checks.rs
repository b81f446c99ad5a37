//! The rules of the audit, on documents: nothing is fetched here.

use std::collections::{BTreeMap, BTreeSet};

use asr_simulator::mark::{self, SECOND_BYTES};
use serde_json::{Value, json};

use super::{Documents, Expect, ROLES, Recorded};

/// A marked second of a stream.
type Word = (u16, u32);

/// All that is wrong.
pub(super) fn faults(shown: &Documents, recorded: &[Recorded], expect: Expect) -> Vec<String> {
    let mut faults = Vec::new();
    for stream in recorded {
        let of_stream = Stream::new(shown, stream, expect);
        faults.extend(of_stream.objects());
        faults.extend(of_stream.transcript());
        faults.extend(of_stream.merged());
        faults.extend(of_stream.events());
        faults.extend(of_stream.ingest());
        faults.extend(of_stream.asr());
    }
    faults.extend(pages(shown));
    faults.extend(result(shown));
    faults
}

struct Stream<'a> {
    shown: &'a Documents,
    recorded: &'a Recorded,
    expect: Expect,
    /// Whole, from `result.json`.
    raw: &'a [Value],
    merged: &'a [Value],
    /// Seconds listed as not transcribed.
    listed: BTreeSet<u32>,
}

impl<'a> Stream<'a> {
    fn new(shown: &'a Documents, recorded: &'a Recorded, expect: Expect) -> Self {
        let role = recorded.role.as_str();
        let listed = entries(&shown.result["untranscribed_by_stream"][role]);
        let range = |item: &Value| {
            let (first, last) = (seq(item, "first_seq"), seq(item, "last_seq"));
            first..=last
        };
        Self {
            shown,
            recorded,
            expect,
            raw: entries(&shown.result["utterances_raw_by_stream"][role]),
            merged: entries(&shown.result["utterances_merged_by_stream"][role]),
            listed: listed.iter().flat_map(range).collect(),
        }
    }

    /// A complaint about the stream.
    fn told(&self, what: impl AsRef<str>) -> String {
        format!("{}: {}", self.recorded.role, what.as_ref())
    }

    /// A complaint about a second.
    fn told_of(&self, seq: u32, what: impl AsRef<str>) -> String {
        format!("{} second {seq}: {}", self.recorded.role, what.as_ref())
    }

    /// Every acknowledged second is in the blob store under its key, byte for byte, and nothing is
    /// there that nobody sent.
    fn objects(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut folders = BTreeSet::new();
        for (seq, acked) in &self.recorded.acked {
            let plain = plain_key(&self.recorded.session, &self.recorded.role, *seq);
            let key = acked.key.clone().unwrap_or(plain);
            folders.extend(key.rsplit_once('/').map(|(folder, _)| format!("{folder}/")));
            match self.shown.blobs.read(&key) {
                None => {
                    faults.push(self.told_of(*seq, format!("acked, not stored at {key}")));
                }
                Some(stored) => {
                    if let Some(what) = difference(&stored, &self.recorded.pcm(*seq)) {
                        faults.push(self.told_of(*seq, format!("acked, and {key} {what}")));
                    }
                }
            }
        }
        for folder in folders {
            // Of this role's folder only: `mixed` has those of the others below its own.
            for key in self.shown.blobs.keys(&folder) {
                let name = key.strip_prefix(&folder).unwrap_or_default();
                let seq = name.strip_suffix(".pcm").and_then(|seq| seq.parse().ok());
                if seq.is_some_and(|seq| !self.recorded.sent.contains(&seq)) {
                    faults.push(self.told(format!("{name} is stored, and nobody sent it")));
                }
            }
        }
        faults
    }

    /// Every acknowledged second is in one utterance, under its own time, or listed; utterances
    /// follow one another.
    fn transcript(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut found: BTreeMap<Word, Vec<String>> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        let mut before = 0;
        for item in self.raw {
            let name = name(item);
            if !ids.insert(item["utterance_id"].to_string()) {
                faults.push(self.told(format!("{name} is there twice")));
            }
            let (start, end) = (time(item, "start_ms"), time(item, "end_ms"));
            if start >= end {
                faults.push(self.told(format!("{name} is empty or ends before it begins")));
            }
            if start < before {
                faults.push(self.told(format!(
                    "{name} begins before the utterance before it ended, at {before} ms"
                )));
            }
            before = end;
            if time(item, "duration_ms") != end.saturating_sub(start) {
                faults.push(self.told(format!("{name} lasts {}", item["duration_ms"])));
            }
            let seconds = (
                u64::from(seq(item, "start_seq")),
                u64::from(seq(item, "end_seq")),
            );
            if seconds != (start / 1000 + 1, end.div_ceil(1000)) {
                faults.push(self.told(format!("{name} is not within its seconds: {seconds:?}")));
            }
            for word in words(item) {
                found.entry(word).or_default().push(name.clone());
                let begin = u64::from(word.1.saturating_sub(1)) * 1000;
                if begin >= end || begin + 1000 <= start {
                    faults.push(self.told_of(word.1, format!("is in {name}, another time")));
                }
            }
            if words(item).is_empty() && !self.has_other_audio() {
                faults.push(self.told(format!("{name} names no second: {}", item["text"])));
            }
        }
        for (word, places) in &found {
            if places.len() > 1 {
                let places = places.join(" and ");
                faults.push(self.told_of(word.1, format!("transcribed twice, in {places}")));
            }
        }
        let mut expected: BTreeSet<Word> = BTreeSet::new();
        for seq in &self.recorded.sent {
            let of_second = self.marks(*seq);
            if self.recorded.is_acked(*seq) {
                let covered = of_second.iter().all(|word| found.contains_key(word));
                let listed = self.listed.contains(seq);
                if !covered && !listed {
                    faults.push(self.told_of(*seq, "acked, neither transcribed nor listed"));
                } else if !covered && self.expect == Expect::AllTranscribed {
                    faults.push(self.told_of(*seq, "acked, listed as not transcribed"));
                } else if covered && listed && !of_second.is_empty() {
                    faults.push(self.told_of(*seq, "transcribed, and listed as not transcribed"));
                }
            }
            expected.extend(of_second);
        }
        for word in found.keys().filter(|word| !expected.contains(word)) {
            faults.push(self.told_of(
                word.1,
                format!("of stream {} is transcribed, and nobody sent it", word.0),
            ));
        }
        for seq in &self.listed {
            if !self.recorded.sent.contains(seq) {
                faults.push(self.told_of(*seq, "listed as not transcribed, and nobody sent it"));
            }
        }
        faults
    }

    /// Merging loses no text and repeats none.
    fn merged(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut raw: Vec<Word> = self.raw.iter().flat_map(words).collect();
        let mut merged: Vec<Word> = self.merged.iter().flat_map(words).collect();
        raw.sort_unstable();
        merged.sort_unstable();
        if let Some(word) = first_difference(&raw, &merged) {
            let count = |words: &[Word]| words.iter().filter(|other| **other == word).count();
            let (raw, merged) = (count(&raw), count(&merged));
            faults.push(self.told_of(
                word.1,
                format!("{raw} times in the utterances, {merged} times in the merged view"),
            ));
        }
        let mut ids: Vec<&Value> = self.raw.iter().map(|item| &item["utterance_id"]).collect();
        let sources = |item: &'a Value| entries(&item["source_utterance_ids"]);
        let mut sources: Vec<&Value> = self.merged.iter().flat_map(sources).collect();
        ids.sort_by_key(|id| id.to_string());
        sources.sort_by_key(|id| id.to_string());
        if ids != sources {
            faults.push(self.told(format!(
                "the merged view is made of {} utterances, there are {}",
                sources.len(),
                ids.len()
            )));
        }
        let mut before = 0;
        for item in self.merged {
            let (start, end) = (time(item, "start_ms"), time(item, "end_ms"));
            if start >= end || start < before {
                faults.push(self.told(format!(
                    "merged entry {} is {start} to {end} ms, after one until {before} ms",
                    item["merged_id"]
                )));
            }
            before = end;
        }
        faults
    }

    /// No utterance has two speaker events, no event is of an utterance that is not there; the
    /// teacher's come with the utterance.
    fn events(&self) -> Vec<String> {
        let role = self.recorded.role.as_str();
        let mut faults = Vec::new();
        let ids: BTreeSet<String> = self.raw.iter().map(id).collect();
        let mut named = BTreeSet::new();
        for event in entries(&self.shown.result["events"]) {
            if event["stream_role"] != role || event["utterance_id"].is_null() {
                continue;
            }
            let id = id(event);
            if !ids.contains(&id) {
                faults.push(self.told(format!("a speaker event of {id}, which is not there")));
            }
            if !named.insert(id.clone()) {
                faults.push(self.told(format!("two speaker events of {id}")));
            }
        }
        let has_events = match role {
            "teacher" => true,
            "students" => self.expect == Expect::AllTranscribed,
            _ => false,
        };
        if has_events {
            for id in ids.difference(&named) {
                faults.push(self.told(format!("no speaker event of {id}")));
            }
        }
        faults
    }

    /// The counters of the ingest agree with the acks.
    fn ingest(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let ingest = &self.shown.state["ingest_by_stream"][&self.recorded.role];
        let (least, most) = (self.recorded.acked.len(), self.recorded.sent.len());
        let received = time(ingest, "received_chunks");
        if !(least as u64..=most as u64).contains(&received) {
            faults.push(self.told(format!(
                "received_chunks is {received}; {least} were acked, {most} sent"
            )));
        }
        let last_seq = time(ingest, "last_seq");
        let last_sent = self.recorded.sent.last().copied().unwrap_or_default();
        if last_seq < u64::from(self.recorded.last()) || last_seq > u64::from(last_sent) {
            faults.push(self.told(format!(
                "last_seq is {last_seq}; {} was acked, {last_sent} sent",
                self.recorded.last()
            )));
        }
        let missing = time(ingest, "missing_chunks");
        if missing + received != last_seq {
            faults.push(self.told(format!(
                "missing_chunks is {missing}, with {received} of {last_seq} received"
            )));
        }
        let bytes = time(ingest, "bytes_stored");
        if bytes != received * SECOND_BYTES as u64 {
            faults.push(self.told(format!("bytes_stored is {bytes}, of {received} chunks")));
        }
        let duplicates = time(ingest, "duplicate_chunks");
        if duplicates < self.recorded.duplicates {
            faults.push(self.told(format!(
                "duplicate_chunks is {duplicates}; {} were acked so",
                self.recorded.duplicates
            )));
        }
        faults
    }

    /// The figures agree with the log; where nothing is left to be done, nothing is under way or
    /// wrong.
    fn asr(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let state = &self.shown.state;
        let asr = &state["asr_by_stream"][&self.recorded.role];
        let utterances = json!(self.raw.len());
        let counts = [
            (
                "utterance_count_by_stream",
                &state["utterance_count_by_stream"][&self.recorded.role],
            ),
            ("asr utterance_count", &asr["utterance_count"]),
        ];
        for (name, count) in counts {
            if *count != utterances {
                faults.push(self.told(format!("{name} is {count}, of {utterances}")));
            }
        }
        let calm = [
            ("asr_ws_state", json!("disconnected")),
            ("last_error", Value::Null),
            ("backlog_chunks", json!(0)),
            ("ingest_lag_seconds", json!(0)),
            ("consecutive_failures", json!(0)),
            ("next_retry_after_ms", json!(0)),
        ];
        // A service that is down is an error as long as there is something for it to hear.
        if self.listed.is_empty() {
            for (name, value) in calm {
                if asr[name] != value {
                    faults.push(
                        self.told(format!("all is transcribed, and {name} is {}", asr[name])),
                    );
                }
            }
        }
        faults
    }

    fn has_other_audio(&self) -> bool {
        let mut acked = self.recorded.acked.values();
        acked.any(|acked| acked.pcm.is_some())
    }

    /// The words that the recognition of a second gives.
    fn marks(&self, seq: u32) -> BTreeSet<Word> {
        match self
            .recorded
            .acked
            .get(&seq)
            .and_then(|acked| acked.pcm.as_ref())
        {
            Some(pcm) => mark::read(pcm)
                .iter()
                .map(|heard| (heard.stream, heard.seq))
                .collect(),
            None => BTreeSet::from([(self.recorded.mark, seq)]),
        }
    }
}

/// What the API shows is the end of what `result.json` has, and says how much that is.
fn pages(shown: &Documents) -> Vec<String> {
    let mut faults = Vec::new();
    let mut events = 0;
    for role in ROLES {
        let all_events: Vec<Value> = entries(&shown.result["events"])
            .iter()
            .filter(|event| event["stream_role"] == role)
            .cloned()
            .collect();
        events += all_events.len();
        let raw = entries(&shown.result["utterances_raw_by_stream"][role]);
        let merged = entries(&shown.result["utterances_merged_by_stream"][role]);
        for (name, whole, pages) in [
            ("utterances", raw, &shown.raw),
            ("merged entries", merged, &shown.merged),
            ("events", &all_events[..], &shown.events),
        ] {
            let Some(page) = pages.get(role) else {
                faults.push(format!("{role}: the {name} were not read"));
                continue;
            };
            let items = entries(&page["items"]);
            if page["count"] != whole.len() {
                let (count, whole) = (&page["count"], whole.len());
                faults.push(format!("{role}: {count} {name}, {whole} in result.json"));
            } else if items.is_empty() != whole.is_empty() || !whole.ends_with(items) {
                faults.push(format!("{role}: other {name} than in result.json"));
            }
        }
        // The gateway's own: no more than a page of the newest, but all there are up to that.
        let page = shown
            .raw
            .get(role)
            .map_or(&[][..], |page| entries(&page["items"]));
        if page.len() < raw.len().min(1000) {
            faults.push(format!("{role}: a page of {} of {}", page.len(), raw.len()));
        }
    }
    if shown.state["event_count"] != events {
        let count = &shown.state["event_count"];
        faults.push(format!("event_count is {count}, of {events}"));
    }
    if shown.finalized["event_count"] != events {
        let count = &shown.finalized["event_count"];
        faults.push(format!("finalize says {count} events, of {events}"));
    }
    faults
}

/// `result.json` says what the API says, and the session is finalized.
fn result(shown: &Documents) -> Vec<String> {
    let (result, state) = (&shown.result, &shown.state);
    let mut faults = Vec::new();
    let mut differs = |what: &str, ours: &Value, theirs: &Value| {
        if ours != theirs {
            faults.push(format!("{what}: {ours} in result.json, not {theirs}"));
        }
    };
    differs("GET result", result, &shown.shown_result);
    differs(
        "finalized_at",
        &result["finalized_at"],
        &shown.finalized["finalized_at"],
    );
    differs("session_id", &result["session_id"], &state["session_id"]);
    for part in ["state", "ingest", "ingest_by_stream", "capture_by_stream"] {
        differs(part, &result[part], &state[part]);
    }
    let raw = &result["utterances_raw_by_stream"]["mixed"];
    differs("utterances_raw", &result["utterances_raw"], raw);
    differs("asr", &result["asr"], &result["asr_by_stream"]["mixed"]);
    for role in ROLES {
        let of_role = |document: &Value| settled(&document["asr_by_stream"][role]);
        if entries(&result["untranscribed_by_stream"][role]).is_empty() {
            let what = format!("asr_by_stream of {role}");
            differs(&what, &of_role(result), &of_role(state));
        }
    }
    if state["phase"] != "finalized" {
        faults.push(format!("after finalize the phase is {}", state["phase"]));
    }
    faults
}

/// `asr` without what only the moment decides.
fn settled(asr: &Value) -> Value {
    let mut asr = asr.clone();
    if let Some(fields) = asr.as_object_mut() {
        fields.remove("next_retry_after_ms");
        fields.remove("updated_at");
    }
    asr
}

/// A key of the contract, for a session id that is a plain name.
fn plain_key(session: &str, role: &str, seq: u32) -> String {
    match role {
        "mixed" => format!("sessions/{session}/chunks/{seq:08}.pcm"),
        role => format!("sessions/{session}/chunks/{role}/{seq:08}.pcm"),
    }
}

fn difference(stored: &[u8], sent: &[u8]) -> Option<String> {
    if stored.len() != sent.len() {
        return Some(format!("has {} bytes, not {}", stored.len(), sent.len()));
    }
    let at = stored
        .iter()
        .zip(sent)
        .position(|(ours, theirs)| ours != theirs)?;
    Some(format!("is not what was sent, from byte {at} on"))
}

fn first_difference(ours: &[Word], theirs: &[Word]) -> Option<Word> {
    let shorter = ours.len().min(theirs.len());
    let at = ours.iter().zip(theirs).position(|(a, b)| a != b);
    let at = at.or((ours.len() != theirs.len()).then_some(shorter))?;
    ours.get(at)
        .into_iter()
        .chain(theirs.get(at))
        .min()
        .copied()
}

fn entries(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// For a complaint.
fn name(item: &Value) -> String {
    format!(
        "{} ({} to {} ms)",
        id(item),
        item["start_ms"],
        item["end_ms"]
    )
}

fn id(item: &Value) -> String {
    item["utterance_id"].as_str().unwrap_or("no id").to_owned()
}

fn words(item: &Value) -> Vec<Word> {
    mark::seconds_in(item["text"].as_str().unwrap_or_default())
}

/// What is no number is one that fits nowhere.
fn time(item: &Value, field: &str) -> u64 {
    item[field].as_u64().unwrap_or(u64::from(u32::MAX))
}

fn seq(item: &Value, field: &str) -> u32 {
    item[field]
        .as_u64()
        .and_then(|seq| u32::try_from(seq).ok())
        .unwrap_or_default()
}
