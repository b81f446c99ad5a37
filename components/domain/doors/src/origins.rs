//! Origins of web pages: which may use the gateway from a browser.
//!
//! There is no `*`. Without keys it would open every interview to every page that the operator's browser
//! ever visits, since such a page can reach loopback; with keys a list costs nothing.

use thiserror::Error;
use unicode_text::at_most_chars;

use crate::grant::Denied;

/// Most origins in the list.
pub const MAX_ORIGINS: usize = 64;
/// What a browser says in `sec-fetch-site` of a page that is not of the site that it asks.
const CROSS_SITE: &str = "cross-site";

/// Most characters of one.
const MAX_ORIGIN_CHARS: usize = 300;

/// Most origins of the list that a line of the log repeats.
const MAX_EXPLAINED: usize = 8;

/// The origins that are allowed, in normal form.
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
         https://app.example or http://localhost:5173: scheme, host and port, without a path, other letters \
         than ASCII as browsers write them (`xn--...`); `*` and `null` are none";

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
        normal(origin).is_some_and(|origin| self.0.contains(&origin))
    }

    /// Whether a WebSocket may begin. A browser always says where its page is from, and lets any page
    /// open a WebSocket anywhere: it is here that pages of elsewhere are kept out. Who names no origin is
    /// no browser. Who shows a key or a token, where there are keys, is let in or kept out by that: a page
    /// of elsewhere has none, since no browser adds it by itself. Without keys and without a list everybody
    /// may come, as in the gateway that this one replaces.
    ///
    /// # Errors
    /// [`Denied::Origin`].
    pub fn check_upgrade(&self, asker: &Asker<'_>, has_keys: bool) -> Result<(), Denied> {
        let Some(origin) = asker.origin else {
            return Ok(());
        };
        let is_asked = has_keys || !self.is_empty();
        let is_known = has_keys && asker.shows_credential;
        let is_own = || asker.host.is_some_and(|host| is_same_host(origin, host));
        match !is_asked || is_known || is_own() || self.allow(origin) {
            true => Ok(()),
            false => Err(Denied::Origin),
        }
    }

    /// Whether a request that changes something may be made. A browser lets any page send one anywhere, as
    /// long as the page does without the answer: the same rule as for WebSockets. Where that lets everybody
    /// in, a browser that says itself that the page is of another site is believed: nobody else sends that
    /// header, so that no program notices.
    ///
    /// # Errors
    /// [`Denied::Origin`].
    pub fn check_change(&self, asker: &Asker<'_>, has_keys: bool) -> Result<(), Denied> {
        self.check_upgrade(asker, has_keys)?;
        let is_asked = has_keys || !self.is_empty();
        match !is_asked && asker.fetch_site == Some(CROSS_SITE) {
            true => Err(Denied::Origin),
            false => Ok(()),
        }
    }

    /// What was compared when a request was refused, for the log: the operator sees whether the list or
    /// what a proxy sends as `Host` is wrong.
    #[must_use]
    pub fn explain(&self, asker: &Asker<'_>) -> String {
        let shown = |text: Option<&str>| match text {
            None => "none".to_owned(),
            Some(text) => format!("{:?}", at_most_chars(text, MAX_ORIGIN_CHARS)),
        };
        let mut text = format!("origin {}", shown(asker.origin));
        match asker.origin.and_then(normal) {
            None => text.push_str(" (no web origin)"),
            Some(origin) if Some(origin.as_str()) != asker.origin => {
                text.push_str(&format!(" (compared as {origin})"));
            }
            Some(_) => {}
        }
        text.push_str(&format!(", host {}", shown(asker.host)));
        if let Some(site) = asker.fetch_site {
            text.push_str(&format!(", sec-fetch-site {}", shown(Some(site))));
        }
        let listed = self.0.iter().take(MAX_EXPLAINED).cloned();
        let listed: Vec<String> = listed.collect();
        let more = self.0.len() - listed.len();
        text.push_str(&match (listed.is_empty(), more) {
            (true, _) => ", CORS_ALLOWED_ORIGINS is empty".to_owned(),
            (false, 0) => format!(", CORS_ALLOWED_ORIGINS: {}", listed.join(" ")),
            (false, more) => format!(
                ", CORS_ALLOWED_ORIGINS: {} and {more} more",
                listed.join(" ")
            ),
        });
        text
    }
}

/// Who asks, as far as origins go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asker<'a> {
    /// The header `origin`.
    pub origin: Option<&'a str>,
    /// The header `host`.
    pub host: Option<&'a str>,
    /// The header `sec-fetch-site`.
    pub fetch_site: Option<&'a str>,
    /// Whether a key or a token is shown, right or wrong.
    pub shows_credential: bool,
}

/// Whether a page is from where it asks. The scheme is not compared: behind a proxy with TLS this gateway
/// does not know its own.
fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, _)) = origin.split_once("://") else {
        return false;
    };
    let own = normal(&format!("{scheme}://{host}"));
    own.is_some() && own == normal(origin)
}

