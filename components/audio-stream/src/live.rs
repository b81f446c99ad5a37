//! The live lane of a session: carries out what `interview_live` decides about one batch. Entries are
//! committed before they are sent, and who got what after that.

use interview_doors::{Grant, auth_ok};
use interview_live::{
    Append, Ask, Closing, Delivery, End, EntryName, Input, Listening, LiveLane, Log, Store, Stored,
};
use interview_session::id::SessionId;
use interview_session::lane::{Done, Lane, LaneAnswer, LaneMessage};
use interview_session::pace::{CONTROL_AHEAD_MS, control_cost_ms};
use interview_session::reply::ErrorReply;
use interview_session::role::ByRole;

use crate::bindings::interview::gateway::session_state::{self, LogLength};
use crate::bindings::realtime::sockets::types::{Event, Frames, Payload};
use crate::bindings::realtime::sockets::{lanes, sockets, timers};
use crate::doors::{self, UNKNOWN};
use crate::roles;

/// The lane's own timer.
const TIMER: &str = "look";
/// Begins the name of a timer that carries a subscription whose batch failed: it is in no record in which it
/// would be found.
const SUBSCRIPTION: &str = "again ";
/// When it is tried again.
const SUBSCRIBE_AGAIN_MS: u64 = 5_000;
/// What a viewer is told that says something.
const ONLY_LISTENS: &str = "this connection only listens";

/// Handles one batch. Of one that fails the deadlines of sockets that have shown no key are set again, and
/// its subscriptions are kept.
pub fn handle(session: &SessionId, events: Vec<Event>) -> Result<(), String> {
    let deadlines = doors::deadlines(&events);
    let subscriptions = subscriptions(&events);
    let handled = handle_batch(session, events);
    if handled.is_err() {
        doors::look_again(&name(session), &deadlines);
        keep(&name(session), &subscriptions);
    }
    handled
}

/// Names of timers that carry the subscriptions among these events.
fn subscriptions(events: &[Event]) -> Vec<String> {
    let mut names = Vec::new();
    for event in events {
        match event {
            Event::Message(message) => {
                if let Ok(subscribe @ LaneMessage::Subscribe { .. }) =
                    LaneMessage::parse(&message.body)
                {
                    let body = String::from_utf8(subscribe.to_body()).unwrap_or_default();
                    names.push(format!("{SUBSCRIPTION}{body}"));
                }
            }
            Event::Timer(fired) if fired.name.starts_with(SUBSCRIPTION) => {
                names.push(fired.name.clone());
            }
            _ => {}
        }
    }
    names
}

fn keep(lane: &str, subscriptions: &[String]) {
    for name in subscriptions {
        if let Err(error) = timers::set(lane, name, SUBSCRIBE_AGAIN_MS) {
            eprintln!("lane={lane} a client's subscription is lost: {error:?}");
        }
    }
}

fn handle_batch(session: &SessionId, events: Vec<Event>) -> Result<(), String> {
    let mut batch = Batch::load(session)?;
    let strangers: Vec<String> = events
        .iter()
        .filter_map(stranger)
        .map(str::to_owned)
        .collect();
    let mut is_of_strangers =
        strangers.len() == events.len() && strangers.iter().all(|socket| !batch.lane.has(socket));
    // Those who are gone make room for those who come.
    batch.probe();
    for event in events {
        batch.take(event)?;
    }
    // Who was let in is none any more.
    is_of_strangers &= strangers.iter().all(|socket| !batch.lane.has(socket));
    // They see nothing and change nothing: the lane may be another host's.
    if is_of_strangers {
        return Ok(());
    }
    batch.finish()
}

/// The socket, if it has come as one that has yet to show a key.
fn stranger(event: &Event) -> Option<&str> {
    match event {
        Event::Accepted(accepted) if accepted.context.starts_with(UNKNOWN) => {
            Some(&accepted.socket)
        }
        Event::Frames(frames) if frames.context.starts_with(UNKNOWN) => Some(&frames.socket),
        Event::Closed(closed) if closed.context.starts_with(UNKNOWN) => Some(&closed.socket),
        Event::Timer(fired) => doors::overdue(&fired.name),
        _ => None,
    }
}

