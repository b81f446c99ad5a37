//! What one record says of a stream's logs: their life, their lengths, and what is left to remove of
//! what they were before. Values only; [`crate::logs`] stores them.

use serde::{Deserialize, Serialize};

use crate::layout::Log;

/// The logs of a stream. A life of 0 is that of a log which was never written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Which life of the logs; part of the names of their entries. Epoch ms of its beginning, or more.
    pub life: u64,
    pub utterances: u32,
    pub merged: u32,
    pub events: u32,
    /// The students' utterance that is identified next; not used for the other roles.
    #[serde(default)]
    pub next: u32,
    /// There is no merged log in this life any more.
    #[serde(default)]
    pub out_of_order: bool,
    /// Entries that no log has any more and that may not be deleted yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Leftover>,
}

/// The first entries of some logs that are left to be deleted, last first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    pub life: u64,
    #[serde(default)]
    pub utterances: u32,
    #[serde(default)]
    pub merged: u32,
    #[serde(default)]
    pub events: u32,
}

/// Names an entry to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryName {
    pub log: Log,
    pub life: u64,
    pub index: u32,
}

impl LogRecord {
    /// Entries of a log.
    pub const fn len(&self, log: Log) -> u32 {
        match log {
            Log::Utterances => self.utterances,
            Log::Merged => self.merged,
            Log::Events => self.events,
        }
    }

    /// Begins the first life, unless there is one.
    pub fn begin(&mut self, now: u64) {
        if self.life == 0 {
            self.life = now.max(1);
        }
    }

    /// Begins a new life with empty logs; what the old one had is left to be removed.
    pub fn begin_again(&mut self, now: u64) {
        let mut remove = std::mem::take(&mut self.remove);
        remove.extend(
            Leftover {
                life: self.life,
                utterances: self.utterances,
                merged: self.merged,
                events: self.events,
            }
            .unless_empty(),
        );
        *self = LogRecord {
            life: now.max(self.life.saturating_add(1)),
            remove,
            ..LogRecord::default()
        };
    }

    /// Gives the merged log up, of which `stored` entries may be there.
    pub fn give_up_merged(&mut self, stored: u32) {
        let leftover = Leftover {
            life: self.life,
            utterances: 0,
            merged: stored,
            events: 0,
        };
        self.remove.extend(leftover.unless_empty());
        self.merged = 0;
        self.out_of_order = true;
    }

    /// Takes at most `limit` entries out of what is left to be removed.
    pub fn take_leftovers(&mut self, limit: usize) -> Vec<EntryName> {
        let mut names = Vec::new();
        while names.len() < limit {
            let Some(leftover) = self.remove.last_mut() else {
                break;
            };
            match leftover.take_one() {
                Some(name) => names.push(name),
                None => drop(self.remove.pop()),
            }
        }
        self.remove.retain(|leftover| !leftover.is_empty());
        names
    }
}

impl Leftover {
    const fn is_empty(&self) -> bool {
        self.utterances == 0 && self.merged == 0 && self.events == 0
    }

    fn unless_empty(self) -> Option<Self> {
        (!self.is_empty()).then_some(self)
    }

    fn take_one(&mut self) -> Option<EntryName> {
        let life = self.life;
        [
            (Log::Utterances, &mut self.utterances),
            (Log::Merged, &mut self.merged),
            (Log::Events, &mut self.events),
        ]
        .into_iter()
        .find_map(|(log, left)| {
            *left = left.checked_sub(1)?;
            Some(EntryName {
                log,
                life,
                index: *left,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_never_lived_twice() {
        let mut log = LogRecord::default();
        log.begin(0);
        assert_eq!(log.life, 1);
        log.begin(9);
        assert_eq!(log.life, 1);
        log.begin_again(1_000);
        assert_eq!(log.life, 1_000);
        // Twice in a millisecond, and after the clock went back.
        log.begin_again(1_000);
        log.begin_again(5);
        assert_eq!(log.life, 1_002);
        assert_eq!(log.remove, []);
    }

    #[test]
    fn leftovers_are_taken_in_pieces_and_once() {
        let mut log = LogRecord {
            life: 1,
            utterances: 3,
            merged: 2,
            events: 1,
            ..LogRecord::default()
        };
        log.give_up_merged(2);
        log.begin_again(2);
        log.events = 5;
        let mut taken = Vec::new();
        loop {
            let page = log.take_leftovers(2);
            assert!(page.len() <= 2);
            if page.is_empty() {
                break;
            }
            taken.extend(
                page.iter()
                    .map(|e| format!("{:?}{}-{}", e.log, e.life, e.index)),
            );
        }
        taken.sort();
        assert_eq!(
            taken,
            [
                "Events1-0",
                "Merged1-0",
                "Merged1-1",
                "Utterances1-0",
                "Utterances1-1",
                "Utterances1-2"
            ]
        );
        assert_eq!((log.remove.len(), log.events, log.life), (0, 5, 2));
    }
}
