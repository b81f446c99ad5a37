//! What other lanes are told after a commit: the identity lane of students' utterances, the live lane
//! of whatever somebody listens to. Nudges carry no work: what is left to do is found in the state.

use interview_session::asr::WsState;
use interview_session::frame::Subscription;
use interview_session::id::SessionId;
use interview_session::lane::{Lane, LaneMessage};
use interview_session::role::StreamRole;

use crate::bindings::interview::gateway::asr_bridge::{Connection, Partial};
use crate::bindings::interview::gateway::session_state::{Listening, StreamChanges};
use crate::bindings::realtime::sockets::lanes;

/// Nudges that wait for the commit.
pub struct Nudges {
    listening: Listening,
    identify: bool,
    look: bool,
    partial: Option<Partial>,
    asr_state: Option<WsState>,
    subscriptions: Vec<(String, Subscription)>,
}

impl Nudges {
    pub fn new(listening: Listening) -> Nudges {
        Nudges {
            listening,
            identify: false,
            look: false,
            partial: None,
            asr_state: None,
            subscriptions: Vec::new(),
        }
    }

    /// Whether somebody wants to know what happens.
    pub fn is_listened_to(&self) -> bool {
        !self.listening.is_empty()
    }

    /// A client wants to be told what happens in the session.
    pub fn subscribe(&mut self, socket: &str, subscription: Subscription) {
        self.subscriptions.push((socket.into(), subscription));
    }

    /// Of several in one batch the last one says it all.
    pub fn partial(&mut self, partial: Partial) {
        self.partial = Some(partial);
    }

    /// The way to the ASR service changed.
    pub fn asr_state(&mut self, state: Connection) {
        self.asr_state = Some(ws_state(state));
    }

    /// This was written.
    pub fn committed(&mut self, changes: &StreamChanges) {
        let spoken = !changes.utterances.is_empty();
        self.identify |= spoken;
        self.look |= spoken || !changes.events.is_empty();
    }

    /// The stream was emptied.
    pub fn emptied(&mut self) {
        self.look = true;
        self.identify = false;
        self.partial = None;
    }

    pub fn send(&mut self, session: &SessionId, role: StreamRole) {
        if std::mem::take(&mut self.identify) && role == StreamRole::Students {
            let lane = Lane::Identity {
                session: session.clone(),
            };
            post(&lane, role, &LaneMessage::Identify {});
        }
        let partial = self.partial.take();
        let asr_state = self.asr_state.take();
        let look = std::mem::take(&mut self.look);
        let lane = Lane::Live {
            session: session.clone(),
        };
        for (socket, subscription) in std::mem::take(&mut self.subscriptions) {
            let message = LaneMessage::Subscribe {
                socket,
                kinds: subscription.kinds,
                after: subscription.after,
            };
            post(&lane, role, &message);
        }
        if !self.is_listened_to() {
            return;
        }
        if let Some(asr_ws_state) = asr_state {
            let message = LaneMessage::AsrState {
                stream_role: role,
                asr_ws_state,
            };
            post(&lane, role, &message);
        }
        if look {
            post(&lane, role, &LaneMessage::Look {});
        }
        if let Some(partial) = partial.filter(|_| self.listening.contains(Listening::PARTIALS)) {
            let message = LaneMessage::Partial {
                stream_role: role,
                start_ms: partial.start_ms,
                text: partial.text,
            };
            post(&lane, role, &message);
        }
    }
}

pub fn ws_state(connection: Connection) -> WsState {
    match connection {
        Connection::Disconnected => WsState::Disconnected,
        Connection::Connecting => WsState::Connecting,
        Connection::Running => WsState::Running,
        Connection::Error => WsState::Error,
    }
}

fn post(lane: &Lane, role: StreamRole, message: &LaneMessage) {
    if let Err(error) = lanes::post(&lane.to_string(), &message.to_body()) {
        eprintln!(
            "session={} role={role} the lane {lane} takes no message now: {error:?}",
            lane.session()
        );
    }
}
