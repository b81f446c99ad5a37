//! Recorders: they send seconds with gaps, late, twice and all at once, lose their connection, and
//! send again what was not acked.

use std::collections::{BTreeMap, VecDeque};

use crate::lane::{Chunk, Event, Reply};
use crate::profile::Profile;
use crate::world::{Happening, World};

/// Most seconds of one run.
const MOST_SECONDS: u64 = 70;
/// A hostile number is so much larger than those beside it: more than all jumps of both clients together, and
/// than may be skipped.
const HOSTILE: f64 = 20_000.0;

/// One recorder.
#[derive(Debug, Default)]
pub struct Client {
    /// Still to be recorded: when, and what.
    plan: VecDeque<(u64, Chunk)>,
    /// Recorded and not acked: by second, with the socket it was sent on.
    unacked: BTreeMap<u64, (Chunk, Option<u32>)>,
    socket: Option<u32>,
    is_connecting: bool,
    has_left: bool,
}

/// A client's connection.
#[derive(Debug, Default)]
pub struct ClientSocket {
    client: usize,
    to_host: VecDeque<ClientFrame>,
    to_client: VecDeque<Reply>,
    /// The host's end.
    is_closed: bool,
    /// The process that held it was killed.
    is_lost: bool,
}

#[derive(Debug, Clone, Copy)]
enum ClientFrame {
    Chunk(Chunk),
    Close,
}

fn name(socket: u32) -> String {
    format!("c{socket}")
}

