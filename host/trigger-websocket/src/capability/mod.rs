//! What a component of this host can do, one module a capability, and the state that each instance
//! has for it. A component is given exactly what its manifest entry grants ([`Grants`]).

pub mod blobs;
pub mod config;
pub mod inheritance;
pub mod key_value;
pub mod memory;
pub mod metrics;
pub mod outbound_http;
pub mod output;
pub mod realtime;
pub mod system;

use std::collections::BTreeMap;
use std::sync::Arc;

use app_manifest::AllowedHosts;
use key_value::Hold;
use key_value_store::KeyValue;
use lanes::Lanes;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::{interview, realtime as realtime_wit, wasi};
use crate::figures::ComponentFigures;
use crate::hosts::Hosts;
use crate::measured::Blobs;

/// What one component of the app may use: its entry in the manifest, resolved.
pub struct Grants {
    /// Its id in the manifest, for the log.
    pub component: String,
    /// What `wasi:config` shows it.
    pub variables: BTreeMap<String, String>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// The stores that `wasi:keyvalue` opens for it, by name.
    pub key_value_stores: BTreeMap<String, Arc<dyn KeyValue>>,
    /// Where it may connect to.
    pub allowed_outbound_hosts: Arc<AllowedHosts>,
    /// Its blobs: one store for the app.
    pub blobs: Arc<Blobs>,
    /// The app's lanes, with the sockets and timers.
    pub lanes: Lanes,
    /// The hosts that share a store with this one, if it is one that can be shared.
    pub hosts: Option<Hosts>,
    /// Bytes of memory that an instance of it may have.
    pub memory: usize,
    /// What all instances may grow by together.
    pub memory_budget: Arc<memory::Budget>,
    /// What it is counted with; none where nobody wants figures.
    pub figures: Option<ComponentFigures>,
}

/// What the host keeps for one instance.
pub struct Ctx {
    grants: Arc<Grants>,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound_http: outbound_http::Hooks,
    memory: memory::Limit,
    /// While a batch of a lane is handled that other hosts could take.
    hold: Option<Hold>,
}

impl Ctx {
    /// How much the instance has grown by.
    pub fn grown(&self) -> memory::Grown {
        self.memory.grown()
    }

    /// Where it is noted from now on that memory was refused.
    pub fn note_refusals(&mut self, refused: memory::Refused) {
        self.memory.note_refusals(refused);
    }

    /// What is written from now on is written under this claim.
    pub fn hold(&mut self, hold: Option<Hold>) {
        self.hold = hold;
    }

    /// A new instance's state: nothing of another instance is seen.
    fn new(grants: Arc<Grants>, share: memory::Share) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(output::Lines::new(
            &grants.component,
            output::Source::Stdout,
        ))
        .stderr(output::Lines::new(
            &grants.component,
            output::Source::Stderr,
        ))
        .allow_tcp(false)
        .allow_udp(false);
        for (name, value) in &grants.environment {
            wasi.env(name, value);
        }
        Self {
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            outbound_http: outbound_http::Hooks::new(&grants),
            memory: memory::Limit::new(grants.memory, share),
            hold: None,
            grants,
        }
    }
}

/// A store for one new instance of the component that `grants` are for, which takes its memory from `share`.
pub fn new_store(engine: &Engine, grants: &Arc<Grants>, share: &memory::Share) -> Store<Ctx> {
    let mut store = Store::new(engine, Ctx::new(Arc::clone(grants), share.clone()));
    store.limiter(|ctx| &mut ctx.memory);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

/// All that a component can import.
///
/// # Errors
/// Never, unless two modules offered the same interface.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<Ctx>> {
    let mut linker = Linker::new(engine);
    system::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    wasi::keyvalue::store::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    wasi::keyvalue::atomics::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    wasi::keyvalue::batch::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    wasi::config::store::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    interview::gateway::blob_store::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    realtime_wit::sockets::types::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    realtime_wit::sockets::sockets::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    realtime_wit::sockets::timers::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    realtime_wit::sockets::lanes::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    realtime_wit::sockets::metrics::add_to_linker::<_, HasSelf<Ctx>>(&mut linker, |ctx| ctx)?;
    Ok(linker)
}

impl WasiView for Ctx {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Ctx {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outbound_http,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
