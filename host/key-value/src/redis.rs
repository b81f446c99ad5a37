//! The store in a Redis server, which several hosts can share.
//!
//! An app's keys are `<prefix><key>`. Beside them, under names that no app's key has, are the presence of
//! each run of a host (`#<prefix>host/<host>/<run>`) and the claims (`#<prefix>claims`).

mod address;
mod claims;
mod link;
mod scripts;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, Value, cmd};

pub use claims::{Claim, Lost};

use crate::checks::{check_entries, check_key, check_keys, check_value};
use crate::limits::{PAGE_KEYS, PROBE_BYTES};
use crate::{Answer, Entry, KeyPage, KeyValue, KvError, Swap};
use address::Address;
use link::{Again, Link, Plan, Run};
use scripts::Script;

/// The longest prefix of an app's keys, in bytes.
pub const MAX_PREFIX_BYTES: usize = 128;

/// Keys that are looked at with one command of a listing, and how many such commands make a page at most:
/// a page of a store in which others have most keys may be empty.
const SCAN_KEYS: usize = PAGE_KEYS / 2;
const SCANS_PER_PAGE: usize = 100;

/// Where a store is and how it is used.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://` with TLS, or `unix:///path`.
    pub url: String,
    /// What the keys begin with: not empty, not beginning with `#`, at most [`MAX_PREFIX_BYTES`].
    pub prefix: String,
    /// Names this host among those that share the server: letters, digits and `-`. Of two that run at the
    /// same time with the same name, each takes what the other has for its own earlier run's.
    pub host: String,
    /// The certificates of the authorities to trust, PEM. None: Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// For address, connection, TLS and login together.
    pub connect_timeout: Duration,
    /// For one call, with the time that it waits for a connection.
    pub response_timeout: Duration,
}

impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisSettings")
            .field("prefix", &self.prefix)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// A store in a Redis server. Clones are the same store, with the same connection.
///
/// Reads and plain writes are made again when a connection breaks, until their time is over: setting or
/// removing twice is the same as once. A compare-and-swap or an increment whose answer is lost is
/// [`KvError::Unanswered`].
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    prefix: Arc<str>,
    /// This run of this host.
    run: Arc<str>,
    has_namesake: Arc<AtomicBool>,
    claim: Option<Claim>,
}

impl RedisStore {
    /// Connects to the server.
    ///
    /// # Errors
    /// [`KvError::Unavailable`]: a setting is wrong, the server is not there, does not know the user, has
    /// a certificate that is not trusted.
    pub async fn open(settings: &RedisSettings) -> Result<Self, KvError> {
        let fail = |place: &str, message: String| KvError::Unavailable {
            place: place.to_owned(),
            message,
        };
        check_prefix(&settings.prefix).map_err(|why| fail("Redis", why))?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if settings.host.is_empty() || !settings.host.bytes().all(is_plain) {
            return Err(fail("Redis", "the host's name is no plain name".to_owned()));
        }
        let address = Address::parse(&settings.url, settings.ca_file.as_deref())
            .map_err(|why| fail("Redis", why))?;
        let shown = address.shown.clone();
        if address.is_open() && address.login.password().is_some() {
            tracing::warn!(
                server = shown,
                "the password goes over the network in the clear: use rediss://"
            );
        }
        let run = format!("{}/{}", settings.host, uuid::Uuid::new_v4().simple());
        let link = Link::open(Plan {
            address,
            presence: presence(&settings.prefix, &run),
            claims: format!("#{}claims", settings.prefix),
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
        });
        let link = link.await.map_err(|why| fail(&shown, why))?;
        let store = Self {
            link: Arc::new(link),
            prefix: Arc::from(settings.prefix.as_str()),
            run: Arc::from(run),
            has_namesake: Arc::default(),
            claim: None,
        };
        store.warn_of_losses().await;
        Ok(store)
    }

    /// The server, without user and password.
    pub fn place(&self) -> String {
        self.link.plan().address.shown.clone()
    }

    /// Whether the server waits for the disk before it answers a write (`appendfsync always`). None: it does
    /// not tell.
    pub async fn waits_for_disk(&self) -> Option<bool> {
        let appended = self.config("appendonly").await?;
        let waits = self.config("appendfsync").await?;
        Some(appended == "yes" && waits == "always")
    }

