//! Ingest: which seconds of a stream are stored, and what to do with the next chunk.
//!
//! The record names every missing second, so that one that comes late can be told from one that
//! comes twice: a chunk is acked as duplicate only if it is stored. That is why the gaps are bounded
//! ([`MAX_GAPS`], [`MAX_SEQ_JUMP`]) by refusing chunks and never by forgetting gaps.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frame::CHUNK_BYTES;
use crate::id::SessionId;
use crate::pace::Pace;
use crate::role::{ByRole, StreamRole};
use crate::seq::{ClaimedSeq, Seq};
use crate::stored::{self, Damaged};
use crate::time::{EpochMs, Rfc3339};

/// Most seconds that a chunk may skip. A recorder that was off for longer starts a new session; a
/// number beyond it is a mistake that would otherwise make every later chunk a duplicate.
pub const MAX_SEQ_JUMP: u32 = 3600;

/// Most gaps of one stream. The record is written with every chunk, about 12 bytes a gap.
pub const MAX_GAPS: usize = 1024;

/// What is stored of one stream. Belongs to the stream's lane.
///
/// Always true: `received_chunks + missing_chunks == last_seq`, and the gaps are sorted, disjoint,
/// not adjacent, below `last_seq`, and hold `missing_chunks` seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredIngest")]
pub struct IngestRecord {
    last_seq: u32,
    received_chunks: u32,
    duplicate_chunks: u64,
    missing_chunks: u32,
    bytes_stored: u64,
    started_at: EpochMs,
    updated_at: EpochMs,
    /// First and last missing second of each gap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<(u32, u32)>,
    /// What [`Pace`] keeps of it; 0 where there is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    paid_until: u64,
}

/// What to do with a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It continues the stream, after a gap or not: store it, then call [`IngestRecord::stored`].
    Store(Seq),
    /// It comes late and fills a gap: the same.
    FillGap(Seq),
    /// This second is stored: store nothing, call [`IngestRecord::duplicate`].
    Duplicate(Seq),
    /// An error frame with this text; nothing changes.
    Refuse(Refusal),
}

/// Why a chunk cannot be taken. The client may go on with other chunks.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Refusal {
    /// It skips over [`MAX_SEQ_JUMP`] seconds, or is no second that a stream can have.
    #[error("frame.seq jumps from {last} to {seq}: at most {MAX_SEQ_JUMP} seconds may be skipped")]
    Jump {
        /// The stream's last second so far; 0 for none.
        last: u32,
        /// What the client sent.
        seq: ClaimedSeq,
    },
    /// It would make one gap more than [`MAX_GAPS`].
    #[error(
        "frame.seq {seq} would make one gap more than the {MAX_GAPS} of this stream: send the missing seconds {first}..{last} first"
    )]
    TooManyGaps {
        /// What the client sent.
        seq: Seq,
        /// First second of the first gap.
        first: u32,
        /// Its last second.
        last: u32,
    },
}

// A claimed number is never NaN.
impl Eq for Refusal {}

impl IngestRecord {
    /// Of a stream that nothing was stored of. `at` is when the session was created if that is
    /// known, else now.
    pub const fn new(at: EpochMs) -> Self {
        Self {
            last_seq: 0,
            received_chunks: 0,
            duplicate_chunks: 0,
            missing_chunks: 0,
            bytes_stored: 0,
            started_at: at,
            updated_at: at,
            gaps: Vec::new(),
            paid_until: 0,
        }
    }

    /// Reads the stored record; none was never written.
    pub fn load(stored: Option<&str>, at: EpochMs) -> Result<Self, Damaged> {
        stored.map_or(Ok(Self::new(at)), |document| {
            stored::read("ingest record", document)
        })
    }

    /// The document to store.
    pub fn to_document(&self) -> String {
        stored::to_json(self)
    }

