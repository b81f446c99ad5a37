//! One batch of a stream's lane: the events are taken in, then everything that changed is stored in
//! one commit, and only then is anything sent. A batch that fails before its commit has changed
//! nothing but chunks in the blob store, which are written again the same when it is repeated.

use interview_session::id::SessionId;
use interview_session::ingest::IngestRecord;
use interview_session::lane::{FlushAnswer, Lane, LaneMessage};
use interview_session::role::StreamRole;
use interview_session::time::EpochMs;

use crate::admission::CLIENT;
use crate::audio::FreshAudio;
use crate::bindings::interview::gateway::asr_bridge::{self, Action, Input};
use crate::bindings::interview::gateway::session_state::{self, StreamChanges};
use crate::bindings::realtime::sockets::types::{Event, Message, Payload};
use crate::bindings::realtime::sockets::{lanes, sockets, timers};
use crate::outbox::Outbox;
use crate::roles;
use crate::settings::Settings;
use crate::transcript::Transcript;

/// The one timer of a stream's recognition.
const ASR_TIMER: &str = "asr";
/// How often a refused send may be answered within one batch.
const MAX_ROUNDS: u32 = 4;
/// Room in a socket's queue that audio leaves for control frames.
const CONTROL_ROOM: u32 = 2;

/// What a batch works on.
pub struct Stream<'a> {
    pub session: &'a SessionId,
    pub role: StreamRole,
    pub now: EpochMs,
    pub ingest: IngestRecord,
    /// What is shown for records that were never written.
    pub never: EpochMs,
    pub changes: StreamChanges,
    pub outbox: Outbox,
    pub fresh: FreshAudio,
    /// Chunks were stored in this batch.
    pub stored: bool,
    pub settings: Settings,
    bridge: Option<String>,
    inputs: Vec<Input>,
    transcript: Option<Transcript>,
}

/// Handles one batch.
pub async fn handle(
    session: &SessionId,
    role: StreamRole,
    events: Vec<Event>,
) -> Result<(), String> {
    let mut stream = Stream::load(session, role)?;
    for event in events {
        stream.take(event).await;
    }
    stream.finish().await
}

