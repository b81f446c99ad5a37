//! The settings of a blob store on S3: variables of the environment, all read and checked at once.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use crate::keys;

/// A setting, for readers and for the page that lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As in the environment, with or without `SPIN_VARIABLE_` before it.
    pub name: &'static str,
    /// Empty: it has none.
    pub default: &'static str,
    /// What it may be, after "write".
    pub allowed: &'static str,
    /// For people: what it does.
    pub meaning: &'static str,
    /// Its value is never shown.
    pub secret: bool,
}

const KIND: Setting = Setting {
    name: "BLOB_STORE",
    default: "directory",
    allowed: "directory or s3",
    meaning: "Where audio and results are kept: in the state directory, or in a bucket of S3 or R2.",
    secret: false,
};
const ENDPOINT: Setting = Setting {
    name: "S3_ENDPOINT",
    default: "",
    allowed: "an URL that begins with https://, without path, user or query; with http:// only of this machine, or with S3_ALLOW_HTTP",
    meaning: "The server. R2: `https://<account id>.r2.cloudflarestorage.com`.",
    secret: false,
};
const BUCKET: Setting = Setting {
    name: "S3_BUCKET",
    default: "",
    allowed: "a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens",
    meaning: "The bucket; it must be there.",
    secret: false,
};
const REGION: Setting = Setting {
    name: "S3_REGION",
    default: "auto",
    allowed: "a region's name, such as auto or eu-central-1",
    meaning: "Goes into the signature. R2 takes `auto`.",
    secret: false,
};
const PREFIX: Setting = Setting {
    name: "S3_PREFIX",
    default: "",
    allowed: "nothing, or parts of a key joined by single slashes, at most 200 bytes",
    meaning: "Is put before every key, with a slash: several gateways can use one bucket.",
    secret: false,
};
const ACCESS_KEY_ID: Setting = Setting {
    name: "S3_ACCESS_KEY_ID",
    default: "",
    allowed: "a key of at most 512 visible ASCII characters",
    meaning: "The access key's id.",
    // A secret is easily put in its place.
    secret: true,
};
const SECRET_ACCESS_KEY: Setting = Setting {
    name: "S3_SECRET_ACCESS_KEY",
    default: "",
    allowed: "a key of at most 512 visible ASCII characters",
    meaning: "The secret to it.",
    secret: true,
};
const TIMEOUT: Setting = Setting {
    name: "S3_TIMEOUT_MS",
    default: "15000",
    allowed: "a whole number from 1000 to 40000",
    meaning: "Milliseconds that a call has, with all its attempts; writes have a second more for each MiB.",
    secret: false,
};
const ATTEMPT_TIMEOUT: Setting = Setting {
    name: "S3_ATTEMPT_TIMEOUT_MS",
    default: "5000",
    allowed: "a whole number from 100 to 40000, not above S3_TIMEOUT_MS",
    meaning: "Milliseconds that one attempt has until it is answered, and from each piece of the answer to the next; writes have a second more for each MiB.",
    secret: false,
};
const CONCURRENCY: Setting = Setting {
    name: "S3_CONCURRENCY",
    default: "64",
    allowed: "a whole number from 1 to 1024",
    meaning: "Requests at the same time, and connections; further ones wait.",
    secret: false,
};
const ALLOW_HTTP: Setting = Setting {
    name: "S3_ALLOW_HTTP",
    default: "false",
    allowed: "true or false",
    meaning: "True: S3_ENDPOINT may be http:// of another machine. Audio then crosses the network unencrypted.",
    secret: false,
};

/// All settings of the blob store, in the order in which people read them.
pub const SETTINGS: [Setting; 11] = [
    KIND,
    ENDPOINT,
    BUCKET,
    REGION,
    PREFIX,
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    TIMEOUT,
    ATTEMPT_TIMEOUT,
    CONCURRENCY,
    ALLOW_HTTP,
];

/// The longest prefix, in bytes: there must be room for keys.
const MAX_PREFIX_BYTES: usize = 200;

/// The longest key or region, in bytes.
const MAX_TEXT_BYTES: usize = 512;

/// Which blob store is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A directory.
    Directory,
    /// A bucket.
    S3(Box<S3Settings>),
}

/// How to reach a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// Without path, query and user.
    pub endpoint: Url,
    /// Its name.
    pub bucket: String,
    /// Goes into the signature.
    pub region: String,
    /// Before every key, without the slash between them; empty for none.
    pub prefix: String,
    /// The access key's id.
    pub access_key_id: String,
    /// The secret to it.
    pub secret_access_key: Secret,
    /// A call, with all its attempts.
    pub timeout: Duration,
    /// One attempt, until it is answered.
    pub attempt_timeout: Duration,
    /// Requests at the same time.
    pub concurrency: usize,
}

