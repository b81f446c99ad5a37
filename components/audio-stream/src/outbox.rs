//! Answers to clients, kept until what they acknowledge is stored.

use crate::bindings::realtime::sockets::types::Payload;
use crate::bindings::realtime::sockets::{lanes, sockets};
use crate::doors::UNAUTHORIZED;

/// Closing after an answer that the peer would not read, or who may not be here.
const POLICY: u16 = 1008;
/// An orderly end.
const NORMAL: u16 = 1000;

/// What one socket gets, in order.
struct Mail {
    socket: String,
    payloads: Vec<Payload>,
    close: Option<(u16, String)>,
}

#[derive(Default)]
pub struct Outbox(Vec<Mail>);

impl Outbox {
    pub fn push(&mut self, socket: &str, text: String) {
        self.mail(socket).payloads.push(Payload::Text(text));
    }

    /// Closes the socket after its answers.
    pub fn close(&mut self, socket: &str, reason: &str) {
        self.mail(socket).close = Some((NORMAL, reason.to_owned()));
    }

    /// Closes the socket of one who may not be here, after the answers to what was before.
    pub fn turn_away(&mut self, socket: &str) {
        self.mail(socket).close = Some((POLICY, UNAUTHORIZED.to_owned()));
    }

    /// Whether the socket is being closed: what its client sent after that is not served.
    pub fn is_closing(&self, socket: &str) -> bool {
        self.0
            .iter()
            .any(|mail| mail.socket == socket && mail.close.is_some())
    }

    fn mail(&mut self, socket: &str) -> &mut Mail {
        // A batch has few sockets: a client of a stream, seldom two.
        let at = self
            .0
            .iter()
            .position(|mail| mail.socket == socket)
            .unwrap_or_else(|| {
                self.0.push(Mail {
                    socket: socket.into(),
                    payloads: Vec::new(),
                    close: None,
                });
                self.0.len() - 1
            });
        &mut self.0[at]
    }

    /// Hands everything to the host. A client that is gone asks again when it is back.
    pub fn send(&mut self) {
        for mail in std::mem::take(&mut self.0) {
            if let Err(sockets::Error::Full) = sockets::send(&mail.socket, &mail.payloads) {
                let reason = "answers are not read: read them while sending";
                let _ = sockets::close(&mail.socket, POLICY, reason);
            } else if let Some((code, reason)) = mail.close {
                let _ = sockets::close(&mail.socket, code, &reason);
            }
        }
    }
}

/// Answers to calls of the lane, kept as long as those to clients.
#[derive(Default)]
pub struct Replies(Vec<(String, Vec<u8>)>);

impl Replies {
    pub fn push(&mut self, call: &str, body: Vec<u8>) {
        self.0.push((call.into(), body));
    }

    pub fn send(&mut self) {
        for (call, body) in std::mem::take(&mut self.0) {
            // Whoever called may have given up.
            let _ = lanes::reply(&call, &body);
        }
    }
}
