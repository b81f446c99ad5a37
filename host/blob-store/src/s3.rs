//! The store on S3, R2 and what speaks like them, over `object_store`.
//!
//! Here is what an operation means. How often and how long it is tried is in [`attempts`], what an
//! answer means in [`failure`] and [`verdict`], the connection in [`connector`].

pub(crate) mod attempts;
mod conditions;
mod connector;
pub(crate) mod failure;
mod outage;
mod upload;
mod verdict;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path as Location;
use object_store::{
    Attributes, GetOptions, GetRange, ObjectStore, PutMode, PutOptions, PutPayload, RetryConfig,
    UpdateVersion,
};
use s3_protocol::settings::S3Settings;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::key::{self, MAX_KEY_BYTES};
use crate::metadata::Description;
use crate::{BlobError, MAX_OBJECT_BYTES, Object, PROBE_BYTES, Stored};
use attempts::Attempts;
use conditions::Conditions;
use connector::Connector;
use failure::Failure;
pub(crate) use upload::Upload;

/// How often a write looks again at what others have put in its place meanwhile, before it gives up.
const MAX_CONFLICTS: u32 = 4;

/// Where the first question looks: below what the access key may list, and where nobody has an object, as
/// no key has a `#`. What other programs keep beside is not looked at.
const NOBODY: &str = "sessions/#/";

/// Objects on a page of a list, and in one request that deletes: S3's limit for both.
const PAGE: usize = 1000;

/// Pages of a prefix that are deleted at the same time.
const PAGES_AT_ONCE: usize = 8;

/// A bucket, or what is below a prefix in it.
#[derive(Clone)]
pub(crate) struct S3(Arc<Shared>);

struct Shared {
    store: AmazonS3,
    attempts: Attempts,
    /// With its slash; empty for the whole bucket.
    prefix: String,
    bucket: String,
    endpoint: String,
    conditions: Conditions,
}

/// Without the secret, which the store's own `Debug` would show.
impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("endpoint", &self.0.endpoint)
            .field("bucket", &self.0.bucket)
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}

