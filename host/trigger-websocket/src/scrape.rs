//! `/metrics`: where the figures can be read, by whom, and the answer. They say much about what goes
//! on here, so nobody on the network gets them unless the operator says so.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use app_manifest::{App, Route};
use clap::ValueEnum;
use futures::future::BoxFuture;
use host_metrics::{CONTENT_TYPE, Metrics};
use http::header::{ALLOW, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use listener::{Admit, Body, CancellationToken, Listener, RequestBody, Service};

use crate::doors;
use crate::errors;
use crate::http_component::plain;

/// The path, on whichever port.
pub const PATH: &str = "/metrics";

/// Whether figures can be read at the app's own port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// When only this machine can reach the port, and the app asks nobody for a key: where it does, a
    /// proxy is in front of it, or will be, and would show them to everybody.
    Auto,
    /// Whoever reaches the port.
    On,
    /// Nothing is counted, unless it can be read elsewhere.
    Off,
}

/// Where the figures can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: nothing is counted.
    Nowhere,
    /// At the app's own port.
    Port,
    /// At a port of its own.
    Apart,
}

impl Place {
    /// Decides. `address` is that of the app's port; `keys` names the variable with the app's keys, if
    /// there are some.
    ///
    /// # Errors
    /// What was asked for contradicts itself, or the app; the message says what to change.
    pub fn choose(
        mode: Mode,
        apart: bool,
        address: SocketAddr,
        app: &App,
        keys: Option<&str>,
    ) -> anyhow::Result<Self> {
        let is_taken = Route::parse(PATH).is_ok_and(|path| {
            app.triggers
                .iter()
                .any(|trigger| trigger.route.same_paths(&path))
        });
        match mode {
            Mode::Off if apart => bail!(
                "--metrics off and --metrics-listen contradict each other: leave one of them out"
            ),
            _ if apart => Ok(Self::Apart),
            Mode::On if is_taken => bail!(
                "the app has a trigger for {PATH} of its own: have the figures at another port, \
                 with --metrics-listen, or leave --metrics on out"
            ),
            Mode::On => Ok(Self::Port),
            Mode::Auto if doors::is_loopback(&address) && !is_taken => Ok(match keys {
                None => Self::Port,
                Some(keys) => {
                    tracing::info!(
                        "no figures at {PATH}: {} is set, and whatever passes requests on to this port \
                         would show them to everybody. --metrics-listen 127.0.0.1:9100 has them at a port \
                         of their own, --metrics on here",
                        keys.to_ascii_uppercase()
                    );
                    Self::Nowhere
                }
            }),
            Mode::Auto | Mode::Off => Ok(Self::Nowhere),
        }
    }
}

/// The answer to a request for [`PATH`].
pub fn answer(metrics: &Metrics, method: &Method) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = errors::not_allowed();
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return plain(refusal);
    }
    let body = Full::from(metrics.text())
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static(CONTENT_TYPE),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A port with nothing but the figures.
pub struct Apart {
    listener: Listener,
    address: SocketAddr,
}

impl Apart {
    /// Binds the first of these addresses that can be had; [`doors::addresses`] says which they may be.
    /// `listen` is what the operator wrote.
    ///
    /// # Errors
    /// None of them can be had.
    pub async fn bind(listen: &str, addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let listener = Listener::bind(addresses)
            .await
            .map_err(|error| doors::not_bound(doors::Port::Figures, listen, error))?;
        let address = listener
            .local_addr()
            .context("cannot read the address that was bound")?;
        Ok(Self { listener, address })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the figures until the end, to so many connections at one time.
    pub async fn run(self, metrics: Metrics, connections: usize, end: CancellationToken) {
        let limits = listener::Limits {
            connections,
            refusals: 1,
            drain: crate::serve::LISTENER_GRACE,
            ..listener::Limits::default()
        };
        let service = Arc::new(Only(metrics));
        self.listener.run(service, limits, end).await;
    }
}

/// The figures, and nothing else.
struct Only(Metrics);

impl Service for Only {
    fn admit(&self, _request: Parts) -> BoxFuture<'static, Admit> {
        Box::pin(std::future::ready(Admit::NotWebSocket))
    }

    fn http(&self, request: Request<RequestBody>) -> BoxFuture<'static, Response<Body>> {
        let response = if request.uri().path() == PATH {
            answer(&self.0, request.method())
        } else {
            plain(errors::not_found())
        };
        Box::pin(std::future::ready(response))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:3000";
    const ANY: &str = "0.0.0.0:3000";

    fn app(route: &str) -> App {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "test"
            [[trigger.websocket]]
            route = "{route}"
            component = "a"
            [component.a]
            source = "a.wasm"
            "#
        );
        let file = folder.path().join("spin.toml");
        std::fs::write(&file, manifest).unwrap();
        std::fs::write(folder.path().join("a.wasm"), "").unwrap();
        App::from_spin_toml(&file).unwrap()
    }

    fn choose(mode: Mode, apart: bool, address: &str, route: &str) -> Result<Place, String> {
        Place::choose(mode, apart, address.parse().unwrap(), &app(route), None)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_app_with_keys_has_none_at_its_port_unless_it_is_said() {
        let choose = |mode, apart| {
            let address = LOOPBACK.parse().unwrap();
            Place::choose(mode, apart, address, &app("/..."), Some("keys")).unwrap()
        };
        assert_eq!(choose(Mode::Auto, false), Place::Nowhere);
        assert_eq!(choose(Mode::Auto, true), Place::Apart);
        assert_eq!(choose(Mode::On, false), Place::Port);
        assert_eq!(choose(Mode::Off, false), Place::Nowhere);
    }

    #[test]
    fn only_a_port_of_this_machine_has_figures_unless_it_is_said() {
        let auto = |address| choose(Mode::Auto, false, address, "/...");
        for address in [
            LOOPBACK,
            "127.8.0.1:1",
            "[::1]:3000",
            "[::ffff:127.0.0.1]:3000",
        ] {
            assert_eq!(auto(address), Ok(Place::Port), "{address}");
        }
        for address in [ANY, "[::]:3000", "192.168.0.2:80", "[::ffff:10.0.0.1]:80"] {
            assert_eq!(auto(address), Ok(Place::Nowhere), "{address}");
        }
        assert_eq!(choose(Mode::On, false, ANY, "/..."), Ok(Place::Port));
        assert_eq!(
            choose(Mode::Off, false, LOOPBACK, "/..."),
            Ok(Place::Nowhere)
        );
    }

    #[test]
    fn a_port_of_their_own_takes_them_from_the_apps() {
        assert_eq!(choose(Mode::Auto, true, LOOPBACK, "/..."), Ok(Place::Apart));
        assert_eq!(choose(Mode::On, true, ANY, "/metrics"), Ok(Place::Apart));
        let error = choose(Mode::Off, true, ANY, "/...").unwrap_err();
        assert!(error.contains("contradict"), "{error}");
    }

    #[test]
    fn a_route_of_the_apps_own_goes_first() {
        assert_eq!(
            choose(Mode::Auto, false, LOOPBACK, "/metrics"),
            Ok(Place::Nowhere)
        );
        let error = choose(Mode::On, false, LOOPBACK, "metrics/").unwrap_err();
        assert!(error.contains("--metrics-listen"), "{error}");
        assert_eq!(
            choose(Mode::Auto, false, LOOPBACK, "/metrics/x"),
            Ok(Place::Port)
        );
    }
}