fn number(socket: &str) -> u32 {
    socket.get(1..).and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl World {
    /// Plans what clients record; when the last of it is recorded.
    pub(crate) fn plan_clients(&mut self) -> u64 {
        let seconds = self.between(5, MOST_SECONDS);
        let every_ms = match self.below(4) {
            0 => 1,
            1 => self.between(20, 200),
            _ => 1_000,
        };
        let mut end = self.plan_client(1, seconds, every_ms);
        if self.chance(self.profile.second_client_pm) {
            self.trace.reach("a second client");
            let first = self.between(1, seconds);
            let count = self.between(1, seconds - first + 1);
            end = end.max(self.plan_client(first, first + count - 1, every_ms));
        }
        end
    }

    fn plan_client(&mut self, first: u64, last: u64, every_ms: u64) -> u64 {
        let chances = self.profile.chunk_pm;
        let mut plan = Vec::new();
        let mut at = self.below(2_000) + first * every_ms;
        let (mut end, mut silent) = (at, 0);
        let (mut skipped, mut jumps) = (0, 0);
        for nth in first..=last {
            at += every_ms;
            if jumps < Profile::MAX_JUMPS && self.chance(self.profile.jump_pm) {
                self.trace.reach("a second skips many");
                jumps += 1;
                skipped += match self.below(3) {
                    0 => self.between(8, 14),
                    1 => self.between(11, 60),
                    _ => self.between(300, 3_000),
                };
            }
            let seq = nth + skipped;
            if self.chance(chances[0]) {
                self.trace.reach("a second is never sent");
                continue;
            }
            if self.chance(chances[3]) {
                self.trace.reach("a client pauses");
                at += self.between(3_000, 40_000);
            }
            if self.chance(30) {
                silent = self.between(1, 8);
            }
            let is_silent = silent > 0;
            silent = silent.saturating_sub(1);
            let content = self.oracle.new_content(seq as u32, is_silent);
            let chunk = Chunk {
                seq: seq as f64,
                content,
            };
            let mut due = at;
            if self.chance(chances[1]) {
                self.trace.reach("a second is sent late");
                due += self.between(1_000, 25_000);
            }
            plan.push((due, chunk));
            end = end.max(due);
            if self.chance(chances[2]) {
                self.trace.reach("a second is sent twice");
                let again = due + self.below(5_000);
                plan.push((again, chunk));
                end = end.max(again);
            }
            if self.chance(chances[4]) {
                self.trace.reach("a hostile number");
                let seq = [1e9, 1e300, seq as f64 + HOSTILE][self.below(3) as usize];
                plan.push((at, Chunk { seq, content: 1 }));
            }
        }
        plan.sort_by_key(|(due, _)| *due);
        if self.chance(self.profile.client_leaves_pm) {
            self.trace.reach("a client leaves for ever");
            plan.truncate(self.below(plan.len() as u64 + 1) as usize);
        }
        self.clients.push(Client {
            plan: plan.into(),
            ..Client::default()
        });
        self.later(0, Happening::ClientWakes(self.clients.len() - 1));
        end
    }

    pub(crate) fn client_wakes(&mut self, index: usize) {
        let now = self.now();
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        if client.has_left {
            return;
        }
        while let Some((due, _)) = client.plan.front()
            && *due <= now
        {
            if let Some((_, chunk)) = client.plan.pop_front() {
                client.unacked.insert(chunk.seq.to_bits(), (chunk, None));
            }
        }
        if let Some((due, _)) = client.plan.front() {
            let after = due - now;
            self.later(after, Happening::ClientWakes(index));
        }
        self.client_sends(index);
        if self.chance(self.profile.client_drops_pm) {
            self.client_drops(index);
        }
    }

    fn client_sends(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        let Some(socket) = client.socket else {
            if !client.unacked.is_empty() && !client.is_connecting {
                client.is_connecting = true;
                let after = 10 + self.delay(1_000);
                self.later(after, Happening::ClientConnects(index));
            }
            return;
        };
        let mut frames = Vec::new();
        for (chunk, sent_on) in client.unacked.values_mut() {
            if *sent_on != Some(socket) {
                *sent_on = Some(socket);
                frames.push(ClientFrame::Chunk(*chunk));
            }
        }
        if client.plan.is_empty() && client.unacked.is_empty() {
            client.has_left = true;
            if self.is_heads() {
                frames.push(ClientFrame::Close);
            } else {
                self.client_drops(index);
            }
        }
        if let Some(connection) = self.client_sockets.get_mut(&socket) {
            let was_empty = connection.to_host.is_empty();
            connection.to_host.extend(frames);
            if was_empty && !connection.to_host.is_empty() {
                let after = self.delay(self.profile.delay_ms);
                self.later(after, Happening::ToHost(socket));
            }
        }
    }

    pub(crate) fn client_connects(&mut self, index: usize) {
        if !self.host.is_up() {
            let after = self.between(200, 3_000);
            return self.later(after, Happening::ClientConnects(index));
        }
        let socket = self.next_name();
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        client.is_connecting = false;
        client.socket = Some(socket);
        let connection = ClientSocket {
            client: index,
            ..ClientSocket::default()
        };
        self.client_sockets.insert(socket, connection);
        let accepted = Event::Accepted {
            socket: name(socket),
        };
        self.push(accepted);
        self.client_sends(index);
    }

    /// The client's end is gone; the host sees it later, after some of what was on its way.
    fn client_drops(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        let Some(socket) = client.socket.take() else {
            return;
        };
        self.trace.reach("a client loses its connection");
        self.write(format_args!("client {index} loses {}", name(socket)));
        let arrive = self.below(8) as usize;
        if let Some(connection) = self.client_sockets.get_mut(&socket) {
            connection.to_host.truncate(arrive);
            connection.to_client.clear();
        }
        let after = if self.is_heads() {
            self.delay(500)
        } else {
            self.between(1_000, 60_000)
        };
        self.later(after, Happening::ClientIsGone(socket));
        let after = self.between(100, 3_000);
        self.later(after, Happening::ClientWakes(index));
    }

    pub(crate) fn host_reads(&mut self, socket: u32) {
        let Some(connection) = self.client_sockets.get_mut(&socket) else {
            return;
        };
        if connection.is_closed {
            return;
        }
        let Some(frame) = connection.to_host.pop_front() else {
            return;
        };
        let has_more = !connection.to_host.is_empty();
        let socket_name = name(socket);
        self.push(match frame {
            ClientFrame::Chunk(chunk) => Event::Chunk {
                socket: socket_name,
                chunk,
            },
            ClientFrame::Close => Event::CloseFrame {
                socket: socket_name,
            },
        });
        if has_more {
            let after = self.delay(self.profile.delay_ms);
            self.later(after, Happening::ToHost(socket));
        }
    }

    pub(crate) fn client_is_gone(&mut self, socket: u32) {
        let Some(connection) = self.client_sockets.remove(&socket) else {
            return;
        };
        self.client_forgets(connection.client, socket);
        if !connection.is_lost {
            self.push(Event::ClientClosed {
                socket: name(socket),
            });
        }
    }

    /// The client notices that this connection is no more, and comes back.
    fn client_forgets(&mut self, index: usize, socket: u32) {
        if let Some(client) = self.clients.get_mut(index)
            && client.socket == Some(socket)
        {
            client.socket = None;
            let after = self.between(100, 3_000);
            self.later(after, Happening::ClientWakes(index));
        }
    }

    pub(crate) fn clients_see_crash(&mut self) {
        let sockets: Vec<u32> = self.client_sockets.keys().copied().collect();
        for socket in sockets {
            // Some answers were in the network already.
            let arrive = self.below(4) as usize;
            if let Some(connection) = self.client_sockets.get_mut(&socket) {
                connection.is_closed = true;
                connection.is_lost = true;
                connection.to_client.truncate(arrive);
            }
            let after = self.delay(2_000);
            self.later(after, Happening::ClientLosesConnection(socket));
        }
    }

    pub(crate) fn client_loses(&mut self, socket: u32) {
        if let Some(connection) = self.client_sockets.remove(&socket) {
            self.client_forgets(connection.client, socket);
        }
    }

    /// Whether the host still knows the socket.
    pub fn client_is_connected(&self, socket: &str) -> bool {
        let connection = self.client_sockets.get(&number(socket));
        connection.is_some_and(|one| !one.is_closed)
    }

    /// Answers to a client. One that is gone asks again when it is back.
    pub fn send_to_client(
        &mut self,
        socket: &str,
        replies: &[Reply],
    ) -> Result<(), crate::world::Stop> {
        self.poke("crash: while sending")?;
        for reply in replies {
            self.write(format_args!("{socket} <- {reply:?}"));
            self.oracle_sees_reply(*reply);
        }
        let number = number(socket);
        if let Some(connection) = self.client_sockets.get_mut(&number)
            && !connection.is_closed
        {
            let was_empty = connection.to_client.is_empty();
            connection.to_client.extend(replies);
            if was_empty {
                let after = self.delay(self.profile.delay_ms);
                self.later(after, Happening::ClientIsTold(number));
            }
        }
        Ok(())
    }

    /// The host closes: what waits is sent before.
    pub fn close_client(&mut self, socket: &str, code: u16) {
        let number = number(socket);
        if let Some(connection) = self.client_sockets.get_mut(&number)
            && !std::mem::replace(&mut connection.is_closed, true)
        {
            self.write(format_args!("close {socket} with {code}"));
            let after = self.delay(500);
            self.later(after, Happening::ClientIsGone(number));
        }
    }

    pub(crate) fn client_is_told(&mut self, socket: u32) {
        let Some(connection) = self.client_sockets.get_mut(&socket) else {
            return;
        };
        let index = connection.client;
        let reply = connection.to_client.pop_front();
        if !connection.to_client.is_empty() {
            let after = self.delay(self.profile.delay_ms);
            self.later(after, Happening::ClientIsTold(socket));
        }
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        match reply {
            Some(Reply::Stored(seq) | Reply::Duplicate(seq)) => {
                client.unacked.remove(&f64::from(seq).to_bits());
                if client.plan.is_empty() && client.unacked.is_empty() {
                    let after = self.below(20_000);
                    self.later(after, Happening::ClientWakes(index));
                }
            }
            Some(Reply::NotStored(seq)) => {
                if let Some((_, sent_on)) = client.unacked.get_mut(&f64::from(seq).to_bits()) {
                    *sent_on = None;
                }
                let after = self.between(100, 2_000);
                self.later(after, Happening::ClientWakes(index));
            }
            Some(Reply::Refused) => {
                let last = HOSTILE.to_bits();
                client.unacked.retain(|seq, _| *seq < last);
            }
            Some(Reply::Closing) | None => {}
        }
    }
}
