//! The hosts that share a store, as far as sockets go: whose a socket is, is in its token. Which lanes are
//! whose, is in `lane_claims`.

use key_value_store::{KvError, RedisStore};

/// Between the name of a host's run and what is the socket's own.
const MARK: char = ':';

/// This host and the others.
#[derive(Clone)]
pub struct Hosts(RedisStore);

impl Hosts {
    /// Those that share this store.
    pub const fn new(store: RedisStore) -> Self {
        Self(store)
    }

    /// What the tokens of this host's sockets begin with.
    pub fn prefix(&self) -> String {
        format!("{}{MARK}", self.0.run())
    }

    /// Whether a socket that is not open here can be open at another host: that one lives.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn has_open(&self, socket: &str) -> Result<bool, KvError> {
        match socket.rsplit_once(MARK) {
            Some((run, _)) if run != self.0.run() => self.0.is_living(run).await,
            _ => Ok(false),
        }
    }
}
