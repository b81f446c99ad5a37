//! Blobs with metadata in a directory (later S3), over object_store.

mod directory;
mod error;
mod key;

use std::path::Path;

use bytes::Bytes;

pub use error::BlobError;

/// An object with what was stored beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The bytes.
    pub content: Bytes,
    /// Its media type; `application/octet-stream` where the store lost it.
    pub content_type: String,
    /// Names and values; empty where the store lost them.
    pub metadata: Vec<(String, String)>,
}

/// A store of objects by key.
#[derive(Clone, Debug)]
pub struct BlobStore {
    directory: directory::Directory,
}

impl BlobStore {
    /// A store in a directory, which is created if need be.
    ///
    /// # Errors
    /// The directory cannot be created or is none.
    pub fn directory(root: &Path) -> Result<Self, BlobError> {
        Ok(Self {
            directory: directory::Directory::open(root)?,
        })
    }

    /// What kind of store it is, for people: `directory`.
    pub fn kind(&self) -> &'static str {
        "directory"
    }

    /// Stores an object whole or not at all, in place of what `key` had.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn put(
        &self,
        key: &str,
        content: Bytes,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<(), BlobError> {
        self.directory
            .put(key, content, content_type, metadata)
            .await
    }

    /// The object at `key`.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn get(&self, key: &str) -> Result<Option<Object>, BlobError> {
        self.directory.get(key).await
    }

    /// Only the content of the object at `key`.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn get_content(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        self.directory.get_content(key).await
    }

    /// Removes the object at `key`; it need not be there.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.directory.delete(key).await
    }

    /// Whether there is an object at `key`.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn exists(&self, key: &str) -> Result<bool, BlobError> {
        self.directory.exists(key).await
    }
}
