//! The connection to the server, for `object_store`: HTTP/1.1 over TLS with Mozilla's root certificates
//! and ring, as the host's other outbound connections have it. No redirect is followed, no proxy asked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::stream;
use http::header::CONTENT_LENGTH;
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::{ClientConfig, RootCertStore};
use s3_protocol::answer::Answered;
use tokio::time::timeout;

use super::attempts::time_for;
use super::failure::Failure;
use super::verdict::{self, Verdict};

/// How long an idle connection is kept. Servers close theirs sooner or later, and one that is closed
/// while it is used costs an attempt.
const IDLE: Duration = Duration::from_secs(20);

/// The most that is read of an answer that is an error, in bytes.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Connections that are kept for the next calls.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    client: Client<HttpsConnector<TcpConnector>, HttpRequestBody>,
    /// To the head of the answer, and from each piece of its body to the next.
    patience: Duration,
}

impl Connector {
    /// # Errors
    /// Never with the versions that this was built with.
    pub(crate) fn new(patience: Duration, connections: usize) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(patience));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            // Whether http:// may be used is decided by the settings.
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(connections)
            .build(connector);
        Ok(Self { client, patience })
    }

    fn late(&self) -> HttpError {
        Failure::NoAnswer(format!("no answer in {} ms", self.patience.as_millis())).into()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let patience = self.patience + time_for(request.body().content_length());
        let verdict = Verdict::of(&request);
        let answer = match timeout(patience, self.client.request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(no_connection(&error)),
            Err(_) => return Err(self.late()),
        };
        let (parts, body) = answer.into_parts();
        if let (true, Some(verdict)) = (parts.status.is_success(), verdict) {
            return self.judged(verdict, parts, body).await;
        }
        if parts.status.is_success() {
            let body = StreamBody::new(stream::unfold(
                (body, self.clone()),
                |(mut body, connector)| async {
                    let piece = connector.piece(&mut body).await?;
                    Some((piece, (body, connector)))
                },
            ));
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)));
        }
        let body = timeout(self.patience, Limited::new(body, MAX_ERROR_BYTES).collect()).await;
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            // The status says enough.
            _ => bytes::Bytes::new(),
        };
        Err(Failure::Answered(Answered::read(parts.status.as_u16(), &body)).into())
    }
}

impl Connector {
    /// The answer as a whole, if it says that it was done.
    async fn judged(
        &self,
        verdict: Verdict,
        mut parts: http::response::Parts,
        mut body: Incoming,
    ) -> Result<HttpResponse, HttpError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece(&mut body).await {
            if let Ok(piece) = piece?.into_data() {
                verdict::gather(&mut whole, &piece)?;
            }
        }
        let seen = verdict.read(&whole)?;
        // It is another one's.
        parts.headers.remove(CONTENT_LENGTH);
        Ok(HttpResponse::from_parts(parts, seen.into()))
    }

    async fn piece(&self, body: &mut Incoming) -> Option<Result<Frame<bytes::Bytes>, HttpError>> {
        match timeout(self.patience, body.frame()).await {
            Ok(piece) => piece.map(|piece| piece.map_err(|_| broken_off())),
            Err(_) => Some(Err(self.late())),
        }
    }
}

fn broken_off() -> HttpError {
    Failure::NoAnswer("its answer broke off".to_owned()).into()
}

fn no_connection(error: &hyper_util::client::legacy::Error) -> HttpError {
    let why = if error.is_connect() {
        let mut why = "no connection".to_owned();
        // What the system or TLS said: a refused connection, a name that is unknown, a certificate.
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                why = format!("no connection: {error}");
            }
            cause = error.source();
        }
        why
    } else {
        "the connection broke off".to_owned()
    };
    Failure::NoAnswer(why).into()
}
