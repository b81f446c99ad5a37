//! One batch of a stream's lane: the events are taken in, then everything that changed is stored in
//! one commit, and only then is anything sent. A batch that fails before its commit has changed
//! nothing but chunks in the blob store, which are written again the same when it is repeated.

use interview_doors::{Grant, auth_ok};
use interview_session::capture::CaptureRecord;
use interview_session::id::SessionId;
use interview_session::ingest::IngestRecord;
use interview_session::lane::Lane;
use interview_session::role::{ByRole, StreamRole};
use interview_session::seq::Seq;
use interview_session::storing::Storing;
use interview_session::time::EpochMs;

use crate::admission::CLIENT;
use crate::audio::FreshAudio;
use crate::bindings::interview::gateway::asr_bridge::{
    Action, Closed, Input, OpenFailed, Opened, Stored, Text, WindowAction,
};
use crate::bindings::interview::gateway::session_state::{self, Listening, StreamChanges};
use crate::bindings::realtime::sockets::types::{Event, Frames, Payload};
use crate::changes::{changes_no_session, changes_nothing, no_changes};
use crate::clients::Clients;
use crate::doors::{self, NARROW, UNKNOWN};
use crate::figures::Counted;
use crate::nudges::Nudges;
use crate::outbox::{Outbox, Replies};
use crate::recognition::{ASR_TIMER, Bridge};
use crate::roles;
use crate::settings::Settings;
use crate::transcript::Transcript;
use crate::windows::{WINDOW_TIMER, Windows, is_window_task};

/// How often a refused send may be answered within one batch.
const MAX_ROUNDS: u32 = 4;

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
    pub replies: Replies,
    pub fresh: FreshAudio,
    /// For how long the client of the last frame that counts is to be left unread, in milliseconds.
    pub wait_ms: u64,
    /// Frames of the client that are no chunks.
    pub control_frames: u64,
    /// The records of the other streams, once somebody asked for them.
    pub others: Option<ByRole<IngestRecord>>,
    /// What the recorders say of themselves, once somebody asked.
    pub captures: Option<ByRole<Option<CaptureRecord>>>,
    /// The seconds that were stored in this batch, as they came.
    pub stored: Vec<u32>,
    /// The stream's last client has said that it closes.
    pub has_ended: bool,
    /// How long that took.
    pub storing: Storing,
    /// Those that are in the blob store and in no commit yet.
    pub put: Vec<Seq>,
    /// When the session began, as this batch found it.
    pub created_at: Option<u64>,
    pub settings: Settings,
    pub clients: Clients,
    pub bridge: Bridge,
    pub windows: Windows,
    pub transcript: Option<Transcript>,
    pub nudges: Nudges,
    pub counted: Counted,
}

/// Handles one batch. What one that fails was to do the host has the lane look for later, in the stream's
/// records. Deadlines of sockets that have shown no key are in no record: they are set again.
pub async fn handle(
    session: &SessionId,
    role: StreamRole,
    events: Vec<Event>,
) -> Result<(), String> {
    let deadlines = doors::deadlines(&events);
    let handled = handle_batch(session, role, events).await;
    if handled.is_err() {
        doors::look_again(&lane(session, role), &deadlines);
    }
    handled
}

async fn handle_batch(
    session: &SessionId,
    role: StreamRole,
    events: Vec<Event>,
) -> Result<(), String> {
    let mut stream = Stream::load(session, role)?;
    let handled = stream.take_all(events).await;
    if handled.is_err() {
        stream.ask_to_take_back();
    }
    handled
}

fn lane(session: &SessionId, role: StreamRole) -> String {
    Lane::Stream {
        session: session.clone(),
        role,
    }
    .to_string()
}

/// Whether a socket is a client's and not the ASR service's.
fn is_client(context: &str) -> bool {
    context == CLIENT || context == NARROW || context.starts_with(UNKNOWN)
}

