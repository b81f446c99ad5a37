//! How stores are used, beyond what Spin's `runtime-config.toml` says: settings of the host's own, in the
//! environment. Each is read and checked here; docs/redis.md and docs/durability.md list them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use key_value_store::Durability;

/// What the keys in a Redis server begin with.
const KEY_PREFIX: &str = "REDIS_KEY_PREFIX";
/// Milliseconds for a connection.
const CONNECT_TIMEOUT: &str = "REDIS_CONNECT_TIMEOUT_MS";
/// Milliseconds for a call.
const TIMEOUT: &str = "REDIS_TIMEOUT_MS";
/// A file with the authorities to trust.
const CA_FILE: &str = "REDIS_CA_FILE";
/// What an ack survives.
const SYNC: &str = "STORE_SYNC";

/// All of them, by their names in the environment.
pub const NAMES: [&str; 5] = [KEY_PREFIX, CONNECT_TIMEOUT, TIMEOUT, CA_FILE, SYNC];

/// Milliseconds without a setting. A call of a component has 60 s; a batch is tried twice.
const DEFAULT_TIMEOUT_MS: u64 = 5_000;
/// The most that can be set.
const MAX_TIMEOUT_MS: u64 = 25_000;
/// The longest prefix that can be set: the store's name comes behind it.
const MAX_PREFIX_CHARS: usize = 64;

/// Settings of the host for its stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// For keys in Redis; none: the app's name.
    pub key_prefix: Option<String>,
    /// For connecting to Redis.
    pub connect_timeout: Duration,
    /// For a call of Redis.
    pub timeout: Duration,
    /// The authorities that may have signed a server's certificate; none: Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// What an ack survives.
    pub sync: Durability,
}

impl StoreSettings {
    /// Reads them; `get` gives a setting by its name, as it is in the environment.
    ///
    /// # Errors
    /// One is not allowed; the text names it and says what is.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let set = |name: &str| {
            let value = get(name).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        let millis = |name: &str| {
            let Some(text) = set(name) else {
                return Ok(Duration::from_millis(DEFAULT_TIMEOUT_MS));
            };
            match text.parse::<u64>() {
                Ok(number) if (1..=MAX_TIMEOUT_MS).contains(&number) => {
                    Ok(Duration::from_millis(number))
                }
                _ => bail!("{name} is \"{text}\": write a whole number from 1 to {MAX_TIMEOUT_MS}"),
            }
        };
        let key_prefix = set(KEY_PREFIX);
        if let Some(prefix) = &key_prefix {
            let is_plain = |character: char| {
                character.is_ascii_alphanumeric() || "-_.:{}/".contains(character)
            };
            if prefix.len() > MAX_PREFIX_CHARS || !prefix.chars().all(is_plain) {
                bail!(
                    "{KEY_PREFIX} is \"{prefix}\": write at most {MAX_PREFIX_CHARS} letters, digits and \
                     any of - _ . : {{ }} /"
                );
            }
        }
        let sync = match set(SYNC).as_deref() {
            None | Some("process") => Durability::Normal,
            Some("power") => Durability::Full,
            Some(other) => bail!("{SYNC} is \"{other}\": write process or power"),
        };
        Ok(Self {
            key_prefix,
            connect_timeout: millis(CONNECT_TIMEOUT)?,
            timeout: millis(TIMEOUT)?,
            ca_file: set(CA_FILE).map(PathBuf::from),
            sync,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(name: &str, value: &str) -> anyhow::Result<StoreSettings> {
        StoreSettings::read(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn without_settings_there_are_defaults() {
        let settings = read("", "").unwrap();
        assert_eq!(settings.timeout, Duration::from_secs(5));
        assert_eq!(settings.connect_timeout, Duration::from_secs(5));
        assert_eq!((settings.key_prefix, settings.ca_file), (None, None));
        assert_eq!(settings.sync, Durability::Normal);
        assert_eq!(read(SYNC, " ").unwrap().sync, Durability::Normal);
    }

    #[test]
    fn what_is_set_is_checked_and_named() {
        assert_eq!(read(SYNC, "power").unwrap().sync, Durability::Full);
        assert_eq!(
            read(TIMEOUT, "700").unwrap().timeout,
            Duration::from_millis(700)
        );
        let prefix = read(KEY_PREFIX, "team-a:").unwrap().key_prefix;
        assert_eq!(prefix.as_deref(), Some("team-a:"));
        for (name, value, allowed) in [
            (SYNC, "disk", "process or power"),
            (TIMEOUT, "0", "from 1 to 25000"),
            (CONNECT_TIMEOUT, "5s", "from 1 to 25000"),
            (KEY_PREFIX, "#a", "letters"),
        ] {
            let error = read(name, value).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(allowed), "{error}");
        }
    }
}
