//! Which lanes are this host's, where several hosts share a store: the host claims a lane before it hands
//! over the lane's first batch, and then remembers it. What a component writes while it handles a batch is
//! written under the claim. A host that has lost one finds out when it writes, or when it looks.
//!
//! This file decides which claims are held and when; what a claim is, the store says.

use std::collections::HashMap;
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
}

struct Held {
    claim: Claim,
    used: Instant,
}

impl LaneClaims {
    /// Kept in this store.
    pub fn new(store: RedisStore) -> Arc<Self> {
        Arc::new(Self {
            store,
            held: Mutex::default(),
        })
    }

    /// The claim of a lane: the one that is remembered, or else it is taken from whoever has it.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn hold(&self, lane: &Arc<str>) -> Result<Claim, KvError> {
        if let Some(held) = self.held().get_mut(lane) {
            held.used = Instant::now();
            return Ok(held.claim.clone());
        }
        let claim = self.store.claim(lane).await?;
        let mut held = self.held();
        if held.len() < MAX_CLAIMS {
            held.insert(Arc::clone(lane), Held::new(&claim));
        }
        Ok(claim)
    }

    /// Takes a lane that no living host has; false: one has it, or this one does, and goes on by itself.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn take_abandoned(&self, lane: &str) -> Result<bool, KvError> {
        if self.held().contains_key(lane) {
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

    /// Gives up the lanes that other hosts have taken, and the claims that are of no use any more.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn look(&self, lanes: &Lanes) -> Result<(), KvError> {
        let (names, claims): (Vec<Arc<str>>, Vec<Claim>) = self
            .held()
            .iter()
            .map(|(lane, held)| (Arc::clone(lane), held.claim.clone()))
            .unzip();
        let lost = self.store.lost(&claims).await?;
        for (lane, claim) in names.iter().zip(&claims) {
            if lost.contains(claim) {
                self.lost(lane, claim);
                lanes.hand_over(lane);
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
        self.store.release(&unused).await
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

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(claim: &Claim) -> Self {
        Self {
            claim: claim.clone(),
            used: Instant::now(),
        }
    }
}
