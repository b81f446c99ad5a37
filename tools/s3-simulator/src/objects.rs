//! Buckets with their objects, and objects that come in parts. Each call is one step: nobody sees half
//! of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// The least bytes of a part that is not the last: S3's rule, and R2's.
pub(crate) const LEAST_PART_BYTES: usize = 5 << 20;

/// An object as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// The bytes.
    pub content: Bytes,
    /// The header `content-type`.
    pub content_type: Option<String>,
    /// The headers `x-amz-meta-<name>`, as they came.
    pub metadata: BTreeMap<String, String>,
}

impl Object {
    /// Another one for another content.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(&self.content)
    }
}

pub(crate) fn etag(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What must hold of the object that is there for a write to be done.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Nothing,
    Absent,
    Etag(String),
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    InvalidPart,
    /// S3: a part that is not the last is too small. R2 also: parts but the last differ in size.
    EntityTooSmall,
}

#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
    description: Object,
    parts: BTreeMap<i32, Bytes>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    uploads: HashMap<String, Upload>,
    uploads_begun: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Buckets(Mutex<State>);

impl Buckets {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn create(&self, bucket: &str) {
        self.state().buckets.entry(bucket.to_owned()).or_default();
    }

    pub(crate) fn remove(&self, bucket: &str) {
        self.state().buckets.remove(bucket);
    }

    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        self.find(bucket, key).ok()
    }

    pub(crate) fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        self.list(bucket, prefix, None, usize::MAX)
            .map_or_else(|_| Vec::new(), |(objects, _)| objects)
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    }

    pub(crate) fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    pub(crate) fn put(&self, bucket: &str, key: &str, object: Object) {
        self.create(bucket);
        let _ = self.put_if(bucket, key, object, &Condition::Nothing);
    }

    pub(crate) fn delete(&self, bucket: &str, key: &str) {
        let _ = self.remove_objects(bucket, &[key.to_owned()]);
    }

    pub(crate) fn has_bucket(&self, bucket: &str) -> Result<(), Refusal> {
        let state = self.state();
        state
            .buckets
            .get(bucket)
            .map(drop)
            .ok_or(Refusal::NoSuchBucket)
    }

    pub(crate) fn find(&self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        let state = self.state();
        let objects = state.buckets.get(bucket).ok_or(Refusal::NoSuchBucket)?;
        objects.get(key).cloned().ok_or(Refusal::NoSuchKey)
    }

    pub(crate) fn put_if(
        &self,
        bucket: &str,
        key: &str,
        object: Object,
        condition: &Condition,
    ) -> Result<String, Refusal> {
        let mut state = self.state();
        let objects = state.buckets.get_mut(bucket).ok_or(Refusal::NoSuchBucket)?;
        match (condition, objects.get(key)) {
            (Condition::Nothing, _) | (Condition::Absent, None) => {}
            (Condition::Etag(expected), Some(there)) if there.etag() == *expected => {}
            (Condition::Etag(_), None) => return Err(Refusal::NoSuchKey),
            _ => return Err(Refusal::PreconditionFailed),
        }
        let etag = object.etag();
        objects.insert(key.to_owned(), object);
        Ok(etag)
    }

    pub(crate) fn remove_objects(&self, bucket: &str, keys: &[String]) -> Result<(), Refusal> {
        let mut state = self.state();
        let objects = state.buckets.get_mut(bucket).ok_or(Refusal::NoSuchBucket)?;
        for key in keys {
            objects.remove(key);
        }
        Ok(())
    }

    /// At most `limit` objects whose keys begin with `prefix` and come after `after`, with their sizes,
    /// and whether there are more.
    pub(crate) fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<(String, usize)>, bool), Refusal> {
        let state = self.state();
        let objects = state.buckets.get(bucket).ok_or(Refusal::NoSuchBucket)?;
        let mut found: Vec<(String, usize)> = objects
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
            .take(limit.saturating_add(1))
            .map(|(key, object)| (key.clone(), object.content.len()))
            .collect();
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    pub(crate) fn begin_upload(
        &self,
        bucket: &str,
        key: &str,
        description: Object,
    ) -> Result<String, Refusal> {
        let mut state = self.state();
        if !state.buckets.contains_key(bucket) {
            return Err(Refusal::NoSuchBucket);
        }
        state.uploads_begun += 1;
        let id = format!("upload-{}", state.uploads_begun);
        let upload = Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            description,
            parts: BTreeMap::new(),
        };
        state.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    pub(crate) fn put_part(
        &self,
        id: &str,
        number: i32,
        content: Bytes,
    ) -> Result<String, Refusal> {
        let mut state = self.state();
        let upload = state.uploads.get_mut(id).ok_or(Refusal::NoSuchUpload)?;
        let etag = etag(&content);
        upload.parts.insert(number, content);
        Ok(etag)
    }

    /// Puts the parts together: those that are named, in this order.
    pub(crate) fn complete(
        &self,
        id: &str,
        named: &[(i32, String)],
    ) -> Result<(String, String, String), Refusal> {
        let mut state = self.state();
        let upload = state.uploads.get(id).ok_or(Refusal::NoSuchUpload)?;
        let mut content = Vec::new();
        for (index, (number, expected)) in named.iter().enumerate() {
            let part = upload.parts.get(number).ok_or(Refusal::InvalidPart)?;
            let in_order = index == 0 || named[index - 1].0 < *number;
            if etag(part) != *expected || !in_order {
                return Err(Refusal::InvalidPart);
            }
            let is_last = index + 1 == named.len();
            let first = named.first().and_then(|(first, _)| upload.parts.get(first));
            let differs = first.is_some_and(|first| first.len() != part.len());
            if !is_last && (part.len() < LEAST_PART_BYTES || differs) {
                return Err(Refusal::EntityTooSmall);
            }
            content.extend_from_slice(part);
        }
        if named.is_empty() {
            return Err(Refusal::InvalidPart);
        }
        let upload = state.uploads.remove(id).ok_or(Refusal::NoSuchUpload)?;
        let object = Object {
            content: content.into(),
            ..upload.description
        };
        let etag = object.etag();
        let objects = state.buckets.get_mut(&upload.bucket);
        objects
            .ok_or(Refusal::NoSuchBucket)?
            .insert(upload.key.clone(), object);
        Ok((upload.bucket, upload.key, etag))
    }

    pub(crate) fn abort(&self, id: &str) -> Result<(), Refusal> {
        let removed = self.state().uploads.remove(id);
        removed.map(drop).ok_or(Refusal::NoSuchUpload)
    }
}
