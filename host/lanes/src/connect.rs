//! Making an outbound connection: the request, TCP, TLS and the handshake. It knows no lanes.

use std::{sync::Arc, time::Duration};

use awake::timeout;
use http::{HeaderName, HeaderValue, Request, header};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{Error, client::IntoClientRequest},
};
use url::Url;

use crate::{Limits, OutboundPolicy, SocketError, Target};

/// The stream of an outbound connection.
pub(crate) type OutboundStream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Headers that the handshake sets, or that would change where it goes.
const OWN_HEADERS: [HeaderName; 8] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// Why a connection could not be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConnectError {
    pub(crate) status: Option<u16>,
    pub(crate) reason: String,
}

/// TLS as outbound sockets use it: Mozilla's root certificates, ring.
///
/// # Errors
/// Never with the versions that this was built with.
pub(crate) fn default_tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The handshake request to a target, if it may be connected to.
pub(crate) fn request(
    target: &Target,
    policy: &dyn OutboundPolicy,
    limits: &Limits,
) -> Result<Request<()>, SocketError> {
    let headers = target.headers.iter();
    let header_bytes: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    if target.url.len() + header_bytes > limits.target_bytes {
        return Err(SocketError::TooLarge);
    }
    let refuse = |why: &str| Err(SocketError::NotAllowed(why.to_owned()));
    let Ok(mut url) = Url::parse(&target.url) else {
        return refuse("this is no URL: use ws://host/path or wss://host/path");
    };
    if !matches!(url.scheme(), "ws" | "wss") || !url.has_host() {
        return refuse("the URL must begin with ws:// or wss:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("the URL must not hold a user or password: use a header");
    }
    if !policy.allows(&url) {
        return refuse("allowed_outbound_hosts does not name this host: add it to the manifest");
    }
    url.set_fragment(None);
    // Made from the URL as it was checked, not as it was written: two parsers may differ.
    let Ok(mut request) = url.as_str().into_client_request() else {
        return refuse("the URL cannot be connected to: check its host and path");
    };
    for (name, value) in &target.headers {
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            return refuse("a header has a name that is not allowed in HTTP");
        };
        // The value is not repeated: it may be a key.
        let Ok(value) = HeaderValue::try_from(value.as_str()) else {
            return Err(SocketError::NotAllowed(format!(
                "the header {name} has a value that is not allowed in HTTP"
            )));
        };
        if OWN_HEADERS.contains(&header) {
            return Err(SocketError::NotAllowed(format!(
                "the header {name} is set by the host: leave it out"
            )));
        }
        request.headers_mut().append(header, value);
    }
    Ok(request)
}

/// Connects within a time: look-up, TCP, TLS and handshake together. Redirects are not followed.
pub(crate) async fn connect(
    request: Request<()>,
    within: Duration,
    tls: Arc<ClientConfig>,
    limits: &Limits,
) -> Result<OutboundStream, ConnectError> {
    let within = within.min(limits.connect_timeout);
    match timeout(within, handshake(request, tls, limits)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(describe(error)),
        Err(_) => Err(ConnectError {
            status: None,
            reason: format!("no connection within {} ms", within.as_millis()),
        }),
    }
}

async fn handshake(
    request: Request<()>,
    tls: Arc<ClientConfig>,
    limits: &Limits,
) -> Result<OutboundStream, Error> {
    let uri = request.uri();
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let default_port = if uri.scheme_str() == Some("wss") {
        443
    } else {
        80
    };
    let port = uri.port_u16().unwrap_or(default_port);
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    let connector = Connector::Rustls(tls);
    let config = limits.websocket_config();
    let (stream, _) =
        client_async_tls_with_config(request, tcp, Some(config), Some(connector)).await?;
    Ok(stream)
}

fn describe(error: Error) -> ConnectError {
    match error {
        Error::Http(response) => ConnectError {
            status: Some(response.status().as_u16()),
            reason: format!("the peer refused the handshake: {}", response.status()),
        },
        other => ConnectError {
            status: None,
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    struct Only(&'static str);

    impl OutboundPolicy for Only {
        fn allows(&self, url: &Url) -> bool {
            url.host_str() == Some(self.0)
        }
    }

    fn target(url: &str) -> Target {
        Target {
            url: url.to_owned(),
            headers: Vec::new(),
            lane: "lane".to_owned(),
            context: String::new(),
            connect_timeout: Duration::from_secs(1),
        }
    }

    fn check(target: &Target) -> Result<Request<()>, SocketError> {
        request(target, &Only("asr.test"), &Limits::default())
    }

    #[test]
    fn the_request_goes_where_the_policy_looked() {
        let mut target = target("wss://ASR.test:8443/a b?c=d#e");
        target.headers = vec![("Authorization".into(), "bearer key".into())];
        let request = check(&target).unwrap();
        assert_eq!(request.uri(), "wss://asr.test:8443/a%20b?c=d");
        assert_eq!(request.headers()["authorization"], "bearer key");
        assert_eq!(request.headers()["host"], "asr.test:8443");
    }

    #[test]
    fn other_hosts_schemes_and_own_headers_are_refused() {
        for url in [
            "ws://other.test/",
            "http://asr.test/",
            "asr.test",
            "ws://user:secret@asr.test/",
            "ws://other.test\\@asr.test/",
            "ws://",
        ] {
            let error = check(&target(url)).unwrap_err();
            assert!(
                matches!(error, SocketError::NotAllowed(_)),
                "{url}: {error}"
            );
        }
        for (name, value) in [
            ("Host", "other.test"),
            ("sec-websocket-key", "x"),
            ("bad name", "x"),
            ("x-key", "line\r\nbreak"),
        ] {
            let mut target = target("ws://asr.test/");
            target.headers = vec![(name.into(), value.into())];
            let error = check(&target).unwrap_err();
            assert!(
                matches!(error, SocketError::NotAllowed(_)),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn a_target_over_the_limit_is_too_large() {
        let long = format!("ws://asr.test/{}", "x".repeat(20_000));
        assert_eq!(check(&target(&long)).unwrap_err(), SocketError::TooLarge);
    }
}
