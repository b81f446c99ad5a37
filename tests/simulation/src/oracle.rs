//! What must hold, checked at every step: when something is stored, committed, sent or answered, and
//! when nothing is left to happen. It knows what was recorded and what was sent; of the state it
//! reads what operators see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use funasr::{Connection, MAX_SILENCE_SECONDS, State};
use interview_session::ingest::IngestRecord;
use interview_session::seq::Seq;
use interview_session::time::EpochMs;
use interview_transcript::{Utterance, merge_all};

use crate::lane::{Content, Event, Payload, Reply, SPEED, Second};
use crate::mutant::current_task;
use crate::service::SILENT;
use crate::stores::Changes;
use crate::world::World;

/// The bridge's state is written with every batch: it must not grow with the stream.
pub const STATE_BYTES: usize = 12 * 1024;
/// `funasr` lets so many seconds of audio through at once.
const BURST: f64 = 10.0;
/// Attempts to connect within a minute in which no text became final: 0.25, 0.5, 1, 2, 4 and from
/// then on 5 s apart at the least, and one more for an end in good order.
const ATTEMPTS_PER_MINUTE: usize = 18;
const SECOND_MS: u64 = 1000;

/// A piece of session time, in ms.
type Piece = (u64, u64);

/// What the oracle remembers.
#[derive(Debug, Default)]
pub struct Oracle {
    /// By content: which second it was recorded as.
    recorded: Vec<u32>,
    /// What was sent in each task.
    tasks: BTreeMap<String, Vec<Second>>,
    /// Sockets on which a task was begun and that the lane has not closed.
    live: BTreeSet<String>,
    /// Sockets into which nothing may be sent any more.
    over: BTreeSet<String>,
    acked: BTreeMap<u32, Content>,
    bucket: f64,
    bucket_at: u64,
    attempts: VecDeque<u64>,
    /// Tasks that the service ended by itself. When it was being asked to, just then, nobody can tell
    /// that it did not mean to have heard all.
    unasked: BTreeSet<String>,
    excused: Vec<Piece>,
    /// Up to this time the stream was reset.
    reset_ms: u64,
    owed: BTreeSet<String>,
    answered: BTreeSet<String>,
}

impl Oracle {
    /// The service ends this task by itself.
    pub fn excuse(&mut self, task: String) {
        self.unasked.insert(task);
    }

    /// Pace and backoff begin anew: they are counted in the time that the host shows.
    pub(crate) fn clock_is_set(&mut self) {
        self.bucket = 0.0;
        self.attempts.clear();
    }

    /// Records a second.
    pub fn new_content(&mut self, seq: u32, is_silent: bool) -> Content {
        if self.recorded.is_empty() {
            self.recorded.push(0);
        }
        if is_silent {
            return SILENT;
        }
        self.recorded.push(seq);
        self.recorded.len() as Content - 1
    }
}

fn state(document: Option<&str>) -> Result<State, String> {
    document.map_or(Ok(State::default()), |text| {
        serde_json::from_str(text).map_err(|error| format!("the state cannot be read: {error}"))
    })
}

/// What is left of a piece without others.
fn without(piece: Piece, others: &[Piece]) -> Vec<Piece> {
    let mut left = vec![piece];
    for (from, to) in others {
        left = left
            .into_iter()
            .flat_map(|(a, b)| [(a, b.min(*from)), (a.max(*to), b)])
            .filter(|(a, b)| a < b)
            .collect();
    }
    left
}

/// The pieces of session time that an utterance names, with their content.
fn named(utterance: &Utterance, recorded: &[u32]) -> Option<Vec<(Piece, Content)>> {
    let piece = |word: &str| {
        let (content, range) = word.split_once(':')?;
        let (from, to) = range.split_once('-')?;
        let content: Content = content.parse().ok()?;
        let seq = *recorded.get(content as usize)?;
        let begin = u64::from(seq.checked_sub(1)?) * SECOND_MS;
        let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
        Some(((begin + from, begin + to), content))
    };
    utterance.text.split(' ').map(piece).collect()
}

