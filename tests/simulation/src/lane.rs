//! The glue of one stream's lane, in the order in which the component does things. It mirrors
//! `components/audio-stream/src/{stream,client,clients,recognition,audio,control,transcript}.rs` and
//! `components/asr-bridge/src/lib.rs`, line by line where a fault could hide: load, take the events,
//! step, commit all at once, then acks, then actions, at most `MAX_ROUNDS` times. Whoever changes
//! the order there changes it here.
//!
//! Left out, because no second of audio goes through it: windows, identity, live push, figures,
//! capture, config, deletion, and the text of client frames.

use std::collections::BTreeMap;

use funasr::{Action, Input, Missing, Sentence, Settings, State};
use interview_session::ingest::{Decision, IngestRecord};
use interview_session::seq::{ClaimedSeq, Seq};
use interview_session::time::EpochMs;
use interview_transcript::merge::order;
use interview_transcript::{FinalSentence, Merge, MergedEntry, Utterance, merge_next};

use crate::mutant::Mutant;
use crate::stores::{Changes, MergedChange};
use crate::world::{Stop, TRAP, World};

/// `stream.rs`.
const MAX_ROUNDS: u32 = 4;
/// The same: when a failed batch is looked at again.
const FAILED_RETRY_MS: u64 = 5_000;
/// `recognition.rs`.
const CONTROL_ROOM: u32 = 2;
/// What a stream is called here.
pub const SESSION: &str = "sim";
/// Its role.
pub const ROLE: &str = "mixed";

/// What the audio of a second is made of: a number that stands for 32000 bytes.
pub type Content = u32;

/// A chunk frame that was understood.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// As claimed.
    pub seq: f64,
    /// Its audio.
    pub content: Content,
}

/// What can happen in the lane.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Event {
    Accepted {
        socket: String,
    },
    Chunk {
        socket: String,
        chunk: Chunk,
    },
    CloseFrame {
        socket: String,
    },
    ClientClosed {
        socket: String,
    },
    Opened {
        task: String,
        socket: String,
    },
    OpenFailed {
        task: String,
        status: Option<u16>,
        reason: String,
    },
    Text {
        task: String,
        text: String,
    },
    Closed {
        task: String,
        code: u16,
        reason: String,
    },
    Timer,
    /// The host's message after a restart: timers died with the process.
    Resume,
    Flush {
        call: String,
    },
    Reset {
        call: String,
    },
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// `ack`, `stored`.
    Stored(u32),
    /// `ack`, `duplicate`.
    Duplicate(u32),
    /// An error: send it again.
    NotStored(u32),
    /// An error: it is no second of this stream.
    Refused,
    /// `closing`.
    Closing,
}

/// One second of audio on its way to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Second {
    /// Which one it is; the service does not look at it, the oracle does.
    pub seq: u32,
    /// None: silence, because it is not stored.
    pub content: Option<Content>,
    /// So much of its beginning is silenced.
    pub muted_ms: u32,
}

/// A frame to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// `run-task`, `finish-task`.
    Text(String),
    /// One second.
    Audio(Second),
}

/// What answers wait for the commit.
#[derive(Default)]
struct Mail {
    replies: Vec<Reply>,
    close: bool,
}

struct Transcript {
    last: Option<Utterance>,
    last_merged: Option<MergedEntry>,
}

struct Stream<'w> {
    host: &'w mut World,
    now: u64,
    ingest: IngestRecord,
    bridge: Option<String>,
    inputs: Vec<Input>,
    is_resumed: bool,
    clients: Vec<String>,
    clients_changed: bool,
    changes: Changes,
    outbox: BTreeMap<String, Mail>,
    replies: Vec<(String, u32)>,
    fresh: BTreeMap<u32, Content>,
    stored: Vec<u32>,
    transcript: Option<Transcript>,
}

/// How recognition is set up in every run.
pub fn settings() -> Settings {
    Settings {
        enabled: true,
        url: "ws://asr".into(),
        api_key: "k".into(),
        model: "m".into(),
        start_timeout_ms: 15_000,
        catch_up_speed: SPEED,
        task_prefix: "t-".into(),
        vocabulary_id: None,
        language_hint: None,
        max_sentence_silence_ms: None,
        semantic_punctuation: None,
        wants_partials: true,
        notes_events: false,
    }
}

/// How fast a backlog is sent.
pub const SPEED: f64 = 4.0;

/// Handles one batch. One that fails sets the timer: what it was to do is found in the state later.
pub fn handle(host: &mut World, events: Vec<Event>) -> Result<(), Stop> {
    let handled = handle_batch(host, events);
    // A trap gives nobody the time to.
    if let Err(Stop::Failed(why)) = handled
        && why != TRAP
        && host.mutant != Mutant::SleepsAfterFailure
    {
        host.set_timer(FAILED_RETRY_MS)?;
    }
    handled
}

