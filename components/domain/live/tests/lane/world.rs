//! A store, streams' logs and sockets in memory, and a lane that is carried out as the component
//! does it, with faults between its steps.

use std::collections::BTreeMap;

use interview_live::limits::{FEED, PAGE};
use interview_live::{
    Append, Ask, Closing, EntryName, Input, Listening, LiveLane, Log, LogLength, Store, Stored,
};
use interview_session::id::SessionId;
use interview_session::lane::LiveKind;
use interview_session::role::{ByRole, StreamRole};
use interview_session::time::EpochMs;
use serde_json::{Value, json};

/// Where a batch fails, once; then it is repeated, as the host does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    Never,
    BeforeCommit,
    AfterCommit,
    /// The sends are done; who got what cannot be stored.
    AtTheEnd,
}

#[derive(Debug, Default)]
pub struct StreamLog {
    pub life: u64,
    pub utterances: Vec<String>,
    pub events: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Socket {
    pub capacity: usize,
    pub queued: Vec<String>,
    pub got: Vec<Value>,
    pub closed: Option<(u16, String)>,
}

impl Socket {
    pub fn drain(&mut self, most: usize) {
        let most = most.min(self.queued.len());
        let texts = self.queued.drain(..most);
        self.got
            .extend(texts.map(|text| serde_json::from_str::<Value>(&text).unwrap()));
    }

    pub fn numbers(&self) -> Vec<u64> {
        let frames = self.got.iter();
        frames.map(|f| f["live_seq"].as_u64().unwrap()).collect()
    }
}

#[derive(Debug)]
pub struct World {
    pub session: SessionId,
    pub now: u64,
    pub created: bool,
    pub logs: ByRole<StreamLog>,
    pub record: Option<String>,
    pub listening: Listening,
    pub live: BTreeMap<u64, Value>,
    pub sockets: BTreeMap<String, Socket>,
    pub timer: Option<u64>,
    pub again: bool,
    pub commits: usize,
    pub notes: Vec<String>,
    /// Entries that one read gives: those of a store are bounded in bytes.
    pub page: usize,
}

impl World {
    pub fn new() -> Self {
        World {
            session: SessionId::parse("s").unwrap(),
            now: 1_000_000,
            created: false,
            logs: ByRole::default(),
            record: None,
            listening: Listening::default(),
            live: BTreeMap::new(),
            sockets: BTreeMap::new(),
            timer: None,
            again: false,
            commits: 0,
            notes: Vec::new(),
            page: usize::MAX,
        }
    }

    pub fn say(&mut self, role: StreamRole, count: usize) {
        self.created = true;
        let now = self.now;
        let log = self.logs.get_mut(role);
        for _ in 0..count {
            let index = log.utterances.len() as u64;
            let document = json!({
                "utterance_id": format!("{role}-{}-{index}", log.life),
                "created_at": EpochMs(now).rfc3339(),
                "start_ms": index * 1000, "end_ms": index * 1000 + 900,
            });
            log.utterances.push(document.to_string());
        }
    }

    /// An event about the oldest utterance without one.
    pub fn identify(&mut self, role: StreamRole) {
        let now = self.now;
        let log = self.logs.get_mut(role);
        let index = log.events.len();
        if index < log.utterances.len() {
            let document = json!({
                "utterance_id": format!("{role}-{}-{index}", log.life),
                "ts": EpochMs(now).rfc3339(),
            });
            log.events.push(document.to_string());
        }
    }

    pub fn reset(&mut self, role: StreamRole) {
        let life = self.logs.get(role).life + 1;
        *self.logs.get_mut(role) = StreamLog {
            life,
            ..StreamLog::default()
        };
    }

    pub fn lengths(&self) -> ByRole<LogLength> {
        ByRole::new(|role| {
            let log = self.logs.get(role);
            LogLength {
                life: log.life,
                utterances: log.utterances.len() as u32,
                events: log.events.len() as u32,
            }
        })
    }

    pub fn entry(&self, name: EntryName) -> Option<String> {
        let log = self.logs.get(name.role);
        let entries = match name.log {
            Log::Utterances => &log.utterances,
            Log::Events => &log.events,
        };
        let entry = entries.get(name.index as usize);
        entry.filter(|_| log.life == name.life).cloned()
    }

    pub fn open(&mut self, socket: &str, capacity: usize) {
        let new = Socket {
            capacity,
            ..Socket::default()
        };
        self.sockets.insert(socket.into(), new);
    }

    pub fn view(&mut self, socket: &str, after: Option<u64>, stream_role: Option<StreamRole>) {
        self.open(socket, 512);
        let ask = Ask { after, stream_role };
        let socket = socket.into();
        self.batch(&[Input::Joined { socket, ask }]);
    }

    pub fn subscribe(&mut self, socket: &str, kinds: &[LiveKind], after: Option<u64>) {
        let input = Input::Subscribed {
            socket: socket.into(),
            kinds: kinds.to_vec(),
            after,
        };
        self.batch(&[input]);
    }

