//! Claims: which host has which name. A host that has one may write under it until another host takes it;
//! from that moment on nothing is written under the old claim ([`crate::KvError::ClaimLost`]).
//!
//! A name is kept as a hash of it. A claim's token begins with the run of the host that has it (`<host>/<run>`)
//! and is never used twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::{Value, cmd};
use sha2::{Digest, Sha256};

use super::link::{Again, Run};
use super::scripts::Script;
use super::{RedisStore, answer};
use crate::KvError;
use crate::limits::PRESENCE;

/// Bytes of a name's hash that are kept.
const HASH_BYTES: usize = 16;

/// Claims that are looked at with one command.
const PAGE: usize = 1000;

/// A name that this host has claimed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub(super) field: Arc<str>,
    pub(super) token: Arc<str>,
}

/// A claim that is not held any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub claim: Claim,
    /// Nobody else has it.
    pub is_vacant: bool,
}

impl RedisStore {
    /// Claims a name, whoever has it.
    ///
    /// # Errors
    /// As any write; it can be called again.
    pub async fn claim(&self, name: &str) -> Result<Claim, KvError> {
        let claim = self.new_claim(name);
        self.run_claims(Script::Claim, &[&claim.field, &claim.token])
            .await?;
        Ok(claim)
    }

    /// Claims a name that nobody has, or a host that shows no life any more, or an earlier run of this one.
    /// None: a living host has it, or this run does.
    ///
    /// # Errors
    /// As any write; it can be called again.
    pub async fn claim_abandoned(&self, name: &str) -> Result<Option<Claim>, KvError> {
        let claim = self.new_claim(name);
        let mut get = cmd("HGET");
        get.arg(&self.link.plan().claims).arg(&*claim.field);
        let before: Option<String> = answer(self.link.read(&get).await?, &self.place())?;
        if let Some(run) = before.as_deref().and_then(run_of) {
            if *run == *self.run {
                return Ok(None);
            }
            if !self.is_earlier(run) && self.is_living(run).await? {
                return Ok(None);
            }
        }
        let before = before.unwrap_or_default();
        let done = self
            .run_claims(Script::ClaimFrom, &[&claim.field, &claim.token, &before])
            .await?;
        Ok((done == Value::Int(1)).then_some(claim))
    }

    /// Gives claims up that are still this host's.
    ///
    /// # Errors
    /// As any write; it can be called again.
    pub async fn release(&self, claims: &[Claim]) -> Result<(), KvError> {
        self.release_if(Script::Release, &[], claims).await
    }

    async fn release_if(
        &self,
        script: Script,
        keys: &[String],
        claims: &[Claim],
    ) -> Result<(), KvError> {
        for claims in claims.chunks(PAGE) {
            let parts: Vec<&[u8]> = claims
                .iter()
                .flat_map(|claim| [claim.field.as_bytes(), claim.token.as_bytes()])
                .collect();
            let run = Run {
                script,
                claim: None,
                keys: keys.to_vec(),
                arguments: parts,
            };
            self.link.run(&run, Again::Yes).await?;
        }
        Ok(())
    }

    /// Whether it is a run of this host, but not this one. Of a host whose name another one has too, nobody
    /// can tell.
    fn is_earlier(&self, run: &str) -> bool {
        !self.has_namesake.load(Ordering::Relaxed)
            && *run != *self.run
            && host_of(run) == host_of(&self.run)
    }

    /// Gives the other run that shows life under this host's name, if there is one: an earlier run does so
    /// for [`PRESENCE`] after its end, unless it left. To be asked again and again; of all that ask, one is
    /// told nothing.
    ///
    /// # Errors
    /// As any write; it can be called again.
    pub async fn namesake(&self) -> Result<Option<String>, KvError> {
        let Some(host) = host_of(&self.run) else {
            return Ok(None);
        };
        let name = self.presence_of(host);
        let holder: Option<String> =
            answer(self.link.read(cmd("GET").arg(&name)).await?, &self.place())?;
        if let Some(holder) = holder
            && *holder != *self.run
            && self.is_living(&holder).await?
        {
            return Ok(Some(holder));
        }
        let for_long = PRESENCE.as_millis().to_string();
        let run = Run {
            script: Script::Name,
            claim: None,
            keys: vec![name],
            arguments: vec![self.run.as_bytes(), for_long.as_bytes()],
        };
        self.link.run(&run, Again::Yes).await?;
        Ok(None)
    }

    /// Another host that lives has this one's name: what it has is not taken for an earlier run's any more.
    pub fn has_namesake(&self) {
        self.has_namesake.store(true, Ordering::Relaxed);
    }

