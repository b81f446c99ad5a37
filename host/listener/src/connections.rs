//! The places for connections: so many in all, so many for one address. And how many there are, for
//! whoever shows figures.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Peer;
use crate::over::{Counts, Over};

/// Bits of an IPv6 address that one host chooses for itself: they tell nobody apart.
const HOST_BITS: u32 = 64;

/// The connections of a listener, counted. Clones count the same ones.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: AtomicU64,
    counts: Counts,
    /// Open ones by address: as many entries as there are connections, at most.
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Connections {
    /// Open now, those that have become WebSockets included.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.0.open.load(Ordering::Relaxed)
    }

    /// For which there was no place, since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.over(Over::Connections) + self.over(Over::ConnectionsPerAddress)
    }

    /// How often a limit or rule was not kept, since the start.
    #[must_use]
    pub fn over(&self, over: Over) -> u64 {
        self.0.counts.get(over)
    }

    pub(crate) fn count(&self, over: Over) {
        self.0.counts.add(over);
    }

    /// A place for a connection from this address, if there is one: else what it is over.
    pub(crate) fn place(
        &self,
        address: IpAddr,
        most: usize,
        most_per_address: usize,
    ) -> Result<Place, Over> {
        let address = same(address);
        let mut by_address = self.by_address();
        if self.open() >= most as u64 {
            return Err(Over::Connections);
        }
        let of_address = by_address.get(&address).copied().unwrap_or_default();
        if of_address >= most_per_address {
            return Err(Over::ConnectionsPerAddress);
        }
        by_address.insert(address, of_address + 1);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            address,
            connections: self.clone(),
        })
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: all of an IPv6 network that one host is given.
fn same(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = (address.to_bits() >> HOST_BITS) << HOST_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

/// A connection's place among those that are permitted. A WebSocket keeps its connection's.
#[derive(Debug)]
pub(crate) struct Place {
    address: IpAddr,
    connections: Connections,
}

impl Place {
    /// Whose it is.
    pub(crate) fn peer(&self) -> Peer {
        Peer(self.address)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.connections.by_address();
        self.connections.0.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_by_address_and_come_back() {
        let connections = Connections::default();
        let place = |address: &str| connections.place(address.parse().unwrap(), 3, 2);
        let first = place("10.0.0.1").unwrap();
        // The same one, as a port for both families shows it.
        let second = place("::ffff:10.0.0.1").unwrap();
        assert_eq!(place("10.0.0.1").unwrap_err(), Over::ConnectionsPerAddress);
        let third = place("10.0.0.2").unwrap();
        assert_eq!(place("10.0.0.3").unwrap_err(), Over::Connections);
        assert_eq!(connections.open(), 3);
        drop(second);
        let again = place("10.0.0.1").unwrap();
        drop((first, third, again));
        assert_eq!(connections.open(), 0);
        assert!(connections.by_address().is_empty(), "nothing is kept");
    }

    #[test]
    fn one_host_s_ipv6_addresses_are_one() {
        let connections = Connections::default();
        let place = |address: &str| connections.place(address.parse().unwrap(), 9, 1);
        let _held = place("2001:db8:1:2::1").unwrap();
        assert_eq!(
            place("2001:db8:1:2:ffff::9").unwrap_err(),
            Over::ConnectionsPerAddress
        );
        place("2001:db8:1:3::1").unwrap();
    }
}
