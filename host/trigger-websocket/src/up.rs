//! Starts an app: what must be there before the first connection is taken. `serve` does the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use app_manifest::{AllowedHosts, App, Component, Router, Variables};
use host_metrics::Metrics;
use host_process::Signals;
use lanes::{Lanes, OutboundPolicy};
use listener::{CancellationToken, Listener};
use url::Url;
use wasmtime::Engine;
use wasmtime::component::InstancePre;

use crate::bindings::AppPre;
use crate::capability::memory::Budget;
use crate::capability::{self, Ctx, Grants};
use crate::cli::{Assignment, RunOptions};
use crate::components::{Prepared, prepare};
use crate::doors::Port;
use crate::figures::{self, ComponentFigures};
use crate::hosts::Hosts;
use crate::http_component::{HttpComponent, RequestLimits};
use crate::instance_pool::{InstancePool, PoolLimits};
use crate::lane_claims::LaneClaims;
use crate::log::Outputs;
use crate::mailbox::AppMailbox;
use crate::open_files::{Asked, OpenFiles};
use crate::over::Overs;
use crate::scrape::{Apart, Place};
use crate::serve::{LISTENER_GRACE, Serving};
use crate::service::{AppService, Target};
use crate::stores::Stores;
use crate::{asr_service, doors, engine, resume, scrape, startup, variables};

/// Runs the app until it is asked to end. `app_dir` is where its spin.toml is.
///
/// # Errors
/// It cannot be started; the message says what to change. After that it only ends by a signal.
pub async fn run(
    app: App,
    app_dir: &Path,
    options: &RunOptions,
    outputs: &Outputs,
) -> anyhow::Result<()> {
    let started = Instant::now();
    for warning in &app.warnings {
        tracing::warn!("{warning}");
    }
    if app.triggers.is_empty() {
        bail!(
            "the app has no trigger of type websocket: add [[trigger.websocket]] with a route and a \
             component to its spin.toml"
        );
    }
    options.limits.check()?;
    let given = variables::given(&app, app_dir, options)?;
    let overrides = variables::of_app(&app, given.options());
    let environment = |name: &str| given.environment(name);
    // First what fails most often and takes no time.
    let tls = doors::certificate(options)?;
    let reach = doors::addresses(
        Port::App,
        &options.listen,
        options,
        &app,
        environment,
        &overrides,
    )
    .await?;
    let simulated = asr_service::choose(options.asr, &app, environment, &overrides, &reach)?;
    let files = OpenFiles::divide(Asked {
        connections: options.limits.limit_connections,
        has_metrics_port: options.metrics_listen.is_some(),
        has_simulator: simulated.is_some(),
    })?;
    let mut listener = Listener::bind(reach.as_slice())
        .await
        .map_err(|error| doors::not_bound(Port::App, &options.listen, error))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let Some(tls) = tls {
        listener = listener.with_tls(tls);
    }
    let address = listener
        .local_addr()
        .context("cannot read the address that was bound")?;
    let apart = options.metrics_listen.as_deref();
    let keys = variables::keys(&app, environment, &overrides)?;
    let place = Place::choose(options.metrics, apart.is_some(), address, &app, keys)?;
    let apart = match apart {
        Some(listen) => {
            let figures = Port::Figures;
            let reach =
                doors::addresses(figures, listen, options, &app, environment, &overrides).await?;
            Some(Apart::bind(listen, &reach).await?)
        }
        None => None,
    };
    let metrics = (place != Place::Nowhere).then(|| Metrics::new(env!("CARGO_PKG_VERSION")));
    let stores = Stores::open(
        &app,
        app_dir,
        options.state_dir.as_deref(),
        options.runtime_config_file.as_deref(),
        metrics.as_ref(),
        (&environment, given.options()),
    )
    .await?;
    stores.check().await?;
    let simulator = match &simulated {
        Some(why) => Some(
            asr_service::start(why, files.simulator)
                .await
                .context("cannot start the ASR simulator")?,
        ),
        None => None,
    };
    let simulator_url = simulator.as_ref().map(asr_simulator::Simulator::url);
    let variables = variables::resolve(
        &app,
        environment,
        &overrides,
        stores.kinds(),
        simulator_url.as_deref(),
    )?;
    let engine = engine::start(&stores.cache(), options.limits.memory())
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot start WebAssembly with {}", stores.cache().display()))?;
    let mut limits = options.limits.lanes();
    limits.outbound_sockets = limits.outbound_sockets.min(files.outbound);
    let lanes = Lanes::new(limits, Arc::new(CheckedBefore))
        .context("cannot set up TLS for outbound sockets")?;
    tracing::info!(
        "preparing components: compiled once, then loaded from {}",
        stores.cache().display()
    );
    let prepared = prepare_all(&engine, &app).await?;
    let assembly = Assembly {
        engine,
        stores: &stores,
        variables,
        lanes: lanes.clone(),
        options,
        metrics: metrics.as_ref(),
        overs: Arc::new(Overs::default()),
        memory: Budget::new(options.limits.total_memory()),
    };
    // As the operator gave them: what the simulator stands in for is checked too.
    let as_given = variables::resolve(&app, environment, &overrides, stores.kinds(), None)?;
    assembly.check(&app, &prepared, &as_given).await?;
    let (service, claims) = assembly.assemble(&app, prepared)?;
    let mut service = service.with_health(app.settings.health.clone(), stores.health());
    let _watches = stores.watch();
    if let Some(metrics) = &metrics {
        figures::show_lanes(metrics, &lanes);
        let connections = listener.connections();
        figures::show_connections(metrics, connections.clone());
        let overs = Arc::clone(&assembly.overs);
        let memory = Arc::clone(&assembly.memory);
        figures::show_limits(metrics, connections, &lanes, overs, memory);
        figures::show_log(metrics, outputs.log.clone());
        service = service.with_figures(metrics, place == Place::Port);
        let (scheme, address) = match &apart {
            Some(apart) => ("http", apart.address()),
            None => (scheme, address),
        };
        tracing::info!(
            "figures for Prometheus: {scheme}://{address}{}",
            scrape::PATH
        );
    }
    let end = CancellationToken::new();
    let scraped = apart.zip(metrics).map(|(apart, metrics)| {
        tokio::spawn(apart.run(metrics, files.metrics_connections, end.clone()))
    });
    let signals = Signals::install().context("cannot take signals over")?;
    announce(&app, &stores, started);
    // The one line on standard output that programs wait for; nobody has to.
    let listening = format!("listening on {scheme}://{address}");
    outputs.stdout.line(&listening);

    let limits = listener::Limits {
        connections: files.connections,
        refusals: files.refusals,
        ..options
            .limits
            .port(options.shutdown_timeout + LISTENER_GRACE)
    };
    let serving = Serving {
        listener,
        limits,
        service,
        lanes,
    };
    serving
        .run(signals, options.shutdown_timeout, &outputs.log)
        .await;
    end.cancel();
    if let Some(claims) = claims {
        claims.leave().await;
    }
    if let Some(scraped) = scraped {
        let _ = scraped.await;
    }
    if let Some(simulator) = simulator {
        simulator.stop().await;
    }
    Ok(())
}

