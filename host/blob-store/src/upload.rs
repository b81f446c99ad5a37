//! An object that is written in pieces: for what is too large to be held in memory as a whole. Until it
//! is finished the key has what it had before, and an upload that is dropped leaves nothing.

use bytes::{Bytes, BytesMut};
use object_store::path::Path as Location;
use object_store::{MultipartUpload, PutPayload};

use crate::BlobError;

/// The largest object that is written in pieces, in bytes.
pub const MAX_UPLOAD_BYTES: u64 = 4 << 30;

/// What an upload holds in memory before it gives it on to the store, in bytes. Stores that take
/// parts want at least 5 MiB of each but the last.
pub const PART_BYTES: usize = 8 << 20;

/// The pieces on their way into the store.
#[derive(Debug)]
pub(crate) struct Parts {
    upload: Box<dyn MultipartUpload>,
    part: BytesMut,
    /// Bytes so far.
    written: u64,
}

impl Parts {
    pub(crate) fn new(upload: Box<dyn MultipartUpload>) -> Self {
        Self {
            upload,
            part: BytesMut::new(),
            written: 0,
        }
    }

    pub(crate) async fn write(
        &mut self,
        key: &Location,
        mut bytes: &[u8],
    ) -> Result<(), BlobError> {
        self.written += bytes.len() as u64;
        if self.written > MAX_UPLOAD_BYTES {
            return Err(BlobError::Refused(format!(
                "{key} is larger than {MAX_UPLOAD_BYTES} bytes"
            )));
        }
        while !bytes.is_empty() {
            let room = PART_BYTES - self.part.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == PART_BYTES {
                self.give_on().await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<(), BlobError> {
        if !self.part.is_empty() {
            self.give_on().await?;
        }
        self.upload.complete().await?;
        Ok(())
    }

    async fn give_on(&mut self) -> Result<(), BlobError> {
        let part: Bytes = self.part.split().freeze();
        self.upload.put_part(PutPayload::from(part)).await?;
        Ok(())
    }
}