    /// What to do with the chunk of this second. Changes nothing.
    pub fn decide(&self, claimed: ClaimedSeq) -> Decision {
        let jump = || {
            Decision::Refuse(Refusal::Jump {
                last: self.last_seq,
                seq: claimed,
            })
        };
        let Some(seq) = claimed.seq() else {
            return jump();
        };
        if let Some(ahead) = seq.get().checked_sub(self.last_seq)
            && ahead > 0
        {
            return match ahead - 1 {
                0 => Decision::Store(seq),
                skipped if skipped > MAX_SEQ_JUMP => jump(),
                _ => self.unless_full(seq, Decision::Store(seq)),
            };
        }
        match self.gap_of(seq) {
            Err(_) => Decision::Duplicate(seq),
            Ok(at) => match self.gaps.get(at) {
                // In the middle: one gap becomes two.
                Some(&(first, last)) if first < seq.get() && seq.get() < last => {
                    self.unless_full(seq, Decision::FillGap(seq))
                }
                _ => Decision::FillGap(seq),
            },
        }
    }

    fn unless_full(&self, seq: Seq, decision: Decision) -> Decision {
        match self.gaps.first() {
            Some(&(first, last)) if self.gaps.len() >= MAX_GAPS => {
                Decision::Refuse(Refusal::TooManyGaps { seq, first, last })
            }
            _ => decision,
        }
    }

    /// Counts a chunk that is now in the blob store. False, and nothing changed, for a second that
    /// [`IngestRecord::decide`] would not have stored.
    pub fn stored(&mut self, seq: Seq, now: EpochMs) -> bool {
        match self.decide(seq.into()) {
            Decision::Store(seq) => {
                // In range: `decide` saw that `seq` is beyond `last_seq`.
                let skipped = seq.get() - self.last_seq - 1;
                if skipped > 0 {
                    self.gaps.push((self.last_seq + 1, seq.get() - 1));
                    self.missing_chunks += skipped;
                }
                self.last_seq = seq.get();
            }
            Decision::FillGap(seq) => {
                self.fill(seq);
                self.missing_chunks -= 1;
            }
            Decision::Duplicate(_) | Decision::Refuse(_) => return false,
        }
        self.received_chunks += 1;
        self.bytes_stored += CHUNK_BYTES as u64;
        self.updated_at = now;
        true
    }

    fn fill(&mut self, seq: Seq) {
        let seq = seq.get();
        let Ok(at) = self.gap_of_number(seq) else {
            return;
        };
        let Some(gap) = self.gaps.get_mut(at) else {
            return;
        };
        match *gap {
            (first, last) if first == last => {
                self.gaps.remove(at);
            }
            (first, last) if first == seq => *gap = (first + 1, last),
            (first, last) if last == seq => *gap = (first, last - 1),
            (first, last) => {
                *gap = (first, seq - 1);
                self.gaps.insert(at + 1, (seq + 1, last));
            }
        }
    }

    /// Counts a chunk that came again.
    pub const fn duplicate(&mut self, now: EpochMs) {
        self.duplicate_chunks = self.duplicate_chunks.saturating_add(1);
        self.updated_at = now;
    }

    /// A frame came that costs as much as a chunk, whatever becomes of it: for how many milliseconds no more
    /// may come.
    pub fn paced(&mut self, pace: Pace, now: EpochMs) -> u64 {
        self.paid_until = pace.arrived(self.paid_until, now);
        self.wait_ms(pace, now)
    }

    /// For how many milliseconds no more may come.
    pub fn wait_ms(&self, pace: Pace, now: EpochMs) -> u64 {
        pace.wait_ms(self.paid_until, now)
    }

    /// The last second that is stored; 0 for none.
    pub const fn last_seq(&self) -> u32 {
        self.last_seq
    }

    /// Seconds that are stored.
    pub const fn received_chunks(&self) -> u32 {
        self.received_chunks
    }

    /// Chunks that came again.
    pub const fn duplicate_chunks(&self) -> u64 {
        self.duplicate_chunks
    }

    /// Seconds before the last one that are not stored.
    pub const fn missing_chunks(&self) -> u32 {
        self.missing_chunks
    }

    /// Bytes of PCM that are stored.
    pub const fn bytes_stored(&self) -> u64 {
        self.bytes_stored
    }

    /// When a chunk last came; of a stream that had none, when it was created.
    pub const fn updated_at(&self) -> EpochMs {
        self.updated_at
    }

