//! Objects by key: audio chunks, results.
//!
//! [`BlobStore`] keeps them in a directory or in a bucket of S3 (R2, and what else speaks like them), over
//! the `object_store` crate. What is refused here is what not all stores could keep; the same tests
//! run against both (`tests/contract`).
//!
//! # A directory
//! The object at `sessions/s-1/result.json` is the file `sessions/s-1/result.json` below the root.
//!
//! A successful put means: the object is in its place, whole. It was written to a file of another name
//! (`<name>#1`), which was then renamed, so that no reader ever sees a part of it and a crash of the
//! process leaves the old object or the new one (and perhaps a `#1` file, which is nobody's). It is in
//! the operating system's memory, not yet on the disk: a loss of power can take the last half minute
//! with it.
//!
//! `object_store` keeps no attributes of files. So content type and metadata are a small JSON document
//! in the file's extended attribute `user.object` (to be seen with
//! `getfattr --only-values -n user.object <file>`): it costs a system call, no second file, and goes
//! where the file goes. Where the file system has no such attributes (or no room for this one) the
//! document is a file beside the object's, `<name>.meta.json`. It is stored after the content: a crash
//! between the two, or a copy made by a program that leaves attributes behind, loses the metadata
//! and never the content; such an object is `application/octet-stream` without metadata.
//!
//! # S3
//! The object's key is the prefix, a slash, and the key. A successful put means what the service says
//! it means: S3 and R2 have it in several places by then. Content type and metadata are those of S3,
//! with names in lower case and, where a header cannot hold a value, encoded words (RFC 2047), which R2
//! reads and writes too; spaces at the ends of a value may be lost.
//!
//! Attempts that fail in a way that may pass (no answer, 5xx, 429) are repeated with growing pauses
//! until the call's time is over ([`Setting`]s; writes that were given up cannot undo later ones: each
//! says which object it replaces). A server that has not answered for a whole call is asked once a
//! second by one caller, and the others fail at once, so that nothing waits in a queue behind it.
//!
//! This crate stores bytes and knows nothing of what they mean.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod directory;
mod error;
mod flush;
mod key;
mod letter_case;
mod metadata;
mod removal;
mod s3;
mod upload;

use std::path::Path;

use bytes::Bytes;

pub use error::BlobError;
pub use key::{MAX_KEY_BYTES, MAX_SEGMENT_BYTES};
pub use metadata::{MAX_CONTENT_TYPE_BYTES, MAX_METADATA_BYTES};
pub use s3_protocol::settings::{Choice, S3Settings, SETTINGS, Setting, SettingsError};
pub use upload::{MAX_UPLOAD_BYTES, PART_BYTES};

/// The largest content of an object, in bytes. It is held in memory while it is stored or read.
pub const MAX_OBJECT_BYTES: usize = 64 * 1024 * 1024;

/// What [`BlobStore::probe`] writes, in bytes: as much as a second of audio.
pub const PROBE_BYTES: usize = 32_000;

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
pub struct Upload(Pieces);

#[derive(Debug)]
enum Pieces {
    Directory(directory::Upload),
    S3(Box<s3::Upload>),
}

impl Upload {
    /// Takes the next bytes; at most [`PART_BYTES`] of them stay in memory.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]; [`BlobError::Refused`] for more than [`MAX_UPLOAD_BYTES`] in all. The
    /// upload is of no use any more.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        match &mut self.0 {
            Pieces::Directory(upload) => upload.write(bytes).await,
            Pieces::S3(upload) => upload.write(bytes).await,
        }
    }

    /// Puts the object in its place, whole, as [`BlobStore::put`] does.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]: the key has what it had before, or the object.
    pub async fn finish(self) -> Result<(), BlobError> {
        match self.0 {
            Pieces::Directory(upload) => upload.finish().await,
            Pieces::S3(upload) => upload.finish().await,
        }
    }
}

/// A store of objects by key. Clones are the same store.
///
/// A key is text of at most [`MAX_KEY_BYTES`]: parts of at most [`MAX_SEGMENT_BYTES`] joined by single
/// slashes, none of them `.` or `..`, without control characters, backslashes and `#`, not ending in
/// `.meta.json`. Any other is [`BlobError::Refused`], by a directory also one that continues another
/// object's key after a slash. The methods must be called within a tokio runtime.
#[derive(Clone, Debug)]
pub struct BlobStore(Backend);

#[derive(Clone, Debug)]
enum Backend {
    Directory(directory::Directory),
    S3(s3::S3),
}

