//! What the operator decides about windows, and the limits that are not for the operator.

use crate::Settings;

/// How stored seconds are transcribed in windows.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSettings {
    /// How to reach the service. Its `start_timeout_ms`, `catch_up_speed` and `wants_partials` are not
    /// used.
    pub service: Settings,
    /// A window: from the order to connect up to `task-finished`.
    pub timeout_ms: u64,
    /// Of a whole window. At least 1.
    pub window_seconds: u32,
    /// From the end of a window to the end of the next one. 1 to `window_seconds`: a longer one would
    /// leave seconds out and counts as that.
    pub hop_seconds: u32,
    /// Of a binary frame. At least 1.
    pub piece_bytes: u32,
    /// Between two binary frames; 0: as fast as the socket takes them.
    pub pacing_ms: u64,
    /// The windowed mode: go on by itself as long as a whole window is there.
    pub automatic: bool,
}

impl WindowSettings {
    pub(super) fn window(&self) -> u32 {
        self.window_seconds.max(1)
    }

    pub(super) fn hop(&self) -> u32 {
        self.hop_seconds.clamp(1, self.window())
    }
}

/// Runs and flushes that may wait at the same time; one more is answered at once.
pub const MAX_RUNS: usize = 16;
/// Of the text of one window, in bytes; what comes after it is left out.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Sentences of one window; what comes after them is left out.
pub const MAX_SENTENCES: usize = 256;
/// Longest pause before a window is tried again by itself.
pub const RETRY_CAP_MS: u64 = 60_000;
/// How long to wait when the socket takes nothing more.
pub const ROOM_RETRY_MS: u64 = 250;
/// Of the WAV file: its header, and each of its seconds.
pub const HEADER_BYTES: u32 = 44;
/// As [`HEADER_BYTES`].
pub const SECOND_BYTES: u32 = 32_000;

/// The pause after this many failures in a row.
pub fn backoff_ms(failures: u32) -> u64 {
    (1000 << failures.min(6)).min(RETRY_CAP_MS)
}
