//! Who listens: viewers and subscribers come and go.

use interview_session::lane::LiveKind;

use crate::ask::Ask;
use crate::lane::{Closing, LiveLane};
use crate::limits::MAX_VIEWERS;
use crate::record::{Place, Viewer, Wants};

/// There is no room now.
const TRY_AGAIN_LATER: u16 = 1013;

impl LiveLane {
    /// Whether the socket is one of those that listen.
    pub fn has(&self, socket: &str) -> bool {
        self.record.viewers.iter().any(|v| v.socket == socket)
    }

    /// Sockets whose room is not known yet.
    pub fn unprobed(&self) -> Vec<String> {
        let sockets = self.record.viewers.iter().map(|viewer| &viewer.socket);
        sockets
            .filter(|socket| !self.rooms.contains_key(*socket))
            .cloned()
            .collect()
    }

    /// How many messages the socket would take; none: it is gone.
    pub fn probed(&mut self, socket: &str, room: Option<u32>) {
        match room {
            Some(room) => {
                self.rooms.insert(socket.into(), room);
            }
            None => self.gone(socket),
        }
    }

    /// The socket is gone; it is not asked again.
    pub fn gone(&mut self, socket: &str) {
        self.record.viewers.retain(|viewer| viewer.socket != socket);
    }

    pub(crate) fn join(&mut self, socket: String, ask: Ask) {
        // A batch that is repeated: it is here already, and may have been sent something.
        if self.has(&socket) {
            return;
        }
        if self.record.viewers.len() >= MAX_VIEWERS {
            self.closings.push(Closing {
                socket,
                code: TRY_AGAIN_LATER,
                reason: "too many viewers: try again later, in 5 s".into(),
            });
            return;
        }
        let wants = Wants::Viewer {
            role: ask.stream_role,
        };
        self.add(socket, wants, ask.after);
    }

    pub(crate) fn subscribe(&mut self, socket: String, kinds: Vec<LiveKind>, after: Option<u64>) {
        if kinds.is_empty() {
            self.gone(&socket);
            return;
        }
        let wants = Wants::Subscriber { kinds };
        let mut viewers = self.record.viewers.iter_mut();
        if let Some(known) = viewers.find(|viewer| viewer.socket == socket) {
            known.wants = wants;
            // From now on: it goes on where it is.
            if after.is_some() && after != known.asked {
                known.asked = after;
                known.behind = None;
                known.place = Place::Waiting {
                    after,
                    came: self.lengths.clone(),
                };
            }
            return;
        }
        if self.record.viewers.len() >= MAX_VIEWERS {
            let note = "a client's subscription is refused: too many listen to the session";
            self.notes.push(note.into());
            return;
        }
        self.add(socket, wants, after);
    }

    fn add(&mut self, socket: String, wants: Wants, after: Option<u64>) {
        self.record.viewers.push(Viewer {
            socket,
            wants,
            place: Place::Waiting {
                after,
                came: self.lengths.clone(),
            },
            asked: after,
            behind: None,
        });
    }
}
