//! What operators see of all streams together, at the host's `/metrics` (docs/metrics.md). Counted here,
//! told once it is committed: a batch that is repeated counts once. No figure names a session.

use interview_session::frame::CHUNK_BYTES;
use interview_session::role::StreamRole;

use crate::bindings::interview::gateway::asr_bridge::{self, Connection};
use crate::bindings::realtime::sockets::metrics;
use crate::stream::Stream;

/// What became of a chunk.
#[derive(Clone, Copy)]
pub enum ChunkStatus {
    Stored,
    Duplicate,
    /// It is no chunk of this stream: it will not be taken the next time either.
    Refused,
    /// The blob store did not take it.
    Failed,
}

const CHUNK_STATUSES: [(ChunkStatus, &str); 4] = [
    (ChunkStatus::Stored, "stored"),
    (ChunkStatus::Duplicate, "duplicate"),
    (ChunkStatus::Refused, "refused"),
    (ChunkStatus::Failed, "failed"),
];

/// A connection that is there, or should be. Streams without one are not counted: there is one for
/// every session that ever was.
const STATES: [(Connection, &str); 3] = [
    (Connection::Connecting, "connecting"),
    (Connection::Running, "running"),
    (Connection::Error, "error"),
];

/// What happened in this batch and is not told yet.
#[derive(Default)]
pub struct Counted {
    chunks: [u64; CHUNK_STATUSES.len()],
    held_back: u64,
    left_unread: u64,
    utterances: u64,
    latencies_ms: Vec<u64>,
    is_changed: bool,
}

impl Counted {
    pub fn chunk(&mut self, status: ChunkStatus) {
        self.chunks[status as usize] += 1;
    }

    /// A client is left unread for a while: it sends too fast.
    pub fn held_back(&mut self) {
        self.held_back += 1;
    }

    /// A client is left unread for a while: it sends too much that is no audio.
    pub fn left_unread(&mut self) {
        self.left_unread += 1;
    }

    pub fn utterance(&mut self) {
        self.utterances += 1;
    }

    /// From the arrival of an utterance's last second to the utterance.
    pub fn latency(&mut self, milliseconds: Option<u64>) {
        self.latencies_ms.extend(milliseconds);
    }

    /// The state of the stream's recognition is another one.
    pub fn recognition_changed(&mut self) {
        self.is_changed = true;
    }
}

impl Stream<'_> {
    /// Tells what was committed.
    pub fn tell_counted(&mut self) {
        let counted = std::mem::take(&mut self.counted);
        self.counted.is_changed = counted.is_changed;
        for (status, name) in CHUNK_STATUSES {
            let count = counted.chunks[status as usize];
            if count > 0 {
                metrics::add("chunks", &with(self.role, "status", name), count);
            }
        }
        let stored = counted.chunks[ChunkStatus::Stored as usize];
        if stored > 0 {
            let bytes = stored.saturating_mul(CHUNK_BYTES as u64);
            metrics::add("chunk_bytes", &of(self.role), bytes);
        }
        if counted.held_back > 0 {
            metrics::add("stream_pauses", &of(self.role), counted.held_back);
        }
        if counted.left_unread > 0 {
            metrics::add("frame_pauses", &of(self.role), counted.left_unread);
        }
        if counted.utterances > 0 {
            metrics::add("utterances", &of(self.role), counted.utterances);
        }
        for milliseconds in counted.latencies_ms {
            let seconds = milliseconds as f64 / 1000.0;
            metrics::observe("utterance_latency_seconds", &of(self.role), seconds);
        }
    }

    /// Tells how far the recognition is behind and how its connection is, where that has changed.
    pub fn tell_levels(&mut self) {
        if !std::mem::take(&mut self.counted.is_changed) {
            return;
        }
        let realtime = asr_bridge::inspect(self.bridge.state.as_deref());
        let windows = asr_bridge::inspect_windows(self.windows.state.as_deref());
        // What cannot be read fails the next batch, with a reason; figures fail none.
        let (Ok(realtime), Ok(windows)) = (realtime, windows) else {
            return;
        };
        let lane = self.lane();
        let level = |name: &str, value: u32| {
            metrics::level(&lane, name, &of(self.role), f64::from(value));
        };
        // As `state` shows it: where nothing is transcribed nothing is behind.
        let is_on = self.settings.windows.service.enabled;
        let final_seq = u32::try_from(realtime.final_ms / 1000).unwrap_or(u32::MAX);
        let behind = |done: u32| match is_on {
            true => {
                let behind = realtime.stored.saturating_sub(done);
                behind.saturating_sub(self.ingest.missing_after(done))
            }
            false => 0,
        };
        level("backlog_seconds", behind(realtime.sent.max(final_seq)));
        level("lag_seconds", behind(final_seq));
        level("late_seconds", realtime.late.saturating_add(windows.late));
        let connection = match self.settings.is_windowed() {
            true => windows.connection,
            false => realtime.connection,
        };
        for (state, name) in STATES {
            let labels = with(self.role, "state", name);
            let value = f64::from(u8::from(state == connection));
            metrics::level(&lane, "asr_streams", &labels, value);
        }
    }
}

/// A connection to the service is begun.
pub fn connecting(role: StreamRole) {
    metrics::add("asr_connections", &of(role), 1);
}

/// A connection or a task failed.
pub fn failed(role: StreamRole, reason: &str) {
    metrics::add("asr_failures", &with(role, "reason", reason), 1);
}

fn of(role: StreamRole) -> Vec<(String, String)> {
    vec![("role".into(), role.as_str().into())]
}

fn with(role: StreamRole, name: &str, value: &str) -> Vec<(String, String)> {
    let mut labels = of(role);
    labels.push((name.into(), value.into()));
    labels
}
