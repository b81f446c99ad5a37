//! What clients were over, or did wrong, counted for whoever shows figures.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit of the listener, or a rule, that a connection did not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// [`Limits::connections`](crate::Limits::connections): told 503.
    Connections,
    /// [`Limits::connections_per_address`](crate::Limits::connections_per_address): told 429.
    ConnectionsPerAddress,
    /// [`Limits::header_bytes`](crate::Limits::header_bytes) or `headers`: told 431 or 414.
    Headers,
    /// [`Limits::header_read`](crate::Limits::header_read), also of a connection that is not used any
    /// more: closed.
    HeaderTime,
    /// [`Limits::tls_handshake`](crate::Limits::tls_handshake): closed.
    TlsHandshakeTime,
    /// [`Limits::write_stall`](crate::Limits::write_stall): closed.
    WriteStall,
    /// [`Limits::refusals_per_second`](crate::Limits::refusals_per_second): the answer waited.
    Refusals,
    /// A TLS handshake that failed, or plain HTTP where TLS is spoken.
    Tls,
    /// Bytes that are no HTTP: told 400.
    Http,
}

/// One of each.
const ALL: [Over; 9] = [
    Over::Connections,
    Over::ConnectionsPerAddress,
    Over::Headers,
    Over::HeaderTime,
    Over::TlsHandshakeTime,
    Over::WriteStall,
    Over::Refusals,
    Over::Tls,
    Over::Http,
];

/// How often each.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; ALL.len()]);

impl Counts {
    pub(crate) fn add(&self, over: Over) {
        if let Some(count) = self.0.get(over as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self, over: Over) -> u64 {
        self.0
            .get(over as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_count_of_its_own() {
        let counts = Counts::default();
        for (times, over) in ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counts.add(over));
        }
        for (times, over) in ALL.into_iter().enumerate() {
            assert_eq!(counts.get(over), times as u64, "{over:?}");
        }
    }
}
