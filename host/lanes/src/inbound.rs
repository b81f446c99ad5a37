//! Client sockets: from the handshake, done elsewhere, to the end.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;

use crate::{
    Over, Standing, close_frame,
    connection::{self, End},
    events::Event,
    handle::Side,
    registry::{NoPlace, Registry},
    unknown::Metered,
};

impl Registry {
    pub(crate) async fn serve<S>(
        self: &Arc<Self>,
        ws: WebSocketStream<S>,
        lane: &str,
        context: &str,
        standing: &Standing,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut registration = match self.register(Side::Client, lane, context, standing) {
            Ok(registration) => registration,
            Err(no_place) => {
                let (code, reason) = refusal(no_place);
                // Who has shown no key may come as often as he likes: he is counted.
                match no_place {
                    NoPlace::TooMany(Over::UnknownPlaces) => {
                        tracing::debug!(lane, reason, "a client socket was refused");
                    }
                    _ => tracing::warn!(lane, reason, "a client socket was refused"),
                }
                if let NoPlace::TooMany(over) = no_place {
                    self.counters.over.add(over);
                }
                return connection::refuse(ws, code, reason, &self.limits).await;
            }
        };
        let socket = Arc::clone(&registration.socket);
        let space = tokio::select! {
            space = socket.lane.frames.reserve(socket.context.len()) => space,
            // Then the lane never hears of it.
            () = self.cut_off.cancelled() => None,
        };
        let Some(space) = space else { return };
        registration.set_last_event(closed(&socket, End::lost("the connection was dropped")));
        let accepted = Event::Accepted {
            socket: Arc::clone(&socket.token),
            context: Arc::clone(&socket.context),
        };
        socket.lane.push(self, accepted, space);
        let ws = Metered::new(ws, &socket, self.limits.unknown_bytes).await;
        let (end, linger) = connection::run(ws, &socket, self).await;
        tracing::debug!(lane, code = end.code, reason = %end.reason, clean = end.clean, "a client socket ended");
        registration.set_last_event(closed(&socket, end));
        drop(registration);
        if let Some(linger) = linger {
            linger.run(&self.limits).await;
        }
    }
}

/// The last event of a socket that was up.
pub(crate) fn closed(socket: &crate::handle::Socket, end: End) -> Event {
    Event::Closed {
        socket: Arc::clone(&socket.token),
        context: Arc::clone(&socket.context),
        code: end.code,
        reason: end.reason,
        clean: end.clean,
    }
}

fn refusal(no_place: NoPlace) -> (u16, &'static str) {
    match no_place {
        NoPlace::Stopping => (close_frame::GOING_AWAY, "server is stopping, reconnect"),
        NoPlace::TooMany(_) => (
            close_frame::TRY_LATER,
            "too many connections here: close one, or try again later",
        ),
        NoPlace::TooLarge => (
            close_frame::POLICY,
            "the names in this connection's address are too long: use shorter ones",
        ),
    }
}