    /// Those of these claims that are not held any more.
    ///
    /// # Errors
    /// As any read.
    pub async fn lost(&self, claims: &[Claim]) -> Result<Vec<Lost>, KvError> {
        let mut lost = Vec::new();
        for claims in claims.chunks(PAGE) {
            let mut get = cmd("HMGET");
            get.arg(&self.link.plan().claims);
            for claim in claims {
                get.arg(&*claim.field);
            }
            let held: Vec<Option<String>> = answer(self.link.read(&get).await?, &self.place())?;
            let pairs = claims.iter().zip(held);
            lost.extend(
                pairs
                    .filter(|(claim, held)| held.as_deref() != Some(&*claim.token))
                    .map(|(claim, held)| Lost {
                        claim: claim.clone(),
                        is_vacant: held.is_none(),
                    }),
            );
        }
        Ok(lost)
    }

    /// The runs of hosts that have claims and show no life.
    ///
    /// # Errors
    /// As any read.
    pub async fn dead_holders(&self) -> Result<BTreeSet<String>, KvError> {
        let mut runs = BTreeSet::new();
        self.each_page(|_, token| {
            runs.extend(run_of(token).map(str::to_owned));
            false
        })
        .await?;
        runs.remove(&*self.run);
        let all: Vec<String> = runs.iter().cloned().collect();
        for living in self.living(&all).await? {
            runs.remove(&living);
        }
        Ok(runs)
    }

    /// All claims of this run, as the server has them.
    ///
    /// # Errors
    /// As any read.
    pub async fn own(&self) -> Result<Vec<Claim>, KvError> {
        self.each_page(|_, token| run_of(token) == Some(&*self.run))
            .await
    }

    /// Removes what is left of the claims of these runs, of each only while it shows no life.
    ///
    /// # Errors
    /// As any write; it can be called again.
    pub async fn forget(&self, runs: &BTreeSet<String>) -> Result<(), KvError> {
        for run in runs {
            let left = self
                .each_page(|_, token| run_of(token) == Some(run))
                .await?;
            let presence = self.presence_of(run);
            self.release_if(Script::Forget, &[presence], &left).await?;
        }
        Ok(())
    }

    /// Removes what earlier runs of this host had claimed and nobody has taken since.
    ///
    /// # Errors
    /// As any write; it can be called again.
    pub async fn forget_earlier_runs(&self) -> Result<(), KvError> {
        let left = self
            .each_page(|_, token| run_of(token).is_some_and(|run| self.is_earlier(run)))
            .await?;
        self.release(&left).await
    }

    /// Names this run of this host, as `<host>/<run>`.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Whether a run of a host shows life.
    ///
    /// # Errors
    /// As any read.
    pub async fn is_living(&self, run: &str) -> Result<bool, KvError> {
        Ok(!self.living(&[run.to_owned()]).await?.is_empty())
    }

    /// Shows no life any more, so that others take over what this host has at once. Nothing can be written
    /// after it, until the connection is made again.
    ///
    /// # Errors
    /// As any write.
    pub async fn leave(&self) -> Result<(), KvError> {
        self.run_claims(Script::Leave, &[]).await.map(drop)
    }

    fn new_claim(&self, name: &str) -> Claim {
        let hash = Sha256::digest(name.as_bytes());
        let field: String = hash
            .iter()
            .take(HASH_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let token = format!("{}/{}", self.run, uuid::Uuid::new_v4().simple());
        Claim {
            field: Arc::from(field),
            token: Arc::from(token),
        }
    }

    async fn run_claims(&self, script: Script, arguments: &[&str]) -> Result<Value, KvError> {
        let run = Run {
            script,
            claim: None,
            keys: Vec::new(),
            arguments: arguments.iter().map(|text| text.as_bytes()).collect(),
        };
        self.link.run(&run, Again::Yes).await
    }

    /// Those of these runs that show life.
    async fn living(&self, runs: &[String]) -> Result<Vec<String>, KvError> {
        let mut living = Vec::new();
        for runs in runs.chunks(PAGE) {
            let mut get = cmd("MGET");
            for run in runs {
                get.arg(self.presence_of(run));
            }
            let found: Vec<Option<String>> = answer(self.link.read(&get).await?, &self.place())?;
            let pairs = runs.iter().zip(found);
            living.extend(pairs.filter_map(|(run, found)| found.map(|_| run.clone())));
        }
        Ok(living)
    }

    /// Gives all claims for which `wanted` says so; it is asked field and token of each, of some twice.
    async fn each_page(
        &self,
        mut wanted: impl FnMut(&str, &str) -> bool,
    ) -> Result<Vec<Claim>, KvError> {
        let mut found = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(&self.link.plan().claims)
                .arg(cursor)
                .arg("COUNT")
                .arg(PAGE);
            let (next, pairs): (u64, Vec<(String, String)>) =
                answer(self.link.read(&scan).await?, &self.place())?;
            for (field, token) in pairs {
                if wanted(&field, &token) {
                    found.push(Claim {
                        field: Arc::from(field),
                        token: Arc::from(token),
                    });
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(found);
            }
        }
    }
}

/// The run of a host whose token it is.
fn run_of(token: &str) -> Option<&str> {
    token.rsplit_once('/').map(|(run, _)| run)
}

/// The host of a run.
fn host_of(run: &str) -> Option<&str> {
    run.split_once('/').map(|(host, _)| host)
}
