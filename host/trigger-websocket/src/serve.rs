//! Serves an app that is ready until the process is asked to end, and then ends it in order.

use std::sync::Arc;
use std::time::Duration;

use host_process::{FLUSH_TIME, IMPATIENCE, Output, Signals};
use lanes::Lanes;
use listener::{CancellationToken, Limits, Listener};

use crate::service::AppService;

/// Connections that are still open may take a moment longer than the sockets in them.
pub const LISTENER_GRACE: Duration = Duration::from_secs(1);

/// What is served, and where.
pub struct Serving {
    /// The app's port.
    pub listener: Listener,
    /// Its limits.
    pub limits: Limits,
    /// The app.
    pub service: AppService,
    /// Its WebSockets.
    pub lanes: Lanes,
}

impl Serving {
    /// Serves until a signal, then drains: no new connections, queued events are handled, sockets are
    /// closed, all within `limit`. The same signal again, [`IMPATIENCE`] later, ends the process at once.
    pub async fn run(self, mut signals: Signals, limit: Duration, log: &Output) {
        let shutdown = CancellationToken::new();
        let service = Arc::new(self.service);
        let listening = tokio::spawn(self.listener.run(service, self.limits, shutdown.clone()));
        let name = signals.end().await;
        tracing::info!(
            "{name}: closing connections, at most {} s; {name} again, in {} s or later, cuts them off",
            limit.as_secs(),
            IMPATIENCE.as_secs()
        );
        let log = log.clone();
        tokio::spawn(async move {
            let name = signals.impatience().await;
            tracing::error!("{name} again: ending at once, connections are cut off");
            let _ = tokio::task::spawn_blocking(move || log.flush(FLUSH_TIME)).await;
            std::process::exit(1);
        });
        shutdown.cancel();
        let (drained, connections) = tokio::join!(self.lanes.drain(limit), listening);
        tracing::info!(
            complete = drained.complete,
            client_sockets = drained.client_sockets,
            outbound_sockets = drained.outbound_sockets,
            sockets_cut_off = drained.sockets_cut_off,
            events_left = drained.events_left,
            connections_cut_off = connections.map_or(0, |report| report.cut_off),
            took_ms = drained.took.as_millis() as u64,
            "stopped"
        );
    }
}
