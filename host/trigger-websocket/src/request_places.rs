//! The places for requests that one component answers at a time: so many in all, and of those so many for
//! one address and so many whose body is still coming. Whether the app is well is asked in places of its
//! own, so that it is answered when all others are taken. It must not know what is asked for otherwise.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::over::Over;

/// Requests that one component answers at a time, each in an instance of its own.
pub const MAX_CONCURRENT_REQUESTS: usize = 128;

/// Of those, the requests of one address, unless the operator says otherwise: half, so that no client
/// alone can take all. Behind a proxy all have the proxy's address.
pub const REQUESTS_PER_ADDRESS: usize = MAX_CONCURRENT_REQUESTS / 2;

/// Of those, at most so many with a body that is long and still coming. Of the requests of one address, too,
/// these are half at most: however slowly they come, others who share it are answered.
pub const MAX_COMING_REQUESTS: usize = MAX_CONCURRENT_REQUESTS / 2;

/// Besides those, requests for the path that says whether the app is well.
pub const MAX_HEALTH_REQUESTS: usize = 4;

/// How long a request waits for a place before it is told to try again.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// What decides where a request finds its place.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// It asks whether the app is well, and has no body that is still coming.
    Health,
    /// It asks for anything else.
    Other {
        /// Where it comes from, if that is known.
        peer: Option<IpAddr>,
        /// Whether its body is all there.
        is_whole: bool,
    },
}

/// The places of one component.
#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    coming: Arc<Semaphore>,
    health: Arc<Semaphore>,
    addresses: Addresses,
    per_address: usize,
    wait: Duration,
}

/// One request's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _permits: [Option<OwnedSemaphorePermit>; 4],
    _address: Option<Visit>,
}

impl Places {
    /// So many of one address, at least one.
    pub fn new(per_address: usize) -> Self {
        Self::with_wait(per_address, MAX_WAIT)
    }

    fn with_wait(per_address: usize, wait: Duration) -> Self {
        Self {
            all: Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS)),
            coming: Arc::new(Semaphore::new(MAX_COMING_REQUESTS)),
            health: Arc::new(Semaphore::new(MAX_HEALTH_REQUESTS)),
            addresses: Addresses::default(),
            per_address,
            wait,
        }
    }

    /// A place for a request, in time.
    ///
    /// # Errors
    /// There was none within [`MAX_WAIT`]: [`Over::RequestsPerAddress`] or [`Over::Requests`].
    pub async fn take(&self, kind: Kind) -> Result<Place, Over> {
        let until = Instant::now() + self.wait;
        let in_time = async |semaphore: &Arc<Semaphore>, over| {
            let permit = timeout_at(until, Arc::clone(semaphore).acquire_owned()).await;
            permit.ok().and_then(Result::ok).ok_or(over)
        };
        let (peer, is_whole) = match kind {
            Kind::Health => {
                let permit = in_time(&self.health, Over::Requests).await?;
                return Ok(Place {
                    _permits: [Some(permit), None, None, None],
                    _address: None,
                });
            }
            Kind::Other { peer, is_whole } => (peer, is_whole),
        };
        let address = peer.map(|peer| self.addresses.visit(peer, self.per_address));
        let of_address = match &address {
            // Who waits here takes nothing from those that have their body.
            Some(visit) if !is_whole => {
                Some(in_time(&visit.places.coming, Over::RequestsPerAddress).await?)
            }
            _ => None,
        };
        let among_all = match &address {
            Some(visit) => Some(in_time(&visit.places.all, Over::RequestsPerAddress).await?),
            None => None,
        };
        let coming = match is_whole {
            true => None,
            false => Some(in_time(&self.coming, Over::Requests).await?),
        };
        let permit = in_time(&self.all, Over::Requests).await?;
        Ok(Place {
            _permits: [Some(permit), coming, of_address, among_all],
            _address: address,
        })
    }
}

/// The addresses that have a request here, answered or waiting: no more than there are connections.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, Visitors>>>);

/// The places of one address.
#[derive(Clone, Debug)]
struct OfAddress {
    all: Arc<Semaphore>,
    /// Of those, for requests whose body is still coming.
    coming: Arc<Semaphore>,
}

/// What one address has.
#[derive(Debug)]
struct Visitors {
    places: OfAddress,
    /// Requests that have a place or wait for one.
    count: usize,
}

