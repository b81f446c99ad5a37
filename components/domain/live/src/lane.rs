//! One batch of a session's live lane. Whoever carries it out does this, in this order:
//!
//! 1. [`LiveLane::load`]; ask each of [`LiveLane::unprobed`] for its room and tell
//!    [`LiveLane::probed`]; [`LiveLane::take`] every event; probe the new sockets.
//! 2. Read [`LiveLane::wanted`], give it to [`LiveLane::number`], and commit what comes back, with
//!    [`LiveLane::document`]. Nothing is sent before: no number can then mean two things.
//! 3. Read [`LiveLane::unread`] into [`LiveLane::read`] and [`LiveLane::unread_documents`] into
//!    [`LiveLane::read_documents`]; send [`LiveLane::deliveries`] and say how it went.
//! 4. [`LiveLane::finish`], and do what it says: only now is it stored who has got what. When that
//!    fails, [`LiveLane::unsure`] names the sockets that would get frames twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use interview_session::asr::WsState;
use interview_session::id::SessionId;
use interview_session::lane::LiveKind;
use interview_session::role::{ByRole, StreamRole};
use interview_session::stored::{self, Damaged, to_json};
use interview_session::time::EpochMs;

use crate::ask::Ask;
use crate::deliver::Known;
use crate::record::{Listening, LogLength, Record};

/// What is stored when a batch begins.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// The lane's own record; none: never written.
    pub document: Option<String>,
    /// The session exists, be it that somebody only watches.
    pub created: bool,
    /// How long the streams' logs are.
    pub lengths: ByRole<LogLength>,
}

/// What can happen in the lane. A nudge needs no input: every batch looks at the logs.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A viewer's socket was accepted.
    Joined {
        /// It.
        socket: String,
        /// What it wants to see.
        ask: Ask,
    },
    /// A client of a stream says what it listens to; to nothing: it is told nothing any more.
    Subscribed {
        /// Its socket.
        socket: String,
        /// Each once.
        kinds: Vec<LiveKind>,
        /// The last number it has; none: from now on.
        after: Option<u64>,
    },
    /// A viewer's socket is gone.
    Left {
        /// It.
        socket: String,
    },
    /// What was heard of a sentence so far.
    Partial {
        /// Whose.
        role: StreamRole,
        /// Where it begins, in session time.
        start_ms: u64,
        /// All of it.
        text: String,
    },
    /// The way to the ASR service changed.
    AsrState {
        /// Whose.
        role: StreamRole,
        /// To this.
        state: WsState,
    },
}

/// Entries to append to the live log.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The number of the first one.
    pub first: u64,
    /// Their documents.
    pub entries: Vec<String>,
}

/// What a socket gets now.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// It.
    pub socket: String,
    /// Number and text of each frame; may be empty when nothing of what was looked at concerns it.
    pub frames: Vec<(u64, Arc<str>)>,
    /// The number that comes next when all are sent.
    pub next: u64,
}

/// A part of a delivery, to be sent as a whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parcel<'a> {
    /// May be empty.
    pub frames: &'a [(u64, Arc<str>)],
    /// The number that comes next when it is sent.
    pub next: u64,
}

/// A socket to close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// It.
    pub socket: String,
    /// Of the close frame.
    pub code: u16,
    /// Of the close frame.
    pub reason: String,
}

/// What is to be written at the end of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// Nothing.
    Nothing,
    /// The record.
    Record,
    /// All keys of the lane go: a session that does not exist is not watched any more.
    Remove,
}

/// The end of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// First of all.
    pub store: Store,
    /// Then these.
    pub closings: Vec<Closing>,
    /// When the lane is to look again, in ms; none: when something happens.
    pub timer_ms: Option<u64>,
    /// There is work left that can be done at once: the lane is to be nudged.
    pub again: bool,
    /// For the log.
    pub notes: Vec<String>,
}

/// One batch.
#[derive(Debug)]
pub struct LiveLane {
    pub(crate) session: SessionId,
    pub(crate) now: EpochMs,
    pub(crate) record: Record,
    pub(crate) lengths: ByRole<LogLength>,
    pub(crate) created: bool,
    /// What is in the store now; none: nothing.
    pub(crate) stored: Option<Record>,
    /// Room of the sockets that were asked.
    pub(crate) rooms: HashMap<String, u32>,
    /// Entries that were read or made in this batch.
    pub(crate) known: BTreeMap<u64, Known>,
    /// Sockets that were sent something, with the number of the last frame.
    pub(crate) sent: Vec<(String, u64)>,
    pub(crate) closings: Vec<Closing>,
    pub(crate) notes: Vec<String>,
    /// Something was numbered or delivered.
    pub(crate) progress: bool,
}