    /// First and last missing second of each gap, in order.
    pub fn gaps(&self) -> &[(u32, u32)] {
        &self.gaps
    }

    /// How many seconds after this one are missing.
    pub fn missing_after(&self, seq: u32) -> u32 {
        let after = |&(first, last): &(u32, u32)| last.saturating_sub(seq.max(first - 1));
        self.gaps.iter().map(after).sum()
    }

    /// Whether this second is stored.
    pub fn is_stored(&self, seq: Seq) -> bool {
        seq.get() <= self.last_seq && self.gap_of(seq).is_err()
    }

    fn gap_of(&self, seq: Seq) -> Result<usize, usize> {
        self.gap_of_number(seq.get())
    }

    /// The gap that holds this second, or where one would be.
    fn gap_of_number(&self, seq: u32) -> Result<usize, usize> {
        self.gaps.binary_search_by(|&(first, last)| {
            if last < seq {
                std::cmp::Ordering::Less
            } else if first > seq {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
    }

    /// What clients see of it.
    pub fn status<'a>(&self, session: &'a SessionId, role: StreamRole) -> IngestStatus<'a> {
        IngestStatus {
            kind: "status",
            session_id: session.as_str(),
            stream_role: role,
            meeting_id: session.as_str(),
            last_seq: self.last_seq,
            received_chunks: self.received_chunks,
            duplicate_chunks: self.duplicate_chunks,
            missing_chunks: self.missing_chunks,
            bytes_stored: self.bytes_stored,
            started_at: Rfc3339(self.started_at),
            updated_at: Rfc3339(self.updated_at),
        }
    }
}

/// The status object of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IngestStatus<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    session_id: &'a str,
    stream_role: StreamRole,
    meeting_id: &'a str,
    last_seq: u32,
    received_chunks: u32,
    duplicate_chunks: u64,
    missing_chunks: u32,
    bytes_stored: u64,
    started_at: Rfc3339,
    updated_at: Rfc3339,
}

impl ByRole<IngestRecord> {
    /// `ingest_by_stream`.
    pub fn status<'a>(&self, session: &'a SessionId) -> ByRole<IngestStatus<'a>> {
        ByRole::new(|role| self.get(role).status(session, role))
    }
}

/// The record as it was written, before its rules are checked.
#[derive(Deserialize)]
struct StoredIngest {
    last_seq: u32,
    received_chunks: u32,
    duplicate_chunks: u64,
    missing_chunks: u32,
    bytes_stored: u64,
    started_at: EpochMs,
    updated_at: EpochMs,
    #[serde(default)]
    gaps: Vec<(u32, u32)>,
    #[serde(default)]
    paid_until: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl TryFrom<StoredIngest> for IngestRecord {
    type Error = &'static str;

    fn try_from(stored: StoredIngest) -> Result<Self, Self::Error> {
        let mut before = 0;
        let mut missing = 0_u32;
        for (index, &(first, last)) in stored.gaps.iter().enumerate() {
            // The first gap may begin with second 1, the others not right behind the one before.
            let lowest = if index == 0 {
                1
            } else {
                u32::saturating_add(before, 2)
            };
            if first < lowest || last < first || last >= stored.last_seq {
                return Err("the gaps are not in order");
            }
            before = last;
            // `last` is below `last_seq`, so the sum of disjoint gaps is too.
            missing += last - first + 1;
        }
        if stored.gaps.len() > MAX_GAPS
            || missing != stored.missing_chunks
            || stored.received_chunks.checked_add(missing) != Some(stored.last_seq)
        {
            return Err("the counts do not match the gaps");
        }
        Ok(Self {
            last_seq: stored.last_seq,
            received_chunks: stored.received_chunks,
            duplicate_chunks: stored.duplicate_chunks,
            missing_chunks: stored.missing_chunks,
            bytes_stored: stored.bytes_stored,
            started_at: stored.started_at,
            updated_at: stored.updated_at,
            gaps: stored.gaps,
            paid_until: stored.paid_until,
        })
    }
}

#[cfg(test)]
mod tests;
