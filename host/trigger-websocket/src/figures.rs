//! What the parts of the host are counted with: their own figures, where `host-metrics` has them, and
//! what is looked up in the lanes and at the port when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use host_metrics::{AppFigures, CallFigures, LaneWait, Metrics, RequestFigures};
use lanes::{Lanes, Observer, Stats};
use listener::Connections;

use crate::over::Overs;

/// The exports of components that are called, as figures name them.
pub const EXPORTS: [&str; 4] = ["handle", "admit", "startup", HTTP];

/// Of a component that answers HTTP requests.
pub const HTTP: &str = "http";

/// Who answers the requests that no component answers.
pub const HOST: &str = "host";

/// What one component is counted with.
pub struct ComponentFigures {
    /// Calls of its exports.
    pub calls: CallFigures,
    /// Requests that it answers, with or without a WebSocket.
    pub requests: RequestFigures,
    /// What it counts itself, with all other components.
    pub app: Arc<AppFigures>,
}

impl ComponentFigures {
    /// For the component with this id.
    pub fn new(metrics: &Metrics, component: &str) -> Self {
        Self {
            calls: metrics.calls(component, &EXPORTS),
            requests: metrics.requests(component),
            app: metrics.app(),
        }
    }
}

/// From now on the figures show the lanes.
pub fn show_lanes(metrics: &Metrics, lanes: &Lanes) {
    lanes.observe(Arc::new(Waits(metrics.lane_wait())));
    let lanes = lanes.clone();
    metrics.sample(move |sample| {
        let Stats {
            lanes,
            sockets_in,
            sockets_out,
            queued_events,
            queued_bytes,
            longest_queue,
            timers,
            pending_calls,
            frames_in,
            frames_out,
            batches,
            retries,
            failed_batches,
            handed_over,
        } = lanes.stats();
        let mut gauge = |name, help, value| sample.gauge(name, help, &[("", "", value)]);
        gauge("host_lanes", "Lanes that exist", lanes);
        gauge(
            "host_lane_queue_events",
            "Events that wait in lanes or are being handled, frames counted singly",
            queued_events,
        );
        gauge(
            "host_lane_queue_events_max",
            "The most of them in one lane",
            longest_queue,
        );
        gauge("host_lane_queue_bytes", "Their bytes", queued_bytes);
        gauge("host_lane_timers", "Timers that are set", timers);
        gauge(
            "host_lane_calls_pending",
            "Calls of lanes that wait for their answer",
            pending_calls,
        );
        sample.gauge(
            "host_sockets",
            "Open WebSockets: of clients, and to services, those that connect included",
            &[("side", "in", sockets_in), ("side", "out", sockets_out)],
        );
        sample.counter("host_frames_received", "Frames of all sockets", frames_in);
        sample.counter("host_frames_sent", "Frames to all sockets", frames_out);
        sample.counter(
            "host_batches",
            "Batches of events that were handled or given up",
            batches,
        );
        sample.counter(
            "host_batch_retries",
            "Batches that failed and were tried again",
            retries,
        );
        sample.counter(
            "host_batches_failed",
            "Batches that failed twice and were given up",
            failed_batches,
        );
        sample.counter(
            "host_lanes_handed_over",
            "Lanes that were given up because another host goes on with them",
            handed_over,
        );
    });
}

/// From now on the figures show the port's connections.
pub fn show_connections(metrics: &Metrics, connections: Connections) {
    metrics.sample(move |sample| {
        sample.gauge(
            "host_connections",
            "Open connections, those of WebSockets included",
            &[("", "", connections.open())],
        );
        sample.counter(
            "host_connections_refused",
            "Connections for which there was no place",
            connections.refused(),
        );
    });
}

/// The words that `host_limit_hits_total` has for limits.
pub const LIMITS: [&str; 20] = [
    "connections",
    "connections-per-address",
    "headers",
    "header-time",
    "tls-handshake-time",
    "body-bytes",
    "body-time",
    "requests",
    "requests-per-address",
    "response-unread-time",
    "message-bytes",
    "lane-queue",
    "lanes",
    "lane-sockets",
    "unknown-sockets",
    "unknown-bytes",
    "key-sockets",
    "unread",
    "unread-time",
    "silence",
];

/// From now on the figures show who was over which limit, and who broke which protocol.
pub fn show_limits(
    metrics: &Metrics,
    connections: Connections,
    lanes: &Lanes,
    requests: Arc<Overs>,
) {
    use lanes::Over as Lane;
    use listener::Over as Port;

    use crate::over::Over as Request;

    let lanes = lanes.clone();
    metrics.sample(move |sample| {
        let port = |over| connections.over(over);
        let counts = [
            port(Port::Connections),
            port(Port::ConnectionsPerAddress),
            port(Port::Headers),
            port(Port::HeaderTime),
            port(Port::TlsHandshakeTime),
            requests.get(Request::BodyBytes),
            requests.get(Request::BodyTime),
            requests.get(Request::Requests),
            requests.get(Request::RequestsPerAddress),
            port(Port::WriteStall),
            lanes.over(Lane::MessageBytes),
            lanes.over(Lane::LaneQueue),
            lanes.over(Lane::Lanes),
            lanes.over(Lane::LanePlaces),
            lanes.over(Lane::UnknownPlaces),
            lanes.over(Lane::UnknownBytes),
            lanes.over(Lane::AccountPlaces),
            lanes.over(Lane::Unread),
            lanes.over(Lane::WriteStall),
            lanes.over(Lane::Silence),
        ];
        let series: Vec<_> = LIMITS.into_iter().zip(counts).collect();
        sample.counters(
            "host_limit_hits",
            "How often a limit held somebody up or ended a connection",
            "limit",
            &series,
        );
        sample.counters(
            "host_protocol_errors",
            "Connections that ended because a peer broke a protocol",
            "protocol",
            &[
                ("tls", port(Port::Tls)),
                ("http", port(Port::Http)),
                ("websocket", lanes.over(Lane::Protocol)),
                ("utf-8", lanes.over(Lane::Utf8)),
            ],
        );
        sample.counter(
            "host_lane_messages_refused",
            "Messages to lanes that had as many waiting as permitted",
            lanes.over(Lane::LaneMessages),
        );
    });
}

struct Waits(LaneWait);

impl Observer for Waits {
    fn waited(&self, time: Duration) {
        self.0.waited(time);
    }
}
