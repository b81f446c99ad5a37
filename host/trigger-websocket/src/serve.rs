//! Serves an app that is ready until the process is asked to end, and then ends it in order.

use std::sync::Arc;
use std::time::Duration;

use host_process::{FLUSH_TIME, IMPATIENCE, Output, Signals};
use lanes::Lanes;
use listener::{CancellationToken, Listener};

use crate::cli::RunOptions;
use crate::service::AppService;

/// Connections that are still open may take a moment longer than the sockets in them.
pub const LISTENER_GRACE: Duration = Duration::from_secs(1);

/// Serves until a signal, then drains: no new connections, queued events are handled, sockets are
/// closed, all within the limit. The same signal again, [`IMPATIENCE`] later, ends the process at once.
pub async fn serve(
    listener: Listener,
    service: AppService,
    lanes: Lanes,
    mut signals: Signals,
    options: &RunOptions,
    log: &Output,
) {
    let limit = options.shutdown_timeout;
    let shutdown = CancellationToken::new();
    let limits = options.limits.port(limit + LISTENER_GRACE);
    let listening = tokio::spawn(listener.run(Arc::new(service), limits, shutdown.clone()));
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
    let (drained, connections) = tokio::join!(lanes.drain(limit), listening);
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
