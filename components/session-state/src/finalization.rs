//! How far a session is on its way to `result.json`.

use serde::{Deserialize, Serialize};

use crate::bindings::exports::interview::gateway::session_state::{Error, FinalizationMarks};
use crate::layout::Keys;
use crate::sessions::created;
use crate::shared::{change_existing, change_or_create};
use crate::store::Store;

/// As stored; times are epoch ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// When one that runs last said so, until one ends.
    pub finalizing_at: Option<u64>,
    pub finalized_at: Option<u64>,
    pub finalized_chunks: u64,
    /// `result.json` lacks what was not done by then.
    #[serde(default)]
    pub incomplete: bool,
}

impl From<Marks> for FinalizationMarks {
    fn from(marks: Marks) -> FinalizationMarks {
        FinalizationMarks {
            finalizing_at: marks.finalizing_at,
            finalized_at: marks.finalized_at,
            finalized_chunks: marks.finalized_chunks,
            incomplete: marks.incomplete,
        }
    }
}

pub fn begin(store: &impl Store, keys: &Keys, now: u64) -> Result<(), Error> {
    change_or_create(
        store,
        keys,
        now,
        &keys.finalization(),
        |marks: &mut Marks| {
            marks.finalizing_at = Some(now);
        },
    )?;
    Ok(())
}

/// One that runs still does.
pub fn renew(store: &impl Store, keys: &Keys, now: u64) -> Result<(), Error> {
    change_existing(
        store,
        keys,
        now,
        &keys.finalization(),
        |marks: &mut Marks| {
            marks.finalizing_at = Some(now);
        },
    )
}

/// One has ended.
pub fn end(store: &impl Store, keys: &Keys, now: u64) -> Result<(), Error> {
    change_existing(
        store,
        keys,
        now,
        &keys.finalization(),
        |marks: &mut Marks| {
            marks.finalizing_at = None;
        },
    )
}

/// A `result.json`.
#[derive(Clone, Copy)]
pub struct Written {
    pub at: u64,
    /// Chunks that were received then.
    pub chunks: u64,
}

/// `result.json` was written. With a document it is incomplete: whoever sees that finds the document.
pub fn note(
    store: &impl Store,
    keys: &Keys,
    now: u64,
    written: Written,
    document: Option<String>,
) -> Result<(), Error> {
    let incomplete = document.is_some();
    if let Some(document) = document {
        store.set_many(vec![(keys.incomplete_result(), document)])?;
    }
    change_existing(
        store,
        keys,
        now,
        &keys.finalization(),
        |marks: &mut Marks| {
            marks.finalized_at = Some(written.at);
            marks.finalized_chunks = written.chunks;
            marks.incomplete = incomplete;
        },
    )?;
    // Of a session that was deleted meanwhile nothing stays either.
    if !incomplete || created(store, keys)?.is_none() {
        store.delete_many(&[keys.incomplete_result()])?;
    }
    Ok(())
}
