//! Which component gets which request: the most specific route that can answer it.

use std::sync::Arc;

use app_manifest::Router;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use lanes::Lanes;
use listener::{Admit, Body, ClientSocket, Service};

use crate::errors;
use crate::http_component::{HttpComponent, plain};
use crate::mailbox::AppMailbox;

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
}

impl AppService {
    /// Serves these routes.
    pub fn new(router: Router<Target>, lanes: Lanes) -> Self {
        Self { router, lanes }
    }

    /// What `pick` takes of the most specific route that has it.
    fn find<T>(&self, path: &str, pick: impl FnMut(&Target) -> Option<T>) -> Option<T> {
        self.router.matches(path).find_map(pick)
    }
}

impl Service for AppService {
    fn admit(&self, request: Parts) -> BoxFuture<'static, Admit> {
        match self.find(request.uri.path(), |target| target.mailbox.clone()) {
            Some(mailbox) => Box::pin(async move { mailbox.admit(request).await }),
            None => Box::pin(std::future::ready(Admit::NotWebSocket)),
        }
    }

    fn http(&self, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        match self.find(request.uri().path(), |target| target.http.clone()) {
            Some(component) => Box::pin(async move { component.handle(request).await }),
            None => Box::pin(std::future::ready(plain(errors::not_found()))),
        }
    }

    fn websocket(
        &self,
        socket: ClientSocket,
        lane: String,
        context: String,
    ) -> BoxFuture<'static, ()> {
        let lanes = self.lanes.clone();
        Box::pin(async move { lanes.serve(socket, &lane, &context).await })
    }
}