fn handle_batch(host: &mut World, events: Vec<Event>) -> Result<(), Stop> {
    let mut stream = Stream::load(host)?;
    for event in events {
        stream.take(event)?;
    }
    stream.turn()
}

/// As the leaf reads a stored state.
pub fn read_state(document: Option<&str>) -> Result<State, Stop> {
    document.map_or(Ok(State::default()), |text| {
        serde_json::from_str(text).map_err(|_| Stop::Failed("the bridge's state is damaged"))
    })
}

impl<'w> Stream<'w> {
    fn load(host: &'w mut World) -> Result<Stream<'w>, Stop> {
        let now = host.epoch_ms();
        let records = host.load_stream()?;
        let ingest = IngestRecord::load(records.ingest.as_deref(), EpochMs(now))
            .map_err(|_| Stop::Failed("the ingest record is damaged"))?;
        let clients = match &records.clients {
            Some(text) => serde_json::from_str(text)
                .map_err(|_| Stop::Failed("the clients' record is damaged"))?,
            None => Vec::new(),
        };
        Ok(Stream {
            host,
            now,
            ingest,
            bridge: records.bridge,
            inputs: Vec::new(),
            is_resumed: false,
            clients,
            clients_changed: false,
            changes: Changes::default(),
            outbox: BTreeMap::new(),
            replies: Vec::new(),
            fresh: BTreeMap::new(),
            stored: Vec::new(),
            transcript: None,
        })
    }

    fn take(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::Accepted { socket } => {
                if !self.clients.contains(&socket) {
                    if self.clients.len() >= 16 {
                        let host = &self.host;
                        self.clients
                            .retain(|socket| host.client_is_connected(socket));
                    }
                    self.clients.push(socket);
                    self.clients_changed = true;
                }
                self.ring();
            }
            Event::Chunk { socket, chunk } => {
                if self.is_served(&socket) {
                    let reply = self.chunk(chunk)?;
                    self.answer(&socket, reply)?;
                }
            }
            Event::CloseFrame { socket } => {
                if self.is_served(&socket) {
                    self.answer(&socket, Reply::Closing)?;
                    self.outbox.entry(socket).or_default().close = true;
                }
            }
            Event::ClientClosed { socket } => {
                let before = self.clients.len();
                self.clients.retain(|known| *known != socket);
                self.clients_changed |= self.clients.len() != before;
            }
            Event::Opened { task, socket } => self.inputs.push(Input::Opened { task, socket }),
            Event::OpenFailed {
                task,
                status,
                reason,
            } => self.inputs.push(Input::OpenFailed {
                task,
                status,
                reason,
            }),
            Event::Text { task, text } => {
                let (task, text) = self.host.mutant.mislead(self.bridge.as_deref(), task, text);
                self.inputs.push(Input::Text { task, text });
            }
            Event::Closed { task, code, reason } => {
                self.inputs.push(Input::Closed { task, code, reason });
            }
            Event::Timer => self.ring(),
            Event::Resume if self.host.mutant == Mutant::SleepsAfterRestart => {}
            Event::Resume => {
                self.is_resumed = true;
                self.ring();
            }
            Event::Flush { call } => self.inputs.push(Input::Flush(call)),
            Event::Reset { call } => self.reset(&call)?,
        }
        Ok(())
    }

    fn ring(&mut self) {
        if self.bridge.is_some() {
            self.inputs.push(Input::Timer);
        }
    }

    fn is_served(&self, socket: &String) -> bool {
        self.clients.contains(socket) && !self.outbox.get(socket).is_some_and(|mail| mail.close)
    }

