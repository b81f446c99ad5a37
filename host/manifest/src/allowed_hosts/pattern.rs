//! One entry of `allowed_outbound_hosts`.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use url::{Host, Url};

/// Hosts that mean components of the application itself, in Spin.
const OWN_HOSTS: [&str; 2] = ["self", "self.alt"];
const OWN_DOMAIN: &str = "spin.internal";

const FORM: &str = "write <scheme>://<host>[:<port>], such as https://example.com, \
                    http://*.example.com:8080 or *://10.0.0.0/8:*";

/// Schemes, hosts and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// None: any.
    scheme: Option<String>,
    host: HostPattern,
    port: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// Every domain that ends in this text, which begins with a dot.
    Below(String),
    Exactly(Host),
    Within(IpNet),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PortPattern {
    Any,
    Exactly(u16),
    Within(Range<u16>),
}

impl Pattern {
    /// Reads an entry in Spin's format.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("it has no scheme; {FORM}"))?;
        if scheme != "*" && (scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphabetic()))
        {
            return Err(format!("a scheme has letters only, or is *; {FORM}"));
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = HostPattern::split(rest)?;
        let port = PortPattern::parse(port, &scheme)?;
        Ok(Self {
            scheme: (scheme != "*").then_some(scheme),
            host,
            port,
        })
    }

    /// What grants access to one URL: its scheme, host and port. None if the text is no URL, has a
    /// scheme without a known port and none itself, or has wildcards.
    pub(super) fn origin_of(text: &str) -> Option<Self> {
        if text.contains('*') {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let host = Host::parse(url.host_str()?).ok()?;
        if is_own(&host) {
            return None;
        }
        let port = port_of(&url)?;
        Some(Self {
            scheme: Some(url.scheme().to_owned()),
            host: HostPattern::Exactly(host),
            port: PortPattern::Exactly(port),
        })
    }

    pub(super) fn allows(&self, url: &Url) -> bool {
        self.scheme
            .as_deref()
            .is_none_or(|scheme| scheme == url.scheme())
            && self.host.allows(url)
            && self.port.allows(url)
    }
}

impl HostPattern {
    /// Reads host and port of an entry and gives the port's text, which is empty without one. Colons
    /// in an address make this more than looking for the last one.
    fn split(text: &str) -> Result<(Self, &str), String> {
        match Self::parse(text) {
            Ok(host) => Ok((host, "")),
            Err(reason) => match text.rsplit_once(':') {
                None => Err(reason),
                Some((host, port)) => {
                    let port = port.strip_suffix('/').unwrap_or(port);
                    if port.contains('/') {
                        return Err(format!("a path is allowed only in a variable; {FORM}"));
                    }
                    Ok((Self::parse(host)?, port))
                }
            },
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Within(network.trunc()));
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains('/') {
            return Err(format!("a path is allowed only in a variable; {FORM}"));
        }
        if text.contains('{') {
            return Err(format!(
                "lists are not supported, write one entry for each; {FORM}"
            ));
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(format!(
                "* stands for a whole host or for what is before a dot; {FORM}"
            ));
        }
        let host = Host::parse(name).map_err(|error| format!("the host: {error}; {FORM}"))?;
        if is_own(&host) {
            return Err(
                "the application's own components cannot be reached this way here; link \
                        them by [component.<id>.dependencies]"
                    .to_owned(),
            );
        }
        match (host, below) {
            (Host::Domain(domain), true) => Ok(Self::Below(format!(".{domain}"))),
            (_, true) => Err(format!("*. goes before a name, not an address; {FORM}")),
            (host, false) => Ok(Self::Exactly(host)),
        }
    }

    fn allows(&self, url: &Url) -> bool {
        // Parsed again because only for the web's own schemes is it an address or a domain already.
        let Some(Ok(host)) = url.host_str().map(Host::parse) else {
            return false;
        };
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exactly(own), host) => *own == host,
            (Self::Below(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
            (Self::Within(network), Host::Ipv4(address)) => network.contains(&IpAddr::V4(address)),
            (Self::Within(network), Host::Ipv6(address)) => network.contains(&IpAddr::V6(address)),
            _ => false,
        }
    }
}

fn is_own(host: &Host) -> bool {
    match host {
        Host::Domain(domain) => {
            OWN_HOSTS.contains(&domain.as_str())
                || domain
                    .strip_suffix(OWN_DOMAIN)
                    .is_some_and(|name| name.is_empty() || name.ends_with('.'))
        }
        _ => false,
    }
}

