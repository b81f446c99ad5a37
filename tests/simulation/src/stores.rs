//! The blob store and the key-value store: they survive crashes, and they fail. What is applied is
//! shown to the oracle at that moment.

use std::collections::BTreeMap;

use interview_transcript::{MergedEntry, Utterance};

use crate::lane::Content;
use crate::world::{Stop, World};

/// All that survives a crash.
#[derive(Debug, Default)]
pub struct Stores {
    /// The audio of each second.
    pub blobs: BTreeMap<u32, Content>,
    /// The stream's records and logs.
    pub records: Records,
    /// Neither store answers before this time.
    pub gone_until: u64,
}

/// A stream's records, as documents, and its logs.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "named as in the component")]
pub struct Records {
    pub ingest: Option<String>,
    pub bridge: Option<String>,
    pub clients: Option<String>,
    pub utterances: Vec<Utterance>,
    pub merged: Vec<MergedEntry>,
}

/// What a load gives: the documents without the logs.
#[derive(Debug)]
#[allow(missing_docs, reason = "named as in the component")]
pub struct Loaded {
    pub ingest: Option<String>,
    pub bridge: Option<String>,
    pub clients: Option<String>,
}

/// What one commit writes.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "named as in the component")]
pub struct Changes {
    pub ingest: Option<String>,
    pub bridge: Option<String>,
    pub clients: Option<String>,
    pub utterances: Vec<Utterance>,
    pub merged: Vec<MergedChange>,
}

/// What an utterance does to the merged view.
#[derive(Debug)]
pub enum MergedChange {
    /// It continues the last entry.
    ReplaceLast(MergedEntry),
    /// It begins one.
    Append(MergedEntry),
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ingest.is_none()
            && self.bridge.is_none()
            && self.clients.is_none()
            && self.utterances.is_empty()
            && self.merged.is_empty()
    }
}

impl World {
    fn stores_are_gone(&self) -> bool {
        !self.is_calm() && self.now() < self.stores.gone_until
    }

    fn fails(&mut self, per_mille: u32, kind: &'static str) -> bool {
        let fails = self.stores_are_gone() || self.chance(per_mille);
        if fails {
            self.trace.reach(kind);
        }
        fails
    }

    /// The documents of the stream.
    pub fn load_stream(&mut self) -> Result<Loaded, Stop> {
        self.poke("crash: at a load")?;
        if self.fails(self.profile.load_fails_pm, "a load fails") {
            return Err(Stop::Failed("the records cannot be read"));
        }
        let records = &self.stores.records;
        Ok(Loaded {
            ingest: records.ingest.clone(),
            bridge: records.bridge.clone(),
            clients: records.clients.clone(),
        })
    }

    /// The tails of the logs.
    pub fn load_transcript(&mut self) -> Result<(Option<Utterance>, Option<MergedEntry>), Stop> {
        self.poke("crash: at a load")?;
        if self.fails(self.profile.load_fails_pm, "a load fails") {
            return Err(Stop::Failed("the transcript cannot be read"));
        }
        let records = &self.stores.records;
        Ok((
            records.utterances.last().cloned(),
            records.merged.last().cloned(),
        ))
    }

    /// One transaction.
    pub fn commit(&mut self, changes: Changes) -> Result<(), Stop> {
        self.poke("crash: before a commit")?;
        if self.fails(self.profile.commit_fails_pm, "a commit fails") {
            return Err(Stop::Failed("the records cannot be written"));
        }
        self.oracle_sees_commit(&changes);
        let records = &mut self.stores.records;
        for (record, change) in [
            (&mut records.ingest, changes.ingest),
            (&mut records.bridge, changes.bridge),
            (&mut records.clients, changes.clients),
        ] {
            if change.is_some() {
                *record = change;
            }
        }
        records.utterances.extend(changes.utterances);
        for change in changes.merged {
            match change {
                MergedChange::Append(entry) => records.merged.push(entry),
                MergedChange::ReplaceLast(entry) => {
                    records.merged.pop();
                    records.merged.push(entry);
                }
            }
        }
        self.poke("crash: after a commit")?;
        if self.chance(self.profile.commit_lies_pm) {
            self.trace
                .reach("a commit succeeds and says that it failed");
            return Err(Stop::Failed("the store did not answer"));
        }
        Ok(())
    }

    /// Removes the transcript and writes the bridge's state; the number of utterances removed.
    pub fn reset_stream(&mut self, bridge: Option<String>) -> Result<u32, Stop> {
        self.poke("crash: before a commit")?;
        if self.fails(self.profile.commit_fails_pm, "a commit fails") {
            return Err(Stop::Failed("the stream cannot be reset"));
        }
        let records = &mut self.stores.records;
        let removed = records.utterances.len() as u32;
        records.utterances.clear();
        records.merged.clear();
        records.bridge = bridge;
        self.trace.reach("a reset");
        self.oracle_sees_reset();
        self.poke("crash: after a commit")?;
        Ok(removed)
    }

    /// Whether the chunk is stored, as far as the store says.
    pub fn put_chunk(&mut self, seq: u32, content: Content) -> Result<bool, Stop> {
        self.poke("crash: before a put")?;
        if self.fails(self.profile.put_fails_pm, "a put fails") {
            return Ok(false);
        }
        self.oracle_sees_put(seq, content);
        self.stores.blobs.insert(seq, content);
        self.poke("crash: after a put")?;
        if self.chance(self.profile.put_lies_pm) {
            self.trace.reach("a put succeeds and says that it failed");
            return Ok(false);
        }
        Ok(true)
    }

    /// None: it cannot be read. Inside: what the store has.
    pub fn get_chunk(&mut self, seq: u32) -> Result<Option<Option<Content>>, Stop> {
        self.poke("crash: at a get")?;
        if self.fails(self.profile.get_fails_pm, "a get fails") {
            return Ok(None);
        }
        self.trace.reach("a second is read back");
        Ok(Some(self.stores.blobs.get(&seq).copied()))
    }
}
