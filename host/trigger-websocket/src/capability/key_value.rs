//! `wasi:keyvalue`: the stores that the component's manifest entry lists, and no other.

use std::sync::Arc;

use key_value_store::{KeyValue, KvError, Swap};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::Ctx;
use crate::bindings::wasi::keyvalue::atomics::{self, CasError};
use crate::bindings::wasi::keyvalue::batch;
use crate::bindings::wasi::keyvalue::store::{self, Error, KeyResponse};

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
}

impl store::Host for Ctx {
    fn open(&mut self, identifier: String) -> Result<Result<Resource<Bucket>, Error>> {
        let Some(store) = self.grants.key_value_stores.get(&identifier) else {
            return Ok(Err(Error::AccessDenied));
        };
        Ok(Ok(self.table.push(Bucket(Arc::clone(store)))?))
    }
}

impl store::HostBucket for Ctx {
    fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        Ok(self.bucket(&bucket)?.get(&key).map_err(Error::from))
    }

    fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        Ok(self.bucket(&bucket)?.set(&key, &value).map_err(Error::from))
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Result<(), Error>> {
        Ok(self.bucket(&bucket)?.delete(&key).map_err(Error::from))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Result<bool, Error>> {
        Ok(self.bucket(&bucket)?.exists(&key).map_err(Error::from))
    }

    fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Result<Result<KeyResponse, Error>> {
        let page = self.bucket(&bucket)?.list_keys(cursor.as_deref());
        Ok(page
            .map(|page| KeyResponse {
                keys: page.keys,
                cursor: page.cursor,
            })
            .map_err(Error::from))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl batch::Host for Ctx {
    fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Result<Vec<(String, Option<Vec<u8>>)>, Error>> {
        Ok(self.bucket(&bucket)?.get_many(&keys).map_err(Error::from))
    }

    fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<Result<(), Error>> {
        Ok(self
            .bucket(&bucket)?
            .set_many(&entries)
            .map_err(Error::from))
    }

    fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Result<(), Error>> {
        Ok(self
            .bucket(&bucket)?
            .delete_many(&keys)
            .map_err(Error::from))
    }
}

impl atomics::Host for Ctx {
    fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Result<Result<i64, Error>> {
        Ok(self
            .bucket(&bucket)?
            .increment(&key, delta)
            .map_err(Error::from))
    }

    fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<Result<(), CasError>> {
        let Cas {
            store,
            key,
            expected,
        } = self.table.delete(cas)?;
        Ok(
            match store.compare_and_swap(&key, expected.as_deref(), &value) {
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
    fn new(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Result<Resource<Cas>, Error>> {
        let store = self.bucket(&bucket)?;
        let expected = match store.get(&key) {
            Ok(value) => value,
            Err(error) => return Ok(Err(error.into())),
        };
        Ok(Ok(self.table.push(Cas {
            store,
            key,
            expected,
        })?))
    }

    fn current(&mut self, cas: Resource<Cas>) -> Result<Result<Option<Vec<u8>>, Error>> {
        Ok(Ok(self.table.get(&cas)?.expected.clone()))
    }

    fn drop(&mut self, cas: Resource<Cas>) -> Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}
