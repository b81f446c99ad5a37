//! New entries of the streams' logs, and what passes, get their numbers.

use std::collections::{HashMap, VecDeque};

use interview_session::role::{ByRole, StreamRole};
use interview_session::stored::to_json;

use crate::deliver::Known;
use crate::entry::{Entry, EntryName, Log};
use crate::lane::{Append, LiveLane};
use crate::limits::PAGE;
use crate::order::{self, Item, Queue};
use crate::record::{LogLength, Numbered, Place, Record};

impl Record {
    /// After a reset a stream begins anew: what was counted and heard was of the old life.
    pub(crate) fn begin_new_lives(&mut self, lengths: &ByRole<LogLength>) {
        for role in StreamRole::ALL {
            let life = lengths.get(role).life;
            let numbered = self.roles.get_mut(role);
            if numbered.logs.life != life {
                *numbered = Numbered {
                    logs: LogLength {
                        life,
                        ..LogLength::default()
                    },
                    asr_state: numbered.asr_state,
                    next_state: numbered.next_state,
                    ..Numbered::default()
                };
            }
        }
    }
}

impl LiveLane {
    /// The oldest entries of the streams' logs without a number, at most [`PAGE`]. They are numbered
    /// only while somebody listens: until then a session has no live log.
    pub fn wanted(&self) -> Vec<EntryName> {
        let logs = self.unnumbered();
        let share = PAGE / u32::try_from(logs.len().max(1)).unwrap_or(PAGE);
        let names = logs.into_iter().flat_map(|(from, length)| {
            (from.index..length)
                .take(share as usize)
                .map(move |index| EntryName { index, ..from })
        });
        names.collect()
    }

    /// Gives numbers to what was read of [`LiveLane::wanted`], and to what passes. To be appended
    /// before anything is sent; none: there is nothing new.
    pub fn number(&mut self, documents: Vec<Option<String>>) -> Option<Append> {
        let first = self.record.last + 1;
        let mut entries = Vec::new();
        self.forget_what_passes();
        for item in order::merge(self.queues(documents)) {
            entries.push(self.number_item(item));
        }
        if !self.is_importing() {
            self.end_waiting(self.record.last + 1, None);
            for entry in self.due() {
                entries.push(self.give_number(entry, None));
            }
        }
        (!entries.is_empty()).then_some(Append { first, entries })
    }

    /// Entries wait for their numbers.
    pub(crate) fn is_importing(&self) -> bool {
        !self.unnumbered().is_empty()
    }

    /// The first unnumbered entry of each log that has one, and the log's length.
    fn unnumbered(&self) -> Vec<(EntryName, u32)> {
        if self.record.viewers.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for role in StreamRole::ALL {
            let length = self.lengths.get(role);
            let done = &self.record.roles.get(role).logs;
            for log in Log::ALL {
                let index = done.of(log);
                if index < length.of(log) {
                    let name = EntryName {
                        role,
                        log,
                        life: length.life,
                        index,
                    };
                    found.push((name, length.of(log)));
                }
            }
        }
        found
    }

    fn queues(&self, documents: Vec<Option<String>>) -> Vec<Queue> {
        let mut read: HashMap<EntryName, String> = self
            .wanted()
            .into_iter()
            .zip(documents)
            .filter_map(|(name, document)| Some((name, document?)))
            .collect();
        let logs = self.unnumbered().into_iter();
        logs.map(|(from, length)| {
            let mut queue = Queue {
                role: from.role,
                log: from.log,
                items: VecDeque::new(),
                goes_on: false,
            };
            for index in from.index..length {
                let name = EntryName { index, ..from };
                // Not read, or gone since its log's length was: the next batch sees more.
                let Some(document) = read.remove(&name) else {
                    queue.goes_on = true;
                    break;
                };
                queue.push(name, document);
            }
            queue
        })
        .collect()
    }

    fn number_item(&mut self, item: Item) -> String {
        let Item {
            name,
            document,
            span,
            ..
        } = item;
        let numbered = self.record.roles.get_mut(name.role);
        match name.log {
            Log::Utterances => numbered.logs.utterances = name.index + 1,
            Log::Events => numbered.logs.events = name.index + 1,
        }
        if let Some(span) = span {
            numbered.finalized(span);
        }
        self.end_waiting(self.record.last + 1, Some(name));
        self.give_number(Entry::pointer(name), Some(&document))
    }

    fn give_number(&mut self, entry: Entry, document: Option<&str>) -> String {
        self.record.last += 1;
        self.progress = true;
        let number = self.record.last;
        let text = to_json(&entry);
        let known = Known::new(&self.session, number, entry, document);
        self.known.insert(number, known);
        text
    }

    /// For those who came before this entry `now` begins with `number`; none: for all.
    fn end_waiting(&mut self, number: u64, entry: Option<EntryName>) {
        for viewer in &mut self.record.viewers {
            let Place::Waiting { after, came } = &viewer.place else {
                continue;
            };
            if entry.is_none_or(|name| came.get(name.role).is_before(name)) {
                let next = after.map_or(number, |after| number.min(after.saturating_add(1)));
                viewer.place = Place::Next(next);
            }
        }
    }
}
