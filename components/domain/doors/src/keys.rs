//! The operator's keys: how they are written, and how one that is shown is looked up.
//!
//! Of a key only its SHA-256 is kept, and what is derived from it to sign tokens. Whoever measures how
//! long a look-up takes learns nothing: every key is compared, hash with hash, in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use thiserror::Error;

use crate::scope::Scope;

/// Most keys: each is compared for each request.
pub const MAX_KEYS: usize = 64;
/// Fewest characters of a key.
pub const MIN_KEY_CHARS: usize = 16;
/// Most characters of a key.
pub const MAX_KEY_CHARS: usize = 256;
/// Fewest characters of an admin's key of which the operator is not warned. A token can be had by those who
/// are given no key, and who has one can try on it, without asking anybody, what key signed it.
pub const SAFE_ADMIN_KEY_CHARS: usize = 32;
/// Most characters of a key's name.
pub const MAX_NAME_CHARS: usize = 32;

/// What a key is hashed with to sign tokens: a signature under a key is then never one of anything else.
const SIGNING: &[u8] = b"interview-gateway session token 1";

/// All keys. `Debug` shows names and scopes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Keys(Vec<Key>);

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Whose sockets are counted together: its name, else its place among the keys.
    pub(crate) account: String,
    pub(crate) scope: Scope,
    is_short: bool,
    digest: [u8; 32],
    signing: [u8; 32],
}

/// Keys that are not written as they should be. Names the entry by its place and never shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("entry {entry} {why}")]
pub struct BadKeys {
    /// Which one, counted from 1.
    pub entry: usize,
    /// What is wrong with it; goes on after "entry 1".
    pub why: &'static str,
}

impl Keys {
    /// How keys are written, for the documentation.
    pub const SYNTAX: &'static str = "keys, separated by commas or white space, each `name:scopes:key` or `key`: \
         the name of letters, digits, `-` and `_`, scopes `read`, `write` or `admin` (several with `+` \
         between), the key of 16 to 256 visible ASCII characters without `,` and `:`";

    /// Reads them; nothing, or only white space, is no key at all.
    ///
    /// # Errors
    /// The first entry that is wrong. A text of nothing but separators is wrong, too: whoever wrote it meant
    /// to close the doors, such as with a template whose keys are missing, and no key would open them.
    pub fn parse(text: &str) -> Result<Self, BadKeys> {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        let mut keys: Vec<Key> = Vec::new();
        for (at, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
            let bad = |why| BadKeys { entry: at + 1, why };
            if at == MAX_KEYS {
                return Err(bad("is one more than the 64 that there can be"));
            }
            let key = Key::parse(entry, at).map_err(bad)?;
            if keys.iter().any(|other| other.digest == key.digest) {
                return Err(bad("has the key of an entry before it"));
            }
            keys.push(key);
        }
        if keys.is_empty() && !text.trim().is_empty() {
            return Err(BadKeys {
                entry: 1,
                why: "is missing: there are only separators, and without a key everybody could come in",
            });
        }
        Ok(Self(keys))
    }

    /// Whether there is none: then nobody is asked for one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The admins' keys of fewer than [`SAFE_ADMIN_KEY_CHARS`], by name, or by place with `#` before it.
    pub fn short_admins(&self) -> impl Iterator<Item = &str> {
        let is_short = |key: &&Key| key.is_short && key.scope == Scope::Admin;
        self.0
            .iter()
            .filter(is_short)
            .map(|key| key.account.as_str())
    }

    /// The key that is shown, if it is one.
    pub(crate) fn find(&self, shown: &str) -> Option<&Key> {
        let digest: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        self.pick(|key| key.digest.ct_eq(&digest))
    }

    /// The key that signed this.
    pub(crate) fn signer(&self, text: &str, signature: &[u8; 32]) -> Option<&Key> {
        self.pick(|key| key.sign(text).ct_eq(signature))
    }

    /// The one for which `is_it`; all are asked.
    fn pick(&self, is_it: impl Fn(&Key) -> Choice) -> Option<&Key> {
        let mut place = u32::MAX;
        for (at, key) in (0_u32..).zip(&self.0) {
            place.conditional_assign(&at, is_it(key));
        }
        self.0.get(usize::try_from(place).ok()?)
    }
}