/// What an object survives once it is stored in a directory. An object is there whole or not at all, with
/// either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// A crash of the process, at any moment. A loss of power may take the last objects with it.
    #[default]
    Process,
    /// A loss of power too: the file is flushed before it has its name, and then the directory. That costs
    /// milliseconds on most disks.
    Power,
}

impl BlobStore {
    /// A store in a directory, which is created if need be. What it has stored survives its process.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]: the directory cannot be created, or is none.
    pub fn directory(root: &Path) -> Result<Self, BlobError> {
        Self::directory_with(root, Sync::Process)
    }

    /// As [`BlobStore::directory`]; what it has stored survives this.
    ///
    /// # Errors
    /// As [`BlobStore::directory`].
    pub fn directory_with(root: &Path, sync: Sync) -> Result<Self, BlobError> {
        let directory = directory::Directory::open(root, sync)?;
        Ok(Self(Backend::Directory(directory)))
    }

    /// A store in a bucket. Nobody is asked yet: see [`BlobStore::check`].
    ///
    /// # Errors
    /// [`BlobError::Refused`]: the settings cannot be used together.
    pub fn s3(settings: &S3Settings) -> Result<Self, BlobError> {
        Ok(Self(Backend::S3(s3::S3::new(settings)?)))
    }

    /// Whether the store can be used, as far as one request shows.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]: it is not there now; [`BlobError::Refused`]: there is no such
    /// bucket, or the access key may not read it.
    pub async fn check(&self) -> Result<(), BlobError> {
        match &self.0 {
            Backend::Directory(_) => Ok(()),
            Backend::S3(s3) => s3.check().await,
        }
    }

    /// Whether something can be stored: writes [`PROBE_BYTES`] where no object is, reads them, and removes
    /// them.
    ///
    /// # Errors
    /// As for [`BlobStore::put`]: [`BlobError::Refused`] when it may not be written.
    pub async fn probe(&self) -> Result<(), BlobError> {
        match &self.0 {
            Backend::Directory(directory) => directory.probe().await,
            Backend::S3(s3) => s3.probe().await,
        }
    }

    /// What kind of store it is, for people: `directory` or `s3`.
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            Backend::Directory(_) => "directory",
            Backend::S3(_) => "s3",
        }
    }

    /// Where it is, for the operator: a directory's path, or an URL without secrets.
    pub fn place(&self) -> String {
        match &self.0 {
            Backend::Directory(directory) => directory.place(),
            Backend::S3(s3) => s3.place(),
        }
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
        match &self.0 {
            Backend::Directory(store) => store.put(key, content, content_type, metadata).await,
            Backend::S3(store) => store.put(key, content, content_type, metadata).await,
        }
    }

    /// The object at `key`; none if there is none.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`]; [`BlobError::Refused`] for a key that is none.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, BlobError> {
        match &self.0 {
            Backend::Directory(store) => store.get(key).await,
            Backend::S3(store) => store.get(key).await,
        }
    }

    /// Only the content of the object at `key`; none if there is none.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub async fn get_content(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        match &self.0 {
            Backend::Directory(store) => store.get_content(key).await,
            Backend::S3(store) => store.get_content(key).await,
        }
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
        Ok(Upload(match &self.0 {
            Backend::Directory(store) => {
                Pieces::Directory(store.begin(key, content_type, metadata).await?)
            }
            Backend::S3(store) => Pieces::S3(Box::new(store.begin(key, content_type, metadata)?)),
        }))
    }

    /// How large the object at `key` is, and which one; none if there is none.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub async fn head(&self, key: &str) -> Result<Option<Stored>, BlobError> {
        match &self.0 {
            Backend::Directory(store) => store.head(key).await,
            Backend::S3(store) => store.head(key).await,
        }
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
        match &self.0 {
            Backend::Directory(store) => store.get_range(key, version, offset, length).await,
            Backend::S3(store) => store.get_range(key, version, offset, length).await,
        }
    }

    /// Removes the object at `key`; it need not be there.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        match &self.0 {
            Backend::Directory(store) => store.delete(key).await,
            Backend::S3(store) => store.delete(key).await,
        }
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
        match &self.0 {
            Backend::Directory(store) => store.delete_prefix(prefix).await,
            Backend::S3(store) => store.delete_prefix(prefix).await,
        }
    }

    /// Whether there is an object at `key`.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub async fn exists(&self, key: &str) -> Result<bool, BlobError> {
        match &self.0 {
            Backend::Directory(store) => store.exists(key).await,
            Backend::S3(store) => store.exists(key).await,
        }
    }
}