impl S3 {
    pub(crate) fn new(settings: &S3Settings) -> Result<Self, BlobError> {
        let connector = Connector::new(settings.attempt_timeout, settings.concurrency)
            .map_err(|error| BlobError::Unavailable(format!("TLS: {error}")))?;
        let endpoint = settings.endpoint.as_str().trim_end_matches('/').to_owned();
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint.clone())
            .with_bucket_name(settings.bucket.clone())
            .with_region(settings.region.clone())
            .with_access_key_id(settings.access_key_id.clone())
            .with_secret_access_key(settings.secret_access_key.expose())
            .with_virtual_hosted_style_request(false)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_allow_http(settings.endpoint.scheme() == "http")
            .with_http_connector(connector)
            // What is tried again, and for how long, is decided in `attempts`.
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            })
            .build()
            .map_err(|error| BlobError::Refused(format!("the settings of S3: {error}")))?;
        let prefix = match settings.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self(Arc::new(Shared {
            store,
            attempts: Attempts::new(settings.timeout, settings.concurrency),
            prefix,
            bucket: settings.bucket.clone(),
            endpoint,
            conditions: Conditions::default(),
        })))
    }

    /// For people: where it is.
    pub(crate) fn place(&self) -> String {
        let Shared {
            endpoint,
            bucket,
            prefix,
            ..
        } = &*self.0;
        format!("{endpoint}/{bucket}/{prefix}")
    }

    /// Asks the server whether it may be asked.
    pub(crate) async fn check(&self) -> Result<(), BlobError> {
        let deadline = self.0.attempts.deadline(0);
        let below = format!("{}{NOBODY}", self.0.prefix);
        self.list_page(&below, None, 1, deadline).await?;
        Ok(())
    }

    /// Does with an object that is nobody's what the access key must be allowed to do with others.
    pub(crate) async fn probe(&self) -> Result<(), BlobError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| BlobError::Unavailable(format!("no randomness: {error}")))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("{}{NOBODY}{name}", self.0.prefix);
        let location = Location::parse(&key)
            .map_err(|error| BlobError::Refused(format!("the key {key:?}: {error}")))?;
        let content = Bytes::from(vec![0x5a; PROBE_BYTES]);
        self.put_whole(&location, content.clone(), Attributes::new())
            .await?;
        let read = self.read(&location, GetOptions::default()).await;
        // Whatever was read: nothing is left.
        let removed = self.delete_page(vec![location]).await;
        let read = absent_is_none(read)?.map(|(content, _)| content);
        if read != Some(content) {
            return Err(BlobError::Unavailable(
                "GET: what was written is not what is read".to_owned(),
            ));
        }
        removed.map(drop)
    }

    pub(crate) async fn put(
        &self,
        key: &str,
        content: Bytes,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<(), BlobError> {
        let attributes = Description::new(key, content_type, metadata)?.to_attributes(key);
        let location = self.location(key)?;
        if content.len() > MAX_OBJECT_BYTES {
            let size = content.len();
            return Err(BlobError::Refused(format!(
                "{size} bytes exceed {MAX_OBJECT_BYTES}"
            )));
        }
        self.put_whole(&location, content, attributes).await
    }

    /// Puts an object in the place of the one that is there, if any, and of no other: the request says
    /// which. So an attempt that was given up, and that the server carries out much later, cannot
    /// undo a write that came after it.
    async fn put_whole(
        &self,
        location: &Location,
        content: Bytes,
        attributes: Attributes,
    ) -> Result<(), BlobError> {
        let deadline = self.0.attempts.deadline(content.len());
        let payload = PutPayload::from(content);
        // Nearly always there is none.
        let mut mode = PutMode::Create;
        for _ in 0..MAX_CONFLICTS {
            if !self.0.conditions.are_known(Instant::now()) {
                mode = PutMode::Overwrite;
            }
            let put = || async {
                let options = PutOptions {
                    mode: mode.clone(),
                    attributes: attributes.clone(),
                    ..PutOptions::default()
                };
                self.0
                    .store
                    .put_opts(location, payload.clone(), options)
                    .await
            };
            let failed = match self.0.attempts.run("PUT", deadline, put).await {
                Ok(_) => return Ok(()),
                Err(failed) => failed,
            };
            let is_conditional = !matches!(mode, PutMode::Overwrite);
            let is_update = matches!(mode, PutMode::Update(_));
            if failed.failure.is_conflict() || (is_update && failed.failure.is_absent()) {
                mode = self.mode_now(location, deadline).await?;
            } else if is_conditional && failed.failure.is_not_implemented() {
                self.0.conditions.unknown(Instant::now());
            } else {
                return Err(failed.into());
            }
        }
        Err(BlobError::Unavailable(
            "PUT: others write the same object again and again".to_owned(),
        ))
    }

    async fn mode_now(&self, location: &Location, deadline: Instant) -> Result<PutMode, BlobError> {
        let found = self.look(location, deadline).await?;
        let version = found.and_then(|(meta, _)| meta.e_tag);
        Ok(version.map_or(PutMode::Create, |version| {
            PutMode::Update(UpdateVersion {
                e_tag: Some(version),
                version: None,
            })
        }))
    }

    pub(crate) fn begin(
        &self,
        key: &str,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<Upload, BlobError> {
        let description = Description::new(key, content_type, metadata)?;
        let attributes = description.to_attributes_beside_a_mark(key);
        Ok(Upload::new(self.clone(), self.location(key)?, attributes))
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<Stored>, BlobError> {
        let deadline = self.0.attempts.deadline(0);
        let found = self.look(&self.location(key)?, deadline).await?;
        Ok(found.map(|(meta, _)| Stored {
            size: meta.size,
            version: meta.e_tag.unwrap_or_default(),
        }))
    }

    async fn look(
        &self,
        location: &Location,
        deadline: Instant,
    ) -> Result<Option<(object_store::ObjectMeta, Attributes)>, BlobError> {
        let head = || async {
            let options = GetOptions {
                head: true,
                ..GetOptions::default()
            };
            let found = self.0.store.get_opts(location, options).await?;
            Ok((found.meta, found.attributes))
        };
        absent_is_none(self.0.attempts.run("HEAD", deadline, head).await)
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
        let location = self.location(key)?;
        if version.is_empty() {
            return Ok(None);
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(offset..end)),
            if_match: Some(version.to_owned()),
            ..GetOptions::default()
        };
        let read = match self.read(&location, options).await {
            Err(failed) if failed.failure.is_conflict() => return Ok(None),
            read => absent_is_none(read)?,
        };
        Ok(read.map(|(content, _)| content))
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Object>, BlobError> {
        let location = self.location(key)?;
        let read = self.read(&location, GetOptions::default()).await;
        Ok(absent_is_none(read)?.map(|(content, attributes)| {
            let (content_type, metadata) = Description::from_attributes(&attributes).into_parts();
            Object {
                content,
                content_type,
                metadata,
            }
        }))
    }

    pub(crate) async fn get_content(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        let location = self.location(key)?;
        let read = self.read(&location, GetOptions::default()).await;
        Ok(absent_is_none(read)?.map(|(content, _)| content))
    }

    /// An answer that breaks off is asked for again, as a whole.
    async fn read(
        &self,
        location: &Location,
        options: GetOptions,
    ) -> Result<(Bytes, Attributes), attempts::Failed> {
        let deadline = self.0.attempts.deadline(0);
        let read = || async {
            let found = self.0.store.get_opts(location, options.clone()).await?;
            let attributes = found.attributes.clone();
            let size = found.range.end - found.range.start;
            if size > MAX_OBJECT_BYTES as u64 {
                return Err(failure::too_large(size));
            }
            Ok((found.bytes().await?, attributes))
        };
        self.0.attempts.run("GET", deadline, read).await
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let location = self.location(key)?;
        self.delete_page(vec![location]).await?;
        Ok(())
    }

    pub(crate) async fn delete_prefix(&self, prefix: &str) -> Result<u32, BlobError> {
        // It is checked; the text keeps its slash, so that it stands for whole parts.
        key::parse_prefix(prefix)?;
        let prefix = format!("{}{prefix}", self.0.prefix);
        let mut removals = JoinSet::new();
        let (mut removed, mut token) = (0_u32, None);
        loop {
            let deadline = self.0.attempts.deadline(0);
            let page = self.list_page(&prefix, token, PAGE, deadline).await?;
            let objects = page.result.objects.into_iter();
            let found: Vec<Location> = objects.map(|object| object.location).collect();
            if removals.len() == PAGES_AT_ONCE {
                removed = removed.saturating_add(joined(removals.join_next().await)?);
            }
            let store = self.clone();
            removals.spawn(async move { store.delete_page(found).await });
            token = page.page_token;
            if token.is_none() {
                break;
            }
        }
        while !removals.is_empty() {
            removed = removed.saturating_add(joined(removals.join_next().await)?);
        }
        Ok(removed)
    }

    async fn list_page(
        &self,
        prefix: &str,
        token: Option<String>,
        limit: usize,
        deadline: Instant,
    ) -> Result<object_store::list::PaginatedListResult, BlobError> {
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        let list = || async {
            let options = PaginatedListOptions {
                max_keys: Some(limit),
                page_token: token.clone(),
                ..PaginatedListOptions::default()
            };
            self.0.store.list_paginated(prefix, options).await
        };
        Ok(self.0.attempts.run("LIST", deadline, list).await?)
    }

    /// Removes at most a page of objects; they need not be there.
    async fn delete_page(&self, found: Vec<Location>) -> Result<u32, BlobError> {
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        if found.is_empty() {
            return Ok(0);
        }
        let deadline = self.0.attempts.deadline(0);
        let delete = || async {
            let found = stream::iter(found.clone().into_iter().map(Ok)).boxed();
            let mut removed = self.0.store.delete_stream(found);
            while removed.try_next().await?.is_some() {}
            Ok(())
        };
        self.0.attempts.run("DELETE", deadline, delete).await?;
        Ok(count)
    }

    pub(crate) async fn exists(&self, key: &str) -> Result<bool, BlobError> {
        Ok(self.head(key).await?.is_some())
    }

    fn location(&self, key: &str) -> Result<Location, BlobError> {
        key::parse(key)?;
        let whole = format!("{}{key}", self.0.prefix);
        if whole.len() > MAX_KEY_BYTES {
            return Err(BlobError::Refused(format!(
                "the key {key:?}: with the prefix it has {} bytes, more than {MAX_KEY_BYTES}",
                whole.len()
            )));
        }
        Location::parse(&whole)
            .map_err(|error| BlobError::Refused(format!("the key {key:?}: {error}")))
    }
}

/// What a page's removal came to.
fn joined(
    removal: Option<Result<Result<u32, BlobError>, tokio::task::JoinError>>,
) -> Result<u32, BlobError> {
    match removal {
        None => Ok(0),
        Some(Ok(removed)) => removed,
        Some(Err(error)) => Err(BlobError::Unavailable(error.to_string())),
    }
}

fn absent_is_none<T>(result: Result<T, attempts::Failed>) -> Result<Option<T>, BlobError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(failed) if failed.failure.is_absent() => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}

impl From<attempts::Failed> for BlobError {
    fn from(failed: attempts::Failed) -> Self {
        let text = failed.to_string();
        match failed.failure {
            Failure::Answered(answered) if !answered.may_pass() => Self::Refused(text),
            Failure::TooLarge(_) | Failure::ForeignKey => Self::Refused(text),
            _ => Self::Unavailable(text),
        }
    }
}
