//! What the parts of the host are counted with: their own figures, where `host-metrics` has them, and
//! what is looked up in the lanes and at the port when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use host_metrics::{AppFigures, CallFigures, LaneWait, Metrics, RequestFigures};
use host_process::Output;
use lanes::{Lanes, Observer, Stats};
use listener::Connections;

use crate::capability::memory::Budget;
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

/// Whose limit one is.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Of the port.
    Port(listener::Over),
    /// Of a request.
    Request(crate::over::Over),
    /// Of a lane and its sockets.
    Lane(lanes::Over),
    /// Of all instances' memory.
    Memory,
}

/// The words that `host_limit_hits_total` has for limits.
pub const LIMITS: [(&str, Limit); 25] = {
    use Limit::{Lane, Port, Request};
    use lanes::Over as OfLane;
    use listener::Over as OfPort;

    use crate::over::Over as OfRequest;
    [
        ("connections", Port(OfPort::Connections)),
        (
            "connections-per-address",
            Port(OfPort::ConnectionsPerAddress),
        ),
        ("headers", Port(OfPort::Headers)),
        ("header-time", Port(OfPort::HeaderTime)),
        ("tls-handshake-time", Port(OfPort::TlsHandshakeTime)),
        ("body-bytes", Request(OfRequest::BodyBytes)),
        ("body-time", Request(OfRequest::BodyTime)),
        ("requests", Request(OfRequest::Requests)),
        (
            "requests-per-address",
            Request(OfRequest::RequestsPerAddress),
        ),
        ("response-unread-time", Port(OfPort::WriteStall)),
        ("refusals", Port(OfPort::Refusals)),
        ("message-bytes", Lane(OfLane::MessageBytes)),
        ("lane-queue", Lane(OfLane::LaneQueue)),
        ("lanes", Lane(OfLane::Lanes)),
        ("lane-sockets", Lane(OfLane::LanePlaces)),
        ("unknown-sockets", Lane(OfLane::UnknownPlaces)),
        ("unknown-bytes", Lane(OfLane::UnknownBytes)),
        ("key-sockets", Lane(OfLane::AccountPlaces)),
        ("outbound-sockets", Lane(OfLane::OutboundPlaces)),
        ("unread", Lane(OfLane::Unread)),
        ("unread-time", Lane(OfLane::WriteStall)),
        ("silence", Lane(OfLane::Silence)),
        ("control-frames", Lane(OfLane::ControlFrames)),
        ("memory", Limit::Memory),
        ("displaced", Lane(OfLane::Displaced)),
    ]
};

/// From now on the figures show who was over which limit, and who broke which protocol.
pub fn show_limits(
    metrics: &Metrics,
    connections: Connections,
    lanes: &Lanes,
    requests: Arc<Overs>,
    memory: Arc<Budget>,
) {
    let lanes = lanes.clone();
    metrics.sample(move |sample| {
        let series = LIMITS.map(|(word, limit)| {
            let count = match limit {
                Limit::Port(over) => connections.over(over),
                Limit::Request(over) => requests.get(over),
                Limit::Lane(over) => lanes.over(over),
                Limit::Memory => memory.hits(),
            };
            (word, count)
        });
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
                ("tls", connections.over(listener::Over::Tls)),
                ("http", connections.over(listener::Over::Http)),
                ("websocket", lanes.over(lanes::Over::Protocol)),
                ("utf-8", lanes.over(lanes::Over::Utf8)),
            ],
        );
        let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        sample.gauge(
            "host_instances_memory_bytes",
            "Memory that instances have grown by beyond what they begin with, and may have",
            &[
                ("state", "grown", bytes(memory.grown())),
                ("state", "limit", bytes(memory.most())),
            ],
        );
        sample.counter(
            "host_lane_messages_refused",
            "Messages to lanes that had as many waiting as permitted",
            lanes.over(lanes::Over::LaneMessages),
        );
    });
}

/// From now on the figures show what is missing in the log.
pub fn show_log(metrics: &Metrics, log: Output) {
    metrics.sample(move |sample| {
        sample.counter(
            "host_log_lines_lost",
            "Lines that could not be written, or for which there was no room since nobody read the log",
            log.lines_lost(),
        );
    });
}

struct Waits(LaneWait);

impl Observer for Waits {
    fn waited(&self, time: Duration) {
        self.0.waited(time);
    }
}