impl Key {
    fn parse(entry: &str, at: usize) -> Result<Self, &'static str> {
        let parts: Vec<&str> = entry.split(':').collect();
        let (name, scope, key) = match parts.as_slice() {
            [key] => (None, Scope::Admin, *key),
            [name, scopes, key] => (Some(*name), parse_scopes(scopes)?, *key),
            _ => return Err("is neither `key` nor `name:scopes:key`"),
        };
        if let Some(name) = name {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if !(1..=MAX_NAME_CHARS).contains(&name.len()) || !name.bytes().all(is_plain) {
                return Err("has a name that is not 1 to 32 letters, digits, `-` and `_`");
            }
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has a key with characters that are not visible ASCII");
        }
        // Before its length, which would only be about the name of the file.
        if key.starts_with('@') {
            return Err(
                "begins with @, as the name of a file does: have the host read it as the whole value \
                 (GATEWAY_API_KEYS=@FILE), or make another key",
            );
        }
        if names_a_file(key) {
            return Err(
                "has a key that looks like the name of a file: write @ before it to have the file read, or \
                 make another key",
            );
        }
        if key.len() < MIN_KEY_CHARS {
            return Err("has a key of less than 16 characters");
        }
        if key.len() > MAX_KEY_CHARS {
            return Err("has a key of more than 256 characters");
        }
        Ok(Self {
            // No name can look like that.
            account: name.map_or_else(|| format!("#{}", at + 1), str::to_owned),
            scope,
            is_short: key.len() < SAFE_ADMIN_KEY_CHARS,
            digest: Sha256::digest(key.as_bytes()).into(),
            signing: mac(key.as_bytes(), SIGNING),
        })
    }

    /// Signs a text.
    pub(crate) fn sign(&self, text: &str) -> [u8; 32] {
        mac(&self.signing, text.as_bytes())
    }
}

/// Whether a text is a path rather than a key: what stands for a file is known to whoever can look at the
/// machine. A key in Base64 may begin with a slash, but hardly ever has neither `+` nor `=`.
fn names_a_file(key: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~\\".contains(&byte);
    let begins = ["/", "./", "../", "~/", "\\", ".\\", "..\\"];
    let has_extension = || {
        let last = key.rsplit(['/', '\\']).next().unwrap_or_default();
        key.contains(['/', '\\']) && last.contains('.')
    };
    key.bytes().all(is_plain)
        && (begins.iter().any(|begin| key.starts_with(begin)) || has_extension())
}

