//! The limits that an operator sets: options of the command line, each an environment variable too.
//! docs/limits.md says of each what a client sees and which figure counts it; a test compares. Limits
//! that nobody would set are constants of the crates that keep them.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use clap::value_parser;

use crate::capability::memory::MAX_GROWN_MEMORY;
use crate::engine::MAX_INSTANCE_MEMORY;
use crate::http_component::{BODY_IDLE, MAX_REQUEST_BODY};
use crate::request_body::BodyLimits;
use crate::request_places::{MAX_CONCURRENT_REQUESTS, REQUESTS_PER_ADDRESS};

/// The longest time that can be asked for.
pub const MAX_SECONDS: u64 = 3_600;
/// More connections than a process can have files.
const MAX_CONNECTIONS: u64 = 1_000_000;
/// Less than that hyper does not take.
const MIN_HEADER_BYTES: u64 = 8_192;
const MAX_HEADER_BYTES: u64 = 1 << 20;
const MAX_REFUSALS: u64 = 1_000_000;
const MAX_HEADERS: u64 = 1_000;
/// The largest body, message or queue that can be asked for.
const MAX_BYTES: u64 = 1 << 30;
/// A message that cannot hold that is no use to anybody.
const MIN_MESSAGE_BYTES: u64 = 1_024;
const MAX_LANE_EVENTS: u64 = 65_536;
const MAX_SOCKETS_PER_LANE: u64 = 1_024;
const MIN_MEMORY_MIB: u64 = 16;
/// What a component of 32 bits can address.
const MAX_MEMORY_MIB: u64 = 4_096;
const MAX_TOTAL_MEMORY_MIB: u64 = 1 << 20;

/// The limits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits (docs/limits.md)")]
pub struct LimitOptions {
    /// Connections at one time, HTTP and WebSocket together.
    #[arg(long, value_name = "COUNT", env = "HOST_LIMIT_CONNECTIONS", default_value_t = listener::limits::CONNECTIONS as u64, value_parser = count(1, MAX_CONNECTIONS))]
    pub limit_connections: u64,

    /// Those of one address (of IPv6 one network of 64 bits). Behind a proxy all have the proxy's
    /// address: make it as large as --limit-connections.
    #[arg(long, value_name = "COUNT", env = "HOST_LIMIT_CONNECTIONS_PER_ADDRESS", default_value_t = listener::limits::CONNECTIONS_PER_ADDRESS as u64, value_parser = count(1, MAX_CONNECTIONS))]
    pub limit_connections_per_address: u64,

    /// Refused requests of one address (of IPv6 one network of 64 bits) in a second that are answered at
    /// once; the answers to the next wait, up to 5 s. Behind a proxy all have the proxy's address.
    #[arg(long, value_name = "COUNT", env = "HOST_LIMIT_REFUSALS_PER_ADDRESS", default_value_t = u64::from(listener::limits::REFUSALS_PER_SECOND), value_parser = count(1, MAX_REFUSALS))]
    pub limit_refusals_per_address: u64,

    /// Bytes of a request's first line and headers.
    #[arg(long, value_name = "BYTES", env = "HOST_LIMIT_HEADER_BYTES", default_value_t = listener::limits::HEADER_BYTES as u64, value_parser = count(MIN_HEADER_BYTES, MAX_HEADER_BYTES))]
    pub limit_header_bytes: u64,

    /// Headers of a request.
    #[arg(long, value_name = "COUNT", env = "HOST_LIMIT_HEADERS", default_value_t = listener::limits::HEADERS as u64, value_parser = count(1, MAX_HEADERS))]
    pub limit_headers: u64,

    /// How long a request's headers may take, and how long a connection may stay without a request.
    #[arg(long, value_name = "SECONDS", env = "HOST_LIMIT_HEADER_SECONDS", default_value_t = listener::limits::HEADER_READ.as_secs(), value_parser = count(1, MAX_SECONDS))]
    pub limit_header_seconds: u64,

    /// How long a TLS handshake may take.
    #[arg(long, value_name = "SECONDS", env = "HOST_LIMIT_TLS_HANDSHAKE_SECONDS", default_value_t = listener::limits::TLS_HANDSHAKE.as_secs(), value_parser = count(1, MAX_SECONDS))]
    pub limit_tls_handshake_seconds: u64,

    /// Bytes of a request's body. The app has limits of its own besides.
    #[arg(long, value_name = "BYTES", env = "HOST_LIMIT_BODY_BYTES", default_value_t = MAX_REQUEST_BODY, value_parser = count(1, MAX_BYTES))]
    pub limit_body_bytes: u64,

