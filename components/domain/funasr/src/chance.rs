//! What one random number decides: how long to wait before the next attempt, and a task's name.

use crate::settings::{RETRY_CAP_MS, RETRY_FIRST_MS};

/// Doubling pauses with a cap; the second half of each is random so that many streams do not come
/// back at once.
pub fn backoff_ms(failures: u32, random: u64) -> u64 {
    let full = RETRY_FIRST_MS
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(RETRY_CAP_MS);
    full / 2 + random % (full / 2 + 1)
}

/// A version 4 UUID from one random number, stretched by splitmix64.
pub fn task_uuid(random: u64) -> String {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let (high, low) = (mix(random), mix(!random));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0x0fff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff,
    )
}
