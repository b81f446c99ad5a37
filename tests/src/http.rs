//! The HTTP side of a gateway's port. Paths are sent as they are written, also those that no
//! well-behaved client would send. Every answer is held against the API's description.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::contract;
use crate::gateway::Gateway;
use crate::wait::in_time;

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body, which is JSON.
    ///
    /// # Panics
    /// It is not.
    #[must_use]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!("not JSON ({error}): {self:?}"),
        }
    }

    /// The `detail` of an error.
    #[must_use]
    pub fn detail(&self) -> String {
        self.json()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The body of a 200.
    ///
    /// # Panics
    /// It is something else.
    #[must_use]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }
}

/// A request with a JSON body, or with none.
#[must_use]
pub fn request(method: &str, path: &str, body: Option<&Value>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    let request = match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string()))),
        None => request.body(Full::default()),
    };
    request.expect("a request")
}

/// The request with one more header.
#[must_use]
pub fn with_header(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Request<Full<Bytes>> {
    let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
    request.headers_mut().append(name, value);
    request
}

impl Gateway {
    /// Sends a request on a connection of its own. It needs no `host` header.
    ///
    /// # Panics
    /// The answer is none that the API's description has.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let shows_one = ["authorization", "x-api-key"];
        let shows_one = shows_one
            .iter()
            .any(|name| request.headers().contains_key(*name));
        let request = match self.key() {
            Some(key) if !shows_one => with_header(request, "x-api-key", key),
            _ => request,
        };
        let sent = try_send(self.address(), request).await;
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(request("DELETE", path, None)).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, None)).await
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(request("POST", path, Some(body))).await
    }
}

/// Sends a request on a connection of its own to a gateway that may go away before it answers.
///
/// # Errors
/// It did: there is no whole answer.
///
/// # Panics
/// The answer is none that the API's description has.
pub async fn try_send(
    address: SocketAddr,
    mut request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let host = address
        .to_string()
        .parse()
        .expect("an address is a header's value");
    request.headers_mut().entry("host").or_insert(host);
    let (method, path) = (request.method().to_string(), request.uri().to_string());
    let what = format!("{method} {path} is answered");
    let answer = in_time(&what, async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok::<_, Box<dyn Error + Send + Sync>>(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    })
    .await?;
    contract::check_answer(&method, &path, &answer);
    Ok(answer)
}

/// What a path is answered that is the host's own, such as `/metrics`: head and body as they came.
pub async fn raw_get(address: SocketAddr, path: &str) -> String {
    in_time("the host answers", async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.0\r\nhost: x\r\n\r\n");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("a request is sent");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        read.expect("an answer that is text");
        answer
    })
    .await
}
