//! Outgoing HTTP requests of a component, to the hosts that its manifest entry allows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app_manifest::AllowedHosts;
use http_body_util::BodyExt;
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use super::Grants;

/// How long connecting may take when the component sets nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the answer's head, and each next piece of its body, may take when the component sets
/// nothing.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many refused hosts are remembered so that each is logged once.
const MAX_REMEMBERED_HOSTS: usize = 256;

/// Decides about and sends the requests of one instance.
pub struct Hooks {
    component: Arc<str>,
    allowed: Arc<AllowedHosts>,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Io), Error>;

impl Hooks {
    /// For an instance with these grants.
    pub fn new(grants: &Grants) -> Self {
        Self {
            component: grants.component.as_str().into(),
            allowed: Arc::clone(&grants.allowed_outbound_hosts),
        }
    }

    fn permits(&self, uri: &http::Uri) -> bool {
        let Ok(url) = Url::parse(&uri.to_string()) else {
            return false;
        };
        let allowed = self.allowed.allows(&url);
        if !allowed {
            log_refused(&self.component, &url);
        }
        allowed
    }
}

/// Says once per component and host that a connection was refused, and how to allow it.
pub fn log_refused(component: &str, url: &Url) {
    static LOGGED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
    let origin = match url.port_or_known_default() {
        Some(port) => format!(
            "{}://{}:{port}",
            url.scheme(),
            url.host_str().unwrap_or_default()
        ),
        None => format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()),
    };
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    if logged.len() < MAX_REMEMBERED_HOSTS && logged.insert((component.to_owned(), origin.clone()))
    {
        tracing::warn!(
            component,
            origin,
            "connection refused: not in allowed_outbound_hosts of [component.{component}]; add it \
             there if the component may connect to it"
        );
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        response_done: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        // Nothing here depends on how the component gets on with the answer.
        drop(response_done);
        if !self.permits(request.uri()) {
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        let mut options = options.unwrap_or_default();
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        options.first_byte_timeout.get_or_insert(RESPONSE_TIMEOUT);
        options
            .between_bytes_timeout
            .get_or_insert(RESPONSE_TIMEOUT);
        Box::new(async move {
            let (response, io) = default_send_request(request, Some(options)).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(io) as Io))
        })
    }
}