/// A value that is used and never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one who signs with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Settings that cannot be used, a line for each: its name, its value, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settings of the blob store:\n  {}", .0.join("\n  "))]
pub struct SettingsError(Vec<String>);

impl Choice {
    /// Reads the settings; `lookup` gives the value of a name in the environment. White space around
    /// a value does not count, and one that is empty counts as not set.
    ///
    /// # Errors
    /// Some of them cannot be used.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader {
            lookup: &lookup,
            wrong: Vec::new(),
        };
        let is_s3 = reader.take(&KIND, |text| match text {
            "directory" => Some(false),
            "s3" => Some(true),
            _ => None,
        });
        let choice = match is_s3 {
            Some(true) => reader.s3().map(|s3| Self::S3(Box::new(s3))),
            Some(false) | None => Some(Self::Directory),
        };
        match choice {
            Some(choice) if reader.wrong.is_empty() => Ok(choice),
            _ => Err(SettingsError(reader.wrong)),
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn s3(&mut self) -> Option<S3Settings> {
        let allow_http = self.take(&ALLOW_HTTP, |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        });
        let allow_http = allow_http.unwrap_or_default();
        let endpoint = self.take(&ENDPOINT, |text| endpoint(text, allow_http));
        let bucket = self.take(&BUCKET, |text| is_bucket(text).then(|| text.to_owned()));
        let region = self.take(&REGION, visible);
        let prefix = self.take(&PREFIX, |text| is_prefix(text).then(|| text.to_owned()));
        let access_key_id = self.take(&ACCESS_KEY_ID, visible);
        let secret_access_key = self.take(&SECRET_ACCESS_KEY, visible);
        let timeout = self.take(&TIMEOUT, |text| number(text, 1000, 40_000));
        let most = timeout.unwrap_or(40_000);
        let attempt_timeout = self.take(&ATTEMPT_TIMEOUT, |text| {
            number(text, 100, 40_000).filter(|attempt| *attempt <= most)
        });
        let concurrency = self.take(&CONCURRENCY, |text| number(text, 1, 1024));
        Some(S3Settings {
            endpoint: endpoint?,
            bucket: bucket?,
            region: region?,
            prefix: prefix?,
            access_key_id: access_key_id?,
            secret_access_key: Secret(secret_access_key?),
            timeout: Duration::from_millis(timeout?),
            attempt_timeout: Duration::from_millis(attempt_timeout?),
            concurrency: usize::try_from(concurrency?).ok()?,
        })
    }

    fn take<T>(&mut self, setting: &Setting, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let set = (self.lookup)(setting.name);
        let set = set
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let text = set.unwrap_or(setting.default);
        let value = read(text);
        if value.is_none() {
            let (name, allowed) = (setting.name, setting.allowed);
            let is = match set {
                None => "is not set".to_owned(),
                Some(text) if setting.secret || may_have_password(text) => {
                    "is one that cannot be used".to_owned()
                }
                Some(text) => format!("is {text:?}"),
            };
            self.wrong.push(format!("{name} {is}: write {allowed}"));
        }
        value
    }
}

/// As an URL with a user has one.
fn may_have_password(text: &str) -> bool {
    text.contains('@')
}

