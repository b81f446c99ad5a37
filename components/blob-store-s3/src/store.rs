//! What each call of the store means on S3.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use s3_protocol::keys::{FOREIGN_KEY, is_plain};
use s3_protocol::requests::{self, Bucket, Condition, Description};
use s3_protocol::settings::Choice;

use crate::bindings::wasi::config::store as config;
use crate::exchange::{Answer, Failed, Patience, ask};
use crate::wit::{Error, Object, Stored};

/// The largest content of an object, in bytes. It is held in memory while it is stored or read.
const MAX_OBJECT_BYTES: usize = 64 << 20;

/// How often a write looks again at what others have put in its place meanwhile, before it gives up.
const MAX_CONFLICTS: u32 = 4;

/// Objects that are removed at the same time: there is one request for each.
const REMOVALS_AT_ONCE: usize = 16;

/// For how long writes go without a condition after a server said that it knows none.
const WITHOUT_CONDITIONS: Duration = Duration::from_secs(600);

thread_local! {
    /// The server said that it knows no conditions: not asked before this.
    static CONDITIONS_AGAIN_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The bucket that the settings name, for one call.
pub struct Store {
    pub bucket: Bucket,
    pub patience: Patience,
}

impl Store {
    /// Reads the settings.
    pub fn open() -> Result<Self, Error> {
        let lookup = |name: &str| match name {
            // This component is the choice.
            "BLOB_STORE" => Some("s3".to_owned()),
            _ => config::get(&name.to_ascii_lowercase()).ok().flatten(),
        };
        let choice = Choice::read(lookup).map_err(|error| Error::Refused(error.to_string()))?;
        let Choice::S3(settings) = choice else {
            return Err(Error::Refused("BLOB_STORE is not s3".to_owned()));
        };
        Ok(Self {
            bucket: Bucket::new(&settings).map_err(Error::Refused)?,
            patience: Patience::new(settings.timeout, settings.attempt_timeout),
        })
    }

    pub async fn put(
        &self,
        key: &str,
        content: Vec<u8>,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<(), Error> {
        let place = self.bucket.place(key).map_err(Error::Refused)?;
        let description = Description::new(content_type, metadata).map_err(Error::Refused)?;
        if content.len() > MAX_OBJECT_BYTES {
            let size = content.len();
            return Err(Error::Refused(format!(
                "{size} bytes exceed {MAX_OBJECT_BYTES}"
            )));
        }
        self.put_whole(&place, &content, &description).await
    }

    /// Puts an object in the place of the one that is there, if any, and of no other: a request that was
    /// given up, and that the server carries out much later, cannot undo a write that came after it.
    pub async fn put_whole(
        &self,
        place: &str,
        content: &[u8],
        description: &Description,
    ) -> Result<(), Error> {
        let patience = self.patience.for_bytes(content.len());
        // Nearly always there is none.
        let mut condition = Condition::Absent;
        for _ in 0..MAX_CONFLICTS {
            if CONDITIONS_AGAIN_AT
                .get()
                .is_some_and(|at| Instant::now() < at)
            {
                condition = Condition::None;
            }
            let put = |now| {
                self.bucket
                    .put(now, place, content.to_vec(), description, &condition)
            };
            let failed = match ask("PUT", patience, put, |_| Some(())).await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            let is_update = matches!(condition, Condition::Version(_));
            if failed.is_conflict() || (is_update && failed.is_absent()) {
                let found = self.look(place, patience).await?;
                condition = match found {
                    Some((stored, _)) => Condition::Version(stored.version),
                    None => Condition::Absent,
                };
            } else if condition != Condition::None && failed.is_not_implemented() {
                CONDITIONS_AGAIN_AT.set(Some(Instant::now() + WITHOUT_CONDITIONS));
            } else {
                return Err(failed.into());
            }
        }
        Err(Error::Unavailable(
            "PUT: others write the same object again and again".to_owned(),
        ))
    }

    pub async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let place = self.bucket.place(key).map_err(Error::Refused)?;
        let get = |now| self.bucket.get(now, &place);
        let answer = absent_is_none(ask("GET", self.patience, get, Some).await)?;
        Ok(answer.map(|Answer { headers, body }| {
            let (content_type, metadata) = Description::read(pairs(&headers));
            Object {
                content: body,
                content_type,
                metadata,
            }
        }))
    }

    pub async fn head(&self, key: &str) -> Result<Option<Stored>, Error> {
        let place = self.bucket.place(key).map_err(Error::Refused)?;
        let found = self.look(&place, self.patience).await?;
        Ok(found.map(|(stored, _)| stored))
    }

    /// What is known of an object, and the mark of the upload that wrote it.
    pub async fn look(
        &self,
        place: &str,
        patience: Patience,
    ) -> Result<Option<(Stored, Option<String>)>, Error> {
        let head = |now| self.bucket.head(now, place);
        let read = |answer: Answer| {
            let header = |wanted: &str| {
                let mut headers = pairs(&answer.headers);
                headers
                    .find(|(name, _)| *name == wanted)
                    .map(|(_, value)| value)
            };
            let stored = Stored {
                size: header("content-length")?.parse().ok()?,
                version: header("etag")?.to_owned(),
            };
            let mark = Description::mark(pairs(&answer.headers)).map(str::to_owned);
            Some((stored, mark))
        };
        absent_is_none(ask("HEAD", patience, head, read).await)
    }

    pub async fn get_range(
        &self,
        key: &str,
        version: &str,
        offset: u64,
        length: u32,
    ) -> Result<Option<Vec<u8>>, Error> {
        let place = self.bucket.place(key).map_err(Error::Refused)?;
        if length as usize > MAX_OBJECT_BYTES {
            return Err(Error::Refused(format!(
                "a range of {length} bytes exceeds {MAX_OBJECT_BYTES}"
            )));
        }
        if version.is_empty() {
            return Ok(None);
        }
        let get = |now| {
            self.bucket
                .get_range(now, &place, version, offset, length.max(1))
        };
        let read = |answer: Answer| (answer.body.len() <= length.max(1) as usize).then_some(answer);
        match ask("GET", self.patience, get, read).await {
            Err(failed) if failed.is_conflict() => Ok(None),
            answer => Ok(absent_is_none(answer)?.map(|mut answer| {
                answer.body.truncate(length as usize);
                answer.body
            })),
        }
    }

    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let place = self.bucket.place(key).map_err(Error::Refused)?;
        self.remove(place).await
    }

    /// Each request has the time of a call: as long as they go well there may be any number.
    pub async fn delete_all(&self, prefix: &str) -> Result<u32, Error> {
        let below = self.bucket.below(prefix).map_err(Error::Refused)?;
        let (mut removed, mut token) = (0_u32, None);
        loop {
            let list = |now| self.bucket.list(now, &below, token.as_deref());
            let page = ask("LIST", self.patience.renewed(), list, |answer| {
                requests::read_page(&String::from_utf8_lossy(&answer.body))
            });
            let page = page.await?;
            let count = u32::try_from(page.keys.len()).unwrap_or(u32::MAX);
            let removals = stream::iter(page.keys).map(|place| self.remove(place));
            let removals = removals.buffer_unordered(REMOVALS_AT_ONCE);
            removals.try_for_each(async |()| Ok(())).await?;
            removed = removed.saturating_add(count);
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok(removed),
            }
        }
    }

    async fn remove(&self, place: String) -> Result<(), Error> {
        if !is_plain(&place) {
            return Err(Error::Refused(format!("DELETE: {FOREIGN_KEY}")));
        }
        let delete = |now| self.bucket.delete(now, &place);
        let removed = ask("DELETE", self.patience.renewed(), delete, |_| Some(()));
        absent_is_none(removed.await)?;
        Ok(())
    }
}

fn pairs(headers: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

fn absent_is_none<T>(result: Result<T, Failed>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(failed) if failed.is_absent() => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}
