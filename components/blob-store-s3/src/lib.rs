//! Leaf component: `blob-store` on S3 or R2, for hosts that have no blob store. It signs its requests
//! itself (`s3-protocol`) and sends them through `wasi:http`. It is composed with `finalizer` when the
//! app is built (`spin-s3.toml`): the host then sees one component that imports no blob store.
//!
//! What a call means, which errors it gives and how often it is tried is as in the host's own store;
//! what that one has and this has not: a limit over all calls, and giving up parts of an upload that
//! is dropped (the bucket's lifecycle rule does that).

mod exchange;
mod outage;
mod store;
mod upload;

use bindings::exports::interview::gateway::blob_store as wit;
use wit::Error;

#[allow(missing_docs, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/blob-store-s3",
        generate_all,
    });
    use super::BlobStoreS3;
    export!(BlobStoreS3);
}

struct BlobStoreS3;

impl wit::Guest for BlobStoreS3 {
    type Upload = upload::Upload;

    async fn put(key: String, object: wit::Object) -> Result<(), Error> {
        let wit::Object {
            content,
            content_type,
            metadata,
        } = object;
        let store = store::Store::open()?;
        store.put(&key, content, &content_type, &metadata).await
    }

    async fn get(key: String) -> Result<Option<wit::Object>, Error> {
        store::Store::open()?.get(&key).await
    }

    async fn get_content(key: String) -> Result<Option<Vec<u8>>, Error> {
        let found = store::Store::open()?.get(&key).await?;
        Ok(found.map(|object| object.content))
    }

    async fn begin(
        key: String,
        content_type: String,
        metadata: Vec<(String, String)>,
    ) -> Result<wit::Upload, Error> {
        let upload = upload::Upload::begin(&key, &content_type, &metadata)?;
        Ok(wit::Upload::new(upload))
    }

    async fn head(key: String) -> Result<Option<wit::Stored>, Error> {
        store::Store::open()?.head(&key).await
    }

    async fn get_range(
        key: String,
        version: String,
        offset: u64,
        length: u32,
    ) -> Result<Option<Vec<u8>>, Error> {
        let store = store::Store::open()?;
        store.get_range(&key, &version, offset, length).await
    }

    async fn delete(key: String) -> Result<(), Error> {
        store::Store::open()?.delete(&key).await
    }

    async fn delete_all(prefix: String) -> Result<u32, Error> {
        store::Store::open()?.delete_all(&prefix).await
    }
}