impl<'a> Stream<'a> {
    fn load(session: &'a SessionId, role: StreamRole) -> Result<Stream<'a>, String> {
        let now = crate::now();
        let records = session_state::load_stream(session.as_str(), roles::wit(role))
            .map_err(|error| format!("the stream's records cannot be read: {error:?}"))?;
        let never = records.created_at.map_or(now, EpochMs);
        let ingest = IngestRecord::load(records.ingest.as_deref(), never);
        let mut settings = Settings::load(role)?;
        settings.bridge.wants_partials = records.listening.contains(Listening::PARTIALS);
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
            replies: Replies::default(),
            fresh: FreshAudio::default(),
            wait_ms: 0,
            control_frames: 0,
            others: None,
            captures: None,
            stored: Vec::new(),
            has_ended: false,
            storing: Storing::default(),
            put: Vec::new(),
            created_at: records.created_at,
            settings,
            clients: Clients::load(records.clients.as_deref())?,
            bridge: Bridge::new(records.bridge),
            windows: Windows::new(records.windows),
            transcript: None,
            nudges: Nudges::new(records.listening),
            counted: Counted::default(),
        })
    }

    async fn take_all(&mut self, events: Vec<Event>) -> Result<(), String> {
        for event in events {
            self.take(event).await?;
        }
        self.turn().await
    }

    async fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Taken => {
                self.clients.taken();
                self.resume();
            }
            Event::Retry => self.resume(),
            // Timers end with the process, and the first client after a restart may send nothing for
            // a while: a ring that comes too early finds nothing due and sets the timer anew.
            Event::Accepted(accepted) if accepted.context.starts_with(UNKNOWN) => {
                doors::wait_for_key(&self.lane(), &accepted.socket);
            }
            Event::Accepted(accepted) => {
                let is_narrow = accepted.context == NARROW;
                self.came(accepted.socket, is_narrow);
            }
            Event::Frames(frames) if is_client(&frames.context) => {
                self.client_frames(&frames).await?;
            }
            Event::Frames(frames) => {
                for payload in frames.payloads {
                    // The service sends text only; a binary frame says nothing.
                    if let Payload::Text(text) = payload {
                        let task = frames.context.clone();
                        self.asr(Input::Text(Text { task, text }), &frames.context);
                    }
                }
            }
            Event::Closed(closed) if is_client(&closed.context) => {
                if closed.context.starts_with(UNKNOWN) {
                    doors::forget(&self.lane(), &closed.socket);
                }
                self.clients.remove(&closed.socket);
            }
            Event::Closed(closed) => {
                let task = closed.context.clone();
                let input = Input::Closed(Closed {
                    task: closed.context,
                    code: closed.code,
                    reason: closed.reason,
                });
                self.asr(input, &task);
            }
            Event::Opened(opened) => {
                let task = opened.context.clone();
                let input = Input::Opened(Opened {
                    task: opened.context,
                    socket: opened.socket,
                });
                self.asr(input, &task);
            }
            Event::Failed(failed) => {
                let task = failed.context.clone();
                let input = Input::OpenFailed(OpenFailed {
                    task: failed.context,
                    status: failed.status,
                    reason: failed.reason,
                });
                self.asr(input, &task);
            }
            Event::Timer(fired) if fired.name == WINDOW_TIMER => self.windows.ring(),
            Event::Timer(fired) if fired.name == ASR_TIMER => self.bridge.ring(),
            Event::Timer(fired) => match doors::overdue(&fired.name) {
                Some(socket) if self.clients.has(socket) => {}
                Some(socket) => doors::turn_away_silent(socket),
                None => self.log(&format!("nobody set the timer {}", fired.name)),
            },
            Event::Message(message) => self.message(message).await?,
        }
        Ok(())
    }

    /// A client is there.
    fn came(&mut self, socket: String, is_narrow: bool) {
        self.clients.add(socket, is_narrow);
        self.has_ended = false;
        self.bridge.ring();
        self.windows.ring();
    }

    async fn client_frames(&mut self, frames: &Frames) -> Result<(), String> {
        let socket = frames.socket.as_str();
        let mut payloads = frames.payloads.iter();
        let is_first = frames.context.starts_with(UNKNOWN) && frames.first == 1;
        if is_first && !self.clients.has(socket) {
            let allows = |grant: &Grant<'_>| grant.allows_stream(self.session, self.role);
            let lane = self.lane();
            let known = doors::knock(&lane, socket, payloads.next(), self.session, allows)?;
            if let Some(grant) = known {
                self.came(socket.to_owned(), grant.is_narrow());
                self.outbox.push(socket, auth_ok().to_owned());
            }
        }
        // Frames that were waiting when the session was deleted must not bring it back; and who was not let
        // in is not heard.
        if !self.clients.has(socket) {
            return Ok(());
        }
        for payload in payloads {
            // A frame before this one may have ended it.
            if self.outbox.is_closing(socket) {
                break;
            }
            self.client_frame(socket, payload).await?;
        }
        self.charge_control_frames(socket);
        Ok(())
    }

    /// Something of an ASR task: of a window's, or of the realtime one.
    fn asr(&mut self, input: Input, task: &str) {
        if is_window_task(task) {
            self.windows.push(input);
        } else {
            self.bridge.push(input);
        }
    }

    /// Recognition, commit, and what is to be sent; a send that is refused goes round again.
    pub async fn turn(&mut self) -> Result<(), String> {
        let stored = std::mem::take(&mut self.stored);
        if !stored.is_empty() && self.settings.is_windowed() {
            self.windows.look();
        }
        for seq in stored {
            let arrived = self.now.0;
            self.bridge.push(Input::Stored(Stored { seq, arrived }));
        }
        if std::mem::take(&mut self.has_ended) {
            self.bridge.push(Input::Ended);
        }
        for _ in 0..MAX_ROUNDS {
            let mut actions = self.recognise()?;
            let window_actions = self.step_windows()?;
            // A window that is done tells the bridge what it need not send.
            actions.extend(self.recognise()?);
            self.set_timers(&actions, &window_actions);
            self.commit()?;
            self.tell_counted();
            self.outbox.send();
            self.replies.send();
            self.nudges.send(self.session, self.role);
            self.carry_out(actions).await;
            self.carry_out_windows(window_actions).await;
            if !self.bridge.is_asked() && !self.windows.is_asked() {
                break;
            }
        }
        self.tell_levels();
        Ok(())
    }

    pub fn commit(&mut self) -> Result<(), String> {
        self.changes.clients = self.clients.take_change();
        let mut changes = std::mem::replace(&mut self.changes, no_changes());
        if changes_no_session(&changes) {
            // That somebody is connected does not make a session.
            self.changes.creates_session = std::mem::take(&mut changes.creates_session);
        }
        if !changes_nothing(&changes) {
            session_state::commit_stream(
                self.session.as_str(),
                roles::wit(self.role),
                self.now.0,
                &changes,
            )
            .map_err(|error| format!("the stream's records cannot be written: {error:?}"))?;
            self.nudges.committed(&changes);
        }
        self.put.clear();
        Ok(())
    }

    /// Actions that only the transcript needs are taken out; the others are left to be carried out.
    pub fn take_up(&mut self, actions: Vec<Action>) -> Result<Vec<Action>, String> {
        let mut later = Vec::new();
        for action in actions {
            match action {
                Action::Sentence(sentence) => self.sentence(&sentence)?,
                Action::Partial(partial) => self.nudges.partial(partial),
                action => later.push(action),
            }
        }
        Ok(later)
    }

    /// The name of this lane.
    pub fn lane(&self) -> String {
        lane(self.session, self.role)
    }

    /// Before the commit that counts on them: a timer that rings in vain costs nothing, one that a batch
    /// that failed after its commit never set would stop the stream.
    pub fn set_timers(&self, actions: &[Action], window_actions: &[WindowAction]) {
        for action in actions {
            if let Action::SetTimer(delay_ms) = action {
                self.set_timer(ASR_TIMER, *delay_ms);
            }
        }
        for action in window_actions {
            if let WindowAction::SetTimer(delay_ms) = action {
                self.set_timer(WINDOW_TIMER, *delay_ms);
            }
        }
    }

    /// A line in the host's log.
    pub fn log(&self, text: &str) {
        eprintln!("session={} role={} {text}", self.session, self.role);
    }
}
