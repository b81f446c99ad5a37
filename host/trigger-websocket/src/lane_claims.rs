//! Which lanes are this host's, where several hosts share a store: the host claims a lane before it hands
//! over the lane's first batch, and then remembers it. What a component writes while it handles a batch is
//! written under the claim. A host that has lost one finds out when it writes, or when it looks.
//!
//! This file decides which claims are held and when; what a claim is, the store says.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use key_value_store::{Claim, KvError, RedisStore};
use lanes::Lanes;

/// Claims that are remembered; the lanes beyond claim anew for each batch. More than lanes can exist.
const MAX_CLAIMS: usize = 4 * lanes::limits::LANES;

/// How long the claim of a lane that has nothing here any more is kept: it may be needed again.
const KEEP: Duration = Duration::from_secs(60);

/// The claims of one host.
pub struct LaneClaims {
    store: RedisStore,
    held: Mutex<HashMap<Arc<str>, Held>>,
    /// Claims that are this host's in the store and that it did not know of when it looked the last time.
    strays: Mutex<HashSet<Claim>>,
}

struct Held {
    claim: Claim,
    used: Instant,
    /// No batch was handled under it yet.
    is_new: bool,
}

/// A lane that is this host's, for one batch.
pub struct Holding {
    /// What is written, is written under it.
    pub claim: Claim,
    /// Another host may have had the lane until now: the batch is the first one here.
    pub is_new: bool,
}

/// What a look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All is well, or other hosts have what this one had.
    Nothing,
    /// Lanes that were this host's are nobody's: what is left to do in them is for whoever finds it.
    Vacant,
}

impl LaneClaims {
    /// Kept in this store.
    pub fn new(store: RedisStore) -> Arc<Self> {
        Arc::new(Self {
            store,
            held: Mutex::default(),
            strays: Mutex::default(),
        })
    }

    /// Whether the lane is this host's, as far as it knows.
    pub fn has(&self, lane: &str) -> bool {
        self.held().contains_key(lane)
    }

