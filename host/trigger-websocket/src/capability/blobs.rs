//! `interview:gateway/blob-store`: objects by key, in the app's one blob store.

use std::sync::Arc;

use blob_store::{BlobError, BlobStore};
use bytes::Bytes;
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use super::Ctx;
use crate::bindings::interview::gateway::blob_store::{Error, Host, HostWithStore, Object};

/// Bytes of a key, a content type and the metadata together.
const MAX_DESCRIPTION: usize = 64 << 10;

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Unavailable(reason) => Self::Unavailable(reason),
            BlobError::Refused(reason) => Self::Refused(reason),
        }
    }
}

impl Host for Ctx {}

impl<T: 'static> HostWithStore<T> for HasSelf<Ctx> {
    async fn put(
        accessor: &Accessor<T, Self>,
        key: String,
        object: Object,
    ) -> Result<Result<(), Error>> {
        let Object {
            content,
            content_type,
            metadata,
        } = object;
        let described = key.len()
            + content_type.len()
            + metadata
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        if described > MAX_DESCRIPTION {
            return Ok(Err(Error::Refused(format!(
                "key, content type and metadata have {described} bytes, at most {MAX_DESCRIPTION} \
                 are taken"
            ))));
        }
        let store = store(accessor);
        let stored = store
            .put(&key, Bytes::from(content), &content_type, &metadata)
            .await;
        Ok(stored.map_err(Error::from))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        key: String,
    ) -> Result<Result<Option<Object>, Error>> {
        let found = store(accessor).get(&key).await;
        Ok(found
            .map(|object| {
                object.map(|object| Object {
                    content: object.content.into(),
                    content_type: object.content_type,
                    metadata: object.metadata,
                })
            })
            .map_err(Error::from))
    }

    async fn get_content(
        accessor: &Accessor<T, Self>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let found = store(accessor).get_content(&key).await;
        Ok(found
            .map(|content| content.map(Vec::from))
            .map_err(Error::from))
    }

    async fn delete_all(
        accessor: &Accessor<T, Self>,
        prefix: String,
    ) -> Result<Result<u32, Error>> {
        let removed = store(accessor).delete_prefix(&prefix).await;
        Ok(removed.map_err(Error::from))
    }
}

fn store<T: 'static>(accessor: &Accessor<T, HasSelf<Ctx>>) -> Arc<BlobStore> {
    accessor.with(|mut access| Arc::clone(&access.get().grants.blobs))
}
