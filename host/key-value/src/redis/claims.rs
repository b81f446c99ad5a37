//! Claims: which host has which name. A host that has one may write under it until another host takes it;
//! from that moment on nothing is written under the old claim ([`crate::KvError::ClaimLost`]).
//!
//! A name is kept as a hash of it. A claim's token begins with its host and is never used twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use redis::{Value, cmd};
use sha2::{Digest, Sha256};

use super::link::{Again, Run};
use super::scripts::Script;
use super::{RedisStore, answer};
use crate::KvError;

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
    /// None: a living host has it. The caller knows that this run has not.
    ///
    /// # Errors
    /// As any write; it can be called again.
    pub async fn claim_abandoned(&self, name: &str) -> Result<Option<Claim>, KvError> {
        let claim = self.new_claim(name);
        let mut get = cmd("HGET");
        get.arg(&self.link.plan().claims).arg(&*claim.field);
        let before: Option<String> = answer(self.link.read(&get).await?, &self.place())?;
        if let Some(host) = before.as_deref().and_then(host_of)
            && *host != *self.host
            && !self.living(&[host.to_owned()]).await?.is_empty()
        {
            return Ok(None);
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
        for claims in claims.chunks(PAGE) {
            let parts: Vec<&str> = claims
                .iter()
                .flat_map(|claim| [&*claim.field, &*claim.token])
                .collect();
            self.run_claims(Script::Release, &parts).await?;
        }
        Ok(())
    }

    /// Those of these claims that are not held any more.
    ///
    /// # Errors
    /// As any read.
    pub async fn lost(&self, claims: &[Claim]) -> Result<Vec<Claim>, KvError> {
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
                    .map(|(claim, _)| claim.clone()),
            );
        }
        Ok(lost)
    }

    /// Hosts that have claims and show no life.
    ///
    /// # Errors
    /// As any read.
    pub async fn dead_holders(&self) -> Result<BTreeSet<String>, KvError> {
        let mut hosts = BTreeSet::new();
        self.each_page(|_, token| {
            hosts.extend(host_of(token).map(str::to_owned));
            false
        })
        .await?;
        hosts.remove(&*self.host);
        let all: Vec<String> = hosts.iter().cloned().collect();
        for living in self.living(&all).await? {
            hosts.remove(&living);
        }
        Ok(hosts)
    }

    /// Removes what is left of the claims of these hosts.
    ///
    /// # Errors
    /// As any write; it can be called again.
    pub async fn forget(&self, hosts: &BTreeSet<String>) -> Result<(), KvError> {
        let left = self
            .each_page(|_, token| host_of(token).is_some_and(|host| hosts.contains(host)))
            .await?;
        self.release(&left).await
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
        let token = format!("{}/{}", self.host, uuid::Uuid::new_v4().simple());
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

    /// Those of these hosts that show life.
    async fn living(&self, hosts: &[String]) -> Result<Vec<String>, KvError> {
        let mut living = Vec::new();
        for hosts in hosts.chunks(PAGE) {
            let mut get = cmd("MGET");
            for host in hosts {
                get.arg(self.presence_of(host));
            }
            let found: Vec<Option<String>> = answer(self.link.read(&get).await?, &self.place())?;
            let pairs = hosts.iter().zip(found);
            living.extend(pairs.filter_map(|(host, found)| found.map(|_| host.clone())));
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

fn host_of(token: &str) -> Option<&str> {
    token.split_once('/').map(|(host, _)| host)
}