    fn answer(&mut self, socket: &str, reply: Reply) -> Result<(), Stop> {
        if self.host.mutant == Mutant::AcksBeforeCommit {
            return self.host.send_to_client(socket, &[reply]);
        }
        let mail = self.outbox.entry(socket.to_owned()).or_default();
        mail.replies.push(reply);
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<Reply, Stop> {
        let Some(claimed) = ClaimedSeq::new(chunk.seq) else {
            return Ok(Reply::Refused);
        };
        match self.ingest.decide(claimed) {
            Decision::Refuse(_) => Ok(Reply::Refused),
            Decision::Duplicate(seq) => {
                self.ingest.duplicate(EpochMs(self.now));
                self.changes.ingest = Some(self.ingest.to_document());
                Ok(Reply::Duplicate(seq.get()))
            }
            Decision::Store(seq) | Decision::FillGap(seq) => self.store(chunk.content, seq),
        }
    }

    fn store(&mut self, content: Content, seq: Seq) -> Result<Reply, Stop> {
        let is_put = self.host.put_chunk(seq.get(), content)?;
        if !is_put && self.host.mutant != Mutant::AcksUnstored {
            return Ok(Reply::NotStored(seq.get()));
        }
        self.fresh.insert(seq.get(), content);
        self.ingest.stored(seq, EpochMs(self.now));
        self.stored.push(seq.get());
        self.changes.ingest = Some(self.ingest.to_document());
        Ok(Reply::Stored(seq.get()))
    }

    fn turn(&mut self) -> Result<(), Stop> {
        for seq in std::mem::take(&mut self.stored) {
            let arrived = self.now;
            self.inputs.push(Input::Stored { seq, arrived });
        }
        for _ in 0..MAX_ROUNDS {
            let mut actions = self.recognise()?;
            if self.host.mutant == Mutant::SendsBeforeCommit {
                self.carry_out(std::mem::take(&mut actions))?;
            }
            self.set_timers(&actions)?;
            self.commit()?;
            for (socket, mail) in std::mem::take(&mut self.outbox) {
                self.host.send_to_client(&socket, &mail.replies)?;
                if mail.close {
                    self.host.close_client(&socket, 1000);
                }
            }
            for (call, removed) in std::mem::take(&mut self.replies) {
                self.host.reply_reset(&call, removed);
            }
            self.carry_out(actions)?;
            if self.inputs.is_empty() {
                break;
            }
            self.host.trace.reach("a round more");
        }
        Ok(())
    }

    /// Before the commit: a timer that rings in vain costs nothing, one that was never set everything.
    fn set_timers(&mut self, actions: &[Action]) -> Result<(), Stop> {
        if self.host.mutant == Mutant::SetsTimersLate {
            return Ok(());
        }
        for action in actions {
            if let Action::SetTimer(delay_ms) = action {
                self.host.set_timer(*delay_ms)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Stop> {
        if std::mem::take(&mut self.clients_changed) {
            self.changes.clients = Some(serde_json::json!(self.clients).to_string());
        }
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(());
        }
        self.host.commit(changes)
    }

    fn recognise(&mut self) -> Result<Vec<Action>, Stop> {
        let mut inputs = std::mem::take(&mut self.inputs);
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let before = read_state(self.bridge.as_deref())?;
        let room = match before.status().socket {
            None => 0,
            Some(socket) => match self.host.room(&socket)? {
                Some(room) => room.saturating_sub(CONTROL_ROOM),
                None => {
                    inputs.push(match self.is_resumed {
                        true => Input::SendFailed("it is gone".into()),
                        false => Input::Gone,
                    });
                    self.host
                        .trace
                        .reach("a socket is gone before its end is told");
                    0
                }
            },
        };
        let random = self.host.random();
        let begins = |input: &Input| matches!(input, Input::Stored { .. });
        let is_leftover = self.bridge.is_none() && !inputs.iter().any(begins);
        let missing = match self.host.mutant {
            Mutant::ForgetsMissing => Missing::default(),
            _ => Missing::new(self.ingest.gaps()),
        };
        let (now, settings) = (self.now, settings());
        let (state, actions) = funasr::step(before, missing, &settings, now, random, room, inputs);
        let state = serde_json::to_string(&state)
            .map_err(|_| Stop::Failed("the bridge's state cannot be written"))?;
        if !is_leftover && self.bridge.as_ref() != Some(&state) {
            self.changes.bridge = Some(state.clone());
            self.bridge = Some(state);
        }
        self.take_up(actions)
    }

    fn take_up(&mut self, actions: Vec<Action>) -> Result<Vec<Action>, Stop> {
        let mut later = Vec::new();
        for action in actions {
            match action {
                Action::Sentence(sentence) => self.sentence(&sentence)?,
                Action::Partial { .. } => self.host.trace.reach("a partial"),
                action => later.push(action),
            }
        }
        Ok(later)
    }

    fn sentence(&mut self, sentence: &Sentence) -> Result<(), Stop> {
        let suffix = format!("{:08x}", self.host.random() >> 32);
        let created_at = EpochMs(self.now).rfc3339();
        let latency_ms = sentence
            .arrived
            .map(|arrived| EpochMs(self.now).since(EpochMs(arrived)));
        let utterance = Utterance::realtime(&FinalSentence {
            session_id: SESSION,
            stream_role: ROLE,
            text: &sentence.text,
            start_ms: sentence.start_ms,
            end_ms: sentence.end_ms,
            asr_model: "m",
            asr_provider: "p",
            confidence: None,
            created_at: &created_at,
            latency_ms,
            suffix: &suffix,
        });
        let Ok(utterance) = utterance else {
            return Ok(());
        };
        let transcript = match &mut self.transcript {
            Some(transcript) => transcript,
            None => {
                let (last, last_merged) = self.host.load_transcript()?;
                self.transcript.insert(Transcript { last, last_merged })
            }
        };
        if let Some(last) = &transcript.last
            && order(&utterance, last).is_lt()
        {
            self.host
                .violation("an utterance is older than the one before it".into());
        }
        match merge_next(transcript.last_merged.as_ref(), &utterance) {
            Merge::Skip => {}
            Merge::Extend(entry) => {
                transcript.last_merged = Some(entry.clone());
                self.changes.merged.push(MergedChange::ReplaceLast(entry));
            }
            Merge::Append(entry) => {
                transcript.last_merged = Some(entry.clone());
                self.changes.merged.push(MergedChange::Append(entry));
            }
        }
        transcript.last = Some(utterance.clone());
        self.changes.utterances.push(utterance);
        Ok(())
    }

    fn reset(&mut self, call: &str) -> Result<(), Stop> {
        self.turn()?;
        self.inputs.push(Input::Reset);
        let actions = self.recognise()?;
        self.set_timers(&actions)?;
        let removed = self.host.reset_stream(self.bridge.clone())?;
        self.changes.bridge = None;
        self.transcript = None;
        self.carry_out(actions)?;
        self.replies.push((call.to_owned(), removed));
        Ok(())
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), Stop> {
        let mut refused_once = false;
        for action in actions {
            let done = match action {
                Action::SendText { .. } | Action::SendSeconds { .. } if refused_once => Ok(()),
                Action::Open {
                    task, timeout_ms, ..
                } => {
                    let opened = self.host.open(&task, timeout_ms)?;
                    opened.map_err(|reason| Input::OpenFailed {
                        task,
                        status: None,
                        reason: reason.into(),
                    })
                }
                Action::SendText { socket, text } => {
                    let sent = self.host.send(&socket, vec![Payload::Text(text)])?;
                    sent.map_err(refused)
                }
                Action::SendSeconds {
                    socket,
                    first,
                    last,
                    mute_ms,
                } => self.send_seconds(&socket, first, last, mute_ms)?,
                Action::Close { socket } => {
                    self.host.close(&socket)?;
                    Ok(())
                }
                Action::Flushed { id, untranscribed } => {
                    self.host.reply_flush(&id, untranscribed)?;
                    Ok(())
                }
                Action::Failed { why, .. } => {
                    let at = self.host.now();
                    self.host.trace.write(at, format_args!("failed: {why}"));
                    Ok(())
                }
                Action::Note(text) => {
                    let at = self.host.now();
                    self.host.trace.write(at, format_args!("note: {text}"));
                    Ok(())
                }
                Action::SetTimer(delay_ms) if self.host.mutant == Mutant::SetsTimersLate => {
                    self.host.set_timer(delay_ms)?;
                    Ok(())
                }
                Action::SetTimer(_) | Action::Sentence(_) | Action::Partial { .. } => Ok(()),
            };
            if let Err(input) = done {
                refused_once = true;
                if self.host.mutant != Mutant::IgnoresRefusedSends {
                    self.inputs.push(input);
                }
            }
        }
        Ok(())
    }

    fn send_seconds(
        &mut self,
        socket: &str,
        first: u32,
        last: u32,
        mute_ms: u32,
    ) -> Result<Result<(), Input>, Stop> {
        let mut payloads = Vec::new();
        for seq in first..=last {
            let is_muted = seq == first && self.host.mutant != Mutant::NeverMutes;
            let content = match self.second(seq)? {
                Ok(content) => content,
                Err(reason) => return Ok(Err(Input::SendFailed(reason))),
            };
            payloads.push(Payload::Audio(Second {
                seq,
                content,
                muted_ms: if is_muted { mute_ms } else { 0 },
            }));
        }
        Ok(self.host.send(socket, payloads)?.map_err(refused))
    }

    fn second(&mut self, seq: u32) -> Result<Result<Option<Content>, String>, Stop> {
        if let Some(content) = self.fresh.remove(&seq) {
            return Ok(Ok(Some(content)));
        }
        if !Seq::new(seq).is_some_and(|seq| self.ingest.is_stored(seq)) {
            return Ok(Ok(None));
        }
        match self.host.get_chunk(seq)? {
            Some(content) => Ok(Ok(content)),
            None if self.host.mutant == Mutant::SilenceForUnreadable => Ok(Ok(None)),
            None => Ok(Err(format!("chunk {seq} cannot be read"))),
        }
    }
}

fn refused(reason: &'static str) -> Input {
    Input::SendFailed(reason.into())
}