/// All components that triggers name, compiled side by side.
async fn prepare_all(engine: &Engine, app: &App) -> anyhow::Result<Vec<Prepared>> {
    let linker = Arc::new(capability::linker(engine).map_err(anyhow::Error::from)?);
    let mut tasks = Vec::new();
    for component in triggered(app) {
        let (engine, linker, component) = (engine.clone(), Arc::clone(&linker), component.clone());
        tasks.push(tokio::task::spawn_blocking(move || {
            prepare(&engine, &linker, &component)
        }));
    }
    let mut prepared = Vec::new();
    for task in tasks {
        prepared.push(task.await.context("a compilation was aborted")??);
    }
    Ok(prepared)
}

fn triggered(app: &App) -> impl Iterator<Item = &Component> {
    app.components.values().filter(|component| {
        app.triggers
            .iter()
            .any(|trigger| trigger.component == component.id)
    })
}

/// What every component is made with.
struct Assembly<'a> {
    engine: Engine,
    stores: &'a Stores,
    variables: Variables,
    lanes: Lanes,
    options: &'a RunOptions,
    metrics: Option<&'a Metrics>,
    /// What requests are over.
    overs: Arc<Overs>,
    /// What all instances may grow by.
    memory: Arc<Budget>,
}

impl Assembly<'_> {
    fn grants(&self, component: &Component) -> anyhow::Result<Arc<Grants>> {
        let mut environment = component.environment.clone();
        environment.extend(self.options.env.iter().map(Assignment::pair));
        let key_value_stores = component
            .key_value_stores
            .iter()
            .filter_map(|name| Some((name.clone(), Arc::clone(self.stores.key_value.get(name)?))))
            .collect();
        Ok(Arc::new(Grants {
            component: component.id.clone(),
            variables: self.variables.for_component(component)?,
            environment,
            key_value_stores,
            allowed_outbound_hosts: Arc::new(AllowedHosts::resolve(component, &self.variables)?),
            blobs: Arc::clone(&self.stores.blobs),
            lanes: self.lanes.clone(),
            hosts: self.stores.shared_by(component)?.map(Hosts::new),
            memory: self.options.limits.memory(),
            memory_budget: Arc::clone(&self.memory),
            figures: self
                .metrics
                .map(|metrics| ComponentFigures::new(metrics, &component.id)),
        }))
    }

    fn pool_limits(&self) -> PoolLimits {
        PoolLimits {
            call_timeout: self.options.call_timeout,
            ..PoolLimits::default()
        }
    }

    /// Asks the component with the mailbox whether the app can start. It sees the variables that it
    /// was given, and has nothing yet to reach the world with.
    async fn check(
        &self,
        app: &App,
        prepared: &[Prepared],
        given: &Variables,
    ) -> anyhow::Result<()> {
        for Prepared { id, serves, pre } in prepared {
            let Some(component) = app.components.get(id).filter(|_| serves.mailbox) else {
                continue;
            };
            let grants = Grants {
                component: id.clone(),
                variables: given.for_component(component)?,
                environment: BTreeMap::new(),
                key_value_stores: BTreeMap::new(),
                allowed_outbound_hosts: Arc::new(AllowedHosts::default()),
                blobs: Arc::clone(&self.stores.blobs),
                lanes: self.lanes.clone(),
                hosts: None,
                memory: self.options.limits.memory(),
                memory_budget: Arc::clone(&self.memory),
                figures: None,
            };
            let pre = app_pre(id, pre.clone())?;
            startup::check(&self.engine, pre, grants, self.pool_limits()).await?;
        }
        Ok(())
    }

    /// Puts pools behind routes, and the mailbox behind the lanes, with the lanes' claims where other hosts
    /// could have them.
    fn assemble(
        &self,
        app: &App,
        prepared: Vec<Prepared>,
    ) -> anyhow::Result<(AppService, Option<Arc<LaneClaims>>)> {
        one_mailbox(&prepared)?;
        let mut claims = None;
        let mut targets = BTreeMap::new();
        for Prepared { id, serves, pre } in prepared {
            let Some(component) = app.components.get(&id) else {
                continue;
            };
            let grants = self.grants(component)?;
            let http = serves
                .http
                .then(|| {
                    HttpComponent::new(
                        &self.engine,
                        pre.clone(),
                        Arc::clone(&grants),
                        RequestLimits {
                            call_timeout: self.options.call_timeout,
                            body: self.options.limits.body(),
                            per_address: self.options.limits.requests_per_address(),
                            health: app.settings.health.clone(),
                        },
                        Arc::clone(&self.overs),
                    )
                })
                .transpose()
                .map_err(anyhow::Error::from)
                .with_context(|| format!("component '{id}' has an HTTP handler of another kind"))?
                .map(Arc::new);
            let mailbox = if serves.mailbox {
                let pre = app_pre(&id, pre)?;
                let pool = InstancePool::new(&self.engine, pre, grants, self.pool_limits());
                claims = self.stores.shared_by(component)?.map(LaneClaims::new);
                if let Some(claims) = &claims {
                    let prefix = Hosts::new(claims.store().clone()).prefix();
                    self.lanes.name_sockets(&prefix);
                }
                let mailbox = AppMailbox::new(pool, claims.clone());
                self.lanes.start(Arc::new(mailbox.clone()));
                let lanes = self.lanes.clone();
                tokio::spawn(resume::run(mailbox.clone(), lanes, claims.clone()));
                Some(mailbox)
            } else {
                None
            };
            targets.insert(id, Target { mailbox, http });
        }
        let routes = app
            .triggers
            .iter()
            .filter_map(|trigger| {
                Some((
                    trigger.route.clone(),
                    targets.get(&trigger.component)?.clone(),
                ))
            })
            .collect();
        let service = AppService::new(Router::new(routes), self.lanes.clone());
        Ok((service, claims))
    }
}

