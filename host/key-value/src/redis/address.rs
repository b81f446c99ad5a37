//! Where a Redis server is, and a connection to it: TCP or a Unix socket, with TLS where the URL asks for
//! it. It knows nothing of what is said over the connection.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use url::Url;

/// A server, and who we are there.
pub(super) struct Address {
    target: Target,
    pub(super) login: RedisConnectionInfo,
    /// For messages: without user and password.
    pub(super) shown: String,
}

enum Target {
    Tcp {
        host: String,
        port: u16,
        tls: Option<(TlsConnector, ServerName<'static>)>,
    },
    Unix(std::path::PathBuf),
}

/// What a connection reads from and writes to.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Address {
    /// Reads an URL as Spin and the redis crate do. The error says what is wrong with it and never repeats
    /// it: it may hold a password.
    pub(super) fn parse(text: &str, ca_file: Option<&Path>) -> Result<Self, String> {
        if let Some((character, code)) = ends_the_password(text) {
            return Err(format!(
                "url: the user or the password has a {character}, which ends it there: write {code} instead"
            ));
        }
        let url = Url::parse(text).map_err(|error| {
            format!("url: {error}; write redis://user:password@host:port/database")
        })?;
        if url.fragment().is_some() {
            return Err(
                "url: a server's certificate is always verified; remove the #...".to_owned(),
            );
        }
        let is_tls = match url.scheme() {
            "redis" | "unix" | "redis+unix" => false,
            "rediss" => true,
            other => {
                return Err(format!(
                    "url: it begins with {other}://; write redis://, rediss:// or unix://"
                ));
            }
        };
        // Reading it is the crate's, TLS is ours: without its TLS it does not take the other scheme.
        let plain = text.replacen("rediss://", "redis://", 1);
        let info = plain
            .as_str()
            .into_connection_info()
            .map_err(|error| format!("url: {error}"))?;
        let login = info.redis_settings().clone();
        let (target, shown) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let tls = match is_tls {
                    true => Some((connector(ca_file)?, server_name(host)?)),
                    false => None,
                };
                let scheme = if is_tls { "rediss" } else { "redis" };
                let shown = match host.contains(':') {
                    true => format!("{scheme}://[{host}]:{port}/{}", login.db()),
                    false => format!("{scheme}://{host}:{port}/{}", login.db()),
                };
                let (host, port) = (host.clone(), *port);
                (Target::Tcp { host, port, tls }, shown)
            }
            ConnectionAddr::Unix(path) => (
                Target::Unix(path.clone()),
                format!("unix://{}", path.display()),
            ),
            _ => return Err("url: an address of this kind is not known".to_owned()),
        };
        Ok(Self {
            target,
            login,
            shown,
        })
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_open(&self) -> bool {
        match &self.target {
            Target::Tcp { host, tls, .. } => {
                let is_here = host == "localhost"
                    || host
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|address| address.is_loopback());
                tls.is_none() && !is_here
            }
            Target::Unix(_) => false,
        }
    }

    pub(super) async fn connect(&self) -> std::io::Result<Pin<Box<dyn Stream>>> {
        match &self.target {
            Target::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    None => Ok(Box::pin(stream)),
                    Some((connector, name)) => {
                        Ok(Box::pin(connector.connect(name.clone(), stream).await?))
                    }
                }
            }
            Target::Unix(path) => Ok(Box::pin(UnixStream::connect(path).await?)),
        }
    }
}

/// The character before the host that does not belong there as it is, with what stands for it in an URL.
fn ends_the_password(text: &str) -> Option<(char, &'static str)> {
    let (scheme, rest) = text.split_once("://")?;
    // What comes behind the scheme of a socket is its path.
    let login = match scheme {
        "redis" | "rediss" => rest.rsplit_once('@')?.0,
        _ => return None,
    };
    let codes = [('#', "%23"), ('/', "%2F"), ('?', "%3F")];
    codes
        .into_iter()
        .find(|(character, _)| login.contains(*character))
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| format!("url: {host} is no name that a certificate could have"))
}

/// Trusts the authorities in the file, or without one Mozilla's.
fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let fail = |why: String| format!("certificates: {}: {why}", path.display());
            let found = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| fail(error.to_string()))?;
            if found.is_empty() {
                return Err(fail("there is no certificate in it".to_owned()));
            }
            for certificate in found {
                let added = roots.add(certificate);
                added.map_err(|error| fail(error.to_string()))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shown = |url| Address::parse(url, None).unwrap().shown;
        assert_eq!(shown("redis://user:hush@h:1/2"), "redis://h:1/2");
        assert_eq!(shown("rediss://:hush@h"), "rediss://h:6379/0");
        assert_eq!(shown("redis://[::1]"), "redis://[::1]:6379/0");
        assert_eq!(shown("unix:///run/r.sock?pass=hush"), "unix:///run/r.sock");
        for (url, password) in [
            ("redis://:hu@sh@h", "hu@sh"),
            ("redis://:h%23%2F%3F%40@h", "h#/?@"),
        ] {
            let address = Address::parse(url, None).unwrap();
            assert_eq!(address.login.password(), Some(password), "{url}");
            assert_eq!(address.shown, "redis://h:6379/0");
        }
        let address = Address::parse("redis://user:hu%3Ash@h/3", None).unwrap();
        assert_eq!(address.login.password(), Some("hu:sh"));
        assert_eq!(
            (address.login.username(), address.login.db()),
            (Some("user"), 3)
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_url() {
        for (url, why) in [
            ("hush", "relative URL"),
            ("http://hush@h", "redis://, rediss:// or unix://"),
            ("redis://:hush@h/x", "database number"),
            ("rediss://:hush@h/#insecure", "certificate"),
            ("redis://:hush@h?protocol=hush", "rotocol"),
            ("redis://:hu#sh@h", "a #, which ends it there: write %23"),
            (
                "rediss://user:hu/sh@h:1/2",
                "a /, which ends it there: write %2F",
            ),
            (
                "redis://:hush?hush@h",
                "a ?, which ends it there: write %3F",
            ),
        ] {
            let Err(error) = Address::parse(url, None) else {
                panic!("{url}")
            };
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("hush@"), "{error}");
        }
    }

    #[test]
    fn a_password_on_an_open_way_is_seen() {
        let is_open = |url| Address::parse(url, None).unwrap().is_open();
        assert!(is_open("redis://h") && is_open("redis://10.0.0.1"));
        for url in [
            "rediss://h",
            "redis://127.0.0.1",
            "redis://localhost",
            "unix:///s",
        ] {
            assert!(!is_open(url), "{url}");
        }
    }
}
