//! The HTTP API of the gateway, as far as it is used here. No audio.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

use crate::connection::{self, Connector};
use crate::gateway::Gateway;
use crate::session::{Role, SessionId};

/// The header that shows a key.
pub const KEY: &str = "x-api-key";
/// An ordinary answer may take this long.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Finalizing waits until what was recognised is complete.
pub const FINALIZE_TIMEOUT: Duration = Duration::from_secs(60);
/// Utterances asked for at a time. More than this within one poll are not all shown.
pub const UTTERANCE_LIMIT: usize = 200;
/// Longer answers are not read.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Characters of an answer that an error repeats.
const MAX_QUOTED: usize = 300;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody there, or nobody who answers.
    #[error("no answer from the gateway at {gateway} ({reason}){remedy}")]
    Unreachable {
        /// Which.
        gateway: String,
        /// Why, as far as the system knows.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
        /// Whether it may answer later.
        is_transient: bool,
    },
    /// It refused.
    #[error("the gateway answers {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// `detail` of the error body, or the body.
        detail: String,
    },
    /// An answer of another kind of server.
    #[error("{gateway} does not answer like a gateway: {reason}")]
    Foreign {
        /// Which.
        gateway: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// Whether the same request may succeed later: the gateway restarts, or a proxy before it waits for
    /// it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { is_transient, .. } => *is_transient,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 502 | 503 | 504),
            Self::Foreign { .. } => false,
        }
    }
}

/// What the gateway says of itself, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub struct Health {
    /// `simulator` where transcripts are invented.
    #[serde(default)]
    pub asr_provider: String,
    /// Whether anything is transcribed.
    #[serde(default)]
    pub asr_enabled: Option<bool>,
}

impl Health {
    /// Whether the transcripts are invented.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.asr_provider == "simulator"
    }
}

/// A final text, as far as it is shown.
#[derive(Debug, Clone, Deserialize)]
pub struct Utterance {
    /// Names it for good.
    pub utterance_id: String,
    /// What was said.
    pub text: String,
    /// Session time, in ms.
    pub start_ms: u64,
    /// Session time, in ms.
    pub end_ms: u64,
}

/// How far the recognition of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recognition {
    /// Stored seconds that were not given to the recognition yet.
    pub backlog: u64,
    /// Final texts.
    pub utterances: u64,
}

/// The answer to `finalize`.
#[derive(Debug, Clone, Deserialize)]
pub struct Finalized {
    /// The key of `result.json` in the blob store.
    pub result_key: String,
    /// Speaker events in it.
    pub event_count: u64,
}

/// One session on one gateway.
pub struct Api {
    connector: Connector,
    gateway: Gateway,
    session: SessionId,
    key: Option<HeaderValue>,
    /// The connection of the last request, if it can be used again.
    kept: Option<SendRequest<Full<Bytes>>>,
}

/// Why a request got no answer.
enum Failure {
    Connect(connection::Error),
    Broken(String),
}

impl Api {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(
        connector: Connector,
        gateway: Gateway,
        session: SessionId,
        key: Option<HeaderValue>,
    ) -> Self {
        Self {
            connector,
            gateway,
            session,
            key,
            kept: None,
        }
    }

    /// Whether there is a gateway, and what it says of itself.
    ///
    /// # Errors
    /// When there is none.
    pub async fn health(&mut self) -> Result<Health, Error> {
        let url = self.gateway.route(["health"]);
        let health: Value = self.ask(Method::GET, url, None, ANSWER_TIMEOUT).await?;
        if health.get("status").is_none() {
            return Err(self.foreign("its /health has no status"));
        }
        serde_json::from_value(health).map_err(|error| self.foreign(error))
    }

