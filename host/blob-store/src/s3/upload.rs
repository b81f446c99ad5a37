//! An object that comes in pieces: one put where it fits into a part, else S3's own upload in parts,
//! whose parts nobody sees before all are put together.

use bytes::{Bytes, BytesMut};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Location;
use object_store::{Attribute, Attributes, PutMultipartOptions, PutPayload};
use s3_protocol::{MAX_MARK_BYTES, UPLOAD_MARK};

use super::S3;
use crate::BlobError;
use crate::upload::{MAX_UPLOAD_BYTES, PART_BYTES};

/// An object on its way to S3.
#[derive(Debug)]
pub(crate) struct Upload {
    store: S3,
    location: Location,
    attributes: Attributes,
    part: BytesMut,
    /// Bytes so far.
    written: u64,
    parts: Option<Parts>,
}

impl Upload {
    pub(crate) fn new(store: S3, location: Location, attributes: Attributes) -> Self {
        Self {
            store,
            location,
            attributes,
            part: BytesMut::new(),
            written: 0,
            parts: None,
        }
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), BlobError> {
        self.written += bytes.len() as u64;
        if self.written > MAX_UPLOAD_BYTES {
            return Err(BlobError::Refused(format!(
                "the object is larger than {MAX_UPLOAD_BYTES} bytes"
            )));
        }
        while !bytes.is_empty() {
            // Only when more comes: what fits into one part is put as a whole.
            if self.part.len() == PART_BYTES {
                self.give_on().await?;
            }
            let room = PART_BYTES - self.part.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.part.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<(), BlobError> {
        if self.parts.is_none() {
            let content = self.part.split().freeze();
            let attributes = std::mem::take(&mut self.attributes);
            return self
                .store
                .put_whole(&self.location, content, attributes)
                .await;
        }
        if !self.part.is_empty() {
            self.give_on().await?;
        }
        match self.parts.take() {
            Some(parts) => parts.complete().await,
            None => Ok(()),
        }
    }

    async fn give_on(&mut self) -> Result<(), BlobError> {
        let part = self.part.split().freeze();
        if self.parts.is_none() {
            let attributes = std::mem::take(&mut self.attributes);
            let parts = Parts::begin(&self.store, &self.location, attributes).await?;
            self.parts = Some(parts);
        }
        match &mut self.parts {
            Some(parts) => parts.put(part).await,
            None => Ok(()),
        }
    }
}

/// An upload in parts that the server knows; dropped before it is complete it is given up.
#[derive(Debug)]
struct Parts {
    store: S3,
    location: Location,
    id: String,
    /// Stands in the object's metadata: by it the object is known again.
    mark: String,
    done: Vec<PartId>,
    is_over: bool,
}

impl Parts {
    async fn begin(
        store: &S3,
        location: &Location,
        mut attributes: Attributes,
    ) -> Result<Self, BlobError> {
        let mark = mark()?;
        attributes.insert(Attribute::Metadata(UPLOAD_MARK.into()), mark.clone().into());
        let deadline = store.0.attempts.deadline(0);
        let create = || {
            let options = PutMultipartOptions {
                attributes: attributes.clone(),
                ..PutMultipartOptions::default()
            };
            store.0.store.create_multipart_opts(location, options)
        };
        let id = store.0.attempts.run("POST", deadline, create).await?;
        Ok(Self {
            store: store.clone(),
            location: location.clone(),
            id,
            mark,
            done: Vec::new(),
            is_over: false,
        })
    }

    async fn put(&mut self, part: Bytes) -> Result<(), BlobError> {
        let deadline = self.store.0.attempts.deadline(part.len());
        let payload = PutPayload::from(part);
        let put = || {
            self.store
                .0
                .store
                .put_part(&self.location, &self.id, self.done.len(), payload.clone())
        };
        let done = self.store.0.attempts.run("PUT", deadline, put).await?;
        self.done.push(done);
        Ok(())
    }

    async fn complete(mut self) -> Result<(), BlobError> {
        let deadline = self.store.0.attempts.deadline(0);
        let complete = || {
            self.store
                .0
                .store
                .complete_multipart(&self.location, &self.id, self.done.clone())
        };
        match self.store.0.attempts.run("POST", deadline, complete).await {
            Ok(_) => {}
            // An earlier attempt went well, if the object is this one.
            Err(failed) if failed.is_repeated() && failed.failure.is_no_upload() => {
                let found = self.store.look(&self.location, deadline).await?;
                let is_this = found.is_some_and(|(_, attributes)| self.is_mark_in(&attributes));
                if !is_this {
                    return Err(failed.into());
                }
            }
            Err(failed) => return Err(failed.into()),
        }
        self.is_over = true;
        Ok(())
    }

    fn is_mark_in(&self, attributes: &Attributes) -> bool {
        let mark = attributes.get(&Attribute::Metadata(UPLOAD_MARK.into()));
        mark.is_some_and(|mark| mark.as_ref() == self.mark)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // Nobody waits for this. What is left all the same is for the bucket's lifecycle rule.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.is_over {
            return;
        }
        let (store, location, id) = (
            self.store.clone(),
            self.location.clone(),
            std::mem::take(&mut self.id),
        );
        runtime.spawn(async move {
            let deadline = store.0.attempts.deadline(0);
            let abort = || store.0.store.abort_multipart(&location, &id);
            let aborted = store.0.attempts.run("DELETE", deadline, abort).await;
            if let Err(failed) = aborted
                && !failed.failure.is_no_upload()
            {
                tracing::warn!(%failed, "parts of an upload that was given up are left on S3");
            }
        });
    }
}

fn mark() -> Result<String, BlobError> {
    let mut bytes = [0_u8; MAX_MARK_BYTES / 2];
    getrandom::fill(&mut bytes)
        .map_err(|error| BlobError::Unavailable(format!("no randomness: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
