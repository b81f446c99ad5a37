//! Which component gets which request: the most specific route that can answer it.

use std::sync::Arc;
use std::time::Instant;

use app_manifest::Router;
use futures::future::BoxFuture;
use host_metrics::{Metrics, RequestFigures};
use http::request::Parts;
use http::{Method, Request, Response};
use lanes::Lanes;
use listener::{Admit, Body, RequestBody, Service};

use crate::errors;
use crate::figures::HOST;
use crate::http_component::{HttpComponent, plain};
use crate::mailbox::AppMailbox;
use crate::scrape;
use crate::store_health::StoreHealth;

/// What a route leads to.
#[derive(Clone)]
pub struct Target {
    /// Takes upgrade requests.
    pub mailbox: Option<AppMailbox>,
    /// Takes all others.
    pub http: Option<Arc<HttpComponent>>,
}

/// The app behind its port.
pub struct AppService {
    router: Router<Target>,
    lanes: Lanes,
    figures: Option<HostFigures>,
    health: Option<Health>,
}

/// What the host knows of the app's being well that the app does not.
struct Health {
    /// The path that is asked.
    path: String,
    stores: Vec<StoreHealth>,
}

/// Of requests that the host answers itself.
struct HostFigures {
    requests: RequestFigures,
    /// To be read at this port.
    shown: Option<Metrics>,
}

impl AppService {
    /// Serves these routes.
    pub fn new(router: Router<Target>, lanes: Lanes) -> Self {
        Self {
            router,
            lanes,
            figures: None,
            health: None,
        }
    }

    /// Answers requests of this path itself while a store fails: the app would say that all is well.
    #[must_use]
    pub fn with_health(mut self, path: Option<String>, stores: Vec<StoreHealth>) -> Self {
        self.health = path.map(|path| Health { path, stores });
        self
    }

    /// Why nothing can be stored, if this is a request that asks.
    fn problem(&self, request: &Request<RequestBody>) -> Option<String> {
        let health = self.health.as_ref()?;
        let is_asked = request.uri().path() == health.path
            && matches!(*request.method(), Method::GET | Method::HEAD);
        let mut problems = health.stores.iter().filter_map(StoreHealth::problem);
        is_asked.then(|| problems.next()).flatten()
    }

    /// Counts what the host answers itself, and shows the figures at the port if `is_shown`.
    #[must_use]
    pub fn with_figures(mut self, metrics: &Metrics, is_shown: bool) -> Self {
        self.figures = Some(HostFigures {
            requests: metrics.requests(HOST),
            shown: is_shown.then(|| metrics.clone()),
        });
        self
    }

    /// The figures, if they are shown at this path.
    fn shown_at(&self, path: &str) -> Option<&Metrics> {
        let shown = self.figures.as_ref()?.shown.as_ref()?;
        (path == scrape::PATH).then_some(shown)
    }

    /// An answer of the host's own.
    fn answer(&self, request: &Request<RequestBody>) -> Response<Body> {
        let since = Instant::now();
        let response = match (self.shown_at(request.uri().path()), self.problem(request)) {
            (Some(metrics), _) => scrape::answer(metrics, request.method()),
            (None, Some(problem)) => errors::degraded(&problem),
            (None, None) => plain(errors::not_found()),
        };
        if let Some(figures) = &self.figures {
            let status = response.status().as_u16();
            figures.requests.answered(status, since);
        }
        response
    }

    /// What `pick` takes of the most specific route that has it.
    fn find<T>(&self, path: &str, pick: impl FnMut(&Target) -> Option<T>) -> Option<T> {
        self.router.matches(path).find_map(pick)
    }
}

impl Service for AppService {
    fn admit(&self, request: Parts) -> BoxFuture<'static, Admit> {
        let path = request.uri.path();
        if self.shown_at(path).is_some() {
            return Box::pin(std::future::ready(Admit::NotWebSocket));
        }
        match self.find(path, |target| target.mailbox.clone()) {
            Some(mailbox) => {
                let lanes = self.lanes.clone();
                Box::pin(async move { mailbox.admit(request, lanes).await })
            }
            None => Box::pin(std::future::ready(Admit::NotWebSocket)),
        }
    }

    fn http(&self, request: Request<RequestBody>) -> BoxFuture<'static, Response<Body>> {
        let path = request.uri().path();
        let component = match self.shown_at(path) {
            Some(_) => None,
            None if self.problem(&request).is_some() => None,
            None => self.find(path, |target| target.http.clone()),
        };
        match component {
            Some(component) => Box::pin(async move { component.handle(request).await }),
            None => Box::pin(std::future::ready(self.answer(&request))),
        }
    }
}