    async fn config(&self, name: &str) -> Option<String> {
        let mut get = cmd("CONFIG");
        get.arg("GET").arg(name);
        let value = self.link.read(&get).await.ok()?;
        let (_, value): (String, String) = FromRedisValue::from_redis_value(value).ok()?;
        Some(value)
    }

    /// Says how the server, as it is set up, would lose what it was given.
    async fn warn_of_losses(&self) {
        let place = self.place();
        if let Some(policy) = self.config("maxmemory-policy").await
            && policy != "noeviction"
        {
            tracing::warn!(
                server = place,
                "the server throws keys away when its memory is full: set maxmemory-policy to noeviction"
            );
        }
        if self.config("appendonly").await.as_deref() == Some("no") {
            tracing::warn!(
                server = place,
                "the server forgets the last minutes when it ends: set appendonly to yes"
            );
        }
    }

    fn presence_of(&self, run: &str) -> String {
        presence(&self.prefix, run)
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn read<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, KvError> {
        answer(self.link.read(command).await?, &self.place())
    }

    /// A write that is done only while the claim is held, if there is one.
    async fn write(
        &self,
        script: Script,
        keys: Vec<String>,
        arguments: Vec<&[u8]>,
    ) -> Result<(), KvError> {
        let claim = self.claim.as_ref();
        let run = Run {
            script,
            claim: claim.map(|claim| (&*claim.field, &*claim.token)),
            keys,
            arguments,
        };
        self.link.run(&run, Again::Yes).await.map(drop)
    }

    /// A write of one key that is not bound to a claim, and may not be made twice.
    async fn change(
        &self,
        script: Script,
        key: &str,
        arguments: Vec<&[u8]>,
    ) -> Result<Value, KvError> {
        let run = Run {
            script,
            claim: None,
            keys: vec![self.name(key)],
            arguments,
        };
        self.link.run(&run, Again::No).await
    }

    async fn page(&self, cursor: Option<&str>) -> Result<KeyPage, KvError> {
        let begin = |text: &str| text.parse::<u64>().map_err(|_| KvError::BadCursor);
        let mut cursor = cursor.map_or(Ok(0), begin)?;
        let pattern = format!("{}*", escaped(&self.prefix));
        let mut keys = BTreeSet::new();
        for _ in 0..SCANS_PER_PAGE {
            let mut scan = cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(SCAN_KEYS);
            let (next, found): (u64, Vec<Vec<u8>>) = self.read(&scan).await?;
            // A key that is no text is not the app's.
            let texts = found
                .into_iter()
                .filter_map(|key| String::from_utf8(key).ok());
            keys.extend(texts.filter_map(|key| Some(key.strip_prefix(&*self.prefix)?.to_owned())));
            cursor = next;
            if cursor == 0 || keys.len() >= SCAN_KEYS {
                break;
            }
        }
        Ok(KeyPage {
            keys: keys.into_iter().collect(),
            cursor: (cursor != 0).then(|| cursor.to_string()),
        })
    }
}

impl KeyValue for RedisStore {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            check_key(key)?;
            self.read(cmd("GET").arg(self.name(key))).await
        })
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move {
            check_key(key)?;
            check_value(value)?;
            self.write(Script::SetMany, vec![self.name(key)], vec![value])
                .await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            check_key(key)?;
            self.write(Script::DeleteMany, vec![self.name(key)], Vec::new())
                .await
        })
    }

    fn exists<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            check_key(key)?;
            self.read(cmd("EXISTS").arg(self.name(key))).await
        })
    }

    fn list_keys<'a>(&'a self, cursor: Option<&'a str>) -> Answer<'a, KeyPage> {
        Box::pin(self.page(cursor))
    }

    fn get_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move {
            check_keys(keys)?;
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let mut get = cmd("MGET");
            for key in keys {
                get.arg(self.name(key));
            }
            let values: Vec<Option<Vec<u8>>> = self.read(&get).await?;
            Ok(keys.iter().cloned().zip(values).collect())
        })
    }

    fn set_many<'a>(&'a self, entries: &'a [(String, Vec<u8>)]) -> Answer<'a, ()> {
        Box::pin(async move {
            check_entries(entries)?;
            if entries.is_empty() {
                return Ok(());
            }
            let keys = entries.iter().map(|(key, _)| self.name(key)).collect();
            let values = entries.iter().map(|(_, value)| value.as_slice()).collect();
            self.write(Script::SetMany, keys, values).await
        })
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> Answer<'a, ()> {
        Box::pin(async move {
            check_keys(keys)?;
            if keys.is_empty() {
                return Ok(());
            }
            let keys = keys.iter().map(|key| self.name(key)).collect();
            self.write(Script::DeleteMany, keys, Vec::new()).await
        })
    }

    fn increment<'a>(&'a self, key: &'a str, delta: i64) -> Answer<'a, i64> {
        Box::pin(async move {
            check_key(key)?;
            let delta = delta.to_string();
            let sum = self
                .change(Script::Increment, key, vec![delta.as_bytes()])
                .await
                .map_err(|error| not_a_number(error, key))?;
            answer(sum, &self.place())
        })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
    ) -> Answer<'a, Swap> {
        Box::pin(async move {
            check_key(key)?;
            check_value(new)?;
            let (flag, value): (&[u8], &[u8]) = match expected {
                Some(value) => (b"1", value),
                None => (b"0", b""),
            };
            let done = self
                .change(Script::Swap, key, vec![flag, value, new])
                .await?;
            match done {
                Value::Array(parts) if parts.first() == Some(&Value::Int(1)) => Ok(Swap::Swapped),
                other => {
                    let (_, current): (i64, Option<Vec<u8>>) = answer(other, &self.place())?;
                    Ok(Swap::Differs(current))
                }
            }
        })
    }

    fn check(&self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(self.link.check()))
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let value = vec![0; PROBE_BYTES];
            let key = || vec![format!("#{}probe/{}", self.prefix, self.run)];
            for (script, keys, arguments) in [
                (Script::SetMany, key(), vec![value.as_slice()]),
                (Script::DeleteMany, key(), Vec::new()),
            ] {
                let run = Run {
                    script,
                    claim: None,
                    keys,
                    arguments,
                };
                self.link.run(&run, Again::Yes).await?;
            }
            Ok(())
        })
    }

    fn under(&self, claim: &Claim) -> Option<Arc<dyn KeyValue>> {
        Some(Arc::new(Self {
            claim: Some(claim.clone()),
            ..self.clone()
        }))
    }
}

