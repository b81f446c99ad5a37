//! One file over one WebSocket of the gateway, and over the next when it breaks, until every chunk
//! is acknowledged. What to send is [`Delivery`]'s to say; [`crate::socket`] has the frames.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::HeaderValue;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::audio;
use crate::connection::Connector;
use crate::delivery::{Delivery, GivenUp, Pace, Step};
use crate::gateway::Gateway;
use crate::reading::Read;
use crate::session::{Role, SessionId};
use crate::socket::{AckStatus, Break, Chunk, Frame, Greeting, Socket};

/// The pause before a new connection: the first, and the longest it doubles to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Attempts in a row without one new ack before the stream is given up: about a minute.
const MAX_ATTEMPTS: u32 = 16;
/// One that is asked to stop waits this long for the acks of what it sent.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Where in the stream the file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Behind all that the stream has.
    Behind,
    /// At this second: the file was streamed before and interrupted. What the stream has of it is
    /// not sent again, unless seconds of it are missing.
    At(u32),
}

/// What is to be streamed, and where.
#[derive(Clone)]
pub struct Plan {
    /// Opens connections.
    pub connector: Connector,
    /// What they lead to.
    pub gateway: Gateway,
    /// The session.
    pub session: SessionId,
    /// What the gateway asks for, if it does.
    pub key: Option<HeaderValue>,
    /// The stream.
    pub role: Role,
    /// Where in it the file begins.
    pub begin: Begin,
    /// How fast.
    pub pace: Pace,
    /// Who asks; tells the gateway whose voice the teacher's stream is.
    pub interviewer: Option<String>,
    /// Who takes part.
    pub participants: Vec<String>,
}

/// Is told what happens, while it happens.
pub trait Observer: Send {
    /// So many chunks were sent, and so many acknowledged.
    fn progress(&self, sent: u32, acked: u32);
    /// Something that the user should know: an error of the gateway, a lost connection.
    fn note(&self, text: &str);
}

/// What was delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The second of the stream at which the file begins; 0 when the gateway never said.
    pub first_seq: u32,
    /// Seconds of audio that are acknowledged:
    pub chunks: u32,
    /// as new,
    pub stored: u32,
    /// as stored by an earlier attempt, whose ack was lost,
    pub duplicate: u32,
    /// or as stored before they were sent: by somebody else, and perhaps with other audio.
    pub conflicting: u32,
    /// Seconds that the stream had of this file before.
    pub skipped: u32,
    /// Chunks sent again.
    pub resent: u32,
    /// Connections after the first.
    pub reconnects: u32,
    /// Errors that the gateway answered.
    pub errors: u32,
}

impl Summary {
    /// Whether the gateway has audio of the file.
    #[must_use]
    pub fn has_audio(&self) -> bool {
        self.chunks > 0 || self.skipped > 0
    }
}

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// Everything is acknowledged.
    Complete,
    /// It was asked to stop.
    Stopped,
    /// Not everything is acknowledged.
    Failed(Error),
}

/// What was delivered, and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was delivered.
    pub summary: Summary,
    /// How it ended.
    pub end: End,
}

/// Why not everything was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway does not want the stream; trying again will not help.
    #[error("the gateway refuses the stream: {0}")]
    Refused(String),
    /// One chunk is refused for good.
    #[error("the gateway does not store second {seq}: {reason}")]
    ChunkRefused {
        /// Which chunk.
        seq: u32,
        /// Its words, the last time.
        reason: String,
    },
    /// No connection, or none that lasts.
    #[error("the gateway cannot be reached any more ({0})")]
    Lost(String),
    /// The file was given a place that the stream has not reached.
    #[error(
        "the stream has {last} s, so that no file can have been interrupted that begins at second {first}: check --resume"
    )]
    Resume {
        /// Of the file.
        first: u32,
        /// Of the stream.
        last: u32,
    },
    /// The file cannot be read to its end.
    #[error("{0}")]
    File(#[from] audio::Error),
}

/// Streams all that `reading` gives, and closes the stream in good order. When `stop` becomes true,
/// what was sent is waited for, and no more is sent.
pub async fn run(
    plan: &Plan,
    reading: mpsc::Receiver<Result<Read, audio::Error>>,
    observer: &dyn Observer,
    stop: watch::Receiver<bool>,
) -> Outcome {
    let mut streaming = Streaming {
        plan,
        reading,
        observer,
        stop: stop.clone(),
        delivery: None,
        held: BTreeMap::new(),
        to_skip: 0,
        started: Instant::now(),
        started_ms: now_ms(),
        summary: Summary::default(),
    };
    let end = tokio::select! {
        end = streaming.until_the_end() => end,
        () = stopped_for(stop, STOP_PATIENCE) => End::Stopped,
    };
    let mut summary = streaming.summary;
    if let Some(delivery) = &streaming.delivery {
        summary.chunks = delivery.acked_count();
        summary.resent = delivery.resent_count();
    }
    Outcome { summary, end }
}

