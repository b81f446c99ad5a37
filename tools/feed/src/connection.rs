//! A connection to the gateway: TCP, through a proxy where one is asked for, with TLS where the URL says
//! so. HTTP and WebSockets are spoken over it by others.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::gateway::Gateway;
use crate::proxy::Proxy;

/// Connecting may take this long, all of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a proxy's answer.
const MAX_PROXY_ANSWER: usize = 8192;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody there.
    #[error("{0}")]
    Tcp(io::Error),
    /// Nobody who answers.
    #[error("connecting took longer than {} s", PATIENCE.as_secs())]
    Time,
    /// The proxy does not do it.
    #[error("the proxy {proxy} {reason}")]
    Proxy {
        /// Its host and port.
        proxy: String,
        /// What it says.
        reason: String,
    },
    /// The gateway is not who it should be; trying again will not help.
    #[error("its certificate is not trusted: {0}; name its authority with --ca-file")]
    Certificate(rustls::Error),
    /// Something else speaks there.
    #[error("it does not speak TLS: use http://")]
    NotTls,
    /// The handshake broke.
    #[error("TLS: {0}")]
    Tls(io::Error),
}

impl Error {
    /// Whether trying again is pointless.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Certificate(_) | Self::NotTls)
    }
}

/// What HTTP and WebSockets are spoken over.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// An open one.
pub type Connection = Box<dyn Io>;

/// Opens connections to one gateway.
#[derive(Clone)]
pub struct Connector {
    host: String,
    port: u16,
    proxy: Option<Proxy>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// `tls` is used where the gateway's URL says so.
    ///
    /// # Errors
    /// When the gateway's name is none that a certificate can have.
    pub fn new(
        gateway: &Gateway,
        proxy: Option<Proxy>,
        tls: Option<TlsConnector>,
    ) -> Result<Self, rustls::pki_types::InvalidDnsNameError> {
        let host = gateway.host();
        let tls = match tls.filter(|_| gateway.is_encrypted()) {
            Some(tls) => Some((tls, ServerName::try_from(host.clone())?)),
            None => None,
        };
        Ok(Self {
            host,
            port: gateway.port(),
            proxy,
            tls,
        })
    }

    /// Opens one.
    ///
    /// # Errors
    /// When that does not succeed within 10 s.
    pub async fn connect(&self) -> Result<Connection, Error> {
        match timeout(PATIENCE, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::Time),
        }
    }

    async fn open(&self) -> Result<Connection, Error> {
        let tcp = match &self.proxy {
            Some(proxy) => self.through(proxy).await?,
            None => tcp(&self.host, self.port).await.map_err(Error::Tcp)?,
        };
        let Some((tls, name)) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        match tls.connect(name.clone(), tcp).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(of_tls(error)),
        }
    }

    async fn through(&self, proxy: &Proxy) -> Result<TcpStream, Error> {
        let failed = |reason: String| Error::Proxy {
            proxy: format!("{}:{}", proxy.host, proxy.port),
            reason,
        };
        let broken = |error: io::Error| failed(format!("cannot be used: {error}"));
        let mut stream = tcp(&proxy.host, proxy.port).await.map_err(broken)?;
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let target = format!("{host}:{}", self.port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &proxy.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        // Byte for byte: what follows is the gateway's.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_PROXY_ANSWER {
                return Err(failed("does not answer like one".to_owned()));
            }
            answer.push(stream.read_u8().await.map_err(broken)?);
        }
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.lines().next().unwrap_or_default();
        match status.split(' ').nth(1) {
            Some(code) if code.len() == 3 && code.starts_with('2') => Ok(stream),
            _ => Err(failed(format!("answers: {status}"))),
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn of_tls(error: io::Error) -> Error {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::InvalidMessage(_)) => Error::NotTls,
        Some(fault @ rustls::Error::InvalidCertificate(_)) => Error::Certificate(fault.clone()),
        _ => Error::Tls(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use tokio::net::TcpListener;

    /// A proxy that answers one request with this, and then returns what it is sent. Gives the
    /// request.
    async fn through_a_proxy(answer: &'static [u8]) -> (Result<Connection, Error>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            authorization: Some("Basic eDp5".to_owned()),
        };
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
            String::from_utf8(request).unwrap()
        });
        let gateway = "http://[2001:db8::1]:81".parse().unwrap();
        let connector = Connector::new(&gateway, Some(proxy), None).unwrap();
        let connected = connector.connect().await;
        (connected, serving.await.unwrap())
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_the_gateway_and_what_follows_is_the_gateways() {
        let answer = b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\nhello";
        let (connected, request) = through_a_proxy(answer).await;
        assert_eq!(
            request,
            "CONNECT [2001:db8::1]:81 HTTP/1.1\r\nHost: [2001:db8::1]:81\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
        );
        let mut connection = connected.map_err(|error| error.to_string()).unwrap();
        let mut read = [0; 5];
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        connection.write_all(b"there").await.unwrap();
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"there");
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named_with_its_words() {
        let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
        let (connected, _) = through_a_proxy(answer).await;
        let error = connected.err().unwrap().to_string();
        assert!(error.starts_with("the proxy 127.0.0.1:"), "{error}");
        assert!(
            error.ends_with("answers: HTTP/1.1 407 Proxy Authentication Required"),
            "{error}"
        );
    }
}