/// An origin as a browser writes it: in lower case, without a default port and a slash at the end, an IPv6
/// address in its shortest form. None if it is no origin.
fn normal(entry: &str) -> Option<String> {
    if entry.len() > MAX_ORIGIN_CHARS {
        return None;
    }
    let entry = entry.to_ascii_lowercase();
    let (scheme, authority) = entry.split_once("://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !is_scheme {
        return None;
    }
    let has_port = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'));
    let (host, port) = match has_port {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (authority, None),
    };
    let host = parse_host(host)?;
    let default = match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    Some(match port.filter(|port| Some(*port) != default) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

fn parse_port(port: &str) -> Option<u16> {
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    port.parse().ok().filter(|port| is_number && *port > 0)
}

/// A name or an address, in lower case. A name with other letters than ASCII is written in Punycode
/// (`xn--...`) by browsers.
fn parse_host(host: &str) -> Option<String> {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(address) = bracketed {
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let is_name = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    (is_name && !host.is_empty()).then(|| host.to_owned())
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
            // The same ones, as other clients write them.
            "https://app.example:443",
            "https://app.example/",
            "HTTPS://App.Example:0443/",
            "http://LOCALHOST:5173/",
            "http://[0:0::1]:80",
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
            "https://app.example//",
            "https://app.example/x",
            "https://me@app.example",
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
            ("https://a//", 1),
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
            let asker = Asker {
                origin,
                host,
                ..Asker::default()
            };
            let may = |origins: &Origins, has_keys| origins.check_upgrade(&asker, has_keys).is_ok();
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
            let asker = Asker {
                origin,
                host,
                fetch_site: site,
                shows_credential: false,
            };
            let may = |origins: &Origins, has_keys| origins.check_change(&asker, has_keys).is_ok();
            assert_eq!(may(&none, false), free, "{origin:?} {site:?}");
            assert_eq!(may(&none, true), keyed, "{origin:?} {site:?}");
            assert_eq!(may(&some, false), listed, "{origin:?} {site:?}");
            assert_eq!(may(&some, true), listed, "{origin:?} {site:?}");
        }
    }

    #[test]
    fn where_there_are_keys_a_credential_that_is_shown_decides() {
        let none = Origins::default();
        let some = Origins::parse("https://app.example").unwrap();
        for origin in ["null", "file://", "https://evil.example"] {
            for fetch_site in [None, Some("cross-site")] {
                let asker = Asker {
                    origin: Some(origin),
                    host: Some("gw.example"),
                    fetch_site,
                    shows_credential: true,
                };
                for origins in [&none, &some] {
                    assert_eq!(origins.check_upgrade(&asker, true), Ok(()), "{origin}");
                    assert_eq!(origins.check_change(&asker, true), Ok(()), "{origin}");
                }
                // Where there are no keys, nothing that is shown is one.
                assert!(some.check_upgrade(&asker, false).is_err(), "{origin}");
            }
        }
    }

    #[test]
    fn a_page_of_the_own_host_is_known_however_it_is_written() {
        let keyed = |origin, host| {
            let asker = Asker {
                origin: Some(origin),
                host: Some(host),
                ..Asker::default()
            };
            Origins::default().check_upgrade(&asker, true).is_ok()
        };
        for (origin, host) in [
            ("https://gw.example:443", "gw.example"),
            ("https://gw.example", "gw.example:443"),
            ("https://GW.example/", "gw.Example"),
            ("http://gw.example:80", "gw.example"),
            ("http://[::1]:3000", "[0:0::1]:3000"),
        ] {
            assert!(keyed(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://gw.example", "gw.example:80"),
            ("https://gw.example", "gw.example.evil"),
            ("null", "null"),
            ("file://", ""),
        ] {
            assert!(!keyed(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn a_refusal_names_what_was_compared() {
        let asker = Asker {
            origin: Some("HTTPS://Evil.example:443"),
            host: Some("10.0.0.7:3000"),
            ..Asker::default()
        };
        let origins = Origins::parse("https://app.example/").unwrap();
        assert_eq!(
            origins.explain(&asker),
            "origin \"HTTPS://Evil.example:443\" (compared as https://evil.example), \
             host \"10.0.0.7:3000\", CORS_ALLOWED_ORIGINS: https://app.example"
        );
        let asker = Asker {
            origin: Some("null\u{1b}"),
            ..Asker::default()
        };
        assert_eq!(
            Origins::default().explain(&asker),
            "origin \"null\\u{1b}\" (no web origin), host none, CORS_ALLOWED_ORIGINS is empty"
        );
        let long = "x".repeat(10_000);
        let many: Vec<_> = (0..MAX_ORIGINS).map(|n| format!("http://h{n}")).collect();
        let asker = Asker {
            origin: Some(&long),
            ..Asker::default()
        };
        let text = Origins::parse(&many.join(" ")).unwrap().explain(&asker);
        assert!(
            text.len() < 600 && text.ends_with("http://h7 and 56 more"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn any_list_and_origin_is_answered(list in "\\PC{0,60}", origin in "\\PC{0,30}", host in "\\PC{0,30}") {
            if let Ok(origins) = Origins::parse(&list) {
                let asker = Asker { origin: Some(&origin), host: Some(&host), ..Asker::default() };
                let _ = (origins.check_upgrade(&asker, true), origins.explain(&asker));
            }
        }

        #[test]
        fn what_is_in_the_list_is_allowed(host in "[a-z]{1,9}(\\.[a-z]{1,3})?", port in 1_u16..) {
            let origin = format!("ws+x://{host}:{port}");
            prop_assert!(Origins::parse(&origin).is_ok_and(|list| list.allow(&origin)));
        }
    }
}
