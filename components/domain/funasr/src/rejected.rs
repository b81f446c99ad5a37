//! The circuit breaker: a service that refuses the key or the request for a reason that lasts is tried
//! ever less often, until something works or somebody changes the settings. It knows no sockets.

use serde::{Deserialize, Serialize};

use crate::settings::{REJECTED_RETRY_CAP_MS, REJECTED_RETRY_FIRST_MS, Settings};

/// How often in a row the service refused for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    times: u32,
    /// What it refused, folded to so little that nothing can be told from it.
    settings: u16,
}

impl Rejected {
    /// Once more; gives the pause before the next attempt. Its second half is random.
    pub fn again(before: Option<Rejected>, settings: &Settings, random: u64) -> (Rejected, u64) {
        let fold = fold(settings);
        let before = before.filter(|rejected| rejected.settings == fold);
        let times = before.map_or(0, |rejected| rejected.times);
        let full = REJECTED_RETRY_FIRST_MS
            .saturating_mul(5_u64.saturating_pow(times.min(16)))
            .min(REJECTED_RETRY_CAP_MS);
        let rejected = Rejected {
            times: times.saturating_add(1),
            settings: fold,
        };
        (rejected, full / 2 + random % (full / 2 + 1))
    }

    /// Whether other settings were refused than there are now.
    pub fn is_outdated(self, settings: &Settings) -> bool {
        self.settings != fold(settings)
    }
}

/// FNV-1a of what the service is asked with, folded to 16 bits.
fn fold(settings: &Settings) -> u16 {
    let parts = [
        Some(settings.url.as_str()),
        Some(settings.api_key.as_str()),
        Some(settings.model.as_str()),
        settings.vocabulary_id.as_deref(),
        settings.language_hint.as_deref(),
    ];
    let numbers = format!(
        "{:?} {:?}",
        settings.max_sentence_silence_ms, settings.semantic_punctuation
    );
    let bytes = parts.into_iter().flat_map(|part| {
        let part = part.unwrap_or_default().bytes();
        part.chain(std::iter::once(0))
    });
    let hash = bytes
        .chain(numbers.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    ((hash >> 48) ^ (hash >> 32) ^ (hash >> 16) ^ hash) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests_support::settings;

    #[test]
    fn pauses_grow_to_the_cap_and_begin_anew_with_other_settings() {
        let mut settings = settings();
        let (mut rejected, mut pauses) = (None, Vec::new());
        for _ in 0..8 {
            let (again, pause) = Rejected::again(rejected, &settings, 0);
            rejected = Some(again);
            pauses.push(pause);
        }
        let half = REJECTED_RETRY_CAP_MS / 2;
        assert_eq!(
            pauses,
            [1_000, 5_000, 25_000, 125_000, half, half, half, half]
        );
        let (_, longest) = Rejected::again(rejected, &settings, half);
        assert_eq!(longest, REJECTED_RETRY_CAP_MS);
        assert!(rejected.is_some_and(|rejected| !rejected.is_outdated(&settings)));
        settings.api_key = "another".into();
        assert!(rejected.is_some_and(|rejected| rejected.is_outdated(&settings)));
        let (_, pause) = Rejected::again(rejected, &settings, 0);
        assert_eq!(pause, 1_000);
    }
}
