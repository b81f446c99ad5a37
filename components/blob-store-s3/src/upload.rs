//! An object that comes in pieces: one put where it fits into a part, else S3's own upload in parts,
//! whose parts nobody sees before all are put together.

use std::cell::RefCell;

use s3_protocol::requests::{self, Description};

use crate::exchange::{Answer, ask};
use crate::store::Store;
use crate::wit::{Error, GuestUpload};

/// The largest object that is written in pieces, in bytes.
const MAX_UPLOAD_BYTES: u64 = 4 << 30;

/// What is held in memory before it is given on, in bytes: the size of all parts but the last. S3 wants
/// at least 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// An upload; none while a call is under way, after a failed one, and once it is finished.
pub struct Upload(RefCell<Option<State>>);

struct State {
    store: Store,
    place: String,
    content_type: String,
    metadata: Vec<(String, String)>,
    part: Vec<u8>,
    /// Bytes so far.
    written: u64,
    parts: Option<Parts>,
}

struct Parts {
    id: String,
    mark: String,
    /// The versions of the parts that are stored.
    done: Vec<String>,
}

impl Upload {
    pub fn begin(
        key: &str,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<Self, Error> {
        let store = Store::open()?;
        let place = store.bucket.place(key).map_err(Error::Refused)?;
        Description::new(content_type, metadata).map_err(Error::Refused)?;
        Ok(Self(RefCell::new(Some(State {
            store,
            place,
            content_type: content_type.to_owned(),
            metadata: metadata.to_vec(),
            part: Vec::new(),
            written: 0,
            parts: None,
        }))))
    }

    fn take(&self) -> Result<State, Error> {
        let busy = || {
            let busy = "this upload is busy, has failed or is finished: begin another one";
            Error::Refused(busy.to_owned())
        };
        self.0.borrow_mut().take().ok_or_else(busy)
    }
}

impl GuestUpload for Upload {
    async fn write(&self, bytes: Vec<u8>) -> Result<(), Error> {
        let mut state = self.take()?;
        state.begins();
        if let Err(error) = state.write(&bytes).await {
            state.abort().await;
            return Err(error);
        }
        self.0.replace(Some(state));
        Ok(())
    }

    async fn finish(&self) -> Result<(), Error> {
        let mut state = self.take()?;
        state.begins();
        let finished = state.finish().await;
        if finished.is_err() {
            state.abort().await;
        }
        finished
    }
}

impl State {
    /// A call begins, with a time of its own.
    fn begins(&mut self) {
        self.store.patience = self.store.patience.renewed();
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.written += bytes.len() as u64;
        if self.written > MAX_UPLOAD_BYTES {
            return Err(Error::Refused(format!(
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

    async fn finish(&mut self) -> Result<(), Error> {
        if self.parts.is_none() {
            let description = Description::new(&self.content_type, &self.metadata);
            let description = description.map_err(Error::Refused)?;
            return self
                .store
                .put_whole(&self.place, &self.part, &description)
                .await;
        }
        if !self.part.is_empty() {
            self.give_on().await?;
        }
        match &self.parts {
            Some(parts) => self.complete(parts).await,
            None => Ok(()),
        }
    }

    async fn give_on(&mut self) -> Result<(), Error> {
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => self.begin_parts().await?,
        };
        let part = std::mem::take(&mut self.part);
        let number = u16::try_from(parts.done.len() + 1).unwrap_or(u16::MAX);
        let put = |now| {
            let bucket = &self.store.bucket;
            bucket.put_part(now, &self.place, &parts.id, number, part.clone())
        };
        let version = |answer: Answer| {
            let mut headers = answer.headers.into_iter();
            headers
                .find(|(name, _)| name == "etag")
                .map(|(_, value)| value)
        };
        self.store.patience = self.store.patience.for_bytes(part.len());
        let put = ask("PUT", self.store.patience, put, version);
        let stored = put.await;
        if let Ok(version) = &stored {
            parts.done.push(version.clone());
        }
        self.parts = Some(parts);
        stored?;
        Ok(())
    }

    async fn begin_parts(&self) -> Result<Parts, Error> {
        let random = getrandom::u64()
            .map_err(|error| Error::Unavailable(format!("no randomness: {error}")))?;
        let mark = format!("{random:016x}");
        let description = Description::marked(&self.content_type, &self.metadata, &mark);
        let description = description.map_err(Error::Refused)?;
        let begin = |now| self.store.bucket.begin(now, &self.place, &description);
        let read = |answer: Answer| requests::read_upload(&String::from_utf8_lossy(&answer.body));
        let id = ask("POST", self.store.patience, begin, read).await?;
        Ok(Parts {
            id,
            mark,
            done: Vec::new(),
        })
    }

    async fn complete(&self, parts: &Parts) -> Result<(), Error> {
        let complete = |now| {
            let bucket = &self.store.bucket;
            bucket.complete(now, &self.place, &parts.id, &parts.done)
        };
        // S3 answers 200 before it knows.
        let read = |answer: Answer| {
            requests::is_complete(&String::from_utf8_lossy(&answer.body)).then_some(())
        };
        match ask("POST", self.store.patience, complete, read).await {
            Ok(()) => Ok(()),
            // An earlier attempt went well, if the object is this one.
            Err(failed) if failed.attempts > 1 && failed.is_no_upload() => {
                let found = self.store.look(&self.place, self.store.patience).await?;
                match found {
                    Some((_, Some(mark))) if mark == parts.mark => Ok(()),
                    _ => Err(failed.into()),
                }
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// Gives the parts up, if there are any and the call has time for it; what is left is for the bucket's
    /// lifecycle rule.
    async fn abort(self) {
        if let Some(parts) = self.parts
            && !self.store.patience.is_over()
        {
            let abort = |now| self.store.bucket.abort(now, &self.place, &parts.id);
            let _ = ask("DELETE", self.store.patience, abort, |_| Some(())).await;
        }
    }
}
