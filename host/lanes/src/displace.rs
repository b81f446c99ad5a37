//! A client's socket that does not answer gives up its place to one that comes: clients that vanished (a
//! network that changed, a suspended laptop) hold the places of their stream or account until they are
//! found silent, and the same app, reconnecting, would be kept out by its own past.
//!
//! Only who is known displaces anybody: a newcomer that has shown a key, or any where there are no keys. And
//! only who was asked for a sign of life and gave none for [`Limits::displace_after`](crate::Limits) is
//! displaced, the longest silent first. So clients that are alive never push each other out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Over, Standing,
    accounts::{Account, Full},
    close_frame::{self, sendable},
    connection::End,
    handle::{Side, Socket},
    inbound::closed,
    registry::{NoPlace, Registration, Registry},
};

/// Where a newcomer found no place.
#[derive(Clone, Copy, Debug)]
enum Crowd<'a> {
    /// In this lane.
    Lane(&'a str),
    /// Among the sockets of this account.
    Account(&'a Account),
    /// Among its groups.
    Groups(&'a Account),
}

impl<'a> Crowd<'a> {
    /// Of a newcomer that is known; none: nobody gives way to it.
    fn of(no_place: NoPlace, lane: &'a str, account: Option<&'a Account>) -> Option<Self> {
        match (no_place, account) {
            (NoPlace::TooMany(Over::LanePlaces), _) => Some(Self::Lane(lane)),
            (NoPlace::AccountFull(Full::Sockets), Some(account)) => Some(Self::Account(account)),
            (NoPlace::AccountFull(Full::Groups), Some(account)) => Some(Self::Groups(account)),
            _ => None,
        }
    }

    fn has(&self, socket: &Socket) -> bool {
        match self {
            Self::Lane(lane) => *socket.lane.name == **lane && !socket.is_unknown(),
            Self::Account(account) | Self::Groups(account) => {
                socket.group_in(&account.name).is_some()
            }
        }
    }
}

impl Registry {
    /// A place for a client's socket: one that is free, or that of a socket which does not answer. Who finds
    /// none may find one later: those that might leave are asked for a sign of life.
    pub(crate) fn register_client(
        self: &Arc<Self>,
        lane: &str,
        context: &str,
        standing: &Standing,
    ) -> Result<Registration, NoPlace> {
        let register = || self.register(Side::Client, lane, context, standing);
        let account = match standing {
            Standing::Unknown => return register(),
            Standing::Plain => None,
            Standing::Counted(account) => Some(account),
        };
        self.with_displacement(lane, account, register)
    }

    /// As [`Registry::settle_once`], in the place of a socket that does not answer if there is no other.
    pub(crate) fn settle(
        self: &Arc<Self>,
        socket: &Socket,
        account: Option<&Account>,
    ) -> Result<(), NoPlace> {
        let settle = || self.settle_once(socket, account);
        self.with_displacement(&socket.lane.name, account, settle)
    }

    /// Tries again as long as somebody gives up a place.
    fn with_displacement<T>(
        self: &Arc<Self>,
        lane: &str,
        account: Option<&Account>,
        attempt: impl Fn() -> Result<T, NoPlace>,
    ) -> Result<T, NoPlace> {
        loop {
            let no_place = match attempt() {
                Ok(placed) => return Ok(placed),
                Err(no_place) => no_place,
            };
            let Some(crowd) = Crowd::of(no_place, lane, account) else {
                return Err(no_place);
            };
            if !self.displace(crowd) {
                self.ask_for_life(crowd);
                return Err(no_place);
            }
        }
    }

    /// Asks all of them for a sign of life before the next ping is due.
    fn ask_for_life(&self, crowd: Crowd<'_>) {
        let now = Instant::now();
        for socket in self.crowd(crowd) {
            socket.ask_for_life(now);
        }
    }

    fn crowd(&self, crowd: Crowd<'_>) -> Vec<Arc<Socket>> {
        let mut sockets = self.sockets(Side::Client);
        sockets.retain(|socket| crowd.has(socket));
        sockets
    }

    /// Frees a place, if somebody does not answer. Whether it did.
    fn displace(self: &Arc<Self>, crowd: Crowd<'_>) -> bool {
        let now = Instant::now();
        let silence = |socket: &Socket| {
            let silence = socket.unanswered_for(now)?;
            (silence >= self.limits.displace_after).then_some(silence)
        };
        let sockets = self.crowd(crowd);
        let victims = match crowd {
            Crowd::Lane(_) | Crowd::Account(_) => sockets
                .into_iter()
                .filter_map(|socket| Some((silence(&socket)?, socket)))
                .max_by_key(|(silence, _)| *silence)
                .into_iter()
                .collect(),
            Crowd::Groups(account) => silent_group(sockets, account, silence),
        };
        let mut freed = false;
        for (silence, socket) in victims {
            freed |= self.displace_one(&socket, silence);
        }
        freed
    }

    fn displace_one(self: &Arc<Self>, socket: &Arc<Socket>, silence: Duration) -> bool {
        let reason = format!(
            "its place went to another connection after {} s without a pong: answer pings, and reconnect",
            silence.as_secs()
        );
        {
            let mut state = socket.lane.state();
            if !socket.give_up_place() {
                return false;
            }
            state.client_sockets -= 1;
            // The app is told now: it may have limits of its own. Of what comes later nothing is handled.
            if state.detached.insert(Arc::clone(&socket.token)) {
                let end = closed(socket, End::lost(&reason));
                state.queue.push(end, None, self.queued_now());
                socket.lane.wake(self, &mut state);
            }
        }
        self.counters.over.add(Over::Displaced);
        tracing::debug!(lane = %socket.lane.name, reason, "a client socket was displaced");
        let _ = socket.close(sendable(close_frame::POLICY, &reason));
        true
    }
}

/// For how long each socket of a group has been silent.
type Silent = Vec<(Duration, Arc<Socket>)>;

/// The sockets of the group that is silent longest, of those of which no socket answers.
fn silent_group(
    sockets: Vec<Arc<Socket>>,
    account: &Account,
    silence: impl Fn(&Socket) -> Option<Duration>,
) -> Silent {
    // None: a socket of the group answers.
    let mut groups: HashMap<String, Option<Silent>> = HashMap::new();
    for socket in sockets {
        let Some(group) = socket.group_in(&account.name) else {
            continue;
        };
        let group = groups.entry(group).or_insert_with(|| Some(Vec::new()));
        match silence(&socket) {
            Some(silence) => group.iter_mut().for_each(|group| {
                group.push((silence, Arc::clone(&socket)));
            }),
            None => *group = None,
        }
    }
    let silent = groups.into_values().flatten();
    let since = |group: &Silent| group.iter().map(|(silence, _)| *silence).min();
    silent.max_by_key(since).unwrap_or_default()
}