    /// The client goes away. A subscriber's lane is not told.
    pub fn leave(&mut self, socket: &str) {
        self.sockets.get_mut(socket).unwrap().closed = Some((1000, String::new()));
    }

    pub fn batch(&mut self, inputs: &[Input]) {
        self.batch_with(inputs, Fault::Never);
    }

    pub fn batch_with(&mut self, inputs: &[Input], fault: Fault) {
        if self.attempt(inputs, fault).is_err() {
            self.attempt(inputs, Fault::Never).unwrap();
        }
    }

    fn attempt(&mut self, inputs: &[Input], fault: Fault) -> Result<(), ()> {
        self.again = false;
        let stored = Stored {
            document: self.record.clone(),
            created: self.created,
            lengths: self.lengths(),
        };
        let mut lane = LiveLane::load(&self.session, EpochMs(self.now), stored).unwrap();
        self.probe(&mut lane);
        for input in inputs {
            lane.take(input.clone());
        }
        self.probe(&mut lane);

        let wanted = lane.wanted();
        assert!(wanted.len() <= PAGE as usize);
        let of_logs = wanted.chunk_by(|a, b| (a.role, a.log) == (b.role, b.log));
        let documents = of_logs.flat_map(|names| {
            let read = names.iter().enumerate();
            read.map(|(at, name)| self.entry(*name).filter(|_| at < self.page))
        });
        let documents = documents.collect();
        let append = lane.number(documents);
        if fault == Fault::BeforeCommit {
            return Err(());
        }
        if let Some(Append { first, entries }) = append {
            assert!(first > 0);
            for (number, entry) in (first..).zip(entries) {
                let entry = serde_json::from_str(&entry).unwrap();
                let before = self.live.insert(number, entry);
                assert_eq!(before, None, "{number} is given twice");
            }
            self.store(&lane);
            lane.committed();
        }
        if fault == Fault::AfterCommit {
            return Err(());
        }

        let unread = lane.unread();
        let count: u64 = unread.iter().map(|(first, last)| last + 1 - first).sum();
        assert!(count <= FEED as u64);
        let of_range = |(first, last)| (first..=last).take(self.page);
        for number in unread.into_iter().flat_map(of_range) {
            let entry = self.live.get(&number).map(Value::to_string);
            lane.read(number, entry.as_deref());
        }
        let names = lane.unread_documents();
        let names = names.into_iter().take(self.page);
        lane.read_documents(names.map(|name| self.entry(name)).collect());
        for delivery in lane.deliveries() {
            let socket = self.sockets.get_mut(&delivery.socket).unwrap();
            assert_eq!(socket.closed, None);
            let count = delivery.frames.len();
            assert!(socket.queued.len() + count <= socket.capacity);
            for (number, text) in &delivery.frames {
                let frame: Value = serde_json::from_str(text).unwrap();
                assert_eq!(frame["live_seq"], *number);
                socket.queued.push(text.to_string());
            }
            for parcel in delivery.parcels() {
                lane.delivered(&delivery.socket, &parcel);
            }
        }

        let end = lane.finish();
        if fault == Fault::AtTheEnd && end.store != Store::Nothing {
            for closing in lane.unsure() {
                self.close(closing);
            }
            return Err(());
        }
        match end.store {
            Store::Nothing => {}
            Store::Record => self.store(&lane),
            Store::Remove => {
                let keys: Vec<_> = (1..=lane.last()).collect();
                for number in keys {
                    self.live.remove(&number);
                }
                assert!(self.live.is_empty());
                self.record = None;
                self.listening = Listening::default();
            }
        }
        for closing in end.closings {
            self.close(closing);
        }
        self.timer = end.timer_ms;
        self.again = end.again;
        self.notes.extend(end.notes);
        Ok(())
    }

    fn store(&mut self, lane: &LiveLane) {
        self.record = Some(lane.document());
        self.listening = lane.listening();
        self.commits += 1;
    }

    fn probe(&self, lane: &mut LiveLane) {
        for socket in lane.unprobed() {
            let open = self.sockets.get(&socket).filter(|s| s.closed.is_none());
            let room = open.map(|s| (s.capacity - s.queued.len()) as u32);
            lane.probed(&socket, room);
        }
    }

    fn close(&mut self, closing: Closing) {
        let socket = self.sockets.get_mut(&closing.socket).unwrap();
        socket.closed.get_or_insert((closing.code, closing.reason));
    }

    /// Everybody reads, and the lane works until nothing is left to do.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut drained = false;
            for socket in self.sockets.values_mut() {
                drained |= !socket.queued.is_empty();
                socket.drain(usize::MAX);
            }
            self.now += self.timer.unwrap_or(0).max(1);
            let before = self.live.len();
            self.batch(&[]);
            let idle = self.sockets.values().all(|s| s.queued.is_empty());
            if !drained && idle && !self.again && before == self.live.len() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    pub fn numbers(&self, socket: &str) -> Vec<u64> {
        self.sockets[socket].numbers()
    }
}
