//! Who is sent what, how much of it at a time, and who is given up.

use std::collections::BTreeSet;
use std::sync::Arc;

use interview_session::id::SessionId;

use crate::entry::{Entry, EntryName};
use crate::lane::{Closing, Delivery, LiveLane, Parcel};
use crate::limits::{
    FEED, MAX_BEHIND, MAX_BEHIND_MS, SEND_BYTES, SEND_FRAMES, SUBSCRIBER_RESERVE, VIEWER_RESERVE,
};
use crate::record::{Behind, Place, Viewer};

/// The peer broke a rule.
const POLICY: u16 = 1008;

/// An entry that was read or made in this batch.
#[derive(Debug)]
pub(crate) struct Known {
    /// None: it is damaged, and nobody is sent anything.
    entry: Option<Entry>,
    /// None: there is nothing to send, or what it points to was not read yet.
    frame: Option<Arc<str>>,
    /// What it points to is still to be read.
    awaits_document: bool,
}

impl Known {
    pub fn new(session: &SessionId, number: u64, entry: Entry, document: Option<&str>) -> Self {
        let frame = entry.frame(session, number, document);
        Self {
            awaits_document: document.is_none() && frame.is_none() && entry.name().is_some(),
            entry: Some(entry),
            frame: frame.map(Arc::from),
        }
    }

    /// What it points to, if that is still to be read.
    fn name(&self) -> Option<EntryName> {
        self.entry.as_ref().filter(|_| self.awaits_document)?.name()
    }
}

impl Delivery {
    /// In pieces that a socket takes.
    pub fn parcels(&self) -> Vec<Parcel<'_>> {
        let mut parcels = Vec::new();
        let mut rest = self.frames.as_slice();
        loop {
            let mut bytes = 0;
            let fit = rest.iter().take(SEND_FRAMES).take_while(|(_, text)| {
                bytes += text.len();
                bytes <= SEND_BYTES
            });
            let (frames, later) = rest.split_at(fit.count().max(1).min(rest.len()));
            let next = match later.first() {
                Some((number, _)) => *number,
                None => self.next,
            };
            parcels.push(Parcel { frames, next });
            if later.is_empty() {
                return parcels;
            }
            rest = later;
        }
    }
}

