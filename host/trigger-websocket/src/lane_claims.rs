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

    /// Gives up the lanes that other hosts have taken, and the claims that are of no use any more.
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
        Ok(seen)
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
            is_new: true,
        }
    }
}