/// Ends so long after it was asked to stop.
async fn stopped_for(mut stop: watch::Receiver<bool>, time: Duration) {
    stopped(&mut stop).await;
    sleep(time).await;
}

/// Ends when it is asked to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Nobody left who could ask: it never happens.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(1, |since| u64::try_from(since.as_millis()).unwrap_or(1))
}

struct Streaming<'a> {
    plan: &'a Plan,
    reading: mpsc::Receiver<Result<Read, audio::Error>>,
    observer: &'a dyn Observer,
    stop: watch::Receiver<bool>,
    /// None until the gateway said what the stream has.
    delivery: Option<Delivery>,
    /// What was read and is not acknowledged: as many as the delivery wants.
    held: BTreeMap<u32, Vec<u8>>,
    /// Seconds of the file that are not sent: the stream has them.
    to_skip: u32,
    started: Instant,
    started_ms: u64,
    summary: Summary,
}

impl Streaming<'_> {
    async fn until_the_end(&mut self) -> End {
        let mut pause = BACKOFF.0;
        let mut attempts = 0;
        loop {
            let acked_before = self.acked_count();
            let reason = match self.connection().await {
                Ok(()) if *self.stop.borrow() => return End::Stopped,
                Ok(()) => return End::Complete,
                Err(Break::Final(error)) => return End::Failed(error),
                Err(Break::Lost(reason)) => reason,
            };
            if let Some(delivery) = &mut self.delivery {
                delivery.disconnected();
            }
            if self.acked_count() > acked_before {
                attempts = 0;
                pause = BACKOFF.0;
            }
            attempts += 1;
            if attempts >= MAX_ATTEMPTS {
                return End::Failed(Error::Lost(reason));
            }
            let text = format!(
                "connection lost ({reason}); again in {} ms",
                pause.as_millis()
            );
            self.observer.note(&text);
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped(&mut self.stop) => {}
            }
            if *self.stop.borrow() && self.nothing_is_on_its_way() {
                return End::Stopped;
            }
            pause = (pause * 2).min(BACKOFF.1);
            self.summary.reconnects += 1;
        }
    }

    fn acked_count(&self) -> u32 {
        self.delivery.as_ref().map_or(0, Delivery::acked_count)
    }

    /// Whether there is nothing to wait for once nothing more is sent.
    fn nothing_is_on_its_way(&mut self) -> bool {
        let now = self.started.elapsed();
        match &mut self.delivery {
            Some(delivery) => {
                delivery.stop();
                delivery.next(now) == Step::Done
            }
            None => true,
        }
    }

    /// One connection, from the greeting until everything is acknowledged.
    async fn connection(&mut self) -> Result<(), Break> {
        let (mut socket, greeting) = tokio::select! {
            connected = Socket::connect(self.plan) => connected?,
            // What was sent is worth a connection to hear of it, for as long as a stop may take.
            () = stopped(&mut self.stop), if self.delivery.is_none() => return Ok(()),
        };
        let mut delivery = match self.delivery.take() {
            Some(delivery) => delivery,
            None => self.begin(&greeting).map_err(Break::Final)?,
        };
        let delivered = self.deliver(&mut socket, &mut delivery, &greeting).await;
        self.delivery = Some(delivery);
        delivered?;
        // All is safe: whatever happens to the connection now loses nothing.
        if let Err(reason) = socket.close().await {
            self.observer
                .note(&format!("not closed in good order: {reason}"));
        }
        Ok(())
    }

    /// What is to be sent, given what the stream has.
    fn begin(&mut self, greeting: &Greeting) -> Result<Delivery, Error> {
        let behind = greeting.last_seq.saturating_add(1);
        let (first, next) = match self.plan.begin {
            Begin::Behind => (behind, behind),
            Begin::At(first) if first > behind => {
                return Err(Error::Resume {
                    first,
                    last: greeting.last_seq,
                });
            }
            // Which seconds are missing is not said: all go out again, and none is stored twice.
            Begin::At(first) if greeting.missing > 0 => (first, first),
            Begin::At(first) => (first, behind),
        };
        if self.plan.begin == Begin::Behind && next > 1 {
            self.observer.note(&format!(
                "the stream has {} s already: the file begins at second {next}",
                greeting.last_seq
            ));
        }
        self.summary.first_seq = first;
        self.to_skip = next - first;
        self.started = Instant::now();
        self.started_ms = now_ms();
        Ok(Delivery::new(next, self.plan.pace))
    }

    /// Sends and waits until everything is acknowledged.
    async fn deliver(
        &mut self,
        socket: &mut Socket,
        delivery: &mut Delivery,
        greeting: &Greeting,
    ) -> Result<(), Break> {
        loop {
            if *self.stop.borrow() {
                delivery.stop();
            }
            let until = match delivery.next(self.started.elapsed()) {
                Step::Send(seq) => {
                    let chunk = Chunk {
                        role: self.plan.role,
                        meeting_id: &greeting.session_id,
                        seq,
                        timestamp_ms: self.timestamp_ms(seq),
                        pcm: self.held.get(&seq).map_or(&[][..], Vec::as_slice),
                    };
                    socket.send(&chunk.to_json()).await?;
                    self.show(delivery);
                    continue;
                }
                Step::Wait(until) => until,
                Step::Stalled => return Err(Break::Lost("no answer to a chunk".to_owned())),
                Step::Done => return Ok(()),
            };
            let is_stopped = *self.stop.borrow();
            tokio::select! {
                frame = socket.receive() => self.take(frame?, delivery)?,
                () = wake(self.started, until) => {}
                read = self.reading.recv(), if delivery.wants_more() => {
                    self.take_in(read, delivery)?;
                }
                () = stopped(&mut self.stop), if !is_stopped => {}
            }
        }
    }

    /// A second of the file, or its end.
    fn take_in(
        &mut self,
        read: Option<Result<Read, audio::Error>>,
        delivery: &mut Delivery,
    ) -> Result<(), Break> {
        match read {
            Some(Ok(Read::Second(_))) if self.to_skip > 0 => {
                self.to_skip -= 1;
                self.summary.skipped += 1;
            }
            Some(Ok(Read::Second(pcm))) => {
                self.held.insert(delivery.provide(), pcm);
            }
            Some(Ok(Read::Note(note))) => self.observer.note(&note),
            Some(Err(error)) => return Err(Break::Final(error.into())),
            None => delivery.end(),
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame, delivery: &mut Delivery) -> Result<(), Break> {
        match frame {
            Frame::Ack { seq, status } => {
                let Some(times_sent) = delivery.acked(seq) else {
                    return Ok(());
                };
                self.held.remove(&seq);
                match status {
                    AckStatus::Stored => self.summary.stored += 1,
                    AckStatus::Duplicate if times_sent > 1 => self.summary.duplicate += 1,
                    AckStatus::Duplicate => self.conflicting(seq),
                }
                self.show(delivery);
            }
            Frame::Error { detail } => {
                self.summary.errors += 1;
                match delivery.rejected(self.started.elapsed()) {
                    Ok(Some(seq)) => self.observer.note(&format!("second {seq}: {detail}")),
                    Ok(None) => self.observer.note(&detail),
                    Err(GivenUp { seq }) => {
                        let reason = detail;
                        return Err(Break::Final(Error::ChunkRefused { seq, reason }));
                    }
                }
            }
            Frame::Ready { .. } | Frame::Closing | Frame::Other => {}
        }
        Ok(())
    }

    /// The gateway has a second that was not sent before, and keeps what it has.
    fn conflicting(&mut self, seq: u32) {
        if let Begin::At(_) = self.plan.begin {
            // A part of this file, by the word of who resumes it.
            self.summary.duplicate += 1;
            return;
        }
        if self.summary.conflicting == 0 {
            self.observer.note(&format!(
                "second {seq} was stored before it was sent, perhaps with other audio, which the gateway keeps (does somebody else stream into this session?)"
            ));
        }
        self.summary.conflicting += 1;
    }

    fn timestamp_ms(&self, seq: u32) -> u64 {
        let place = seq.saturating_sub(self.summary.first_seq);
        self.started_ms + u64::from(place) * 1000
    }

    fn show(&self, delivery: &Delivery) {
        let skipped = self.summary.skipped;
        self.observer.progress(
            skipped + delivery.sent_count(),
            skipped + delivery.acked_count(),
        );
    }
}

/// Until a time since the start; without one, for ever.
async fn wake(started: Instant, until: Option<Duration>) {
    match until {
        Some(until) => sleep_until(started + until).await,
        None => std::future::pending().await,
    }
}
