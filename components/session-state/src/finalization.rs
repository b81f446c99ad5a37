//! How far a session is on its way to `result.json`.

use serde::{Deserialize, Serialize};

use crate::bindings::exports::interview::gateway::session_state::{Error, FinalizationMarks};
use crate::layout::Keys;
use crate::shared::{change_existing, change_or_create};
use crate::store::Store;

/// As stored; times are epoch ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// When one that runs last said so, until one ends.
    pub finalizing_at: Option<u64>,
    pub finalized_at: Option<u64>,
    pub finalized_chunks: u64,
}

impl From<Marks> for FinalizationMarks {
    fn from(marks: Marks) -> FinalizationMarks {
        FinalizationMarks {
            finalizing_at: marks.finalizing_at,
            finalized_at: marks.finalized_at,
            finalized_chunks: marks.finalized_chunks,
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

/// With the time of `result.json` and the chunks received then, if it was written. Of two that end
/// the later result is the one that stays.
pub fn end(
    store: &impl Store,
    keys: &Keys,
    now: u64,
    written: Option<(u64, u64)>,
) -> Result<(), Error> {
    change_existing(
        store,
        keys,
        now,
        &keys.finalization(),
        |marks: &mut Marks| {
            marks.finalizing_at = None;
            if let Some((at, chunks)) = written
                && marks.finalized_at.is_none_or(|before| before <= at)
            {
                marks.finalized_at = Some(at);
                marks.finalized_chunks = chunks;
            }
        },
    )
}