    /// How long a client may pause within a request's body. All of it must come within --call-timeout.
    #[arg(long, value_name = "SECONDS", env = "HOST_LIMIT_BODY_IDLE_SECONDS", default_value_t = BODY_IDLE.as_secs(), value_parser = count(1, MAX_SECONDS))]
    pub limit_body_idle_seconds: u64,

    /// Requests of one address (of IPv6 one network of 64 bits) that are answered at one time. Behind a
    /// proxy all have the proxy's address: make it 128, which is what is answered in all.
    #[arg(long, value_name = "COUNT", env = "HOST_LIMIT_REQUESTS_PER_ADDRESS", default_value_t = REQUESTS_PER_ADDRESS as u64, value_parser = count(1, MAX_CONCURRENT_REQUESTS as u64))]
    pub limit_requests_per_address: u64,

    /// Bytes of a WebSocket message that is received, however many frames it has.
    #[arg(long, value_name = "BYTES", env = "HOST_LIMIT_MESSAGE_BYTES", default_value_t = lanes::limits::INBOUND_MESSAGE_BYTES as u64, value_parser = count(MIN_MESSAGE_BYTES, MAX_BYTES))]
    pub limit_message_bytes: u64,

    /// Messages of WebSockets that wait in one lane; then its sockets are not read.
    #[arg(long, value_name = "COUNT", env = "HOST_LIMIT_LANE_EVENTS", default_value_t = lanes::limits::QUEUE_EVENTS as u64, value_parser = count(1, MAX_LANE_EVENTS))]
    pub limit_lane_events: u64,

    /// Their bytes.
    #[arg(long, value_name = "BYTES", env = "HOST_LIMIT_LANE_BYTES", default_value_t = lanes::limits::QUEUE_BYTES as u64, value_parser = count(MIN_MESSAGE_BYTES, MAX_BYTES))]
    pub limit_lane_bytes: u64,

    /// Clients' WebSockets of one lane.
    #[arg(long, value_name = "COUNT", env = "HOST_LIMIT_LANE_SOCKETS", default_value_t = lanes::limits::CLIENT_SOCKETS_PER_LANE as u64, value_parser = count(1, MAX_SOCKETS_PER_LANE))]
    pub limit_lane_sockets: u64,

    /// Bytes that wait for a WebSocket's peer which reads slowly.
    #[arg(long, value_name = "BYTES", env = "HOST_LIMIT_UNREAD_BYTES", default_value_t = lanes::limits::OUTBOX_BYTES as u64, value_parser = count(MIN_MESSAGE_BYTES, MAX_BYTES))]
    pub limit_unread_bytes: u64,

    /// How long a peer may take nothing of what is sent to it, over HTTP or WebSocket.
    #[arg(long, value_name = "SECONDS", env = "HOST_LIMIT_UNREAD_SECONDS", default_value_t = lanes::limits::WRITE_STALL.as_secs(), value_parser = count(1, MAX_SECONDS))]
    pub limit_unread_seconds: u64,

    /// Memory of one instance of a component, all its parts together, in MiB.
    #[arg(long, value_name = "MIB", env = "HOST_LIMIT_MEMORY_MIB", default_value_t = (MAX_INSTANCE_MEMORY >> 20) as u64, value_parser = count(MIN_MEMORY_MIB, MAX_MEMORY_MIB))]
    pub limit_memory_mib: u64,

    /// Memory that all instances together may grow by beyond what they begin with (some 12 MiB each), in
    /// MiB. Requests may take three quarters of it.
    #[arg(long, value_name = "MIB", env = "HOST_LIMIT_TOTAL_MEMORY_MIB", default_value_t = (MAX_GROWN_MEMORY >> 20) as u64, value_parser = count(MIN_MEMORY_MIB, MAX_TOTAL_MEMORY_MIB))]
    pub limit_total_memory_mib: u64,

    /// From one ping to the next, on every WebSocket.
    #[arg(long, value_name = "SECONDS", env = "HOST_SOCKET_PING_SECONDS", default_value_t = lanes::limits::PING_INTERVAL.as_secs(), value_parser = count(1, MAX_SECONDS))]
    pub socket_ping_seconds: u64,

    /// How long a peer may send nothing, not even the answer to a ping, before its WebSocket is closed.
    #[arg(long, value_name = "SECONDS", env = "HOST_SOCKET_SILENCE_SECONDS", default_value_t = lanes::limits::SILENCE.as_secs(), value_parser = count(1, MAX_SECONDS))]
    pub socket_silence_seconds: u64,
}

