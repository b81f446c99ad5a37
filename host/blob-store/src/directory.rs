//! The store in a directory: an object is a file, its key the file's path.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{Error, GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt};
use xattr::FileExt;

use crate::error::io_kind;
use crate::flush;
use crate::key::{self, Key, SIDECAR_SUFFIX};
use crate::letter_case;
use crate::metadata::Description;
use crate::removal;
use crate::upload::Parts;
use crate::{BlobError, MAX_OBJECT_BYTES, Object, PROBE_BYTES, Stored, Sync};

/// The file's attribute with its [`Description`].
const ATTRIBUTE: &str = "user.object";

#[derive(Clone, Debug)]
pub(crate) struct Directory {
    store: Arc<LocalFileSystem>,
    root: Arc<Path>,
    sync: Sync,
    /// The file system turned out to have no attributes: do not ask again.
    no_attributes: Arc<AtomicBool>,
}

impl Directory {
    pub(crate) fn open(root: &Path, sync: Sync) -> Result<Self, BlobError> {
        flush::make_directory(root, sync).map_err(|error| {
            BlobError::of_system(&format!("the directory {}", root.display()), &error)
        })?;
        letter_case::check(root)?;
        let store = LocalFileSystem::new_with_prefix(root)?.with_fsync(sync == Sync::Power);
        Ok(Self {
            store: Arc::new(store),
            root: root.into(),
            sync,
            no_attributes: Arc::new(AtomicBool::new(false)),
        })
    }

    pub(crate) fn place(&self) -> String {
        self.root.display().to_string()
    }

    /// Writes a file that is no object, reads it, and removes it.
    pub(crate) async fn probe(&self) -> Result<(), BlobError> {
        let root = Arc::clone(&self.root);
        blocking(move || {
            probe(&root).map_err(|error| {
                let what = format!("the directory {} cannot be used", root.display());
                BlobError::of_system(&what, &error)
            })
        })
        .await
    }

