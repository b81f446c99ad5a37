//! What is asked of the gateway over HTTP. No audio.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::session::{Gateway, Role, SessionId};

/// The header that shows a key.
pub const KEY: &str = "x-api-key";
/// An ordinary answer may take this long.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Finalizing waits until what was recognised is complete.
pub const FINALIZE_TIMEOUT: Duration = Duration::from_secs(60);
/// Utterances asked for at a time. More than this within one poll are not all shown.
pub const UTTERANCE_LIMIT: usize = 200;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody there, or nobody who answers.
    #[error(
        "no answer from the gateway at {gateway} ({reason}); start it with `cargo up`, or name another with --url"
    )]
    Unreachable {
        /// Which.
        gateway: String,
        /// Why, as far as the system knows.
        reason: String,
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
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    gateway: Gateway,
    session: SessionId,
    key: Option<HeaderValue>,
}

impl Api {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(gateway: Gateway, session: SessionId) -> Self {
        Self {
            client: Client::new(),
            gateway,
            session,
            key: None,
        }
    }

    /// Shows this key, if there is one.
    #[must_use]
    pub fn with_key(mut self, key: Option<HeaderValue>) -> Self {
        self.key = key;
        self
    }

    /// Whether there is a gateway.
    ///
    /// # Errors
    /// When there is none.
    pub async fn check(&self) -> Result<(), Error> {
        let url = self.gateway.route(["health"]);
        let health: Value = self.ask(self.client.get(url), ANSWER_TIMEOUT).await?;
        match health.get("status") {
            Some(_) => Ok(()),
            None => Err(self.foreign("its /health has no status")),
        }
    }

    /// The last utterances of a stream, oldest first.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn utterances(&self, role: Role) -> Result<Vec<Utterance>, Error> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Utterance>,
        }
        let mut url = self.session_route("utterances");
        url.query_pairs_mut()
            .append_pair("stream_role", role.as_str())
            .append_pair("limit", &UTTERANCE_LIMIT.to_string());
        let page: Page = self.ask(self.client.get(url), ANSWER_TIMEOUT).await?;
        Ok(page.items)
    }

    /// How far the recognition of a stream is.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn recognition(&self, role: Role) -> Result<Recognition, Error> {
        let request = self.client.get(self.session_route("state"));
        let state: Value = self.ask(request, ANSWER_TIMEOUT).await?;
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

    /// Writes `result.json`.
    ///
    /// # Errors
    /// When the gateway does not answer within [`FINALIZE_TIMEOUT`] or refuses.
    pub async fn finalize(&self) -> Result<Finalized, Error> {
        let body = json!({"metadata": {"client": "feed"}});
        let request = self.client.post(self.session_route("finalize")).json(&body);
        self.ask(request, FINALIZE_TIMEOUT).await
    }

    fn session_route(&self, name: &str) -> url::Url {
        self.gateway
            .route(["v1", "sessions", self.session.as_str(), name])
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<T, Error> {
        let request = match &self.key {
            Some(key) => request.header(KEY, key.clone()),
            None => request,
        };
        let answer = async {
            let response = request.timeout(timeout).send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
        };
        let (status, body) = answer.await.map_err(|error| Error::Unreachable {
            gateway: self.gateway.to_string(),
            reason: innermost(&error),
        })?;
        if !status.is_success() {
            let detail = serde_json::from_slice::<Value>(&body)
                .ok()
                .and_then(|body| Some(body.get("detail")?.as_str()?.to_owned()))
                .unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
            return Err(Error::Refused {
                status: status.as_u16(),
                detail,
            });
        }
        serde_json::from_slice(&body).map_err(|error| self.foreign(error))
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
