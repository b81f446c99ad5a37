//! A component that answers HTTP requests (`wasi:http/handler`), with its kept instances.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::uri::Scheme;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use listener::{Body, BoxError, Encrypted, Peer, RequestBody};
use wasmtime::component::{GuestTaskId, InstancePre};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept,
    WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::capability::memory::{Grown, Refused, Share, TooMuchMemory};
use crate::capability::{Ctx, Grants, new_store};
use crate::errors;
use crate::figures::{ComponentFigures, HTTP};
use crate::over::{Over, Overs};
use crate::request_body::{Arrival, BegunBody, BodyLimits, LimitedBody, Watch};
use crate::request_places::{Kind, MAX_WAIT, Places};

/// Bytes of a request's body. The largest that the app takes are audio files in base64.
pub const MAX_REQUEST_BODY: u64 = 16 << 20;

/// How long a client may pause within a request's body.
pub const BODY_IDLE: Duration = Duration::from_secs(10);

/// Requests after which an instance is replaced.
pub const MAX_REQUESTS_PER_INSTANCE: usize = 1_000;

/// How long an instance is kept unused.
pub const MAX_IDLE: Duration = Duration::from_secs(30);

/// A component behind HTTP.
pub struct HttpComponent {
    handler: ProxyHandler<Handler>,
    places: Places,
    grants: Arc<Grants>,
    memory: Share,
    limits: RequestLimits,
    overs: Arc<Overs>,
    /// Set at the end: instances that are dropped then have not failed.
    stopping: Arc<AtomicBool>,
}

/// How much requests may take.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    /// For an answer to begin, and as long again for it to end.
    pub call_timeout: Duration,
    /// Of the request's body.
    pub body: BodyLimits,
    /// Requests of one address at a time, those that wait not counted.
    pub per_address: usize,
    /// The path that says whether the app is well, which is asked in places of its own.
    pub health: Option<String>,
}

impl Drop for HttpComponent {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
    }
}

impl HttpComponent {
    /// The component that `grants` are for. What requests are over is counted in `overs`.
    ///
    /// # Errors
    /// It has no HTTP handler.
    pub fn new(
        engine: &Engine,
        pre: InstancePre<Ctx>,
        grants: Arc<Grants>,
        limits: RequestLimits,
        overs: Arc<Overs>,
    ) -> wasmtime::Result<Self> {
        let pre = ProxyPre::P3(ServicePre::new(pre)?);
        let stopping = Arc::new(AtomicBool::new(false));
        let memory = grants.memory_budget.for_requests();
        let handler = ProxyHandler::new(Handler {
            engine: engine.clone(),
            pre,
            memory: memory.clone(),
            grants: Arc::clone(&grants),
            call_timeout: limits.call_timeout,
            stopping: Arc::clone(&stopping),
        });
        Ok(Self {
            handler,
            places: Places::new(limits.per_address),
            grants,
            memory,
            limits,
            overs,
            stopping,
        })
    }

    /// Answers a request. Never an error: what goes wrong is an answer too, and a line in the log.
    pub async fn handle(&self, request: Request<RequestBody>) -> Response<Body> {
        let Some(figures) = &self.grants.figures else {
            return self.answer(request).await;
        };
        let since = Instant::now();
        let response = self.answer(request).await;
        figures.requests.answered(response.status().as_u16(), since);
        response
    }

    fn figures(&self) -> Option<&ComponentFigures> {
        self.grants.figures.as_ref()
    }

    /// Where this request finds its place.
    fn kind(&self, request: &Request<BegunBody>) -> Kind {
        let is_whole = request.body().is_whole();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match &self.limits.health {
            Some(health) if is_whole && is_read && request.uri().path() == health => Kind::Health,
            _ => Kind::Other {
                peer: request.extensions().get().map(|Peer(address)| *address),
                is_whole,
            },
        }
    }

    /// Counts what a request is over, and says so.
    fn refuse(&self, over: Over) -> Response<Body> {
        self.overs.add(over);
        plain(match over {
            Over::BodyBytes => errors::too_large(),
            Over::BodyTime => errors::too_slow(),
            Over::Requests => errors::busy(),
            Over::RequestsPerAddress => errors::busy_address(),
            Over::Memory => errors::out_of_memory(),
        })
    }