impl LiveLane {
    /// Numbers of the live log to read for those who are not at its end, as ranges of which both ends
    /// are included, at most [`FEED`] in all: first for those who are nearest to it, so that one who resumes far back does not hold up the others.
    pub fn unread(&self) -> Vec<(u64, u64)> {
        let mut behind: Vec<(u64, usize)> = Vec::new();
        for viewer in &self.record.viewers {
            let allowed = self.allowed(viewer);
            match viewer.place {
                Place::Next(next) if next <= self.record.last && allowed > 0 => {
                    // Of a filtered log nobody knows how much concerns it.
                    let window = if viewer.wants_all() { allowed } else { FEED };
                    behind.push((next, window));
                }
                _ => {}
            }
        }
        behind.sort_unstable_by(|a, b| b.cmp(a));
        let mut numbers = BTreeSet::new();
        'all: for (next, window) in behind {
            for number in (next..=self.record.last).take(window) {
                if numbers.len() == FEED {
                    break 'all;
                }
                if !self.known.contains_key(&number) {
                    numbers.insert(number);
                }
            }
        }
        ranges(numbers)
    }

    /// An entry of the live log; none where there is none.
    pub fn read(&mut self, number: u64, document: Option<&str>) {
        let entry = document.and_then(|text| serde_json::from_str(text).ok());
        let known = match entry {
            Some(entry) => Known::new(&self.session, number, entry, None),
            None => {
                self.notes
                    .push(format!("live entry {number} cannot be read"));
                Known {
                    entry: None,
                    frame: None,
                    awaits_document: false,
                }
            }
        };
        self.known.insert(number, known);
    }

    /// What the entries point to that were read.
    pub fn unread_documents(&self) -> Vec<EntryName> {
        self.known.values().filter_map(Known::name).collect()
    }

    /// The documents of [`LiveLane::unread_documents`], or of the first of them; none for what a reset
    /// removed. Nothing that comes after one that was not read is sent in this batch.
    pub fn read_documents(&mut self, documents: Vec<Option<String>>) {
        let pointers = self.known.iter_mut().filter(|(_, k)| k.awaits_document);
        for ((number, known), document) in pointers.zip(documents) {
            known.awaits_document = false;
            let entry = known.entry.as_ref();
            known.frame = entry
                .and_then(|entry| entry.frame(&self.session, *number, document.as_deref()))
                .map(Arc::from);
        }
    }

    /// What each socket gets now.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let viewers = self.record.viewers.iter();
        viewers.filter_map(|viewer| self.delivery(viewer)).collect()
    }

    fn delivery(&self, viewer: &Viewer) -> Option<Delivery> {
        let Place::Next(first) = viewer.place else {
            return None;
        };
        let allowed = self.allowed(viewer);
        let mut frames = Vec::new();
        let mut next = first;
        while let Some(known) = self.known.get(&next) {
            if known.awaits_document {
                break;
            }
            let concerns = |entry: &Entry| viewer.is_concerned(entry);
            if known.entry.as_ref().is_some_and(concerns)
                && let Some(frame) = &known.frame
            {
                if frames.len() >= allowed {
                    break;
                }
                frames.push((next, Arc::clone(frame)));
            }
            next += 1;
        }
        (next > first).then(|| Delivery {
            socket: viewer.socket.clone(),
            frames,
            next,
        })
    }

    /// The socket took this.
    pub fn delivered(&mut self, socket: &str, parcel: &Parcel<'_>) {
        let viewers = &mut self.record.viewers;
        let Some(viewer) = viewers.iter_mut().find(|viewer| viewer.socket == socket) else {
            return;
        };
        viewer.place = Place::Next(parcel.next);
        viewer.asked = None;
        self.progress = true;
        if let Some(room) = self.rooms.get_mut(socket) {
            let taken = u32::try_from(parcel.frames.len()).unwrap_or(u32::MAX);
            *room = room.saturating_sub(taken);
        }
        if let Some((last, _)) = parcel.frames.last() {
            self.sent.retain(|(other, _)| other != socket);
            self.sent.push((socket.into(), *last));
        }
    }

    /// The socket takes nothing more now.
    pub fn full(&mut self, socket: &str) {
        if let Some(room) = self.rooms.get_mut(socket) {
            *room = 0;
        }
    }

    /// How many frames the viewer may be sent.
    fn allowed(&self, viewer: &Viewer) -> usize {
        let reserve = if viewer.is_subscriber() {
            SUBSCRIBER_RESERVE
        } else {
            VIEWER_RESERVE
        };
        let room = self.rooms.get(&viewer.socket).copied().unwrap_or(0);
        room.saturating_sub(reserve) as usize
    }

    /// How many numbers it has not looked at.
    fn backlog(&self, viewer: &Viewer) -> u64 {
        match viewer.place {
            Place::Next(next) => (self.record.last + 1).saturating_sub(next),
            Place::Waiting { .. } => 0,
        }
    }

    pub(crate) fn is_somebody_behind(&self) -> bool {
        self.record.viewers.iter().any(|v| self.backlog(v) > 0)
    }

    /// Somebody has room for more than was read.
    pub(crate) fn could_send_more(&self) -> bool {
        let mut viewers = self.record.viewers.iter();
        viewers.any(|viewer| self.backlog(viewer) > 0 && self.allowed(viewer) > 0)
    }

    /// Gives up those who are far behind and take nothing. What decides is what the socket takes and not how
    /// far it is from the end, which moves away while a long log gets its numbers or many speak.
    pub(crate) fn give_up_those_behind(&mut self) {
        let mut viewers = std::mem::take(&mut self.record.viewers);
        viewers.retain_mut(|viewer| {
            let Place::Next(next) = viewer.place else {
                return true;
            };
            if self.backlog(viewer) <= MAX_BEHIND || self.allowed(viewer) > 0 {
                viewer.behind = None;
                return true;
            }
            match viewer.behind {
                Some(behind) if behind.next == next => {
                    if self.now.since(behind.since) <= MAX_BEHIND_MS {
                        return true;
                    }
                    self.give_up(viewer, next);
                    false
                }
                _ => {
                    viewer.behind = Some(Behind {
                        since: self.now,
                        next,
                    });
                    true
                }
            }
        });
        self.record.viewers = viewers;
    }

    fn give_up(&mut self, viewer: &Viewer, next: u64) {
        // A client's audio must not suffer: it is only told nothing more.
        if viewer.is_subscriber() {
            let note = "a client does not read its live frames: it is sent none any more";
            self.notes.push(note.into());
            return;
        }
        self.closings.push(Closing {
            socket: viewer.socket.clone(),
            code: POLICY,
            reason: format!(
                "frames are not read: reconnect with ?after={}",
                next.saturating_sub(1)
            ),
        });
    }
}

fn ranges(numbers: BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_ranges() {
        let numbers = BTreeSet::from([1, 2, 3, 7, 9, 10]);
        assert_eq!(ranges(numbers), [(1, 3), (7, 7), (9, 10)]);
        assert!(ranges(BTreeSet::new()).is_empty());
    }

    #[test]
    fn a_delivery_is_cut_into_what_a_socket_takes() {
        let parcels = |lengths: &[usize]| -> Vec<(usize, u64)> {
            let frames = (1..).zip(lengths);
            let delivery = Delivery {
                socket: "s".into(),
                frames: frames
                    .map(|(n, length)| (2 * n, "x".repeat(*length).into()))
                    .collect(),
                next: 1_000,
            };
            let parcels = delivery.parcels().into_iter();
            parcels
                .map(|parcel| (parcel.frames.len(), parcel.next))
                .collect()
        };
        assert_eq!(parcels(&[]), [(0, 1_000)]);
        assert_eq!(parcels(&[1, 1]), [(2, 1_000)]);
        assert_eq!(
            parcels(&[1; SEND_FRAMES + 1]),
            [(SEND_FRAMES, 2 * (SEND_FRAMES as u64 + 1)), (1, 1_000)]
        );
        let large = SEND_BYTES;
        assert_eq!(
            parcels(&[1, large, large + 1, 1]),
            [(1, 4), (1, 6), (1, 8), (1, 1_000)]
        );
    }
}
