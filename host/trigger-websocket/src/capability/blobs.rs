//! `interview:gateway/blob-store`: objects by key, in the app's one blob store.

use std::sync::Arc;

use blob_store::BlobError;
use bytes::Bytes;
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::Ctx;
use crate::bindings::interview::gateway::blob_store::{
    Error, Host, HostUpload, HostUploadWithStore, HostWithStore, Object, Stored,
};
use crate::measured::{self, Blobs};

/// Bytes of a key, a content type and the metadata together.
const MAX_DESCRIPTION: usize = 64 << 10;

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Unavailable(reason) => Self::Unavailable(reason),
            BlobError::Full(reason) => Self::Full(reason),
            BlobError::Refused(reason) => Self::Refused(reason),
        }
    }
}

/// An object that is being written in pieces; none while one is being taken, and once it is finished.
pub struct Upload(Option<measured::Upload>);

impl Host for Ctx {}

impl HostUpload for Ctx {
    fn drop(&mut self, upload: Resource<Upload>) -> Result<()> {
        self.table.delete(upload)?;
        Ok(())
    }
}

impl<T: 'static> HostUploadWithStore<T> for HasSelf<Ctx> {
    async fn write(
        accessor: &Accessor<T, Self>,
        upload: Resource<Upload>,
        bytes: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let Some(mut taken) = take(accessor, &upload)? else {
            return Ok(Err(busy()));
        };
        if let Err(error) = taken.write(&bytes).await {
            return Ok(Err(error.into()));
        }
        accessor.with(|mut access| -> Result<()> {
            access.get().table.get_mut(&upload)?.0 = Some(taken);
            Ok(())
        })?;
        Ok(Ok(()))
    }

    async fn finish(
        accessor: &Accessor<T, Self>,
        upload: Resource<Upload>,
    ) -> Result<Result<(), Error>> {
        let Some(taken) = take(accessor, &upload)? else {
            return Ok(Err(busy()));
        };
        Ok(taken.finish().await.map_err(Error::from))
    }
}

fn take<T: 'static>(
    accessor: &Accessor<T, HasSelf<Ctx>>,
    upload: &Resource<Upload>,
) -> Result<Option<measured::Upload>> {
    accessor.with(|mut access| Ok(access.get().table.get_mut(upload)?.0.take()))
}

fn busy() -> Error {
    Error::Refused("this upload is busy, has failed or is finished: begin another one".to_owned())
}

/// The same for every object.
fn check_description(
    key: &str,
    content_type: &str,
    metadata: &[(String, String)],
) -> std::result::Result<(), Error> {
    let described = key.len()
        + content_type.len()
        + metadata
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
    if described > MAX_DESCRIPTION {
        return Err(Error::Refused(format!(
            "key, content type and metadata have {described} bytes, at most {MAX_DESCRIPTION} are \
             taken"
        )));
    }
    Ok(())
}

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
        if let Err(refused) = check_description(&key, &content_type, &metadata) {
            return Ok(Err(refused));
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

    async fn begin(
        accessor: &Accessor<T, Self>,
        key: String,
        content_type: String,
        metadata: Vec<(String, String)>,
    ) -> Result<Result<Resource<Upload>, Error>> {
        if let Err(refused) = check_description(&key, &content_type, &metadata) {
            return Ok(Err(refused));
        }
        let begun = store(accessor).begin(&key, &content_type, &metadata).await;
        Ok(match begun {
            Ok(upload) => {
                Ok(accessor.with(|mut access| access.get().table.push(Upload(Some(upload))))?)
            }
            Err(error) => Err(error.into()),
        })
    }

    async fn head(
        accessor: &Accessor<T, Self>,
        key: String,
    ) -> Result<Result<Option<Stored>, Error>> {
        let found = store(accessor).head(&key).await;
        Ok(found
            .map(|found| {
                found.map(|found| Stored {
                    size: found.size,
                    version: found.version,
                })
            })
            .map_err(Error::from))
    }

    async fn get_range(
        accessor: &Accessor<T, Self>,
        key: String,
        version: String,
        offset: u64,
        length: u32,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let found = store(accessor)
            .get_range(&key, &version, offset, length)
            .await;
        Ok(found
            .map(|content| content.map(Vec::from))
            .map_err(Error::from))
    }

    async fn delete(accessor: &Accessor<T, Self>, key: String) -> Result<Result<(), Error>> {
        let removed = store(accessor).delete(&key).await;
        Ok(removed.map_err(Error::from))
    }

    async fn delete_all(
        accessor: &Accessor<T, Self>,
        prefix: String,
    ) -> Result<Result<u32, Error>> {
        let removed = store(accessor).delete_prefix(&prefix).await;
        Ok(removed.map_err(Error::from))
    }
}

fn store<T: 'static>(accessor: &Accessor<T, HasSelf<Ctx>>) -> Arc<Blobs> {
    accessor.with(|mut access| Arc::clone(&access.get().grants.blobs))
}