fn presence(prefix: &str, run: &str) -> String {
    format!("#{prefix}host/{run}")
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    let fits = (1..=MAX_PREFIX_BYTES).contains(&prefix.len());
    if !fits || prefix.starts_with('#') || prefix.chars().any(char::is_control) {
        return Err(format!(
            "a prefix of keys has 1 to {MAX_PREFIX_BYTES} bytes and does not begin with #"
        ));
    }
    Ok(())
}

/// The prefix in a pattern that matches it only.
fn escaped(prefix: &str) -> String {
    let mut pattern = String::new();
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// The server's answer in the form that was asked for.
fn answer<T: FromRedisValue>(value: Value, place: &str) -> Result<T, KvError> {
    T::from_redis_value(value).map_err(|_| KvError::Damaged {
        place: place.to_owned(),
        message: "the server answers something else than was asked for".to_owned(),
    })
}

/// The server's words for a value that cannot be added to.
fn not_a_number(error: KvError, key: &str) -> KvError {
    let why = match &error {
        KvError::Unavailable { message, .. } if message.contains("not an integer") => {
            "a number is stored as decimal digits"
        }
        KvError::Unavailable { message, .. } if message.contains("overflow") => {
            "the sum does not fit in 64 bits"
        }
        _ => return error,
    };
    KvError::NotANumber {
        key: key.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_itself_only() {
        assert_eq!(escaped("a*[b]?\\c:"), "a\\*\\[b\\]\\?\\\\c:");
    }

    #[test]
    fn prefixes_leave_room_for_what_is_not_the_apps() {
        assert!(check_prefix("app:").is_ok());
        for bad in ["", "#app:", "a\nb", &"x".repeat(MAX_PREFIX_BYTES + 1)] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_shown_without_the_url() {
        let settings = RedisSettings {
            url: "redis://:hush@h".to_owned(),
            prefix: "app:".to_owned(),
            host: "a".to_owned(),
            ca_file: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
        };
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