    /// A request with the beginning of its body, or what to say when that does not come.
    async fn begun(
        &self,
        request: Request<RequestBody>,
    ) -> Result<(Request<BegunBody>, Watch), Response<Body>> {
        let watch = Watch::default();
        let (parts, body) = absolute(request).into_parts();
        let body = LimitedBody::new(body, self.limits.body, watch.clone());
        if parts.headers.contains_key(EXPECT) {
            // Whoever will be refused is not told to go on.
            let request = Request::from_parts(parts, BegunBody::unasked(body));
            return Ok((request, watch));
        }
        let beginning = BegunBody::wait_for(body);
        let over = match awake::timeout(self.limits.call_timeout, beginning).await {
            Ok(Ok(body)) => return Ok((Request::from_parts(parts, body), watch)),
            Err(_) => Over::BodyTime,
            Ok(Err(_)) => match watch.arrival() {
                Arrival::TooLarge => Over::BodyBytes,
                Arrival::TooSlow => Over::BodyTime,
                // The client broke off, or its body is none: hardly anybody reads this.
                Arrival::AwaitsClient | Arrival::InTime => {
                    return Err(plain(errors::broken_body()));
                }
            },
        };
        Err(self.refuse(over))
    }

    async fn answer(&self, request: Request<RequestBody>) -> Response<Body> {
        if declared_length(&request).is_some_and(|length| length > self.limits.body.bytes) {
            return self.refuse(Over::BodyBytes);
        }
        let (request, watch) = match self.begun(request).await {
            Ok(begun) => begun,
            Err(refusal) => return refusal,
        };
        let arrived = Instant::now();
        let kind = self.kind(&request);
        let is_health = matches!(kind, Kind::Health);
        let place = match self.places.take(kind).await {
            Ok(place) => place,
            Err(over) => return self.refuse(over),
        };
        // Whether the app is well can be asked whatever the others take.
        let room = match is_health {
            true => None,
            false => match tokio::time::timeout(MAX_WAIT, self.memory.room(|| {})).await {
                Ok(room) => Some(room),
                Err(_) => return self.refuse(Over::Memory),
            },
        };
        let request = request.map(BodyExt::boxed_unsync);
        let busy = self.figures().map(|figures| {
            figures.calls.waited(arrived);
            figures.calls.in_use()
        });
        let place = (place, room, busy);
        let called = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        // A task of its own, with the place: when the client goes away the component is still at it.
        let handler = self.handler.clone();
        let refused = Refused::default();
        let data = Arc::clone(&refused);
        let handling = tokio::spawn(async move { (handler.handle(data, request).await, place) });
        let handled = handling.await;
        // A guest that spins ends with another error than one that waits too long.
        let failed = !matches!(&handled, Ok((Ok(_), _)));
        let timed_out = failed && called.elapsed() >= self.limits.call_timeout;
        if let Some(figures) = self.figures() {
            figures.calls.called(HTTP, called);
            if timed_out {
                figures.calls.timed_out();
            }
        }
        let Ok((answer, place)) = handled else {
            return plain(errors::internal());
        };
        match watch.arrival() {
            Arrival::TooLarge => return self.refuse(Over::BodyBytes),
            Arrival::TooSlow => return self.refuse(Over::BodyTime),
            // It was the client that the component waited for.
            Arrival::AwaitsClient if timed_out => return self.refuse(Over::BodyTime),
            Arrival::AwaitsClient | Arrival::InTime => {}
        }
        match answer {
            // The instance is busy until the body has been sent: so is the place, which the
            // closure keeps.
            Ok(response) => response.map(|body| {
                body.map_err(move |error| {
                    let _busy = &place;
                    BoxError::from(error)
                })
                .boxed_unsync()
            }),
            Err(_) if refused.load(Ordering::Acquire) => self.refuse(Over::Memory),
            Err(error) => {
                tracing::error!(
                    component = self.grants.component,
                    %method,
                    path,
                    error = format!("{error:#}"),
                    "a request was not answered"
                );
                plain(errors::internal())
            }
        }
    }
}

