//! Every limit of live push, by name.

/// Viewers and subscribers of one session.
pub const MAX_VIEWERS: usize = 64;
/// The largest number that a live log can have reached: what clients that keep numbers as floats read
/// exactly. At a thousand entries a second it lasts 285,000 years.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Entries of the streams' logs that one batch reads and numbers. What is more is done by the next
/// batches, so that a long session does not keep the lane from its timers.
pub const PAGE: u32 = 500;
/// Old entries of the live log that one batch reads for those who resume or are behind.
pub const FEED: usize = 500;
/// From one `partial` of a role to the next, in milliseconds. Of those in between the last one is sent.
pub const PARTIAL_INTERVAL_MS: u64 = 300;
/// When a socket that had no room is tried again, in milliseconds.
pub const RETRY_MS: u64 = 250;
/// While somebody listens the logs are looked at this often, in milliseconds, nudge or not: a stream
/// that had read who listens before the first viewer came does not nudge, and a nudge can be lost.
pub const LOOK_MS: u64 = 2_000;
/// A socket that is more frames behind than this...
pub const MAX_BEHIND: u64 = 1_000;
/// ...and takes nothing for this long, in milliseconds, is given up.
pub const MAX_BEHIND_MS: u64 = 30_000;
/// Places in a viewer's queue of unsent messages that are left for other answers.
pub const VIEWER_RESERVE: u32 = 16;
/// The same for a client of a stream. The host holds 512 messages for a socket and stops reading it
/// when half of them are taken: live frames must never stop its audio.
pub const SUBSCRIBER_RESERVE: u32 = 384;
/// Frames that are handed to a socket at a time: it takes all of them or none.
pub const SEND_FRAMES: usize = 64;
/// Their bytes, unless a single one is larger.
pub const SEND_BYTES: usize = 256 * 1024;

const _: () = assert!(PARTIAL_INTERVAL_MS < LOOK_MS && RETRY_MS < LOOK_MS);
// More than this `session-state` does not read at once.
const _: () = assert!(FEED <= 500);