    /// The claim of a lane: the one that is remembered, or else it is taken from whoever has it.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn hold(&self, lane: &Arc<str>) -> Result<Holding, KvError> {
        if let Some(held) = self.held().get_mut(lane) {
            held.used = Instant::now();
            return Ok(Holding {
                claim: held.claim.clone(),
                is_new: held.is_new,
            });
        }
        let claim = self.store.claim(lane).await?;
        let mut held = self.held();
        if held.len() < MAX_CLAIMS {
            held.insert(Arc::clone(lane), Held::new(&claim));
        }
        Ok(Holding {
            claim,
            is_new: true,
        })
    }

    /// A batch was handled under this claim. False: it was given up meanwhile, and what the batch began must
    /// not go on here.
    pub fn handled(&self, lane: &str, holding: &Holding) -> bool {
        let mut held = self.held();
        match held.get_mut(lane) {
            Some(held) if held.claim == holding.claim => {
                held.is_new = false;
                true
            }
            Some(_) => false,
            // It could not be remembered.
            None => holding.is_new && held.len() >= MAX_CLAIMS,
        }
    }

    /// Takes a lane that no living host has; false: one has it, or this one does, and goes on by itself.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn take_abandoned(&self, lane: &str) -> Result<bool, KvError> {
        if self.has(lane) {
            return Ok(false);
        }
        let Some(claim) = self.store.claim_abandoned(lane).await? else {
            return Ok(false);
        };
        // A client may have come meanwhile, and the lane have been claimed for it.
        let mut held = self.held();
        if held.len() < MAX_CLAIMS {
            held.entry(Arc::from(lane))
                .or_insert_with(|| Held::new(&claim));
        }
        Ok(true)
    }

    /// This claim is lost: the lane's next batch takes it anew.
    pub fn lost(&self, lane: &str, claim: &Claim) {
        let mut held = self.held();
        if held.get(lane).is_some_and(|held| held.claim == *claim) {
            held.remove(lane);
        }
    }

    /// Gives up the lanes that other hosts have taken, and the claims that are of no use any more: those that
    /// are not needed, and those that the store made and never told of. As long as this host lives nobody else
    /// would go on with such a lane.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn look(&self, lanes: &Lanes) -> Result<Seen, KvError> {
        let (names, claims): (Vec<Arc<str>>, Vec<Claim>) = self
            .held()
            .iter()
            .map(|(lane, held)| (Arc::clone(lane), held.claim.clone()))
            .unzip();
        let lost: HashMap<Claim, bool> = self
            .store
            .lost(&claims)
            .await?
            .into_iter()
            .map(|lost| (lost.claim, lost.is_vacant))
            .collect();
        let mut seen = Seen::Nothing;
        for (lane, claim) in names.iter().zip(&claims) {
            let Some(is_vacant) = lost.get(claim) else {
                continue;
            };
            // A batch may have found out first, and the lane be this host's again. Who comes between claims
            // it only after it was handed over: what begins then must not be ended here.
            let mut held = self.held();
            if held.get(lane).is_some_and(|held| held.claim == *claim) {
                held.remove(lane);
                lanes.hand_over(lane);
                if *is_vacant {
                    seen = Seen::Vacant;
                }
            }
        }
        let unused: Vec<Claim> = {
            let mut held = self.held();
            let is_unused =
                |lane: &Arc<str>, held: &mut Held| held.used.elapsed() >= KEEP && !lanes.has(lane);
            // Forgotten first: a batch that comes now claims anew, and that claim is another one.
            held.extract_if(is_unused)
                .map(|(_, held)| held.claim)
                .collect()
        };
        self.store.release(&unused).await?;
        if self.give_up_strays().await? {
            seen = Seen::Vacant;
        }
        Ok(seen)
    }

    /// Whether there were any. One that is seen for the first time may be on its way to who asked for it.
    async fn give_up_strays(&self) -> Result<bool, KvError> {
        let own = self.store.own().await?;
        let strays: HashSet<Claim> = {
            let held = self.held();
            if held.len() >= MAX_CLAIMS {
                return Ok(false);
            }
            let known: HashSet<&Claim> = held.values().map(|held| &held.claim).collect();
            own.into_iter()
                .filter(|claim| !known.contains(claim))
                .collect()
        };
        let still: Vec<Claim> = self.strays().intersection(&strays).cloned().collect();
        if !still.is_empty() {
            tracing::warn!(
                lanes = still.len(),
                "lanes were claimed and the answer was lost: they are given up and looked at"
            );
            self.store.release(&still).await?;
        }
        *self.strays() = strays;
        Ok(!still.is_empty())
    }

    /// Tells the others that this host has ended, so that they go on with its lanes at once and do not find
    /// out by waiting.
    pub async fn leave(&self) {
        if let Err(error) = self.store.leave().await {
            tracing::warn!("the other hosts are not told that this one ends: {error}");
        }
    }

    /// The store that they are in.
    pub fn store(&self) -> &RedisStore {
        &self.store
    }

    fn strays(&self) -> MutexGuard<'_, HashSet<Claim>> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(claim: &Claim) -> Self {
        Self {
            claim: claim.clone(),
            used: Instant::now(),
            is_new: true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use lanes::Limits;
    use redis_server::RedisServer;

    use super::*;

    struct Nowhere;

    impl lanes::OutboundPolicy for Nowhere {
        fn allows(&self, _url: &url::Url) -> bool {
            false
        }
    }

    async fn host(server: &RedisServer, name: &str) -> Arc<LaneClaims> {
        let settings = key_value_store::RedisSettings {
            url: server.url(),
            prefix: "claims:".to_owned(),
            host: name.to_owned(),
            ca_file: None,
            connect_timeout: Duration::from_secs(20),
            response_timeout: Duration::from_secs(20),
        };
        LaneClaims::new(RedisStore::open(&settings).await.unwrap())
    }

    #[tokio::test]
    async fn a_claim_whose_answer_was_lost_keeps_nobody_from_the_lane() {
        let server = RedisServer::start();
        let (one, other) = (host(&server, "one").await, host(&server, "other").await);
        let lanes = Lanes::new(Limits::default(), Arc::new(Nowhere)).unwrap();
        let known: Arc<str> = Arc::from("known");
        one.hold(&known).await.unwrap();
        // The server made it, and this host was told nothing.
        one.store().claim("lane").await.unwrap();
        assert!(!one.take_abandoned("lane").await.unwrap());
        assert!(!other.take_abandoned("lane").await.unwrap(), "it lives");
        assert_eq!(
            one.look(&lanes).await.unwrap(),
            Seen::Nothing,
            "on its way?"
        );
        assert_eq!(one.look(&lanes).await.unwrap(), Seen::Vacant);
        assert_eq!(one.look(&lanes).await.unwrap(), Seen::Nothing, "said once");
        assert!(one.take_abandoned("lane").await.unwrap());
        assert_eq!(one.look(&lanes).await.unwrap(), Seen::Nothing);
        assert_eq!(
            one.look(&lanes).await.unwrap(),
            Seen::Nothing,
            "it is known now"
        );
        assert!(one.has("lane") && one.has("known"));
        assert!(!other.take_abandoned("known").await.unwrap());
    }
}
