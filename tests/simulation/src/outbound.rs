//! Outbound sockets: from `open` to the one last event, with a queue of limited room, a peer that may
//! read slowly or not at all, and a network that takes them. They mirror those of `host/lanes`.

use std::collections::VecDeque;

use crate::lane::{Event, Payload};
use crate::world::{Happening, Stop, World};

/// `host/lanes/src/limits.rs`.
const OUTBOUND_SOCKETS_PER_LANE: usize = 4;
/// The same: how long a peer may take to answer a close frame.
const CLOSE_HANDSHAKE_MS: u64 = 5_000;
/// The same: a peer that says nothing for so long is gone.
const SILENCE_MS: u64 = 60_000;

/// An outbound socket.
#[derive(Debug)]
pub struct Outbound {
    pub(crate) task: String,
    pub(crate) is_open: bool,
    pub(crate) is_closing: bool,
    pub(crate) is_half_open: bool,
    room: u32,
    pub(crate) to_service: VecDeque<Payload>,
    pub(crate) from_service: VecDeque<FromService>,
}

/// What comes out of an outbound socket.
#[derive(Debug)]
pub enum FromService {
    /// A text frame.
    Text(String),
    /// The peer closes.
    Close(u16, &'static str),
}

/// How connecting ends.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// It is up.
    Opens,
    /// With this HTTP status, or without any.
    Fails(Option<u16>, &'static str),
}

/// The name of a socket as the component has it.
pub(crate) fn name(socket: u32) -> String {
    format!("s{socket}")
}

/// The number in it.
pub(crate) fn number(socket: &str) -> u32 {
    socket.get(1..).and_then(|n| n.parse().ok()).unwrap_or(0)
}

// What the component calls.
impl World {
    /// How many frames the socket takes; none for one that is unknown.
    pub fn room(&mut self, socket: &str) -> Result<Option<u32>, Stop> {
        self.poke("crash: while sending")?;
        let outbound = self.outbound.get(&number(socket));
        let open = outbound.filter(|one| one.is_open && !one.is_closing);
        let room = open.map(|one| one.room.saturating_sub(one.to_service.len() as u32));
        if room.is_some_and(|room| room <= 2) {
            self.trace.reach("a socket has no room");
        }
        Ok(room)
    }

    /// All or none.
    pub fn send(
        &mut self,
        socket: &str,
        payloads: Vec<Payload>,
    ) -> Result<Result<(), &'static str>, Stop> {
        self.poke("crash: while sending")?;
        self.oracle_sees_send(socket, &payloads);
        let number = number(socket);
        let Some(outbound) = self.outbound.get_mut(&number) else {
            self.trace.reach("a send is refused");
            return Ok(Err("unknown-socket"));
        };
        if !outbound.is_open || outbound.is_closing {
            self.trace.reach("a send is refused");
            return Ok(Err("unknown-socket"));
        }
        if outbound.to_service.len() + payloads.len() > outbound.room as usize {
            self.trace.reach("a send is refused");
            return Ok(Err("full"));
        }
        let was_empty = outbound.to_service.is_empty();
        outbound.to_service.extend(payloads.iter().cloned());
        for payload in &payloads {
            match payload {
                Payload::Text(text) => {
                    let is_finish = text.contains("finish-task");
                    let what = if is_finish { "finish-task" } else { "run-task" };
                    self.write(format_args!("{socket} <- {what}"));
                }
                Payload::Audio(second) => self.write(format_args!(
                    "{socket} <- second {} {:?} muted {}",
                    second.seq, second.content, second.muted_ms
                )),
            }
        }
        self.oracle_sees_sent(socket, &payloads);
        if was_empty {
            self.read_later(number);
        }
        Ok(Ok(()))
    }

    fn read_later(&mut self, socket: u32) {
        let after = self.delay(self.profile.read_lag_ms);
        self.later(after, Happening::ToService(socket));
    }

    /// What is queued is sent, then the close frame.
    pub fn close(&mut self, socket: &str) -> Result<(), Stop> {
        self.poke("crash: while sending")?;
        self.oracle_sees_close(socket);
        self.write(format_args!("close {socket}"));
        self.close_outbound(number(socket));
        Ok(())
    }

    fn close_outbound(&mut self, socket: u32) {
        let Some(outbound) = self.outbound.get_mut(&socket) else {
            return;
        };
        if std::mem::replace(&mut outbound.is_closing, true) {
            return;
        }
        let is_half_open = outbound.is_half_open;
        self.oracle_sees_end(&name(socket));
        let after = if is_half_open {
            CLOSE_HANDSHAKE_MS
        } else {
            self.delay(400)
        };
        self.later(after, Happening::OutboundEnds(socket));
    }

