//! The merged view of a log of utterances, made while they are read: so it is of just these utterances, whatever
//! is written meanwhile. The stored merged log is for who reads its end. Of utterances that came out of order only
//! their places are kept, since all of them can be larger than a component's memory.

use interview_session::role::StreamRole;
use interview_transcript::{Merge, MergedEntry, Utterance, merge_next, order_key};
use serde::Deserialize;
use serde_json::value::to_raw_value;

use crate::bindings::interview::gateway::session_state::Log;
use crate::pages::{LogPages, Source};
use crate::session::Extent;
use crate::{Entry, Unread, damaged};

/// The view, entry by entry.
pub struct MergedPages<'a> {
    utterances: LogPages<'a>,
    order: Order,
    /// The entry that the next utterance may extend.
    last: Option<MergedEntry>,
}

/// In which order utterances are merged.
enum Order {
    AsStored,
    /// By their indexes.
    By(std::vec::IntoIter<u32>),
    /// It is yet to be found out.
    Unknown,
}

/// Where an utterance is in the order.
#[derive(Deserialize)]
struct Place {
    start_seq: u32,
    end_seq: u32,
}

impl<'a> MergedPages<'a> {
    /// Of the utterances of that extent.
    pub fn new(source: &'a dyn Source, role: StreamRole, extent: Extent) -> Self {
        Self {
            utterances: LogPages::new(source, role, Log::Utterances, extent),
            order: match extent.out_of_order {
                true => Order::Unknown,
                false => Order::AsStored,
            },
            last: None,
        }
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Unread> {
        while let Some(utterance) = self.next_utterance()? {
            let utterance: Utterance = serde_json::from_str(utterance.get()).map_err(damaged)?;
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

    fn next_utterance(&mut self) -> Result<Option<Entry>, Unread> {
        if let Order::Unknown = self.order {
            self.order = Order::By(self.places()?.into_iter());
        }
        match &mut self.order {
            Order::By(indexes) => match indexes.next() {
                Some(index) => self.utterances.at(index),
                None => Ok(None),
            },
            Order::AsStored | Order::Unknown => self.utterances.next_entry(),
        }
    }

    /// The utterances' indexes in their order. Equal ones stay as they came.
    fn places(&mut self) -> Result<Vec<u32>, Unread> {
        let mut order = Vec::new();
        loop {
            let index = self.utterances.position();
            let Some(entry) = self.utterances.next_entry()? else {
                break;
            };
            let Place { start_seq, end_seq } =
                serde_json::from_str(entry.get()).map_err(damaged)?;
            order.push((order_key(start_seq, end_seq), index));
        }
        order.sort_unstable();
        Ok(order.into_iter().map(|(_, index)| index).collect())
    }
}

fn shown(entry: &MergedEntry) -> Result<Entry, Unread> {
    to_raw_value(entry).map_err(damaged)
}