impl PortPattern {
    fn parse(text: &str, scheme: &str) -> Result<Self, String> {
        match text {
            "" => default_port(scheme).map(Self::Exactly).ok_or_else(|| {
                format!("\"{scheme}\" has no port of its own; write one after the host, or :*")
            }),
            "*" => Ok(Self::Any),
            _ => match text.split_once("..") {
                Some((start, end)) => {
                    let range = number(start)?..number(end)?;
                    if range.is_empty() {
                        return Err(format!(
                            "the ports {text} are none: the last is not part of a range"
                        ));
                    }
                    Ok(Self::Within(range))
                }
                None => Ok(Self::Exactly(number(text)?)),
            },
        }
    }

    fn allows(&self, url: &Url) -> bool {
        match (self, port_of(url)) {
            (Self::Any, _) => true,
            (Self::Exactly(own), Some(port)) => *own == port,
            (Self::Within(range), Some(port)) => range.contains(&port),
            (_, None) => false,
        }
    }
}

fn number(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        format!("\"{text}\" is no port; write a number up to 65535, <first>..<end> or *")
    })
}

fn port_of(url: &Url) -> Option<u16> {
    url.port_or_known_default()
        .or_else(|| default_port(url.scheme()))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_deref().unwrap_or("*"))?;
        match &self.host {
            HostPattern::Any => write!(f, "*")?,
            HostPattern::Below(suffix) => write!(f, "*{suffix}")?,
            HostPattern::Exactly(host) => write!(f, "{host}")?,
            HostPattern::Within(network) => write!(f, "{network}")?,
        }
        match &self.port {
            PortPattern::Any => write!(f, ":*"),
            PortPattern::Exactly(port) => write!(f, ":{port}"),
            PortPattern::Within(range) => write!(f, ":{}..{}", range.start, range.end),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(entry: &str, allowed: &[&str], denied: &[&str]) {
        let pattern = Pattern::parse(entry).unwrap();
        for url in allowed {
            assert!(
                pattern.allows(&Url::parse(url).unwrap()),
                "{entry} allows {url}"
            );
        }
        for url in denied {
            assert!(
                !pattern.allows(&Url::parse(url).unwrap()),
                "{entry} denies {url}"
            );
        }
    }

    #[test]
    fn an_entry_without_a_port_means_the_schemes_own() {
        check(
            "https://example.com",
            &[
                "https://example.com",
                "https://example.com:443/a?b",
                "https://EXAMPLE.com",
            ],
            &[
                "https://example.com:8443",
                "http://example.com",
                "http://example.com:443",
                "https://a.example.com",
                "https://example.com.evil.net",
                "https://evil.net/example.com",
                "https://example.com@evil.net",
            ],
        );
        check(
            "http://h",
            &["http://h", "http://h:80"],
            &["http://h:81", "ws://h"],
        );
        check(
            "ws://h/",
            &["ws://h", "ws://h:80"],
            &["wss://h", "ws://h:443"],
        );
        check(
            "wss://h",
            &["wss://h/x", "wss://h:443"],
            &["ws://h", "wss://h:80"],
        );
        check(
            "redis://h",
            &["redis://h", "redis://h:6379"],
            &["redis://h:80"],
        );
        check("WSS://h", &["wss://h"], &[]);
    }

    #[test]
    fn ports_can_be_one_several_or_any() {
        check(
            "http://h:8080",
            &["http://h:8080"],
            &["http://h", "http://h:8081"],
        );
        check(
            "http://h:8000..8002",
            &["http://h:8000", "http://h:8001"],
            &["http://h:7999", "http://h:8002"],
        );
        check(
            "http://h:*",
            &["http://h", "http://h:1"],
            &["https://h", "http://i"],
        );
        check(
            "*://h:443",
            &["https://h", "wss://h", "http://h:443"],
            &["http://h"],
        );
    }

    #[test]
    fn hosts_can_be_any_or_below_a_name() {
        check(
            "*://*:*",
            &["https://a", "ws://1.2.3.4:5", "redis://[::1]"],
            &[],
        );
        check(
            "http://*.Example.com",
            &["http://a.example.com", "http://a.b.EXAMPLE.com"],
            &[
                "http://example.com",
                "http://badexample.com",
                "http://a.example.com:81",
            ],
        );
    }

    #[test]
    fn addresses_can_be_one_or_a_range() {
        check(
            "http://127.0.0.1",
            &["http://127.0.0.1", "http://127.1"],
            &["http://localhost"],
        );
        check(
            "http://10.1.2.3/8:*",
            &["http://10.9.9.9:1"],
            &["http://11.0.0.1", "http://h"],
        );
        check(
            "redis://10.0.0.0/8",
            &["redis://10.1.1.1"],
            &["redis://11.1.1.1"],
        );
        check(
            "http://[::1]",
            &["http://[::1]", "http://[0:0::1]:80/x"],
            &["http://[::2]", "http://[::1]:81"],
        );
        check(
            "http://[::1]:8080/",
            &["http://[::1]:8080"],
            &["http://[::1]"],
        );
        check("*://[::1]:*", &["wss://[::1]:9"], &["wss://127.0.0.1"]);
        check(
            "http://2001:db8::/32",
            &["http://[2001:db8::1]", "http://[2001:db8:abcd::1]/x"],
            &["http://[2001:db9::1]", "http://[2001:db8::1]:81"],
        );
        check(
            "http://2001:db8::/32:443",
            &["http://[2001:db8::1]:443"],
            &["http://[2001:db8::1]"],
        );
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for wrong in [
            "",
            "*",
            ":",
            "example.com",
            "example.com:8080",
            "://h",
            "ht-tp://h",
            "{http,ws}://h",
            "http://",
            "http://h/path",
            "http://h:80/path",
            "http://h:port",
            "http://h:99999",
            "http://h:-1",
            "http://h:+1",
            "http://h:80:90",
            "http://h:8080..",
            "http://h:9..8",
            "http://h:{80,90}",
            "*://h",
            "gopher://h",
            "http://a*b",
            "http://*.a.*",
            "http://*.",
            "http://*.127.0.0.1",
            "http://*.[::1]",
            "http://[::1",
            "http://[::1]junk",
            "http://[::1]::80",
            "http://10.0.0.0/99",
            "http://h//",
            "http://ex ample.com",
            "http://self",
            "https://self:443",
            "http://self.alt",
            "http://a.spin.internal",
            "http://*.spin.internal",
        ] {
            let error = Pattern::parse(wrong).expect_err(wrong);
            assert!(
                error.contains("write") || error.contains("link") || error.contains("not part"),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn an_url_grants_its_own_origin() {
        let origin = |text| Pattern::origin_of(text).map(|pattern| pattern.to_string());
        assert_eq!(
            origin("wss://h.example/api/v1/"),
            Some("wss://h.example:443".to_owned())
        );
        assert_eq!(
            origin("http://u:p@10.0.0.1:99/8?q#f"),
            Some("http://10.0.0.1:99".to_owned())
        );
        assert_eq!(
            origin("http://10.0.0.1/8"),
            Some("http://10.0.0.1:80".to_owned())
        );
        assert_eq!(origin("http://[::1]/x"), Some("http://[::1]:80".to_owned()));
        for none in [
            "",
            "h/x",
            "http://*/x",
            "http://*.h/x",
            "gopher://h/x",
            "file:///x",
            "http://self/x",
        ] {
            assert_eq!(origin(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}", url in "(http|wss)://[a-z0-9.:/@\\[\\]-]{0,20}") {
            let _ = Pattern::origin_of(&text);
            if let (Ok(pattern), Ok(url)) = (Pattern::parse(&text), Url::parse(&url)) {
                let _ = pattern.allows(&url);
            }
        }

        #[test]
        fn an_entry_that_is_shown_reads_the_same(
            scheme in "(http|wss|\\*)",
            host in "(\\*|\\*\\.a\\.b|a\\.b|10\\.0\\.0\\.1|10\\.0\\.0\\.0/8|\\[::1\\]|fe80::/10)",
            port in "(:\\*|:80|:8000\\.\\.9000)",
        ) {
            let pattern = Pattern::parse(&format!("{scheme}://{host}{port}")).unwrap();
            prop_assert_eq!(Pattern::parse(&pattern.to_string()).unwrap(), pattern);
        }

        #[test]
        fn an_origin_allows_its_url_on_no_other_port_or_host(
            scheme in "(http|https|ws|wss)", host in "[a-z]{1,8}", port in 1u16.., path in "[a-z/]{0,9}",
        ) {
            let text = format!("{scheme}://{host}:{port}/{path}");
            let pattern = Pattern::origin_of(&text).unwrap();
            prop_assert!(pattern.allows(&Url::parse(&text).unwrap()));
            let elsewhere = format!("{scheme}://{host}x:{port}/{path}");
            prop_assert!(!pattern.allows(&Url::parse(&elsewhere).unwrap()));
            let next = format!("{scheme}://{host}:{}/{path}", port ^ 1);
            prop_assert!(!pattern.allows(&Url::parse(&next).unwrap()));
        }
    }
}
