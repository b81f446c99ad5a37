//! A stand-in for the inference service: it answers as the test says, when the test says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::background;

/// The default of `INFERENCE_RESOLVE_PATH`.
const PATH: &str = "/speaker/resolve";

/// What to answer.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    body: Bytes,
}

impl Reply {
    /// 200 with this body.
    #[must_use]
    pub fn ok(body: Value) -> Self {
        Self::status(200, body)
    }

    /// Another status, with this body.
    #[must_use]
    pub fn status(status: u16, body: Value) -> Self {
        Self::text(status, body.to_string())
    }

    /// A body that may be no JSON.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { status, body }
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
}

type Answers = dyn Fn(&Value) -> Reply + Send + Sync;

struct Shared {
    answers: Box<Answers>,
    /// One permit lets one answer go.
    gate: Semaphore,
    asked: Mutex<Vec<Asked>>,
}

/// A running service.
pub struct Inference {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Inference {
    /// Answers at once.
    pub async fn start(answers: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Self {
        let inference = Self::start_closed(answers).await;
        inference.let_go(Semaphore::MAX_PERMITS);
        inference
    }

    /// Takes requests and answers none of them until [`Inference::let_go`].
    pub async fn start_closed(answers: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            answers: Box::new(answers),
            gate: Semaphore::new(0),
            asked: Mutex::default(),
        });
        let listener = background::run(TcpListener::bind("127.0.0.1:0"))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("its address");
        let serving = background::handle().spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            serving,
        }
    }

    /// For `INFERENCE_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets so many more answers go.
    pub fn let_go(&self, answers: usize) {
        self.shared.gate.add_permits(answers);
    }

    /// The requests that came so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Inference {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            // Clients go away when they have waited long enough.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if head.method != "POST" || head.uri.path() != PATH {
        return Ok(response(&Reply::status(404, Value::Null)));
    }
    let asked = Asked {
        headers: head.headers,
        body: body.clone(),
    };
    shared
        .asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked);
    if let Ok(permit) = shared.gate.acquire().await {
        permit.forget();
    }
    Ok(response(&(shared.answers)(&body)))
}

fn response(reply: &Reply) -> Response<Full<Bytes>> {
    Response::builder()
        .status(reply.status)
        .header("content-type", "application/json")
        .body(Full::new(reply.body.clone()))
        .expect("a response")
}
