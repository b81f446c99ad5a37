//! `wasi:keyvalue`: the stores that the component's manifest entry lists, and no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use key_value_store::{Claim, KeyValue, KvError, Swap};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::Ctx;
use crate::bindings::wasi::keyvalue::atomics::{self, CasError};
use crate::bindings::wasi::keyvalue::batch;
use crate::bindings::wasi::keyvalue::store::{self, Error, KeyResponse};

/// A lane's claim while a batch of it is handled.
#[derive(Clone, Debug)]
pub struct Hold {
    /// What is written, is written under it. None: nothing is to be written.
    claim: Option<Claim>,
    is_lost: Arc<AtomicBool>,
}

impl Hold {
    /// Held as far as is known.
    pub fn new(claim: Claim) -> Self {
        Self {
            claim: Some(claim),
            is_lost: Arc::default(),
        }
    }

    /// Not claimed at all: the batch is of strangers, who are to be looked at before a lane is taken for them.
    pub fn nothing() -> Self {
        Self {
            claim: None,
            is_lost: Arc::default(),
        }
    }

    /// Whether the lane is claimed. If not, it is known from now on that it should have been.
    pub fn may_write(&self) -> bool {
        if self.claim.is_none() {
            self.lose();
        }
        self.claim.is_some()
    }

    /// Something was not written because another host has the lane, or it was not claimed.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }
}

/// An open store.
pub struct Bucket(Arc<dyn KeyValue>);

/// A compare-and-swap that has begun: what the key's value was then.
pub struct Cas {
    store: Arc<dyn KeyValue>,
    key: String,
    expected: Option<Vec<u8>>,
}

impl From<KvError> for Error {
    fn from(error: KvError) -> Self {
        Self::Other(error.to_string())
    }
}

impl Ctx {
    fn bucket(&self, bucket: &Resource<Bucket>) -> Result<Arc<dyn KeyValue>> {
        Ok(Arc::clone(&self.table.get(bucket)?.0))
    }

    /// The store for a write that is done only while the lane whose batch is being handled is this host's.
    fn writing(&self, bucket: &Resource<Bucket>) -> Result<Writing> {
        let store = self.bucket(bucket)?;
        let claim = self.hold.as_ref().and_then(|hold| hold.claim.as_ref());
        let under = claim.and_then(|claim| store.under(claim));
        Ok(Writing {
            store: under.unwrap_or(store),
            hold: self.hold.clone(),
        })
    }
}

struct Writing {
    store: Arc<dyn KeyValue>,
    hold: Option<Hold>,
}

impl Writing {
    /// The store, if this may be written at all.
    fn store(&self) -> std::result::Result<&dyn KeyValue, KvError> {
        match &self.hold {
            Some(hold) if !hold.may_write() => Err(KvError::ClaimLost),
            _ => Ok(self.store.as_ref()),
        }
    }

    fn done(self, written: std::result::Result<(), KvError>) -> std::result::Result<(), Error> {
        if let (Err(KvError::ClaimLost), Some(hold)) = (&written, &self.hold) {
            hold.lose();
        }
        written.map_err(Error::from)
    }
}

impl store::Host for Ctx {
    async fn open(&mut self, identifier: String) -> Result<Result<Resource<Bucket>, Error>> {
        let Some(store) = self.grants.key_value_stores.get(&identifier) else {
            return Ok(Err(Error::AccessDenied));
        };
        Ok(Ok(self.table.push(Bucket(Arc::clone(store)))?))
    }
}

impl store::HostBucket for Ctx {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        Ok(self.bucket(&bucket)?.get(&key).await.map_err(Error::from))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let writing = self.writing(&bucket)?;
        let written = match writing.store() {
            Ok(store) => store.set(&key, &value).await,
            Err(error) => Err(error),
        };
        Ok(writing.done(written))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Result<(), Error>> {
        let writing = self.writing(&bucket)?;
        let written = match writing.store() {
            Ok(store) => store.delete(&key).await,
            Err(error) => Err(error),
        };
        Ok(writing.done(written))
    }

    async fn exists(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Result<bool, Error>> {
        Ok(self
            .bucket(&bucket)?
            .exists(&key)
            .await
            .map_err(Error::from))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Result<Result<KeyResponse, Error>> {
        let page = self.bucket(&bucket)?.list_keys(cursor.as_deref()).await;
        Ok(page
            .map(|page| KeyResponse {
                keys: page.keys,
                cursor: page.cursor,
            })
            .map_err(Error::from))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl batch::Host for Ctx {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Result<Vec<(String, Option<Vec<u8>>)>, Error>> {
        Ok(self
            .bucket(&bucket)?
            .get_many(&keys)
            .await
            .map_err(Error::from))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<Result<(), Error>> {
        let writing = self.writing(&bucket)?;
        let written = match writing.store() {
            Ok(store) => store.set_many(&entries).await,
            Err(error) => Err(error),
        };
        Ok(writing.done(written))
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Result<(), Error>> {
        let writing = self.writing(&bucket)?;
        let written = match writing.store() {
            Ok(store) => store.delete_many(&keys).await,
            Err(error) => Err(error),
        };
        Ok(writing.done(written))
    }
}

impl atomics::Host for Ctx {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Result<Result<i64, Error>> {
        Ok(self
            .bucket(&bucket)?
            .increment(&key, delta)
            .await
            .map_err(Error::from))
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<Result<(), CasError>> {
        let Cas {
            store,
            key,
            expected,
        } = self.table.delete(cas)?;
        Ok(
            match store
                .compare_and_swap(&key, expected.as_deref(), &value)
                .await
            {
                Ok(Swap::Swapped) => Ok(()),
                Ok(Swap::Differs(expected)) => Err(CasError::CasFailed(self.table.push(Cas {
                    store,
                    key,
                    expected,
                })?)),
                Err(error) => Err(CasError::StoreError(error.into())),
            },
        )
    }
}

impl atomics::HostCas for Ctx {
    async fn new(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Result<Resource<Cas>, Error>> {
        let store = self.bucket(&bucket)?;
        let expected = match store.get(&key).await {
            Ok(value) => value,
            Err(error) => return Ok(Err(error.into())),
        };
        Ok(Ok(self.table.push(Cas {
            store,
            key,
            expected,
        })?))
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Result<Result<Option<Vec<u8>>, Error>> {
        Ok(Ok(self.table.get(&cas)?.expected.clone()))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}