/// A whole, small answer.
pub fn plain(response: Response<&'static str>) -> Response<Body> {
    response.map(|body| {
        Full::from(body)
            .map_err(|never| match never {})
            .boxed_unsync()
    })
}

fn declared_length(request: &Request<RequestBody>) -> Option<u64> {
    request
        .headers()
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Gives the URI scheme and authority, which a component may ask for, from the `Host` header.
fn absolute<B>(mut request: Request<B>) -> Request<B> {
    let scheme = match request.extensions().get::<Encrypted>() {
        Some(Encrypted) => Scheme::HTTPS,
        None => Scheme::HTTP,
    };
    let host = request
        .headers()
        .get(HOST)
        .map(|host| host.as_bytes().to_owned());
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() {
        parts.authority = host.and_then(|host| host.as_slice().try_into().ok());
    }
    if parts.authority.is_some() {
        parts.scheme.get_or_insert(scheme);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

struct Handler {
    engine: Engine,
    pre: ProxyPre<Ctx>,
    grants: Arc<Grants>,
    memory: Share,
    call_timeout: Duration,
    stopping: Arc<AtomicBool>,
}

impl HandlerState for Handler {
    type StoreData = Ctx;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Ctx, Expiration, Worker>> {
        if let Some(figures) = &self.grants.figures {
            figures.calls.made();
        }
        let mut store = new_store(&self.engine, &self.grants, &self.memory);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        let grown = store.data().grown();
        Ok(Instance {
            store,
            proxy,
            view: <Ctx as WasiHttpView>::http,
            expiration: Expiration {
                sleep: awake::sleep(MAX_IDLE),
                of: (Instant::now(), MAX_IDLE),
                call_timeout: self.call_timeout,
            },
            state: Worker {
                grants: Arc::clone(&self.grants),
                grown,
                call_timeout: self.call_timeout,
                stopping: Arc::clone(&self.stopping),
            },
        })
    }
}

/// Ends an instance that takes too long or is not used.
struct Expiration {
    sleep: awake::Sleep,
    /// What it waits for: since when, and how long.
    of: (Instant, Duration),
    call_timeout: Duration,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => MAX_IDLE,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.call_timeout,
        };
        if self.of != (start, limit) {
            self.of = (start, limit);
            self.sleep = awake::sleep(limit.saturating_sub(start.elapsed()));
        }
        Pin::new(&mut self.sleep).poll(cx)
    }
}

/// Whether an instance ended because it took too long: that is counted where the request waits.
fn is_time_out(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string() == ExpirationError.to_string()
}

/// One instance.
struct Worker {
    grants: Arc<Grants>,
    grown: Grown,
    call_timeout: Duration,
    stopping: Arc<AtomicBool>,
}

impl WorkerState for Worker {
    type StoreData = Ctx;
    type RequestData = Refused;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        let may_be_kept = || self.grants.memory_budget.may_keep(self.grown.bytes());
        if total >= MAX_REQUESTS_PER_INSTANCE || (total > 0 && !may_be_kept()) {
            ShouldAccept::Never
        } else if concurrent == 0 {
            ShouldAccept::Yes
        } else {
            // One at a time: a trap takes the whole instance with it.
            ShouldAccept::No
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, Ctx>,
        refused: Refused,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        store.data_mut().note_refusals(refused);
        Box::pin(awake::sleep(self.call_timeout))
    }

    fn drop(&self, store: Store<Ctx>, result: wasmtime::Result<()>) {
        drop(store);
        if let Err(error) = result
            && !self.stopping.load(Ordering::Acquire)
        {
            if let Some(figures) = &self.grants.figures
                && !is_time_out(&error)
            {
                match error.root_cause().is::<TooMuchMemory>() {
                    true => figures.calls.out_of_memory(),
                    false => figures.calls.trapped(),
                }
            }
            tracing::warn!(
                component = self.grants.component,
                trace = format!("{error:?}"),
                "the component failed: {}",
                error.root_cause()
            );
        }
    }
}