/// The component with its exports found.
fn app_pre(id: &str, pre: InstancePre<Ctx>) -> anyhow::Result<AppPre<Ctx>> {
    AppPre::new(pre)
        .map_err(anyhow::Error::from)
        .with_context(|| {
            format!(
                "component '{id}' was built from another version of realtime:sockets than this host's"
            )
        })
}

/// Lanes have one mailbox: whose would a lane be, with two?
fn one_mailbox(prepared: &[Prepared]) -> anyhow::Result<()> {
    let mailboxes: Vec<&str> = prepared
        .iter()
        .filter(|prepared| prepared.serves.mailbox)
        .map(|prepared| prepared.id.as_str())
        .collect();
    if mailboxes.len() > 1 {
        bail!(
            "only one component of an app can take WebSockets, but {} export \
             realtime:sockets/mailbox: make them one, or remove the triggers of the others",
            mailboxes.join(" and ")
        );
    }
    Ok(())
}

/// Whether a component may connect is decided where its call arrives, by its own
/// `allowed_outbound_hosts`: the lanes do not know who calls.
struct CheckedBefore;

impl OutboundPolicy for CheckedBefore {
    fn allows(&self, _url: &Url) -> bool {
        true
    }
}

fn announce(app: &App, stores: &Stores, started: Instant) {
    for trigger in &app.triggers {
        tracing::info!("{} -> {}", trigger.route, trigger.component);
    }
    for line in &stores.description {
        tracing::info!("{line}");
    }
    tracing::info!(
        app = app.name,
        state = %stores.state_dir.display(),
        started_in_ms = started.elapsed().as_millis() as u64,
        "ready"
    );
}

/// The folder that an app's manifest is in.
pub fn folder_of(manifest: &Path) -> PathBuf {
    match manifest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