    pub(crate) async fn put(
        &self,
        key: &str,
        content: Bytes,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<(), BlobError> {
        let description = Description::new(key, content_type, metadata)?.to_json()?;
        let key = key::parse(key)?;
        if content.len() > MAX_OBJECT_BYTES {
            let size = content.len();
            return Err(BlobError::Refused(format!(
                "{size} bytes exceed {MAX_OBJECT_BYTES}"
            )));
        }
        self.store.put(&key.object, content.into()).await?;
        self.describe(&key, description).await;
        Ok(())
    }

    pub(crate) async fn begin(
        &self,
        key: &str,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<Upload, BlobError> {
        let description = Description::new(key, content_type, metadata)?.to_json()?;
        let key = key::parse(key)?;
        let parts = Parts::new(self.store.put_multipart(&key.object).await?);
        Ok(Upload {
            directory: self.clone(),
            key,
            description,
            parts,
        })
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<Stored>, BlobError> {
        match self.store.head(&key::parse(key)?.object).await {
            Ok(found) => Ok(Some(Stored {
                size: found.size,
                version: found.e_tag.unwrap_or_default(),
            })),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn get_range(
        &self,
        key: &str,
        version: &str,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, BlobError> {
        if length as usize > MAX_OBJECT_BYTES {
            return Err(BlobError::Refused(format!(
                "a range of {length} bytes exceeds {MAX_OBJECT_BYTES}"
            )));
        }
        let end = offset.saturating_add(u64::from(length));
        let options = GetOptions {
            range: Some(GetRange::Bounded(offset..end)),
            if_match: Some(version.to_owned()),
            ..GetOptions::default()
        };
        match self.store.get_opts(&key::parse(key)?.object, options).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(Error::Precondition { .. }) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => match self.head(key).await? {
                Some(found) if offset >= found.size => {
                    let size = found.size;
                    Err(BlobError::Refused(format!(
                        "a range from {offset} on is beyond the object's {size} bytes"
                    )))
                }
                _ => Err(error.into()),
            },
        }
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Object>, BlobError> {
        let key = key::parse(key)?;
        let Some(file) = self.open_file(&key.object).await? else {
            return Ok(None);
        };
        let read = move || {
            // What cannot be read of the description must not make the content unreadable.
            let description = file.get_xattr(ATTRIBUTE).ok().flatten();
            read_whole(file).map(|content| (content, description))
        };
        let (content, description) = blocking(read).await?;
        let description = description.as_deref().and_then(Description::from_json);
        let description = match description {
            Some(description) => description,
            None => self
                .sidecar(&key.sidecar)
                .await
                .unwrap_or_else(Description::lost),
        };
        let (content_type, metadata) = description.into_parts();
        Ok(Some(Object {
            content,
            content_type,
            metadata,
        }))
    }

    pub(crate) async fn get_content(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        let key = key::parse(key)?;
        let Some(file) = self.open_file(&key.object).await? else {
            return Ok(None);
        };
        blocking(move || read_whole(file)).await.map(Some)
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let key = key::parse(key)?;
        // The sidecar last: without its object nobody reads it, and a failure can be repeated.
        for location in [&key.object, &key.sidecar] {
            match self.store.delete(location).await {
                Ok(()) => {}
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.sync != Sync::Power {
            return Ok(());
        }
        let path = self.store.path_to_filesystem(&key.object)?;
        blocking(move || flush::names_beside(&path).map_err(removal_error)).await
    }

    pub(crate) async fn delete_prefix(&self, prefix: &str) -> Result<u32, BlobError> {
        let path = self.store.path_to_filesystem(&key::parse_prefix(prefix)?)?;
        let sync = self.sync;
        let remove = move || {
            let objects = removal::remove_below(&path)?;
            if sync == Sync::Power {
                flush::names_beside(&path)?;
            }
            Ok(objects)
        };
        blocking(move || remove().map_err(removal_error)).await
    }

    pub(crate) async fn exists(&self, key: &str) -> Result<bool, BlobError> {
        match self.store.head(&key::parse(key)?.object).await {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn open_file(&self, location: &Location) -> Result<Option<File>, BlobError> {
        match self.store.get(location).await {
            Ok(found) => match found.payload {
                GetResultPayload::File(file, _) => Ok(Some(file)),
                _ => Err(BlobError::Unavailable(
                    "the directory gave no file".to_owned(),
                )),
            },
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores the description of an object whose content is stored. A failure is logged and no more:
    /// the content is what must not be lost, and it is there.
    async fn describe(&self, key: &Key, description: Vec<u8>) {
        if !self.no_attributes.load(Ordering::Relaxed) {
            // One system call on an inode that was just written; handing it to another thread would
            // cost ten times as much.
            match self.set_attribute(&key.object, &description) {
                Ok(()) => return self.flush(&key.object).await,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.no_attributes.store(true, Ordering::Relaxed);
                    tracing::info!(
                        "the blob directory's file system has no user attributes: metadata go to \
                         files named *{}",
                        SIDECAR_SUFFIX
                    );
                }
                // It was removed in between: a file beside it would be left alone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(error) => tracing::debug!(%error, "no attribute, a file then"),
            }
        }
        if let Err(error) = self.store.put(&key.sidecar, description.into()).await {
            tracing::warn!(key = %key.object, %error, "the object is stored, its metadata are not");
        }
    }

    fn set_attribute(&self, location: &Location, description: &[u8]) -> io::Result<()> {
        let path: PathBuf = self
            .store
            .path_to_filesystem(location)
            .map_err(io::Error::other)?;
        xattr::set(path, ATTRIBUTE, description)
    }

    /// The attribute is written after the content was flushed. A failure is logged and no more: as in
    /// [`Directory::describe`].
    async fn flush(&self, location: &Location) {
        if self.sync == Sync::Process {
            return;
        }
        let path = self.store.path_to_filesystem(location);
        let flushed = blocking(move || {
            let fail = |error: io::Error| BlobError::Unavailable(error.to_string());
            File::open(path?)
                .and_then(|file| file.sync_all())
                .map_err(fail)
        });
        match flushed.await {
            Ok(()) => {}
            Err(error) => tracing::warn!(key = %location, %error, "the metadata are not flushed"),
        }
    }

    async fn sidecar(&self, sidecar: &Location) -> Option<Description> {
        let found = self.store.get(sidecar).await.ok()?;
        Description::from_json(&found.bytes().await.ok()?)
    }
}

/// An object on its way into the directory.
#[derive(Debug)]
pub(crate) struct Upload {
    directory: Directory,
    key: Key,
    description: Vec<u8>,
    parts: Parts,
}

impl Upload {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.parts.write(&self.key.object, bytes).await
    }

    pub(crate) async fn finish(self) -> Result<(), BlobError> {
        self.parts.finish().await?;
        self.directory.describe(&self.key, self.description).await;
        Ok(())
    }
}

/// No key has a `#`; other processes write theirs.
fn probe(root: &Path) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    let file = root.join(format!("#probe-{}", std::process::id()));
    let content = vec![0x5a; PROBE_BYTES];
    let checked = std::fs::write(&file, &content).and_then(|()| std::fs::read(&file));
    let removed = std::fs::remove_file(&file);
    if checked? != content {
        return Err(io::Error::other("what was written is not what is read"));
    }
    removed
}

fn removal_error(error: io::Error) -> BlobError {
    let message = format!("some objects could not be removed: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            BlobError::Refused(message)
        }
        _ => BlobError::Unavailable(message),
    }
}

fn read_whole(mut file: File) -> Result<Bytes, BlobError> {
    let fail = |error: io::Error| BlobError::Unavailable(error.to_string());
    let size = file.metadata().map_err(fail)?.len();
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.read_to_end(&mut content).map_err(fail)?;
    Ok(content.into())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BlobError::Unavailable(error.to_string())),
    }
}

/// There is no such file, or it would be below another object.
fn is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) || io_kind(error) == Some(io::ErrorKind::NotADirectory)
}