/// A request of an address, counted until it is dropped.
#[derive(Debug)]
struct Visit {
    addresses: Addresses,
    address: IpAddr,
    places: OfAddress,
}

impl Addresses {
    fn visit(&self, address: IpAddr, places: usize) -> Visit {
        let mut all = self.lock();
        let visitors = all.entry(address).or_insert_with(|| Visitors {
            places: OfAddress {
                all: Arc::new(Semaphore::new(places)),
                coming: Arc::new(Semaphore::new((places / 2).max(1))),
            },
            count: 0,
        });
        visitors.count += 1;
        Visit {
            addresses: self.clone(),
            address,
            places: visitors.places.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Visitors>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut all = self.addresses.lock();
        if let Some(visitors) = all.get_mut(&self.address) {
            visitors.count = visitors.count.saturating_sub(1);
            if visitors.count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const WAIT: Duration = Duration::from_millis(20);

    fn of(address: &str) -> Kind {
        Kind::Other {
            peer: Some(address.parse().unwrap()),
            is_whole: true,
        }
    }

    #[tokio::test]
    async fn one_address_has_so_many_places_and_others_have_theirs() {
        let places = Places::with_wait(2, WAIT);
        let first = places.take(of("10.0.0.1")).await.unwrap();
        let second = places.take(of("10.0.0.1")).await.unwrap();
        let refused = places.take(of("10.0.0.1")).await.unwrap_err();
        assert_eq!(refused, Over::RequestsPerAddress);
        let other = places.take(of("10.0.0.2")).await.unwrap();
        drop(first);
        let again = places.take(of("10.0.0.1")).await.unwrap();
        drop((second, other, again));
        assert!(places.addresses.lock().is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_comes_free() {
        let places = Places::with_wait(1, Duration::from_secs(20));
        let held = places.take(of("10.0.0.1")).await.unwrap();
        let (taken, ()) = tokio::join!(places.take(of("10.0.0.1")), async { drop(held) });
        taken.unwrap();
    }

    #[tokio::test]
    async fn when_all_are_taken_it_can_still_be_asked_whether_the_app_is_well() {
        let places = Places::with_wait(REQUESTS_PER_ADDRESS, WAIT);
        let mut held = Vec::new();
        for address in ["10.0.0.1", "10.0.0.2"] {
            for _ in 0..REQUESTS_PER_ADDRESS {
                held.push(places.take(of(address)).await.unwrap());
            }
        }
        let refused = places.take(of("10.0.0.3")).await.unwrap_err();
        assert_eq!(refused, Over::Requests);
        for _ in 0..MAX_HEALTH_REQUESTS {
            held.push(places.take(Kind::Health).await.unwrap());
        }
        let refused = places.take(Kind::Health).await.unwrap_err();
        assert_eq!(refused, Over::Requests);
    }

    #[tokio::test]
    async fn bodies_that_come_slowly_leave_places_to_others() {
        let places = Places::with_wait(MAX_CONCURRENT_REQUESTS, WAIT);
        let coming = Kind::Other {
            peer: None,
            is_whole: false,
        };
        let mut held = Vec::new();
        for _ in 0..MAX_COMING_REQUESTS {
            held.push(places.take(coming).await.unwrap());
        }
        assert_eq!(places.take(coming).await.unwrap_err(), Over::Requests);
        places.take(of("10.0.0.1")).await.unwrap();
    }

    #[tokio::test]
    async fn bodies_that_come_slowly_leave_places_to_others_of_their_address() {
        let places = Arc::new(Places::with_wait(4, Duration::from_secs(20)));
        let coming = Kind::Other {
            peer: Some("10.0.0.1".parse().unwrap()),
            is_whole: false,
        };
        let first = places.take(coming).await.unwrap();
        let second = places.take(coming).await.unwrap();
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let places = Arc::clone(&places);
                tokio::spawn(async move { places.take(coming).await.map(drop) })
            })
            .collect();
        while places.addresses.lock().values().any(|one| one.count < 12) {
            tokio::task::yield_now().await;
        }
        let third = places.take(of("10.0.0.1")).await.unwrap();
        let fourth = places.take(of("10.0.0.1")).await.unwrap();
        drop((first, second, third, fourth));
        for one in waiting {
            one.await.unwrap().unwrap();
        }
    }
}