/// The seconds that a stored state lists as late.
fn listed_late(state: Option<&str>) -> BTreeSet<u32> {
    let state: serde_json::Value = state
        .and_then(|state| serde_json::from_str(state).ok())
        .unwrap_or_default();
    let ranges: Vec<(u32, u32)> = serde_json::from_value(state["late"].clone()).unwrap_or_default();
    ranges
        .into_iter()
        .flat_map(|(first, last)| first..=last)
        .collect()
}

fn second_of(ms: u64) -> u32 {
    (ms / SECOND_MS) as u32 + 1
}

impl World {
    pub(crate) fn oracle_sees_put(&mut self, seq: u32, content: Content) {
        if let Some(acked) = self.oracle.acked.get(&seq)
            && *acked != content
        {
            self.violation(format!("second {seq} is acked and overwritten"));
        }
    }

    pub(crate) fn oracle_sees_reply(&mut self, reply: Reply) {
        let (Reply::Stored(seq) | Reply::Duplicate(seq)) = reply else {
            return;
        };
        if let Err(wrong) = self.is_stored(seq) {
            return self.violation(format!("an ack of second {seq}: {wrong}"));
        }
        if let Some(content) = self.stores.blobs.get(&seq) {
            self.oracle.acked.insert(seq, *content);
        }
        let status = state(self.stores.records.bridge.as_deref()).map(|state| state.status());
        let is_final = status.is_ok_and(|status| u64::from(seq) * SECOND_MS <= status.final_ms);
        let mut sent = self.oracle.tasks.values().flatten();
        if is_final && matches!(reply, Reply::Stored(_)) && sent.all(|second| second.seq != seq) {
            self.trace.reach("a skipped second comes after all");
        }
        self.trace.reach(match reply {
            Reply::Stored(_) => "an ack: stored",
            _ => "an ack: duplicate",
        });
    }

    fn ingest(&self) -> Result<IngestRecord, String> {
        IngestRecord::load(self.stores.records.ingest.as_deref(), EpochMs(0))
            .map_err(|error| error.to_string())
    }

