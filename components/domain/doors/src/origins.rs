//! Origins of web pages: which may use the gateway from a browser.
//!
//! There is no `*`. Without keys it would open every interview to every page that the operator's browser
//! ever visits, since such a page can reach loopback; with keys a list costs nothing.

use thiserror::Error;

use crate::grant::Denied;

/// Most origins in the list.
pub const MAX_ORIGINS: usize = 64;
/// What a browser says in `sec-fetch-site` of a page that is not of the site that it asks.
const CROSS_SITE: &str = "cross-site";

/// Most characters of one.
const MAX_ORIGIN_CHARS: usize = 300;

/// The origins that are allowed, as browsers write them: in lower case, without a default port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(Vec<String>);

/// A list that is not written as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("entry {entry} is no origin")]
pub struct BadOrigins {
    /// Which one, counted from 1.
    pub entry: usize,
}

impl Origins {
    /// How the list is written, for the documentation.
    pub const SYNTAX: &'static str = "up to 64 origins, separated by commas or white space, such as \
         https://app.example or http://localhost:5173: scheme, host and port, without a path; `*` and \
         `null` are none";

    /// Reads the list.
    ///
    /// # Errors
    /// The first entry that is wrong. A text of nothing but separators is wrong, as it is of keys: whoever
    /// wrote it meant to name pages, and without a list those of all origins may open WebSockets.
    pub fn parse(text: &str) -> Result<Self, BadOrigins> {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        let mut origins = Vec::new();
        for (at, entry) in entries.filter(|entry| !entry.is_empty()).enumerate() {
            let origin = normal(entry).filter(|_| at < MAX_ORIGINS);
            origins.push(origin.ok_or(BadOrigins { entry: at + 1 })?);
        }
        if origins.is_empty() && !text.trim().is_empty() {
            return Err(BadOrigins { entry: 1 });
        }
        Ok(Self(origins))
    }

    /// Whether there are none: then nothing is said of origins, in any answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a page of this origin may read answers.
    #[must_use]
    pub fn allow(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed == origin)
    }

    /// Whether a WebSocket may begin. A browser always says where its page is from, and lets any page
    /// open a WebSocket anywhere: it is here that pages of elsewhere are kept out. Who names no origin is
    /// no browser. Without keys and without a list everybody may come, as in the gateway that this one
    /// replaces.
    ///
    /// # Errors
    /// [`Denied::Origin`].
    pub fn check_upgrade(
        &self,
        origin: Option<&str>,
        host: Option<&str>,
        has_keys: bool,
    ) -> Result<(), Denied> {
        let Some(origin) = origin else {
            return Ok(());
        };
        let is_asked = has_keys || !self.is_empty();
        let is_own = host.is_some_and(|host| is_same_host(origin, host));
        match !is_asked || is_own || self.allow(origin) {
            true => Ok(()),
            false => Err(Denied::Origin),
        }
    }

    /// Whether a request that changes something may be made. A browser lets any page send one anywhere, as
    /// long as the page does without the answer: the same rule as for WebSockets. Where that lets everybody
    /// in, a browser that says itself that the page is of another site is believed: nobody else sends that
    /// header, so that no program notices.
    ///
    /// `fetch_site` is the header `sec-fetch-site`.
    ///
    /// # Errors
    /// [`Denied::Origin`].
    pub fn check_change(
        &self,
        origin: Option<&str>,
        host: Option<&str>,
        fetch_site: Option<&str>,
        has_keys: bool,
    ) -> Result<(), Denied> {
        self.check_upgrade(origin, host, has_keys)?;
        let is_asked = has_keys || !self.is_empty();
        match !is_asked && fetch_site == Some(CROSS_SITE) {
            true => Err(Denied::Origin),
            false => Ok(()),
        }
    }
}

/// Whether a page is from where it asks. The scheme is not compared: behind a proxy with TLS this gateway
/// does not know its own.
fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    !authority.is_empty()
        && authority.eq_ignore_ascii_case(without_default_port(&scheme.to_ascii_lowercase(), host))
}

