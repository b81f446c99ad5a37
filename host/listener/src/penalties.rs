//! What refused requests cost: of one address so many a second are answered at once. Beyond that an answer
//! waits, so that whoever tries keys on a thousand connections is slowed down, and not everybody else. Who is
//! not refused never waits here, whatever its neighbours do. No I/O.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::limits::{REFUSAL_BURST, REFUSAL_DELAY, REFUSED_ADDRESSES, REFUSED_TURNS};

/// Stands for all addresses that find no entry of their own.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The refusals of each address.
#[derive(Debug)]
pub(crate) struct Penalties {
    /// From one refusal to the next that is answered at once.
    interval: Duration,
    /// When each address will have waited for all its refusals. An entry of the past says nothing.
    paid_at: Mutex<HashMap<IpAddr, Instant>>,
    turns: Semaphore,
}

impl Penalties {
    /// So many refusals a second.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            paid_at: Mutex::default(),
            turns: Semaphore::new(REFUSED_TURNS),
        }
    }

    /// What may be owed without having to wait.
    fn credit(&self) -> Duration {
        self.interval * REFUSAL_BURST
    }

    /// One more refusal of this address: how long its answer waits, at most [`REFUSAL_DELAY`].
    pub(crate) fn refused(&self, address: IpAddr, now: Instant) -> Duration {
        let mut all = self.lock();
        let mut address = address;
        if all.len() >= REFUSED_ADDRESSES && !all.contains_key(&address) {
            all.retain(|_, paid_at| *paid_at > now);
            if all.len() >= REFUSED_ADDRESSES {
                address = OTHERS;
            }
        }
        let paid_at = all.entry(address).or_insert(now);
        let most = now + self.credit() + REFUSAL_DELAY;
        *paid_at = ((*paid_at).max(now) + self.interval).min(most);
        let owed = paid_at.saturating_duration_since(now);
        owed.saturating_sub(self.credit())
    }

    /// How long a refusal of this address would wait now.
    pub(crate) fn delay(&self, address: IpAddr, now: Instant) -> Duration {
        let all = self.lock();
        let paid_at = all.get(&address).copied();
        let owed = paid_at.map_or(Duration::ZERO, |paid_at| {
            paid_at.saturating_duration_since(now)
        });
        owed.saturating_sub(self.credit())
    }

    /// The turn of an address that has to wait for its refusals: of its upgrade requests only a few are
    /// decided at a time.
    pub(crate) async fn turn(&self, address: IpAddr) -> Option<SemaphorePermit<'_>> {
        if self.delay(address, Instant::now()).is_zero() {
            return None;
        }
        self.turns.acquire().await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.paid_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_burst_is_free_then_each_waits_for_those_before() {
        let penalties = Penalties::new(10);
        let now = Instant::now();
        for _ in 0..REFUSAL_BURST {
            assert_eq!(penalties.refused(address(1), now), Duration::ZERO);
        }
        for number in 1..=10 {
            assert_eq!(penalties.refused(address(1), now), number * SECOND / 10);
        }
        assert_eq!(penalties.delay(address(1), now), SECOND);
        assert_eq!(penalties.refused(address(2), now), Duration::ZERO);
        assert_eq!(penalties.delay(address(2), now), Duration::ZERO);
        // Time pays for it.
        let later = now + SECOND;
        assert_eq!(penalties.delay(address(1), later), Duration::ZERO);
        assert_eq!(penalties.refused(address(1), later), SECOND / 10);
    }

    #[test]
    fn nobody_waits_longer_than_the_limit_and_it_is_forgiven() {
        let penalties = Penalties::new(10);
        let now = Instant::now();
        for _ in 0..REFUSAL_BURST * 10 {
            assert!(penalties.refused(address(1), now) <= REFUSAL_DELAY);
        }
        assert_eq!(penalties.delay(address(1), now), REFUSAL_DELAY);
        let later = now + REFUSAL_DELAY;
        assert_eq!(penalties.delay(address(1), later), Duration::ZERO);
    }

    #[test]
    fn addresses_beyond_the_limit_share_one_entry_and_old_ones_make_room() {
        let penalties = Penalties::new(10);
        let now = Instant::now();
        let most = u32::try_from(REFUSED_ADDRESSES).unwrap_or(u32::MAX);
        for number in 1..=most * 2 {
            penalties.refused(address(number), now);
        }
        assert!(penalties.lock().len() <= REFUSED_ADDRESSES + 1);
        assert!(penalties.lock().contains_key(&OTHERS));
        penalties.refused(address(most * 3), now + 3_600 * SECOND);
        assert_eq!(penalties.lock().len(), 1);
    }
}