fn count(least: u64, most: u64) -> RangedU64ValueParser {
    value_parser!(u64).range(least..=most)
}

impl LimitOptions {
    /// Whether they go together.
    ///
    /// # Errors
    /// They do not; the message says what to change.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.socket_silence_seconds <= self.socket_ping_seconds {
            bail!(
                "a WebSocket would be closed before its ping can be answered: make \
                 --socket-silence-seconds ({}) larger than --socket-ping-seconds ({})",
                self.socket_silence_seconds,
                self.socket_ping_seconds
            );
        }
        if self.limit_memory_mib > self.limit_total_memory_mib {
            bail!(
                "an instance could not have --limit-memory-mib ({}): make --limit-total-memory-mib ({}) at \
                 least as large",
                self.limit_memory_mib,
                self.limit_total_memory_mib
            );
        }
        if self.limit_message_bytes > self.limit_lane_bytes {
            bail!(
                "a message of --limit-message-bytes ({}) would find no room in a lane: make \
                 --limit-lane-bytes ({}) at least as large",
                self.limit_message_bytes,
                self.limit_lane_bytes
            );
        }
        Ok(())
    }

    /// Bytes of memory of one instance.
    pub fn memory(&self) -> usize {
        size(self.limit_memory_mib << 20)
    }

    /// Bytes that all instances may grow by.
    pub fn total_memory(&self) -> usize {
        size(self.limit_total_memory_mib << 20)
    }

    /// Of a request's body.
    pub fn body(&self) -> BodyLimits {
        BodyLimits {
            bytes: self.limit_body_bytes,
            idle: Duration::from_secs(self.limit_body_idle_seconds),
        }
    }

    /// Requests of one address at a time.
    pub fn requests_per_address(&self) -> usize {
        size(self.limit_requests_per_address)
    }

    /// Of the lanes; those that are not here are constants of that crate.
    pub fn lanes(&self) -> lanes::Limits {
        let defaults = lanes::Limits::default();
        let queue_events = size(self.limit_lane_events);
        // Half of it holds an answer to every message that a lane can have queued.
        let answers = 2 * (queue_events + defaults.batch_events);
        lanes::Limits {
            queue_events,
            queue_bytes: size(self.limit_lane_bytes),
            inbound_message_bytes: size(self.limit_message_bytes),
            outbox_messages: defaults.outbox_messages.max(answers),
            outbox_bytes: size(self.limit_unread_bytes),
            client_sockets_per_lane: size(self.limit_lane_sockets),
            write_stall: Duration::from_secs(self.limit_unread_seconds),
            ping_interval: Duration::from_secs(self.socket_ping_seconds),
            silence: Duration::from_secs(self.socket_silence_seconds),
            ..defaults
        }
    }

    /// Of the port; its connections have so long to end.
    pub fn port(&self, drain: Duration) -> listener::Limits {
        listener::Limits {
            connections: size(self.limit_connections),
            connections_per_address: size(self.limit_connections_per_address),
            header_bytes: size(self.limit_header_bytes),
            headers: size(self.limit_headers),
            header_read: Duration::from_secs(self.limit_header_seconds),
            tls_handshake: Duration::from_secs(self.limit_tls_handshake_seconds),
            write_stall: Duration::from_secs(self.limit_unread_seconds),
            linger_bytes: size(self.limit_body_bytes.saturating_mul(2))
                .max(listener::limits::LINGER_BYTES),
            refusals_per_second: u32::try_from(self.limit_refusals_per_address).unwrap_or(u32::MAX),
            drain,
            websocket: self.lanes().websocket_config(),
            ..listener::Limits::default()
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;
    use crate::figures::LIMITS;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        limits: LimitOptions,
    }

    fn limits(options: &[&str]) -> LimitOptions {
        let all = ["host"].iter().chain(options);
        Only::try_parse_from(all).unwrap().limits
    }

    #[test]
    fn the_defaults_are_the_constants() {
        let limits = limits(&[]);
        limits.check().unwrap();
        let (lanes, port) = (limits.lanes(), limits.port(listener::limits::DRAIN));
        assert_eq!(
            format!("{lanes:?}"),
            format!("{:?}", lanes::Limits::default())
        );
        let expected = listener::Limits {
            websocket: lanes.websocket_config(),
            ..listener::Limits::default()
        };
        assert_eq!(format!("{port:?}"), format!("{expected:?}"));
        assert_eq!(limits.memory(), MAX_INSTANCE_MEMORY);
        assert_eq!(limits.total_memory(), MAX_GROWN_MEMORY);
    }

    #[test]
    fn each_option_limits_what_it_says() {
        let seconds = Duration::from_secs;
        let all = [
            ("--limit-connections", "11"),
            ("--limit-connections-per-address", "12"),
            ("--limit-refusals-per-address", "13"),
            ("--limit-header-bytes", "8193"),
            ("--limit-headers", "14"),
            ("--limit-header-seconds", "15"),
            ("--limit-tls-handshake-seconds", "16"),
            ("--limit-body-bytes", "17"),
            ("--limit-body-idle-seconds", "18"),
            ("--limit-requests-per-address", "19"),
            ("--limit-message-bytes", "2000"),
            ("--limit-lane-events", "21"),
            ("--limit-lane-bytes", "2200"),
            ("--limit-lane-sockets", "23"),
            ("--limit-unread-bytes", "2400"),
            ("--limit-unread-seconds", "25"),
            ("--limit-memory-mib", "26"),
            ("--limit-total-memory-mib", "29"),
            ("--socket-ping-seconds", "27"),
            ("--socket-silence-seconds", "28"),
        ];
        let known = Only::command();
        let known = known.get_arguments().filter(|one| one.get_id() != "help");
        assert_eq!(all.len(), known.count(), "an option is not looked at here");
        let limits = limits(&all.map(|(name, value)| [name, value]).concat());
        limits.check().unwrap();
        let port = limits.port(seconds(1));
        assert_eq!(
            (
                port.connections,
                port.connections_per_address,
                port.refusals_per_second,
                port.header_bytes,
                port.headers,
                port.header_read,
                port.tls_handshake,
                port.write_stall,
            ),
            (11, 12, 13, 8193, 14, seconds(15), seconds(16), seconds(25))
        );
        let body = limits.body();
        assert_eq!((body.bytes, body.idle), (17, seconds(18)));
        assert_eq!(limits.requests_per_address(), 19);
        let lanes = limits.lanes();
        assert_eq!(
            (
                lanes.inbound_message_bytes,
                lanes.queue_events,
                lanes.queue_bytes,
                lanes.client_sockets_per_lane,
                lanes.outbox_bytes,
                lanes.write_stall,
                lanes.ping_interval,
                lanes.silence,
            ),
            (
                2000,
                21,
                2200,
                23,
                2400,
                seconds(25),
                seconds(27),
                seconds(28)
            )
        );
        assert_eq!(limits.memory(), 26 << 20);
        assert_eq!(limits.total_memory(), 29 << 20);
    }

    #[test]
    fn limits_that_do_not_go_together_are_refused() {
        let error = limits(&["--socket-ping-seconds", "60"]).check();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("--socket-silence-seconds"), "{error}");
        let error = limits(&["--limit-message-bytes", "5000000"]).check();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("--limit-lane-bytes"), "{error}");
        let error = limits(&["--limit-total-memory-mib", "100"]).check();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("--limit-memory-mib (256)"), "{error}");
        for wrong in ["0", "-1", "x", "1000000000000"] {
            let options = ["host", "--limit-connections", wrong];
            assert!(Only::try_parse_from(options).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_longer_queue_has_room_for_its_answers() {
        let lanes = limits(&["--limit-lane-events", "1000"]).lanes();
        assert!(lanes.outbox_messages / 2 >= 1000 + lanes.batch_events);
    }

    /// The table in docs/limits.md has a row for each option, with its variable and default, and names
    /// each word that `host_limit_hits_total` knows.
    #[test]
    fn the_documentation_names_every_limit() {
        let page = include_str!("../../../docs/limits.md");
        let command = Only::command();
        for option in command.get_arguments().filter(|one| one.get_id() != "help") {
            let name = format!("`--{}`", option.get_long().unwrap());
            let row = page
                .lines()
                .find(|line| line.starts_with(&format!("| {name}")));
            let row = row.unwrap_or_else(|| panic!("docs/limits.md has no row for {name}"));
            let variable = option.get_env().unwrap().to_str().unwrap();
            assert!(row.contains(&format!("`{variable}`")), "{row}");
            let matches = Only::command().get_matches_from(["host"]);
            assert!(Only::from_arg_matches(&matches).is_ok());
            let default = option.get_default_values()[0].to_str().unwrap().to_owned();
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            assert_eq!(cells[2].replace(',', ""), default, "{row}");
        }
        for (limit, _) in LIMITS {
            assert!(page.contains(&format!("`{limit}`")), "{limit}");
        }
    }
}