/// An origin as a browser writes it; none if it is no origin.
fn normal(entry: &str) -> Option<String> {
    let entry = entry.to_ascii_lowercase();
    let (scheme, authority) = entry.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let is_host = |host: &str| {
        let name = host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        let address = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        !host.is_empty() && (name || address)
    };
    let has_port = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'));
    let is_authority = match has_port {
        Some((host, port)) => {
            let is_port = port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0);
            is_host(host) && is_port
        }
        None => is_host(authority),
    };
    (is_scheme && is_authority && entry.len() <= MAX_ORIGIN_CHARS)
        .then(|| format!("{scheme}://{}", without_default_port(scheme, authority)))
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return authority,
    };
    authority.strip_suffix(default).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let origins = Origins::parse(
            "HTTPS://App.Example:443, http://localhost:5173\nhttp://[::1]:80 tauri://localhost",
        )
        .unwrap();
        for allowed in [
            "https://app.example",
            "http://localhost:5173",
            "http://[::1]",
            "tauri://localhost",
        ] {
            assert!(origins.allow(allowed), "{allowed}");
        }
        for other in [
            "http://app.example",
            "https://app.example.evil.example",
            "https://app.example:444",
            "http://localhost",
            "null",
            "*",
            "",
        ] {
            assert!(!origins.allow(other), "{other}");
        }
        assert!(Origins::parse(" ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_origin() {
        for (list, entry) in [
            (" , ", 1),
            ("*", 1),
            ("null", 1),
            ("https://a.example *", 2),
            ("https://*.example", 1),
            ("app.example", 1),
            ("https://", 1),
            ("https://a/", 1),
            ("https://a/path", 1),
            ("https://me:pw@a", 1),
            ("https://a:0", 1),
            ("https://a:+8", 1),
            ("https://a:65536", 1),
            ("https://a:", 1),
            ("https://[a]", 1),
            ("https://clé", 1),
            ("1https://a", 1),
        ] {
            assert_eq!(Origins::parse(list), Err(BadOrigins { entry }), "{list}");
        }
        let many: Vec<_> = (0..=MAX_ORIGINS).map(|n| format!("http://h{n}")).collect();
        assert_eq!(
            Origins::parse(&many.join(" ")),
            Err(BadOrigins { entry: 65 })
        );
    }

    #[test]
    fn who_may_open_a_websocket() {
        let none = Origins::default();
        let some = Origins::parse("https://app.example").unwrap();
        let host = Some("gw.example:3000");
        for (origin, host, free, keyed, listed) in [
            (None, host, true, true, true),
            (Some("http://gw.example:3000"), host, true, true, true),
            (Some("https://GW.example:3000"), host, true, true, true),
            (
                Some("https://gw.example"),
                Some("gw.example"),
                true,
                true,
                true,
            ),
            (
                Some("https://gw.example"),
                Some("gw.example:443"),
                true,
                true,
                true,
            ),
            (
                Some("http://gw.example"),
                Some("gw.example:443"),
                true,
                false,
                false,
            ),
            (Some("https://app.example"), host, true, false, true),
            (Some("http://gw.example"), host, true, false, false),
            (Some("https://evil.example"), host, true, false, false),
            (
                Some("https://gw.example:3000.evil"),
                host,
                true,
                false,
                false,
            ),
            (Some("null"), host, true, false, false),
            (Some("file://"), Some(""), true, false, false),
            (Some(""), None, true, false, false),
        ] {
            let may =
                |origins: &Origins, has_keys| origins.check_upgrade(origin, host, has_keys).is_ok();
            assert_eq!(may(&none, false), free, "{origin:?} {host:?}");
            assert_eq!(may(&none, true), keyed, "{origin:?} {host:?}");
            assert_eq!(may(&some, false), listed, "{origin:?} {host:?}");
            assert_eq!(may(&some, true), listed, "{origin:?} {host:?}");
        }
    }

    #[test]
    fn who_may_change_something() {
        let none = Origins::default();
        let some = Origins::parse("https://app.example").unwrap();
        let host = Some("gw.example:3000");
        let own = Some("http://gw.example:3000");
        let (app, evil) = (Some("https://app.example"), Some("https://evil.example"));
        for (origin, site, free, keyed, listed) in [
            // No browser, or an old one.
            (None, None, true, true, true),
            (own, None, true, true, true),
            (evil, None, true, false, false),
            (Some("null"), None, true, false, false),
            (own, Some("same-origin"), true, true, true),
            (app, Some("same-site"), true, false, true),
            (app, Some("cross-site"), false, false, true),
            (evil, Some("cross-site"), false, false, false),
            (Some("null"), Some("cross-site"), false, false, false),
            (None, Some("cross-site"), false, true, true),
            // Typed, not of a page.
            (None, Some("none"), true, true, true),
        ] {
            let may = |origins: &Origins, has_keys| {
                let checked = origins.check_change(origin, host, site, has_keys);
                checked.is_ok()
            };
            assert_eq!(may(&none, false), free, "{origin:?} {site:?}");
            assert_eq!(may(&none, true), keyed, "{origin:?} {site:?}");
            assert_eq!(may(&some, false), listed, "{origin:?} {site:?}");
            assert_eq!(may(&some, true), listed, "{origin:?} {site:?}");
        }
    }

    proptest! {
        #[test]
        fn any_list_and_origin_is_answered(list in "\\PC{0,60}", origin in "\\PC{0,30}", host in "\\PC{0,30}") {
            if let Ok(origins) = Origins::parse(&list) {
                let _ = origins.check_upgrade(Some(&origin), Some(&host), true);
            }
        }

        #[test]
        fn what_is_in_the_list_is_allowed(host in "[a-z]{1,9}(\\.[a-z]{1,3})?", port in 1_u16..) {
            let origin = format!("ws+x://{host}:{port}");
            prop_assert!(Origins::parse(&origin).is_ok_and(|list| list.allow(&origin)));
        }
    }
}
