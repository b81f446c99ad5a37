//! Where a gateway is: its URL, and the URLs of its routes. It connects to nothing.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

use crate::session::{Role, SessionId};

/// Why something is not the URL of a gateway.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not an URL of the right kind.
    #[error(
        "`{0}` is not the URL of a gateway; give one like http://127.0.0.1:3000 or https://gateway.example"
    )]
    Url(String),
    /// With a user's name or a password, which would be shown wherever the URL is.
    #[error("the URL holds a name or a password; a key is given by --key or GATEWAY_API_KEY")]
    Credentials,
}

/// An `http` or `https` URL (`ws` and `wss` mean the same), with a path in front of the gateway's
/// routes or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway(Url);

impl Gateway {
    /// A route of the gateway. The segments are percent-encoded.
    #[must_use]
    pub fn route<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // Only an URL without a host has no segments, and `from_str` takes none of those.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Where the audio of a stream goes.
    #[must_use]
    pub fn audio(&self, session: &SessionId, role: Role) -> Url {
        let mut url = self.route(["v1", "audio", "ws", session.as_str(), role.as_str()]);
        // From http to ws is a change that the URL standard allows.
        let _ = url.set_scheme(if self.is_encrypted() { "wss" } else { "ws" });
        url
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Its name or address, without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        }
    }

    /// The port, given or the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(80)
    }

    /// Host and port as the header `Host` has them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Whether it is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
            None => false,
        }
    }
}

impl FromStr for Gateway {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::Url(text.to_owned());
        // The URL standard makes no ws of what is http, so the text is changed.
        let spelled = match text.trim().split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "ws" | "http" => format!("http://{rest}"),
                "wss" | "https" => format!("https://{rest}"),
                _ => return Err(invalid()),
            },
            None => return Err(invalid()),
        };
        let mut url = Url::parse(&spelled).map_err(|_| invalid())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Credentials);
        }
        if !url.has_host() {
            return Err(invalid());
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self(url))
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn gateway(url: &str) -> Gateway {
        url.parse().unwrap()
    }

    #[test]
    fn ids_are_encoded_in_paths() {
        let gateway = gateway("http://h:1/base/");
        let session: SessionId = "a/b ?#%2F\u{e9}".parse().unwrap();
        assert_eq!(
            gateway.audio(&session, Role::Students).as_str(),
            "ws://h:1/base/v1/audio/ws/a%2Fb%20%3F%23%252F%C3%A9/students"
        );
        assert_eq!(gateway.to_string(), "http://h:1/base");
    }

    #[test]
    fn each_scheme_has_its_twin() {
        let session: SessionId = "s".parse().unwrap();
        for (given, http, ws) in [
            ("ws://h", "http://h", "ws://h/v1/audio/ws/s/mixed"),
            (
                "WSS://h:8/x",
                "https://h:8/x",
                "wss://h:8/x/v1/audio/ws/s/mixed",
            ),
            ("https://h", "https://h", "wss://h/v1/audio/ws/s/mixed"),
        ] {
            let gateway = gateway(given);
            assert_eq!(gateway.to_string(), http);
            assert_eq!(gateway.audio(&session, Role::Mixed).as_str(), ws);
        }
        assert_eq!(gateway("https://h").port(), 443);
        assert_eq!(gateway("http://[::1]:8").authority(), "[::1]:8");
        assert_eq!(gateway("http://[::1]:8").host(), "::1");
    }

    #[test]
    fn this_machine_has_several_names() {
        for name in [
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
        ] {
            assert!(gateway(&format!("http://{name}:1")).is_loopback(), "{name}");
        }
        for name in ["10.0.0.1", "[::2]", "localhost.example", "128.0.0.1"] {
            assert!(
                !gateway(&format!("http://{name}:1")).is_loopback(),
                "{name}"
            );
        }
    }

    #[test]
    fn other_urls_are_no_gateways() {
        for bad in ["", "127.0.0.1:3000", "ftp://h", "data:x", "http://"] {
            let error = bad.parse::<Gateway>();
            assert_eq!(error, Err(Error::Url(bad.to_owned())), "{bad}");
        }
        let error = "http://me:secret@h".parse::<Gateway>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