/// Several scopes are as much as the greatest of them: each includes those before it.
fn parse_scopes(scopes: &str) -> Result<Scope, &'static str> {
    let wrong = "has scopes other than `read`, `write` and `admin`";
    let scopes: Option<Vec<Scope>> = scopes.split('+').map(Scope::parse).collect();
    scopes.ok_or(wrong)?.into_iter().max().ok_or(wrong)
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    // A key of any length will do.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.chain_update(text).finalize().into_bytes().into()
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:<secret>", self.account, self.scope.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const A: &str = "aaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbb";

    fn wrong(text: &str) -> String {
        let bad = Keys::parse(text).unwrap_err();
        let said = format!("{bad} {bad:?}");
        assert!(!said.contains("secret") && !said.contains(A), "{said}");
        bad.to_string()
    }

    #[test]
    fn keys_are_written_with_commas_or_white_space() {
        for none in ["", " \n"] {
            assert!(Keys::parse(none).unwrap().is_empty());
        }
        let keys = Keys::parse(&format!(
            "{A},\n desk-1:read+write:{B} look:read:cccccccccccccccc,"
        ))
        .unwrap();
        let found = |key| keys.find(key).map(|key| (key.account.as_str(), key.scope));
        assert_eq!(found(A), Some(("#1", Scope::Admin)));
        assert_eq!(found(B), Some(("desk-1", Scope::Write)));
        assert_eq!(found("cccccccccccccccc"), Some(("look", Scope::Read)));
        assert_eq!(found("cccccccccccccccd"), None);
        assert_eq!(found(""), None);
        // A name is no key, nor is a whole entry.
        assert_eq!(found("desk-1"), None);
        assert_eq!(found(&format!("desk-1:read+write:{B}")), None);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (text, said) in [
            (
                format!("{A}, secret-short"),
                "entry 2 has a key of less than 16",
            ),
            (format!("{A},secret:{B}"), "entry 2 is neither"),
            (format!("a:b:c:{A}"), "entry 1 is neither"),
            (format!("a:secret:{A}"), "entry 1 has scopes other than"),
            (format!("a::{A}"), "entry 1 has scopes other than"),
            (format!("a:read+:{A}"), "entry 1 has scopes other than"),
            (format!(":read:{A}"), "entry 1 has a name"),
            (format!("se.cret:read:{A}"), "entry 1 has a name"),
            (format!("{}:read:{A}", "n".repeat(33)), "entry 1 has a name"),
            (format!("{A} {A}"), "entry 2 has the key of an entry before"),
            (format!("{A} x:read:{A}"), "entry 2 has the key of an entry"),
            // No key would mean that everybody may come in.
            (",".to_owned(), "entry 1 is missing: there are only sep"),
            (" ,\n, ".to_owned(), "entry 1 is missing: there are onl"),
            (
                "@/run/secrets/keys".to_owned(),
                "entry 1 begins with @, as the name",
            ),
            (format!("{A} a:read:@keys"), "entry 2 begins with @"),
            ("é".repeat(16), "entry 1 has a key with characters"),
            ("k".repeat(257), "entry 1 has a key of more than 256"),
        ] {
            let wrong = wrong(&text);
            assert!(wrong.starts_with(said), "{text}: {wrong}");
        }
        let many: Vec<String> = (0..=MAX_KEYS).map(|n| format!("{A}{n}")).collect();
        assert!(wrong(&many.join(",")).starts_with("entry 65 is one more"));
        assert!(Keys::parse(&many[1..].join(",")).is_ok());
    }

    #[test]
    fn the_name_of_a_file_is_no_key() {
        for path in [
            "/run/secrets/gateway_api_keys",
            "./secrets/gateway-keys",
            "../../etc/gateway/keys",
            "~/.config/gateway/keys",
            "secrets/gateway-keys.txt",
            "/k",
            "..\\secrets\\gateway-keys",
        ] {
            for entry in [path.to_owned(), format!("desk:write:{path}")] {
                let wrong = wrong(&entry);
                let said = "entry 1 has a key that looks like the name of a file";
                assert!(wrong.starts_with(said), "{path}: {wrong}");
            }
        }
        for key in [
            "/kq6Zl3b1cJ9Yf0aRZbXo2T7vW4uE8nS5dHgPqLmKtI=",
            "kq6Zl/b1cJ9Yf0aRZbXo2T7vW4uE8nS5dHgPqLmKtI",
            "key.with.dots.and-more",
            "a/b.c+d/e.f$g/h.i",
        ] {
            assert!(Keys::parse(key).is_ok(), "{key}");
        }
    }

    #[test]
    fn admins_keys_that_are_short_are_named() {
        let long = "k".repeat(SAFE_ADMIN_KEY_CHARS);
        let keys = format!("{A} desk:write:{B} {long} top:admin:cccccccccccccccc");
        let keys = Keys::parse(&keys).unwrap();
        let short: Vec<&str> = keys.short_admins().collect();
        assert_eq!(short, ["#1", "top"]);
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = Keys::parse(&format!("{A},desk:write:{B}")).unwrap();
        assert_eq!(
            format!("{keys:?}"),
            "[#1:admin:<secret>, desk:write:<secret>]"
        );
    }

    #[test]
    fn the_signature_is_an_hmac_of_the_key_that_is_derived() {
        // As `openssl dgst -mac HMAC` has it, twice.
        let key = Key::parse(A, 0).unwrap();
        let hex: String = key.sign("x").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, SIGNED);
    }

    const SIGNED: &str = "37b22b40351d1e645ccff0937d4856b9a1ef5e44e6d6905f9b370c047733a53c";

    proptest! {
        #[test]
        fn only_a_blank_text_is_no_key(text in "[ ,\n\t\u{85}\u{2003}]{0,6}|\\PC{0,6}") {
            let is_none = Keys::parse(&text).is_ok_and(|keys| keys.is_empty());
            prop_assert_eq!(is_none, text.trim().is_empty());
        }

        #[test]
        fn any_text_is_read_or_refused_and_only_keys_are_found(
            text in "([a-z]{1,3}:(read|write|x):)?[!-~]{14,18}([, ][!-~]{16})?|\\PC{0,40}",
            shown in "[!-~]{0,18}",
        ) {
            if let Ok(keys) = Keys::parse(&text)
                && keys.find(&shown).is_some()
            {
                prop_assert!(shown.len() >= MIN_KEY_CHARS && text.contains(&shown));
            }
        }
    }
}