fn endpoint(text: &str, allow_http: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => allow_http || is_this_machine(&url),
        _ => false,
    };
    (is_plain && is_safe && url.has_host()).then_some(url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

fn is_bucket(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    (3..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && is_end(text.as_bytes().first())
        && is_end(text.as_bytes().last())
}

fn is_prefix(text: &str) -> bool {
    text.is_empty()
        || (text.len() <= MAX_PREFIX_BYTES && keys::check_prefix(&format!("{text}/")).is_ok())
}

fn visible(text: &str) -> Option<String> {
    let is_visible = (1..=MAX_TEXT_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible.then(|| text.to_owned())
}

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let number = text.parse().ok()?;
    (least..=most).contains(&number).then_some(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const GIVEN: [(&str, &str); 5] = [
        ("BLOB_STORE", "s3"),
        ("S3_ENDPOINT", "https://account.r2.cloudflarestorage.com"),
        ("S3_BUCKET", "interviews"),
        ("S3_ACCESS_KEY_ID", "id-1"),
        ("S3_SECRET_ACCESS_KEY", "secret-1"),
    ];

    fn read(changed: &[(&str, &str)]) -> Result<Choice, String> {
        let mut all: BTreeMap<&str, &str> = GIVEN.into();
        all.extend(changed.iter().copied());
        Choice::read(|name| all.get(name).map(|text| (*text).to_owned()))
            .map_err(|error| error.to_string())
    }

    fn s3(changed: &[(&str, &str)]) -> S3Settings {
        match read(changed).unwrap() {
            Choice::S3(settings) => *settings,
            Choice::Directory => panic!("a directory"),
        }
    }

    #[test]
    fn without_settings_it_is_a_directory() {
        assert_eq!(Choice::read(|_| None).unwrap(), Choice::Directory);
        assert_eq!(read(&[("BLOB_STORE", " ")]).unwrap(), Choice::Directory);
        let wrong = [("BLOB_STORE", "directory"), ("S3_ENDPOINT", "ftp://x")];
        assert_eq!(read(&wrong).unwrap(), Choice::Directory, "nobody reads it");
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let settings = s3(&[]);
        assert_eq!(settings.region, "auto");
        assert_eq!(settings.prefix, "");
        assert_eq!(settings.timeout, Duration::from_secs(15));
        assert_eq!(settings.attempt_timeout, Duration::from_secs(5));
        assert_eq!(settings.concurrency, 64);
        assert_eq!(s3(&[("S3_BUCKET", " interviews\n")]).bucket, "interviews");
    }

    #[test]
    fn wrong_ones_are_all_named_with_what_is_allowed() {
        let error = read(&[
            ("S3_BUCKET", "Interviews"),
            ("S3_TIMEOUT_MS", "15s"),
            ("S3_ENDPOINT", ""),
        ])
        .unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert!(
            error.contains("S3_ENDPOINT is not set: write an URL"),
            "{error}"
        );
        assert!(error.contains("S3_BUCKET is \"Interviews\": write a bucket's name"));
        assert!(
            error.contains("S3_TIMEOUT_MS is \"15s\": write a whole number from 1000 to 40000")
        );
        let error = read(&[("BLOB_STORE", "S3")]).unwrap_err();
        assert!(
            error.contains("BLOB_STORE is \"S3\": write directory or s3"),
            "{error}"
        );
    }

    #[test]
    fn each_is_checked() {
        for (name, wrong) in [
            ("S3_ENDPOINT", "account.r2.cloudflarestorage.com"),
            ("S3_ENDPOINT", "https://user@host"),
            ("S3_ENDPOINT", "https://host/bucket"),
            ("S3_ENDPOINT", "https://host?x"),
            ("S3_ENDPOINT", "http://192.168.1.4:9000"),
            ("S3_BUCKET", "ab"),
            ("S3_BUCKET", "-abc"),
            ("S3_BUCKET", "a/b"),
            ("S3_REGION", "eu central"),
            ("S3_PREFIX", "/a"),
            ("S3_PREFIX", "a/"),
            ("S3_PREFIX", "a/../b"),
            ("S3_ACCESS_KEY_ID", "a b"),
            ("S3_TIMEOUT_MS", "999"),
            ("S3_TIMEOUT_MS", "40001"),
            ("S3_ATTEMPT_TIMEOUT_MS", "15001"),
            ("S3_ATTEMPT_TIMEOUT_MS", "99"),
            ("S3_CONCURRENCY", "0"),
            ("S3_CONCURRENCY", "1025"),
            ("S3_ALLOW_HTTP", "maybe"),
        ] {
            let error = read(&[(name, wrong)]).unwrap_err();
            let is_shown = name != "S3_ACCESS_KEY_ID" && !wrong.contains('@');
            assert!(error.contains(&format!("{name} is ")), "{error}");
            assert_eq!(error.contains(&format!("{wrong:?}")), is_shown, "{error}");
        }
        let long = "p".repeat(MAX_PREFIX_BYTES + 1);
        read(&[("S3_PREFIX", &long)]).unwrap_err();
        for right in [
            "http://127.0.0.1:9000",
            "http://localhost",
            "http://[::1]:1",
        ] {
            s3(&[("S3_ENDPOINT", right)]);
        }
        s3(&[
            ("S3_ENDPOINT", "http://192.168.1.4:9000"),
            ("S3_ALLOW_HTTP", "true"),
        ]);
        s3(&[("S3_PREFIX", "gateway/a b")]);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let error = read(&[("S3_SECRET_ACCESS_KEY", "with space")]).unwrap_err();
        assert!(!error.contains("with space"), "{error}");
        assert!(error.contains("S3_SECRET_ACCESS_KEY is one that cannot be used"));
        let error = read(&[
            ("S3_ACCESS_KEY_ID", "with space"),
            ("S3_ENDPOINT", "https://me:hush@s3.example"),
        ])
        .unwrap_err();
        assert!(error.contains("S3_ACCESS_KEY_ID is one that"), "{error}");
        assert!(error.contains("S3_ENDPOINT is one that"), "{error}");
        assert!(
            !error.contains("with space") && !error.contains("hush"),
            "{error}"
        );
        assert!(!format!("{:?}", s3(&[])).contains("secret-1"));
    }
}