impl<'a> Stream<'a> {
    fn load(session: &'a SessionId, role: StreamRole) -> Result<Stream<'a>, String> {
        let now = crate::now();
        let records = session_state::load_stream(session.as_str(), roles::wit(role))
            .map_err(|error| format!("the stream's records cannot be read: {error:?}"))?;
        let never = records.created_at.map_or(now, EpochMs);
        let ingest = IngestRecord::load(records.ingest.as_deref(), never);
        Ok(Stream {
            session,
            role,
            now,
            never,
            ingest: ingest.map_err(|error| error.to_string())?,
            changes: StreamChanges {
                creates_session: records.created_at.is_none(),
                ..no_changes()
            },
            outbox: Outbox::default(),
            fresh: FreshAudio::default(),
            stored: false,
            settings: Settings::load(role)?,
            bridge: records.bridge,
            inputs: Vec::new(),
            transcript: None,
        })
    }

    async fn take(&mut self, event: Event) {
        match event {
            // Timers end with the process, and the first client after a restart may send nothing for
            // a while: a ring that comes too early finds nothing due and sets the timer anew.
            Event::Accepted(_) => {
                if self.bridge.is_some() {
                    self.inputs.push(Input::Timer);
                }
            }
            Event::Frames(frames) if frames.context == CLIENT => {
                for payload in &frames.payloads {
                    if !self.outbox.is_closing(&frames.socket) {
                        self.client_frame(&frames.socket, payload).await;
                    }
                }
            }
            Event::Frames(frames) => {
                for payload in frames.payloads {
                    // The service sends text only; a binary frame says nothing.
                    if let Payload::Text(text) = payload {
                        let task = frames.context.clone();
                        self.inputs
                            .push(Input::Text(asr_bridge::Text { task, text }));
                    }
                }
            }
            Event::Closed(closed) if closed.context == CLIENT => {}
            Event::Closed(closed) => self.inputs.push(Input::Closed(asr_bridge::Closed {
                task: closed.context,
                code: closed.code,
                reason: closed.reason,
            })),
            Event::Opened(opened) => self.inputs.push(Input::Opened(asr_bridge::Opened {
                task: opened.context,
                socket: opened.socket,
            })),
            Event::Failed(failed) => self.inputs.push(Input::OpenFailed(asr_bridge::OpenFailed {
                task: failed.context,
                status: failed.status,
                reason: failed.reason,
            })),
            Event::Timer(_) => self.inputs.push(Input::Timer),
            Event::Message(message) => self.message(message),
        }
    }

    fn message(&mut self, message: Message) {
        match (LaneMessage::parse(&message.body), message.call) {
            (Ok(LaneMessage::Flush {}), Some(call)) => self.inputs.push(Input::Flush(call)),
            (parsed, _) => self.log(&format!("a message is not for a stream: {parsed:?}")),
        }
    }

    /// Recognition, commit, and what is to be sent; a send that is refused goes round again.
    async fn finish(mut self) -> Result<(), String> {
        if self.stored {
            let seq = self.ingest.last_seq();
            self.inputs.push(Input::Stored(asr_bridge::Stored {
                seq,
                arrived: self.now.0,
            }));
        }
        for _ in 0..MAX_ROUNDS {
            let actions = self.recognise()?;
            self.commit()?;
            self.outbox.send();
            self.carry_out(actions).await;
            if self.inputs.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Gives the bridge what happened. Sentences go into the commit, the rest is done after it.
    fn recognise(&mut self) -> Result<Vec<Action>, String> {
        let mut inputs = std::mem::take(&mut self.inputs);
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let status = asr_bridge::inspect(self.bridge.as_deref())?;
        let room = status
            .socket
            .as_deref()
            .map_or(Ok(0), sockets::room)
            .unwrap_or_else(|_| {
                inputs.push(Input::SendFailed("it is gone".into()));
                0
            });
        let outcome = asr_bridge::step(
            self.bridge.as_deref(),
            &self.settings.bridge,
            self.now.0,
            crate::random()?,
            room.saturating_sub(CONTROL_ROOM),
            &inputs,
        )?;
        // Much of what a service says, such as a sentence that is still growing, changes nothing.
        if self.bridge.as_ref() != Some(&outcome.state) {
            self.bridge = Some(outcome.state.clone());
            self.changes.bridge = Some(outcome.state);
        }
        let mut later = Vec::new();
        for action in outcome.actions {
            match action {
                Action::Sentence(sentence) => self.sentence(&sentence)?,
                action => later.push(action),
            }
        }
        Ok(later)
    }

    fn sentence(&mut self, sentence: &asr_bridge::Sentence) -> Result<(), String> {
        let mut transcript = match self.transcript.take() {
            Some(transcript) => transcript,
            None => Transcript::load(self.session, self.role)?,
        };
        transcript.add(
            self.session,
            self.role,
            &self.settings,
            sentence,
            self.now,
            &mut self.changes,
        )?;
        self.transcript = Some(transcript);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        let changes = std::mem::replace(&mut self.changes, no_changes());
        if changes_nothing(&changes) {
            self.changes.creates_session = changes.creates_session;
            return Ok(());
        }
        let speaks = self.role == StreamRole::Students && !changes.utterances.is_empty();
        session_state::commit_stream(
            self.session.as_str(),
            roles::wit(self.role),
            self.now.0,
            &changes,
        )
        .map_err(|error| format!("the stream's records cannot be written: {error:?}"))?;
        if speaks {
            // Only a nudge: what is left to identify is known from the log.
            let lane = Lane::Identity {
                session: self.session.clone(),
            }
            .to_string();
            if let Err(error) = lanes::post(&lane, &LaneMessage::Identify {}.to_body()) {
                self.log(&format!(
                    "the identity lane takes no message now: {error:?}"
                ));
            }
        }
        Ok(())
    }

    async fn carry_out(&mut self, actions: Vec<Action>) {
        let lane = Lane::Stream {
            session: self.session.clone(),
            role: self.role,
        }
        .to_string();
        let mut refused_once = false;
        for action in actions {
            let done = match action {
                // For the socket that takes nothing more; timers and answers are not its business.
                Action::SendText(_) | Action::SendSeconds(_) if refused_once => Ok(()),
                Action::Open(open) => {
                    let task = open.task.clone();
                    self.open(&lane, open).map_err(|reason| {
                        Input::OpenFailed(asr_bridge::OpenFailed {
                            task,
                            status: None,
                            reason,
                        })
                    })
                }
                Action::SendText(send) => {
                    sockets::send(&send.socket, &[Payload::Text(send.text)]).map_err(refused)
                }
                Action::SendSeconds(send) => self.send_seconds(send).await,
                Action::Close(close) => {
                    let _ = sockets::close(&close.socket, 1000, "");
                    Ok(())
                }
                Action::SetTimer(delay_ms) => {
                    if let Err(error) = timers::set(&lane, ASR_TIMER, delay_ms) {
                        self.log(&format!("no timer: {error:?}"));
                    }
                    Ok(())
                }
                Action::Flushed(flushed) => {
                    let answer = FlushAnswer {
                        untranscribed: flushed.untranscribed,
                    };
                    // Whoever called may have given up.
                    let _ = lanes::reply(&flushed.id, &answer.to_body());
                    Ok(())
                }
                Action::Note(text) => {
                    self.log(&text);
                    Ok(())
                }
                Action::Sentence(_) => Ok(()),
            };
            if let Err(input) = done {
                refused_once = true;
                self.inputs.push(input);
            }
        }
    }

    fn open(&self, lane: &str, open: asr_bridge::Open) -> Result<(), String> {
        let target = sockets::Target {
            url: open.url,
            headers: open.headers,
            lane: lane.into(),
            context: open.task,
            connect_timeout_ms: open.timeout_ms,
        };
        sockets::open(&target)
            .map(|_| ())
            .map_err(|error| match error {
                sockets::Error::NotAllowed(why) => why,
                error => format!("{error:?}"),
            })
    }

    async fn send_seconds(&mut self, send: asr_bridge::SendSeconds) -> Result<(), Input> {
        let mut payloads = Vec::new();
        for second in send.range.first..=send.range.last {
            let mute_ms = if second == send.range.first {
                send.mute_ms
            } else {
                0
            };
            let pcm = self
                .fresh
                .second(self.session, self.role, &self.ingest, second, mute_ms)
                .await
                .map_err(Input::SendFailed)?;
            payloads.push(Payload::Binary(pcm));
        }
        sockets::send(&send.socket, &payloads).map_err(refused)
    }

    /// A line in the host's log.
    pub fn log(&self, text: &str) {
        eprintln!("session={} role={} {text}", self.session, self.role);
    }
}

fn refused(error: sockets::Error) -> Input {
    Input::SendFailed(format!("{error:?}"))
}

fn no_changes() -> StreamChanges {
    StreamChanges {
        creates_session: false,
        ingest: None,
        bridge: None,
        figures: None,
        capture: None,
        utterances: Vec::new(),
        merged: Vec::new(),
        events: Vec::new(),
    }
}

fn changes_nothing(changes: &StreamChanges) -> bool {
    let StreamChanges {
        creates_session: _,
        ingest,
        bridge,
        figures,
        capture,
        utterances,
        merged,
        events,
    } = changes;
    let records = [ingest, bridge, figures, capture];
    records.iter().all(|record| record.is_none())
        && utterances.is_empty()
        && merged.is_empty()
        && events.is_empty()
}