struct Batch<'a> {
    session: &'a SessionId,
    lane: LiveLane,
}

impl<'a> Batch<'a> {
    fn load(session: &'a SessionId) -> Result<Self, String> {
        let records = session_state::load_live(session.as_str())
            .map_err(|error| format!("the live records cannot be read: {error:?}"))?;
        let stored = Stored {
            document: records.live,
            created: records.created_at.is_some(),
            lengths: ByRole {
                mixed: length(&records.mixed),
                teacher: length(&records.teacher),
                students: length(&records.students),
            },
        };
        let lane = LiveLane::load(session, crate::now(), stored).map_err(|e| e.to_string())?;
        Ok(Batch { session, lane })
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Accepted(accepted) if accepted.context.starts_with(UNKNOWN) => {
                doors::wait_for_key(&self.name(), &accepted.socket);
            }
            Event::Accepted(accepted) => self.join(accepted.socket, &accepted.context)?,
            Event::Closed(closed) => {
                if closed.context.starts_with(UNKNOWN) {
                    doors::forget(&self.name(), &closed.socket);
                }
                let socket = closed.socket;
                self.lane.take(Input::Left { socket });
            }
            Event::Frames(frames) => self.frames(&frames)?,
            Event::Message(message) => match LaneMessage::parse(&message.body) {
                Ok(LaneMessage::Delete {}) => {
                    self.delete()?;
                    if let Some(call) = message.call {
                        // Whoever called may have given up.
                        let _ = lanes::reply(&call, &Done {}.to_body());
                    }
                }
                Ok(message) => self.message(message),
                Err(error) => self.log(&error.to_string()),
            },
            // Every batch looks at the logs.
            Event::Taken | Event::Retry => {}
            Event::Timer(fired) if fired.name.starts_with(SUBSCRIPTION) => {
                self.subscribe_again(fired.name.trim_start_matches(SUBSCRIPTION));
            }
            Event::Timer(fired) => {
                if let Some(socket) = doors::overdue(&fired.name)
                    && !self.lane.has(socket)
                {
                    doors::turn_away_silent(socket);
                }
            }
            Event::Opened(_) | Event::Failed(_) => self.log("the live lane opens no socket"),
        }
        Ok(())
    }

    fn join(&mut self, socket: String, context: &str) -> Result<(), String> {
        let ask = Ask::from_context(context).ok_or("a socket of the live lane is no viewer's")?;
        self.lane.take(Input::Joined { socket, ask });
        Ok(())
    }

    fn frames(&mut self, frames: &Frames) -> Result<(), String> {
        let socket = frames.socket.as_str();
        let mut payloads = frames.payloads.iter();
        let mut answers = Vec::new();
        let unknown = frames.context.strip_prefix(UNKNOWN);
        let role =
            Ask::from_context(unknown.unwrap_or(&frames.context)).and_then(|ask| ask.stream_role);
        let session = self.session;
        let allows = |grant: &Grant<'_>| grant.allows_live(session, role);
        if let Some(context) = unknown {
            if frames.first == 1 && !self.lane.has(socket) {
                let lane = self.name();
                let known = doors::knock(&lane, socket, payloads.next(), session, allows)?;
                if known.is_some() {
                    // Before anything else that it is sent.
                    answers.push(Payload::Text(auth_ok().to_owned()));
                    self.join(socket.to_owned(), context)?;
                }
            }
            // Who was not let in is not heard.
            if !self.lane.has(socket) {
                return Ok(());
            }
        }
        for payload in payloads {
            let Some(frame) = doors::auth_frame(payload)? else {
                answers.push(Payload::Text(ErrorReply::new(ONLY_LISTENS).to_json()));
                continue;
            };
            match doors::grant(&frame)?.and_then(|grant| allows(&grant)) {
                Ok(()) => answers.push(Payload::Text(auth_ok().to_owned())),
                Err(denied) => {
                    doors::turn_away(socket, denied.reason());
                    self.lane.gone(socket);
                    return Ok(());
                }
            }
        }
        // One that does not even read these misses nothing.
        let _ = sockets::send(socket, &answers);
        let frames = u64::try_from(frames.payloads.len()).unwrap_or(u64::MAX);
        // One that is gone sends nothing more.
        let _ = sockets::charge(socket, control_cost_ms(frames), CONTROL_AHEAD_MS);
        Ok(())
    }

    /// The lane's own.
    fn name(&self) -> String {
        name(self.session)
    }

    fn message(&mut self, message: LaneMessage) {
        self.lane.take(match message {
            LaneMessage::Look {} => return,
            LaneMessage::Partial {
                stream_role,
                start_ms,
                text,
            } => Input::Partial {
                role: stream_role,
                start_ms,
                text,
            },
            LaneMessage::AsrState {
                stream_role,
                asr_ws_state,
            } => Input::AsrState {
                role: stream_role,
                state: asr_ws_state,
            },
            LaneMessage::Subscribe {
                socket,
                kinds,
                after,
            } => Input::Subscribed {
                socket,
                kinds,
                after,
            },
            _ => return self.log("a message is not for the live lane"),
        });
    }

    /// A subscription whose batch failed. One that came later counts, and so does one that did not fail when
    /// it was tried the second time.
    fn subscribe_again(&mut self, body: &str) {
        match LaneMessage::parse(body.as_bytes()) {
            Ok(LaneMessage::Subscribe { socket, .. }) if self.lane.has(&socket) => {}
            Ok(message @ LaneMessage::Subscribe { .. }) => self.message(message),
            other => self.log(&format!("a timer carries no subscription: {other:?}")),
        }
    }

    /// Everything goes; what comes after it in the batch finds a session that never was.
    fn delete(&mut self) -> Result<(), String> {
        for closing in self.lane.delete() {
            close(&closing);
        }
        self.remove()?;
        *self = Batch::load(self.session)?;
        self.probe();
        Ok(())
    }

    fn finish(mut self) -> Result<(), String> {
        self.probe();
        self.number()?;
        self.read_log()?;
        for delivery in self.lane.deliveries() {
            self.deliver(&delivery);
        }
        let end = self.lane.finish();
        if let Err(error) = self.store(&end) {
            for closing in self.lane.unsure() {
                close(&closing);
            }
            return Err(error);
        }
        for closing in &end.closings {
            close(closing);
        }
        for note in &end.notes {
            self.log(note);
        }
        self.come_back(&end);
        Ok(())
    }

    fn probe(&mut self) {
        for socket in self.lane.unprobed() {
            let room = sockets::room(&socket).ok();
            self.lane.probed(&socket, room);
        }
    }

    fn number(&mut self) -> Result<(), String> {
        // A page of each log: all of one log could be more than a call gives, and then the others would
        // wait for ever, since the order of their entries is not known without it.
        let mut documents = Vec::new();
        let wanted = self.lane.wanted();
        for of_log in wanted.chunk_by(|a, b| (a.role, a.log) == (b.role, b.log)) {
            let mut read = self.entries(of_log)?;
            read.resize(of_log.len(), None);
            documents.append(&mut read);
        }
        if let Some(Append { first, entries }) = self.lane.number(documents) {
            self.commit(first, &entries)?;
            self.lane.committed();
        }
        Ok(())
    }

    /// Reads what those get who are not at the end of the log: of each range, and of what it points to, as
    /// much as a call gives. The next batch goes on.
    fn read_log(&mut self) -> Result<(), String> {
        for (first, last) in self.lane.unread() {
            let entries = session_state::read_live(self.session.as_str(), first, last)
                .map_err(|error| format!("the live log cannot be read: {error:?}"))?;
            for (number, entry) in (first..=last).zip(entries) {
                self.lane.read(number, entry.as_deref());
            }
        }
        let documents = self.entries(&self.lane.unread_documents())?;
        self.lane.read_documents(documents);
        Ok(())
    }

    fn entries(&self, names: &[EntryName]) -> Result<Vec<Option<String>>, String> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = names.iter().map(wit_name).collect();
        session_state::read_entries(self.session.as_str(), &names)
            .map_err(|error| format!("the streams' logs cannot be read: {error:?}"))
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let socket = &delivery.socket;
        for parcel in delivery.parcels() {
            let texts = parcel.frames.iter().map(|(_, text)| text.to_string());
            let payloads: Vec<_> = texts.map(Payload::Text).collect();
            // Nothing of what was looked at concerns it: that, too, is progress.
            let sent = match payloads.is_empty() {
                true => Ok(()),
                false => sockets::send(socket, &payloads),
            };
            match sent {
                Ok(()) => {}
                Err(sockets::Error::Full) => return self.lane.full(socket),
                // It never could be sent.
                Err(sockets::Error::TooLarge) => self.log("a live frame is too large to be sent"),
                Err(_) => return self.lane.gone(socket),
            }
            self.lane.delivered(socket, &parcel);
        }
    }

    fn store(&self, end: &End) -> Result<(), String> {
        match end.store {
            Store::Nothing => Ok(()),
            Store::Record => self.commit(self.lane.last() + 1, &[]),
            Store::Remove => self.remove(),
        }
    }

    fn commit(&self, first: u64, entries: &[String]) -> Result<(), String> {
        session_state::commit_live(
            self.session.as_str(),
            &self.lane.document(),
            listening(self.lane.listening()),
            first,
            entries,
        )
        .map_err(|error| format!("the live log cannot be written: {error:?}"))
    }

    fn remove(&self) -> Result<(), String> {
        session_state::delete_live(self.session.as_str(), self.lane.last())
            .map_err(|error| format!("the live log cannot be removed: {error:?}"))
    }

    /// Sees to it that the lane looks again: at once, or later.
    fn come_back(&self, end: &End) {
        let lane = self.name();
        match end.timer_ms {
            None => timers::cancel(&lane, TIMER),
            Some(delay_ms) => {
                if let Err(error) = timers::set(&lane, TIMER, delay_ms) {
                    self.log(&format!("no timer: {error:?}"));
                }
            }
        }
        // When there is no room, what fills it looks, too.
        if end.again {
            let _ = lanes::post(&lane, &LaneMessage::Look {}.to_body());
        }
    }

    fn log(&self, text: &str) {
        eprintln!("session={} lane=live {text}", self.session);
    }
}

fn name(session: &SessionId) -> String {
    Lane::Live {
        session: session.clone(),
    }
    .to_string()
}

fn close(closing: &Closing) {
    // It may be gone.
    let _ = sockets::close(&closing.socket, closing.code, &closing.reason);
}

fn length(length: &LogLength) -> interview_live::LogLength {
    interview_live::LogLength {
        life: length.life,
        utterances: length.utterances,
        events: length.events,
    }
}

fn wit_name(name: &EntryName) -> session_state::EntryName {
    session_state::EntryName {
        role: roles::wit(name.role),
        log: match name.log {
            Log::Utterances => session_state::Log::Utterances,
            Log::Events => session_state::Log::Events,
        },
        life: name.life,
        index: name.index,
    }
}

fn listening(listening: Listening) -> session_state::Listening {
    let mut flags = session_state::Listening::empty();
    flags.set(session_state::Listening::UTTERANCES, listening.utterances);
    flags.set(session_state::Listening::PARTIALS, listening.partials);
    flags.set(session_state::Listening::EVENTS, listening.events);
    flags
}
