//! The merged view of utterances that came out of order, of which there is no log: made when it is read.
//! Of a long stream it is larger than this component's memory, so that of all utterances only their places
//! in the order are kept; each is read again when its turn comes.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use interview_transcript::{Merge, MergedEntry, Utterance, merge_next, order_key};
use serde::Deserialize;
use serde_json::value::to_raw_value;

use crate::log_pages::{Entry, LogPages, damaged};
use session_reader::bindings::interview::gateway::session_state::Log;

/// The view, entry by entry.
pub struct MergedView {
    pages: LogPages,
    /// The utterances' indexes, in the order in which they are merged.
    order: std::vec::IntoIter<u32>,
    /// The entry that the next utterance may extend.
    last: Option<MergedEntry>,
}

/// Where an utterance is in the order.
#[derive(Deserialize)]
struct Place {
    start_seq: u32,
    end_seq: u32,
}

impl MergedView {
    /// Of a stream's utterances as they are now.
    pub fn new(id: &SessionId, role: StreamRole) -> Result<Self, ApiError> {
        let mut pages = LogPages::new(id, role, Log::Utterances);
        let mut order = Vec::new();
        loop {
            let index = pages.position();
            let Some(entry) = pages.next()? else { break };
            let Place { start_seq, end_seq } =
                serde_json::from_str(entry.get()).map_err(damaged)?;
            order.push((order_key(start_seq, end_seq), index));
        }
        // Equal ones stay as they came: their indexes differ.
        order.sort_unstable();
        let order: Vec<u32> = order.into_iter().map(|(_, index)| index).collect();
        Ok(Self {
            pages,
            order: order.into_iter(),
            last: None,
        })
    }

    /// The next entry; none at the end.
    pub fn next(&mut self) -> Result<Option<Entry>, ApiError> {
        for index in self.order.by_ref() {
            let Some(entry) = self.pages.at(index)? else {
                // A reset has emptied the log meanwhile.
                break;
            };
            let utterance: Utterance = serde_json::from_str(entry.get()).map_err(damaged)?;
            match merge_next(self.last.as_ref(), &utterance) {
                Merge::Skip => {}
                Merge::Extend(entry) => self.last = Some(entry),
                Merge::Append(entry) => {
                    if let Some(done) = self.last.replace(entry) {
                        return shown(&done).map(Some);
                    }
                }
            }
        }
        self.last.take().as_ref().map(shown).transpose()
    }
}

fn shown(entry: &MergedEntry) -> Result<Entry, ApiError> {
    to_raw_value(entry).map_err(damaged)
}
