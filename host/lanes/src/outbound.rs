//! Outbound sockets: from `open` to the one last event, `failed` or `closed`.

use std::{sync::Arc, time::Duration};

use http::Request;

use crate::{
    Over, SocketError, Standing, Target,
    connect::{self, ConnectError},
    connection::{self, End},
    events::{Event, SocketToken},
    handle::{Side, Socket},
    inbound::closed,
    registry::{NoPlace, Registration, Registry},
};

/// Why an outbound socket failed for which there is no place.
const NO_PLACE: &str =
    "the host has as many connections to services as it may: try again later, or raise `ulimit -n`";

impl Registry {
    pub(crate) fn open(self: &Arc<Self>, target: &Target) -> Result<SocketToken, SocketError> {
        let request = connect::request(target, self.policy.as_ref(), &self.limits)?;
        let mut registration = self
            .register(
                Side::Outbound,
                &target.lane,
                &target.context,
                &Standing::Plain,
            )
            .map_err(|no_place| match no_place {
                NoPlace::TooMany(_) | NoPlace::AccountFull(_) => SocketError::TooMany,
                NoPlace::TooLarge => SocketError::TooLarge,
                NoPlace::Stopping => SocketError::NotAllowed("the server is stopping".to_owned()),
            })?;
        let socket = Arc::clone(&registration.socket);
        registration.set_last_event(failed(&socket, None, "given up"));
        let token = Arc::clone(&socket.token);
        let run = run(
            Arc::clone(self),
            registration,
            request,
            target.connect_timeout,
        );
        self.runtime.spawn(run);
        Ok(token)
    }
}

async fn run(
    registry: Arc<Registry>,
    mut registration: Registration,
    request: Request<()>,
    within: Duration,
) {
    let socket = Arc::clone(&registration.socket);
    // Held until the connection is closed.
    let Ok(_place) = Arc::clone(&registry.outbound_places).try_acquire_owned() else {
        registry.counters.over.add(Over::OutboundPlaces);
        registration.set_last_event(failed(&socket, None, NO_PLACE));
        return;
    };
    let connecting = connect::connect(request, within, Arc::clone(&registry.tls), &registry.limits);
    let connected = tokio::select! {
        connected = connecting => connected,
        () = socket.closing() => Err(given_up("closed before it was open")),
        () = registry.cut_off.cancelled() => Err(given_up("the server stopped")),
    };
    let ws = match connected {
        Ok(ws) => ws,
        Err(error) => {
            tracing::info!(lane = %socket.lane.name, status = error.status, reason = %error.reason, "an outbound socket failed");
            registration.set_last_event(failed(&socket, error.status, &error.reason));
            return;
        }
    };
    let space = tokio::select! {
        space = socket.lane.frames.reserve(socket.context.len()) => space,
        () = registry.cut_off.cancelled() => None,
    };
    let Some(space) = space else { return };
    registration.set_last_event(closed(&socket, End::lost("the connection was dropped")));
    let opened = Event::Opened {
        socket: Arc::clone(&socket.token),
        context: Arc::clone(&socket.context),
    };
    socket.lane.push(&registry, opened, space);
    let (end, linger) = connection::run(ws, &socket, &registry).await;
    tracing::debug!(lane = %socket.lane.name, code = end.code, reason = %end.reason, clean = end.clean, "an outbound socket ended");
    registration.set_last_event(closed(&socket, end));
    drop(registration);
    if let Some(linger) = linger {
        linger.run(&registry.limits).await;
    }
}

fn given_up(reason: &str) -> ConnectError {
    ConnectError {
        status: None,
        reason: reason.to_owned(),
    }
}

fn failed(socket: &Socket, status: Option<u16>, reason: &str) -> Event {
    Event::Failed {
        socket: Arc::clone(&socket.token),
        context: Arc::clone(&socket.context),
        status,
        reason: Arc::from(reason),
    }
}