    /// Begins to connect.
    pub fn open(&mut self, task: &str, timeout_ms: u64) -> Result<Result<(), &'static str>, Stop> {
        self.poke("crash: while sending")?;
        self.oracle_sees_open();
        if self.outbound.len() >= OUTBOUND_SOCKETS_PER_LANE {
            return Ok(Err("too-many"));
        }
        let socket = self.next_name();
        self.write(format_args!("open {} for {task}", name(socket)));
        let handshake = self.profile.handshake_pm;
        let (after, outcome) = match self.pick(&handshake) {
            Some(0) => (self.delay(500), Outcome::Fails(None, "refused")),
            Some(1) => (self.delay(500), Outcome::Fails(Some(401), "unauthorized")),
            Some(2) => (self.delay(500), Outcome::Fails(Some(503), "unavailable")),
            Some(3) => (timeout_ms, Outcome::Fails(None, "timed out")),
            Some(4) => (self.between(3_000, timeout_ms), Outcome::Opens),
            _ => (self.delay(400), Outcome::Opens),
        };
        let (usual, least) = self.profile.outbox;
        let room = if self.is_calm() || self.is_heads() {
            usual
        } else {
            least
        };
        self.outbound.insert(
            socket,
            Outbound {
                task: task.to_owned(),
                is_open: false,
                is_closing: false,
                is_half_open: false,
                room,
                to_service: VecDeque::new(),
                from_service: VecDeque::new(),
            },
        );
        self.later(after, Happening::Handshake(socket, outcome));
        Ok(Ok(()))
    }
}

// What happens to them.
impl World {
    /// The network takes it.
    pub(crate) fn outbound_dies(&mut self, socket: u32) {
        self.oracle_sees_end(&name(socket));
        if let Some(outbound) = self.outbound.get_mut(&socket) {
            outbound.is_closing = true;
            outbound.to_service.clear();
            let after = self.delay(300);
            self.later(after, Happening::OutboundEnds(socket));
        }
    }

    /// A batch failed: what was or was not sent does not matter any more.
    pub(crate) fn abandon_outbound(&mut self) {
        let sockets: Vec<u32> = self.outbound.keys().copied().collect();
        for socket in sockets {
            if let Some(outbound) = self.outbound.get_mut(&socket) {
                outbound.to_service.clear();
            }
            self.close_outbound(socket);
        }
    }

    pub(crate) fn handshake(&mut self, socket: u32, outcome: Outcome) {
        let is_gone = self.service_is_gone();
        let Some(outbound) = self.outbound.get_mut(&socket) else {
            return;
        };
        if outbound.is_closing {
            return;
        }
        let task = outbound.task.clone();
        let outcome = match outcome {
            Outcome::Opens if is_gone => Outcome::Fails(Some(503), "down"),
            outcome => outcome,
        };
        match outcome {
            Outcome::Opens => {
                outbound.is_open = true;
                self.service_accepts(socket);
                let socket = name(socket);
                self.push(Event::Opened { task, socket });
            }
            Outcome::Fails(status, reason) => {
                self.trace.reach(match (status, reason) {
                    (Some(401), _) => "a handshake is refused with 401",
                    (Some(_), _) => "a handshake is refused with 503",
                    (None, "timed out") => "a handshake is never answered",
                    (None, _) => "a connection is refused",
                });
                self.outbound.remove(&socket);
                let reason = reason.into();
                self.push(Event::OpenFailed {
                    task,
                    status,
                    reason,
                });
            }
        }
    }

    pub(crate) fn outbound_ends(&mut self, socket: u32) {
        let Some(outbound) = self.outbound.remove(&socket) else {
            return;
        };
        self.connections.remove(&socket);
        self.oracle_sees_end(&name(socket));
        let task = outbound.task;
        if outbound.is_open {
            let reason = String::new();
            self.push(Event::Closed {
                task,
                code: 1006,
                reason,
            });
        } else {
            let reason = "given up".into();
            self.push(Event::OpenFailed {
                task,
                status: None,
                reason,
            });
        }
    }

    /// The peer answers nothing any more; the host notices after a while.
    pub(crate) fn goes_half_open(&mut self, socket: u32) {
        if let Some(outbound) = self.outbound.get_mut(&socket) {
            outbound.is_half_open = true;
            self.later(SILENCE_MS, Happening::OutboundEnds(socket));
        }
    }

    pub(crate) fn frame_reaches_service(&mut self, socket: u32) {
        let Some(outbound) = self.outbound.get_mut(&socket) else {
            return;
        };
        if outbound.is_half_open {
            return;
        }
        let Some(payload) = outbound.to_service.pop_front() else {
            return;
        };
        if !outbound.to_service.is_empty() {
            self.read_later(socket);
        }
        self.service_reads(socket, payload);
    }

    pub(crate) fn frame_reaches_host(&mut self, socket: u32) {
        let Some(outbound) = self.outbound.get_mut(&socket) else {
            return;
        };
        let task = outbound.task.clone();
        let is_late = outbound.is_closing;
        let Some(said) = outbound.from_service.pop_front() else {
            return;
        };
        if !outbound.from_service.is_empty() {
            let after = self.delay(self.profile.delay_ms);
            self.later(after, Happening::FromService(socket));
        }
        match said {
            // What a socket says that is being closed is thrown away.
            FromService::Text(_) if is_late => {
                self.trace.reach("a frame of a socket that is being closed");
            }
            FromService::Text(text) => self.push(Event::Text { task, text }),
            FromService::Close(code, reason) => {
                self.outbound.remove(&socket);
                self.connections.remove(&socket);
                self.oracle_sees_end(&name(socket));
                let reason = reason.into();
                self.push(Event::Closed { task, code, reason });
            }
        }
    }
}