    /// The last utterances of a stream, oldest first.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn utterances(&mut self, role: Role) -> Result<Vec<Utterance>, Error> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Utterance>,
        }
        let mut url = self.session_route("utterances");
        url.query_pairs_mut()
            .append_pair("stream_role", role.as_str())
            .append_pair("limit", &UTTERANCE_LIMIT.to_string());
        let page: Page = self.ask(Method::GET, url, None, ANSWER_TIMEOUT).await?;
        Ok(page.items)
    }

    /// How far the recognition of a stream is.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn recognition(&mut self, role: Role) -> Result<Recognition, Error> {
        let url = self.session_route("state");
        let state: Value = self.ask(Method::GET, url, None, ANSWER_TIMEOUT).await?;
        let number = |field: &Value, name: &str| {
            field
                .as_u64()
                .ok_or_else(|| self.foreign(format!("its state has no {name}")))
        };
        let role = role.as_str();
        let backlog = &state["asr_by_stream"][role]["backlog_chunks"];
        let utterances = &state["utterance_count_by_stream"][role];
        Ok(Recognition {
            backlog: number(backlog, "backlog_chunks")?,
            utterances: number(utterances, "utterance_count_by_stream")?,
        })
    }

    /// Writes `result.json`. May be repeated.
    ///
    /// # Errors
    /// When the gateway does not answer within [`FINALIZE_TIMEOUT`] or refuses.
    pub async fn finalize(&mut self) -> Result<Finalized, Error> {
        let body = json!({"metadata": {"client": "feed"}});
        let url = self.session_route("finalize");
        self.ask(Method::POST, url, Some(body), FINALIZE_TIMEOUT)
            .await
    }

    fn session_route(&self, name: &str) -> Url {
        self.gateway
            .route(["v1", "sessions", self.session.as_str(), name])
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        method: Method,
        url: Url,
        body: Option<Value>,
        patience: Duration,
    ) -> Result<T, Error> {
        let exchange = self.exchange(method, &url, body);
        let answer = match timeout(patience, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Broken(format!(
                "none within {} s",
                patience.as_secs()
            ))),
        };
        let (status, location, body) = answer.map_err(|failure| self.unreachable(failure))?;
        if !status.is_success() {
            let detail = serde_json::from_slice::<Value>(&body)
                .ok()
                .and_then(|body| Some(body.get("detail")?.as_str()?.to_owned()))
                .or_else(|| location.map(|location| format!("it is at {location}")))
                .unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
            return Err(Error::Refused {
                status: status.as_u16(),
                detail: detail.chars().take(MAX_QUOTED).collect(),
            });
        }
        serde_json::from_slice(&body).map_err(|error| self.foreign(error))
    }

    /// Over the connection of before if it still works, else over a new one: every request here may be
    /// repeated.
    async fn exchange(
        &mut self,
        method: Method,
        url: &Url,
        body: Option<Value>,
    ) -> Result<(StatusCode, Option<String>, Bytes), Failure> {
        let request = || self.request(&method, url, body.as_ref());
        let broken = |error: &dyn std::error::Error| Failure::Broken(innermost(error));
        let mut response = None;
        let first = request().map_err(|error| broken(&error))?;
        if let Some(mut sender) = self.kept.take()
            && sender.ready().await.is_ok()
            && let Ok(answer) = sender.send_request(first).await
        {
            response = Some((sender, answer));
        }
        let (sender, response) = match response {
            Some(response) => response,
            None => {
                let connection = self.connector.connect().await.map_err(Failure::Connect)?;
                let (mut sender, driver) = handshake(TokioIo::new(connection))
                    .await
                    .map_err(|error| broken(&error))?;
                // Ends with the sender.
                tokio::spawn(driver);
                let request = self
                    .request(&method, url, body.as_ref())
                    .map_err(|error| broken(&error))?;
                let answer = sender.send_request(request).await;
                (sender, answer.map_err(|error| broken(&error))?)
            }
        };
        let status = response.status();
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok().map(str::to_owned));
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let body = body.collect().await.map_err(|error| broken(&*error))?;
        self.kept = Some(sender);
        Ok((status, location, body.to_bytes()))
    }

    fn request(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, self.gateway.authority())
            .header(ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header(KEY, key.clone());
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body))
    }

    fn unreachable(&self, failure: Failure) -> Error {
        let (reason, is_transient) = match failure {
            Failure::Connect(error) => (error.to_string(), !error.is_final()),
            Failure::Broken(reason) => (reason, true),
        };
        let remedy = match is_transient && self.gateway.is_loopback() {
            true => "; start it with `cargo up`, or name another with --url",
            false => "",
        };
        Error::Unreachable {
            gateway: self.gateway.to_string(),
            reason,
            remedy,
            is_transient,
        }
    }

    fn foreign(&self, reason: impl ToString) -> Error {
        Error::Foreign {
            gateway: self.gateway.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// The cause of an error that has several around it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