/// The session was deleted.
const NORMAL: u16 = 1000;

impl LiveLane {
    /// Begins a batch.
    ///
    /// # Errors
    /// The record is damaged: the batch cannot be handled.
    pub fn load(session: &SessionId, now: EpochMs, from: Stored) -> Result<Self, Damaged> {
        let stored: Option<Record> = from
            .document
            .map(|document| stored::read("live record", &document))
            .transpose()?;
        let mut record = stored.clone().unwrap_or_default();
        record.begin_new_lives(&from.lengths);
        Ok(Self {
            session: session.clone(),
            now,
            record,
            lengths: from.lengths,
            created: from.created,
            stored,
            rooms: HashMap::new(),
            known: BTreeMap::new(),
            sent: Vec::new(),
            closings: Vec::new(),
            notes: Vec::new(),
            progress: false,
        })
    }

    /// Takes an event in.
    pub fn take(&mut self, input: Input) {
        match input {
            Input::Joined { socket, ask } => self.join(socket, ask),
            Input::Subscribed {
                socket,
                kinds,
                after,
            } => self.subscribe(socket, kinds, after),
            Input::Left { socket } => self.gone(&socket),
            Input::Partial {
                role,
                start_ms,
                text,
            } => self.heard(role, start_ms, text),
            Input::AsrState { role, state } => self.state_changed(role, state),
        }
    }

    /// The record to store.
    pub fn document(&self) -> String {
        to_json(&self.record)
    }

    /// What is listened to, to be stored with it.
    pub fn listening(&self) -> Listening {
        self.record.listening()
    }

    /// The last number given; 0: none.
    pub const fn last(&self) -> u64 {
        self.record.last
    }

    /// What was appended is stored, and the record with it.
    pub fn committed(&mut self) {
        self.stored = Some(self.record.clone());
    }

    /// The session is being deleted: whom to say so. The clients of its streams are not closed from
    /// here.
    pub fn delete(&self) -> Vec<Closing> {
        let viewers = self.record.viewers.iter();
        viewers
            .filter(|viewer| !viewer.is_subscriber())
            .map(|viewer| Closing {
                socket: viewer.socket.clone(),
                code: NORMAL,
                reason: "session deleted".into(),
            })
            .collect()
    }

    /// Ends the batch.
    pub fn finish(&mut self) -> End {
        self.give_up_those_behind();
        self.forget_what_passes();
        let watched = !self.record.viewers.is_empty();
        let store = match &self.stored {
            None if !watched => Store::Nothing,
            Some(_) if !watched && !self.created => Store::Remove,
            Some(stored) if *stored == self.record => Store::Nothing,
            _ => Store::Record,
        };
        let again = self.progress && (self.is_importing() || self.could_send_more());
        End {
            store,
            closings: std::mem::take(&mut self.closings),
            timer_ms: watched.then(|| self.next_look()),
            again,
            notes: std::mem::take(&mut self.notes),
        }
    }

    /// The end of the batch could not be stored: these sockets were sent frames that they would be
    /// sent again. A client of a stream gets them twice, and tells so by their numbers.
    pub fn unsure(&self) -> Vec<Closing> {
        let viewers = self.record.viewers.iter();
        let viewers = viewers.filter(|viewer| !viewer.is_subscriber());
        viewers
            .filter_map(|viewer| {
                let (socket, last) = self.sent.iter().find(|(s, _)| *s == viewer.socket)?;
                Some(Closing {
                    socket: socket.clone(),
                    code: INTERNAL,
                    reason: format!("the gateway failed: reconnect with ?after={last}"),
                })
            })
            .collect()
    }

    fn next_look(&self) -> u64 {
        use crate::limits::{LOOK_MS, RETRY_MS};
        // What passes waits until all that was before has its number.
        if self.is_importing() {
            return RETRY_MS;
        }
        let look = if self.is_somebody_behind() {
            RETRY_MS
        } else {
            LOOK_MS
        };
        self.partial_due_ms().map_or(look, |due| due.min(look))
    }
}

/// A failure inside the gateway.
const INTERNAL: u16 = 1011;
