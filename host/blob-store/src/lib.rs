//! Objects by key: audio chunks, results.
//!
//! [`BlobStore`] keeps them in a directory, over the `object_store` crate: the object at
//! `sessions/s-1/result.json` is the file `sessions/s-1/result.json` below the root. Other stores come
//! later; what is refused here is what not all of them could keep.
//!
//! # What a successful put means
//! The object is in its place, whole: it was written to a file of another name (`<name>#1`), which was
//! then renamed, so that no reader ever sees a part of it and a crash of the process leaves the old
//! object or the new one (and perhaps a `#1` file, which is nobody's). It is in the operating
//! system's memory, not yet on the disk: a loss of power can take the last half minute with it.
//!
//! # Where metadata are
//! `object_store` keeps no attributes of files. So content type and metadata are a small JSON document
//! in the file's extended attribute `user.object` (to be seen with
//! `getfattr --only-values -n user.object <file>`): it costs a system call, no second file, and goes
//! where the file goes. Where the file system has no such attributes (or no room for this one) the
//! document is a file beside the object's, `<name>.meta.json`. It is stored after the content: a crash
//! between the two, or a copy made by a program that leaves attributes behind, loses the metadata
//! and never the content; such an object is `application/octet-stream` without metadata.
//!
//! This crate stores bytes and knows nothing of what they mean.

mod directory;
mod error;
mod key;
mod metadata;
mod removal;
mod upload;

use std::path::Path;

use bytes::Bytes;

pub use error::BlobError;
pub use key::{MAX_KEY_BYTES, MAX_SEGMENT_BYTES};
pub use metadata::{MAX_CONTENT_TYPE_BYTES, MAX_METADATA_BYTES};
pub use upload::{MAX_UPLOAD_BYTES, PART_BYTES};

/// The largest content of an object, in bytes. It is held in memory while it is stored or read.
pub const MAX_OBJECT_BYTES: usize = 64 * 1024 * 1024;

/// An object with what was stored beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The bytes.
    pub content: Bytes,
    /// Its media type; `application/octet-stream` where the store lost it.
    pub content_type: String,
    /// Names and values, in the names' order; empty where the store lost them.
    pub metadata: Vec<(String, String)>,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of its content.
    pub size: u64,
    /// Another one when the key got another object.
    pub version: String,
}

/// An object that is being written in pieces: see [`BlobStore::begin`].
#[derive(Debug)]
pub struct Upload(directory::Upload);

impl Upload {
    /// Takes the next bytes; at most [`PART_BYTES`] of them stay in memory.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]; [`BlobError::Refused`] for more than [`MAX_UPLOAD_BYTES`] in all. The
    /// upload is of no use any more.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.0.write(bytes).await
    }

    /// Puts the object in its place, whole, as [`BlobStore::put`] does.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]: the key has what it had before, or the object.
    pub async fn finish(self) -> Result<(), BlobError> {
        self.0.finish().await
    }
}

/// A store of objects by key. Clones are the same store.
///
/// A key is text of at most [`MAX_KEY_BYTES`]: parts of at most [`MAX_SEGMENT_BYTES`] joined by single
/// slashes, none of them `.` or `..`, without control characters, backslashes and `#`, not ending in
/// `.meta.json`; no key continues another one after a slash. Any other is [`BlobError::Refused`]. The
/// methods must be called within a tokio runtime.
#[derive(Clone, Debug)]
pub struct BlobStore {
    directory: directory::Directory,
}

impl BlobStore {
    /// A store in a directory, which is created if need be.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]: the directory cannot be created, or is none.
    pub fn directory(root: &Path) -> Result<Self, BlobError> {
        Ok(Self {
            directory: directory::Directory::open(root)?,
        })
    }

    /// What kind of store it is, for people: `directory`.
    pub fn kind(&self) -> &'static str {
        "directory"
    }

    /// Stores an object whole or not at all, in place of what `key` had. Metadata over
    /// [`MAX_METADATA_BYTES`], or with names that are no header names, are left out.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]; [`BlobError::Refused`] for a key that is none, a `content_type` that
    /// is none or over [`MAX_CONTENT_TYPE_BYTES`], and a content over [`MAX_OBJECT_BYTES`].
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

    /// The object at `key`; none if there is none.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]; [`BlobError::Refused`] for a key that is none.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, BlobError> {
        self.directory.get(key).await
    }

    /// Only the content of the object at `key`; none if there is none.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub async fn get_content(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        self.directory.get_content(key).await
    }

    /// Begins an object that is too large to be held in memory. Until [`Upload::finish`] the key has
    /// what it had; an upload that is dropped leaves nothing.
    ///
    /// # Errors
    /// As for [`BlobStore::put`].
    pub async fn begin(
        &self,
        key: &str,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<Upload, BlobError> {
        let upload = self.directory.begin(key, content_type, metadata).await?;
        Ok(Upload(upload))
    }

    /// How large the object at `key` is, and which one; none if there is none.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub async fn head(&self, key: &str) -> Result<Option<Stored>, BlobError> {
        self.directory.head(key).await
    }

    /// At most `length` bytes of the object at `key` from `offset` on; none if there is no object, or
    /// none of this version (any more).
    ///
    /// # Errors
    /// As for [`BlobStore::get`]; [`BlobError::Refused`] for a range beyond its end, or of more than
    /// [`MAX_OBJECT_BYTES`].
    pub async fn get_range(
        &self,
        key: &str,
        version: &str,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, BlobError> {
        self.directory.get_range(key, version, offset, length).await
    }

    /// Removes the object at `key`; it need not be there.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.directory.delete(key).await
    }

    /// Removes every object whose key begins with `prefix`, and what else the store keeps below it,
    /// and says how many objects there were. `prefix` is parts of a key, each with a slash behind it:
    /// `a/` is not the beginning of `ab/c`. The memory it takes does not depend on how many there
    /// are. An object that is put meanwhile may stay, or its put may fail.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]: some may be gone, call again; [`BlobError::Refused`] for a prefix
    /// that is none, above all one without a slash at its end.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u32, BlobError> {
        self.directory.delete_prefix(prefix).await
    }

    /// Whether there is an object at `key`.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub async fn exists(&self, key: &str) -> Result<bool, BlobError> {
        self.directory.exists(key).await
    }
}
