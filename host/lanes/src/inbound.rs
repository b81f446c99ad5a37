//! Client sockets: from the handshake, done elsewhere, to the end.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;

use crate::{
    Over, Standing, close_frame,
    connection::{self, End},
    events::Event,
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
    ) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut is_known = *standing != Standing::Unknown;
        let mut registration = match self.register_client(lane, context, standing) {
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
                if let Some(over) = no_place.over() {
                    self.counters.over.add(over);
                }
                connection::refuse(ws, code, reason, &self.limits).await;
                return is_known;
            }
        };
        let socket = Arc::clone(&registration.socket);
        let space = tokio::select! {
            space = socket.lane.frames.reserve(socket.context.len()) => space,
            // Then the lane never hears of it.
            () = self.cut_off.cancelled() => None,
        };
        let Some(space) = space else { return is_known };
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
        is_known |= !socket.is_unknown();
        drop(registration);
        if let Some(linger) = linger {
            linger.run(&self.limits).await;
        }
        is_known
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
        NoPlace::TooMany(_) | NoPlace::AccountFull(_) => (
            close_frame::TRY_LATER,
            "too many connections here: close one, or try again later, in 5 s",
        ),
        NoPlace::TooLarge => (
            close_frame::POLICY,
            "the names in this connection's address are too long: use shorter ones",
        ),
    }
}