    fn is_stored(&self, seq: u32) -> Result<(), String> {
        if !Seq::new(seq).is_some_and(|seq| self.ingest().is_ok_and(|one| one.is_stored(seq))) {
            return Err("the record does not have it".into());
        }
        match (self.stores.blobs.get(&seq), self.oracle.acked.get(&seq)) {
            (None, _) => Err("the blob store does not have it".into()),
            (Some(now), Some(then)) if now != then => Err("other audio is stored".into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn oracle_sees_commit(&mut self, changes: &Changes) {
        if let Err(wrong) = self.check_commit(changes) {
            self.violation(wrong);
        }
    }

    fn check_commit(&mut self, changes: &Changes) -> Result<(), String> {
        let records = &self.stores.records;
        let before_text = records.bridge.as_deref();
        let before = state(before_text)?.status();
        let after_text = changes.bridge.as_deref().or(before_text);
        let after = state(after_text)?;
        if let Some(text) = &changes.bridge {
            let again = serde_json::to_string(&after).map_err(|error| error.to_string())?;
            if again != *text {
                return Err("the state changes when it is read and written".into());
            }
            if text.len() > STATE_BYTES {
                return Err(format!("the state has {} bytes", text.len()));
            }
        }
        let ingest_text = changes.ingest.as_deref().or(records.ingest.as_deref());
        let ingest = IngestRecord::load(ingest_text, EpochMs(0)).map_err(|e| e.to_string())?;
        let after = after.status();
        if after.final_ms < before.final_ms {
            return Err("what is final goes back".into());
        }
        if after.final_ms > u64::from(ingest.last_seq()) * SECOND_MS {
            return Err("what is not stored is final".into());
        }
        // What the new utterances name, and where.
        let mut last_end = records.utterances.last().map_or(0, |one| one.end_ms);
        let mut covered: Vec<Piece> = Vec::new();
        for utterance in &changes.utterances {
            if utterance.start_ms < last_end || utterance.end_ms <= utterance.start_ms {
                return Err(format!(
                    "an utterance at {}..{} after {last_end}",
                    utterance.start_ms, utterance.end_ms
                ));
            }
            last_end = utterance.end_ms;
            let Some(pieces) = named(utterance, &self.oracle.recorded) else {
                return Err(format!("this was never said: {}", utterance.text));
            };
            for ((from, to), content) in pieces {
                if from < utterance.start_ms || to > utterance.end_ms {
                    return Err(format!(
                        "an utterance at {}..{} names {from}..{to}",
                        utterance.start_ms, utterance.end_ms
                    ));
                }
                let seq = second_of(from);
                if self.stores.blobs.get(&seq) != Some(&content) {
                    return Err(format!("second {seq} was heard and is not what is stored"));
                }
                covered.push((from, to));
            }
        }
        if after.final_ms == before.final_ms {
            return match changes.utterances.is_empty() {
                true => Ok(()),
                false => Err("an utterance of what was final".into()),
            };
        }
        // All that became final was heard, or there was nothing to hear.
        let empty = Vec::new();
        let task = before_text.and_then(current_task).unwrap_or_default();
        let sent = self.oracle.tasks.get(&task).unwrap_or(&empty);
        for (from, to) in without((before.final_ms, after.final_ms), &covered) {
            for seq in second_of(from)..=second_of(to - 1) {
                let begin = u64::from(seq - 1) * SECOND_MS;
                let (from, to) = (from.max(begin), to.min(begin + SECOND_MS));
                if self.oracle.unasked.contains(&task) {
                    self.trace
                        .reach("the service ends a task just when it is asked to");
                    self.oracle.excused.push((from, to));
                    continue;
                }
                match sent.iter().find(|second| second.seq == seq) {
                    Some(second) if second.content == Some(SILENT) => {}
                    // Silenced as a whole: it came late, and what is left of it is not for this path.
                    Some(second) if u64::from(second.muted_ms) == SECOND_MS => {}
                    Some(second) if second.content.is_none() => {
                        self.trace.reach("silence for a missing second");
                    }
                    Some(_) => return Err(format!("{from}..{to} is final and nobody heard it")),
                    None if !Seq::new(seq).is_some_and(|seq| ingest.is_stored(seq)) => {
                        self.trace.reach("a skipped second becomes final");
                    }
                    None => return Err(format!("{from}..{to} is final and was not sent")),
                }
            }
        }
        self.oracle.attempts.clear();
        Ok(())
    }

    pub(crate) fn oracle_sees_reset(&mut self) {
        let Ok(state) = state(self.stores.records.bridge.as_deref()) else {
            return self.violation("the state cannot be read".into());
        };
        self.oracle.reset_ms = state.status().final_ms;
        self.oracle.attempts.clear();
    }

    /// Before it is known whether the socket takes it.
    pub(crate) fn oracle_sees_send(&mut self, socket: &str, _: &[Payload]) {
        if self.oracle.over.contains(socket) {
            self.violation(format!("something is sent into {socket}, which is over"));
        }
    }

    /// The socket took it.
    pub(crate) fn oracle_sees_sent(&mut self, socket: &str, payloads: &[Payload]) {
        for payload in payloads {
            match payload {
                Payload::Text(text) if text.contains("run-task") => {
                    if let Some(other) = self.oracle.live.iter().next() {
                        let what = format!("a task on {socket} while there is one on {other}");
                        self.violation(what);
                    }
                    self.oracle.live.insert(socket.to_owned());
                }
                Payload::Text(_) => {
                    let status = state(self.stores.records.bridge.as_deref()).map(|s| s.status());
                    if status.is_ok_and(|status| status.sent < status.stored) {
                        self.trace.reach("a task ends before missing seconds");
                    }
                }
                Payload::Audio(second) => self.check_audio(socket, *second),
            }
        }
    }

    fn check_audio(&mut self, socket: &str, second: Second) {
        let now = self.now();
        let passed = now.saturating_sub(self.oracle.bucket_at) as f64 / 1000.0;
        self.oracle.bucket = (self.oracle.bucket - passed * SPEED).max(0.0) + 1.0;
        self.oracle.bucket_at = now;
        if self.oracle.bucket > BURST + 0.5 {
            self.violation("audio is sent faster than the pace".into());
        }
        let document = self.stores.records.bridge.as_deref();
        let (Some(task), Ok(state)) = (self.task_of(socket), state(document)) else {
            return self.violation("audio is sent and the state knows of no task".into());
        };
        if document.and_then(current_task).as_deref() != Some(&task) {
            return self
                .violation("audio is sent in a task that the stored state does not have".into());
        }
        let status = state.status();
        if second.seq > status.sent {
            return self.violation("audio is sent and the stored state does not say so".into());
        }
        let sent = self.oracle.tasks.entry(task).or_default();
        let is_next = match sent.last() {
            Some(last) => second.seq == last.seq + 1,
            None => {
                second.seq == second_of(status.final_ms)
                    && [status.final_ms % SECOND_MS, SECOND_MS]
                        .contains(&u64::from(second.muted_ms))
            }
        };
        let silence = |second: &&Second| second.content.is_none();
        let in_a_row = sent.iter().rev().take_while(silence).count();
        let is_first = sent.is_empty();
        sent.push(second);
        if second.content.is_none() && (is_first || in_a_row >= MAX_SILENCE_SECONDS as usize) {
            self.violation(format!(
                "silence is sent for second {} after {in_a_row} of it",
                second.seq
            ));
        }
        if !is_next {
            self.violation(format!("second {} is not what comes next", second.seq));
        }
        if second.muted_ms > 0 {
            self.trace
                .reach("a second is sent with its beginning silenced");
        }
        if second.content.is_none()
            && let Ok(ingest) = self.ingest()
            && Seq::new(second.seq).is_some_and(|seq| ingest.is_stored(seq))
        {
            self.violation(format!(
                "second {} is stored and sent as silence",
                second.seq
            ));
        }
    }

    fn task_of(&self, socket: &str) -> Option<String> {
        let outbound = self.outbound.get(&crate::outbound::number(socket))?;
        Some(outbound.task.clone())
    }

    pub(crate) fn oracle_sees_close(&mut self, socket: &str) {
        self.oracle.live.remove(socket);
        self.oracle.over.insert(socket.to_owned());
    }

    /// The socket is no more, or its end is decided outside the lane.
    pub(crate) fn oracle_sees_end(&mut self, socket: &str) {
        self.oracle.live.remove(socket);
    }

    pub(crate) fn oracle_sees_open(&mut self) {
        let now = self.now();
        self.trace.reach("an attempt to connect");
        let attempts = &mut self.oracle.attempts;
        attempts.push_back(now);
        attempts.retain(|at| at + 60_000 > now);
        if attempts.len() > ATTEMPTS_PER_MINUTE {
            self.violation(format!(
                "{} attempts to connect in a minute",
                self.oracle.attempts.len()
            ));
        }
    }

    pub(crate) fn oracle_sees_handled(&mut self, batch: &[Event]) {
        for event in batch {
            match event {
                Event::Flush { call } if !self.oracle.answered.contains(call) => {
                    self.oracle.owed.insert(call.clone());
                }
                Event::Text { task, text } if text.contains("\"task-failed\"") => {
                    let of_task = self.outbound.iter().find(|(_, one)| one.task == *task);
                    if let Some((socket, _)) = of_task {
                        let socket = crate::outbound::name(*socket);
                        self.oracle.live.remove(&socket);
                        self.oracle.over.insert(socket);
                    }
                }
                _ => {}
            }
        }
    }

    /// An answer that was to be sent after a commit is lost with the batch; whoever waits for it has a
    /// time limit.
    pub(crate) fn oracle_sees_failure(&mut self) {
        let state: serde_json::Value = self
            .stores
            .records
            .bridge
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let waiting = state["flushes"].as_array().cloned().unwrap_or_default();
        self.oracle
            .owed
            .retain(|call| waiting.iter().any(|one| one.as_str() == Some(call)));
    }

    pub(crate) fn oracle_sees_flushed(&mut self, call: &str, untranscribed: u32) {
        self.oracle.owed.remove(call);
        self.oracle.answered.insert(call.to_owned());
        self.trace.reach("a flush is answered");
        let left = self.left();
        if left != Ok(untranscribed) {
            self.violation(format!(
                "a flush is told of {untranscribed} seconds, there are {left:?}"
            ));
        }
        if let Err(wrong) = self.account() {
            self.violation(format!("a flush is answered: {wrong}"));
        }
    }

    /// Stored seconds that are not final, and those that are listed as late.
    fn left(&self) -> Result<u32, String> {
        let document = self.stores.records.bridge.as_deref();
        let (status, ingest) = (state(document)?.status(), self.ingest()?);
        let open = second_of(status.final_ms);
        let late = listed_late(document);
        let is_left = |seq: &u32| {
            Seq::new(*seq).is_some_and(|seq| ingest.is_stored(seq))
                && (*seq >= open || late.contains(seq))
        };
        Ok((1..=status.stored).filter(is_left).count() as u32)
    }

    pub(crate) fn oracle_sees_crash(&mut self) {
        self.oracle.live.clear();
        self.oracle.owed.clear();
        if let Err(wrong) = self.keeps_its_word() {
            self.violation(format!("after a crash: {wrong}"));
        }
    }

    fn keeps_its_word(&self) -> Result<(), String> {
        let acked = self.oracle.acked.keys();
        for seq in acked {
            let stored = self.is_stored(*seq);
            stored.map_err(|wrong| format!("second {seq} was acked: {wrong}"))?;
        }
        Ok(())
    }

    /// Every stored second up to what is final is covered by exactly one utterance or was silent, or it
    /// is listed as late and nobody heard any of it.
    fn account(&mut self) -> Result<(), String> {
        let status = state(self.stores.records.bridge.as_deref())?.status();
        let mut covered: Vec<Piece> = Vec::new();
        for utterance in &self.stores.records.utterances {
            let pieces = named(utterance, &self.oracle.recorded)
                .ok_or_else(|| "an utterance that was never said".to_owned())?;
            covered.extend(pieces.into_iter().map(|(piece, _)| piece));
        }
        covered.sort_unstable();
        if !covered.is_sorted_by(|a, b| a.1 <= b.0) {
            return Err("something is transcribed twice".into());
        }
        let late = listed_late(self.stores.records.bridge.as_deref());
        let ingest = self.ingest()?;
        for (seq, content) in &self.stores.blobs {
            let begin = u64::from(seq - 1) * SECOND_MS;
            let second = (begin, begin + SECOND_MS);
            let is_stored = Seq::new(*seq).is_some_and(|seq| ingest.is_stored(seq));
            if !is_stored || second.0 < self.oracle.reset_ms || second.1 > status.final_ms {
                continue;
            }
            let left = without(second, &covered);
            if left.iter().any(|piece| self.oracle.excused.contains(piece)) {
                continue;
            }
            if late.contains(seq) {
                self.trace.reach("a second is listed as late");
                if left != [second] {
                    return Err(format!("second {seq} is listed as late and was heard"));
                }
            } else if !left.is_empty() && *content != SILENT {
                return Err(format!(
                    "second {seq} is stored, not transcribed and not listed: {left:?}"
                ));
            }
        }
        match late
            .iter()
            .find(|seq| !Seq::new(**seq).is_some_and(|seq| ingest.is_stored(seq)))
        {
            Some(seq) => Err(format!("second {seq} is listed as late and is not stored")),
            None => Ok(()),
        }
    }

    /// Nothing is left to happen, and for some time nothing has failed.
    pub(crate) fn oracle_sees_rest(&mut self) {
        if let Err(wrong) = self.check_rest() {
            self.violation(format!("at rest: {wrong}"));
        }
    }

    fn check_rest(&mut self) -> Result<(), String> {
        self.keeps_its_word()?;
        self.account()?;
        let ingest = self.ingest()?;
        let state = state(self.stores.records.bridge.as_deref())?;
        let status = state.status();
        if status.stored != ingest.last_seq() && self.stores.records.bridge.is_some() {
            return Err(format!(
                "{} seconds are stored, the bridge knows {}",
                ingest.last_seq(),
                status.stored
            ));
        }
        if state.untranscribed() > 0 || status.connection != Connection::Disconnected {
            return Err(format!(
                "{} seconds are left, {:?}",
                state.untranscribed(),
                status.connection
            ));
        }
        if !self.outbound.is_empty() {
            return Err("a socket is left".into());
        }
        if !self.oracle.owed.is_empty() {
            return Err(format!("nobody answered {:?}", self.oracle.owed));
        }
        if let Some(error) = status.last_error {
            return Err(format!("the state shows an error: {error}"));
        }
        let records = &self.stores.records;
        if merge_all(&records.utterances) != records.merged {
            return Err("the merged view is not that of its utterances".into());
        }
        Ok(())
    }
}
