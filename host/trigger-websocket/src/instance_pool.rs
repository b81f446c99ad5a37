//! Instances of the component with the mailbox, kept and used again: a call on a kept one costs a
//! fraction of what making one costs. One call at a time has an instance to itself; an instance
//! whose call trapped, failed or took too long is never used again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::component::Accessor;
use wasmtime::{Engine, Store};

use crate::bindings::{App, AppPre};
use crate::capability::memory::{Share, TooMuchMemory};
use crate::capability::{Ctx, Grants, new_store};
use crate::figures::ComponentFigures;

/// Instances that exist at once; calls beyond wait for one, in their order.
pub const MAX_MAILBOX_INSTANCES: usize = 192;

/// Calls after which an instance is replaced, so that a leak in a component stays small.
pub const MAX_CALLS_PER_INSTANCE: u32 = 1_000;

/// How long an instance is kept unused.
pub const MAX_IDLE: Duration = Duration::from_secs(30);

/// How long one call may take, instantiation included.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A call did not come back with an answer; the instance is gone.
#[derive(Debug, Error)]
pub enum CallError {
    /// It took too long.
    #[error("the component did not finish within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A trap: a panic, or a fault of the host's.
    #[error("the component failed: {0}")]
    Trapped(String),
    /// It asked for more memory than it may have.
    #[error("the component failed: {0}")]
    OutOfMemory(String),
}

/// The instances of one component.
pub struct InstancePool {
    engine: Engine,
    pre: AppPre<Ctx>,
    grants: Arc<Grants>,
    /// Unused ones, the last used at the end.
    idle: Mutex<Vec<Instance>>,
    permits: Semaphore,
    memory: Share,
    limits: PoolLimits,
}

/// The pool's limits; the default is the constants of this module.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// See [`MAX_MAILBOX_INSTANCES`].
    pub instances: usize,
    /// See [`MAX_CALLS_PER_INSTANCE`].
    pub calls_per_instance: u32,
    /// See [`CALL_TIMEOUT`].
    pub call_timeout: Duration,
    /// See [`MAX_IDLE`].
    pub idle: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            instances: MAX_MAILBOX_INSTANCES,
            calls_per_instance: MAX_CALLS_PER_INSTANCE,
            call_timeout: CALL_TIMEOUT,
            idle: MAX_IDLE,
        }
    }
}

struct Instance {
    store: Store<Ctx>,
    app: App,
    calls: u32,
    last_used: Instant,
}

/// What is asked of a component: one export with its arguments.
pub trait Call: Send {
    /// How figures name the export; those that belong to the start share a name.
    const EXPORT: &'static str = "startup";

    /// What it answers.
    type Answer: Send;

    /// Calls the export.
    fn run(
        self,
        accessor: &Accessor<Ctx>,
        app: &App,
    ) -> impl Future<Output = wasmtime::Result<Self::Answer>> + Send;
}

impl InstancePool {
    /// What its component is counted with.
    pub fn figures(&self) -> Option<&ComponentFigures> {
        self.grants.figures.as_ref()
    }

    /// An empty pool. Needs a Tokio runtime, for the task that drops what is unused.
    pub fn new(
        engine: &Engine,
        pre: AppPre<Ctx>,
        grants: Arc<Grants>,
        limits: PoolLimits,
    ) -> Arc<Self> {
        let pool = Arc::new(Self {
            engine: engine.clone(),
            pre,
            memory: grants.memory_budget.for_lanes(),
            grants,
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(limits.instances),
            limits,
        });
        tokio::spawn(drop_unused(Arc::downgrade(&pool), limits.idle));
        pool
    }

    /// Makes a call on some instance.
    ///
    /// # Errors
    /// It trapped or took too long.
    pub async fn call<C: Call>(&self, call: C) -> Result<C::Answer, CallError> {
        let figures = self.grants.figures.as_ref().map(|figures| &figures.calls);
        let waiting = figures.map(|_| Instant::now());
        let _permit: SemaphorePermit<'_> = self
            .permits
            .acquire()
            .await
            .map_err(|_| CallError::Trapped("the host is stopping".to_owned()))?;
        // Where all instances have too much, those that nobody uses go, and the call waits.
        let give_up_idle = || {
            let idle = std::mem::take(&mut *self.idle());
            drop(idle);
        };
        let _room = self.memory.room(give_up_idle).await;
        let (Some(figures), Some(waiting)) = (figures, waiting) else {
            return self.call_in_time(call).await;
        };
        figures.waited(waiting);
        let _in_use = figures.in_use();
        let since = Instant::now();
        let answer = self.call_in_time(call).await;
        figures.called(C::EXPORT, since);
        match &answer {
            Ok(_) => {}
            Err(CallError::TimedOut(_)) => figures.timed_out(),
            Err(CallError::Trapped(_)) => figures.trapped(),
            Err(CallError::OutOfMemory(_)) => figures.out_of_memory(),
        }
        answer
    }

    async fn call_in_time<C: Call>(&self, call: C) -> Result<C::Answer, CallError> {
        let limit = self.limits.call_timeout;
        // The time-out is around it all, not inside: a guest that spins never lets the inside run.
        // When it ends the future is dropped, and with it the instance.
        match awake::timeout(limit, self.call_on_an_instance(call)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let reason = error.root_cause().to_string();
                tracing::warn!(
                    component = self.grants.component,
                    trace = format!("{error:?}"),
                    "the component failed: {reason}"
                );
                Err(match error.root_cause().is::<TooMuchMemory>() {
                    true => CallError::OutOfMemory(reason),
                    false => CallError::Trapped(reason),
                })
            }
            Err(_) => {
                tracing::warn!(
                    component = self.grants.component,
                    seconds = limit.as_secs_f64(),
                    "the component took too long: its instance is dropped"
                );
                Err(CallError::TimedOut(limit))
            }
        }
    }

    async fn call_on_an_instance<C: Call>(&self, call: C) -> wasmtime::Result<C::Answer> {
        let mut instance = match self.take_idle() {
            Some(instance) => instance,
            None => self.instantiate().await?,
        };
        let Instance { store, app, .. } = &mut instance;
        let answer = store
            .run_concurrent(async |accessor| {
                let answer = call.run(accessor, app).await?;
                // The task of the call may have work left after its answer: without this it would
                // run, half done, into the next call.
                std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                Ok::<_, wasmtime::Error>(answer)
            })
            .await??;
        instance.store.data_mut().hold(None);
        instance.calls += 1;
        instance.last_used = Instant::now();
        let grown = instance.store.data().grown().bytes();
        let may_keep = self.memory.budget().may_keep(grown);
        if instance.calls < self.limits.calls_per_instance && may_keep {
            self.idle().push(instance);
        }
        Ok(answer)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Instance> {
        self.idle().pop()
    }

    async fn instantiate(&self) -> wasmtime::Result<Instance> {
        if let Some(figures) = &self.grants.figures {
            figures.calls.made();
        }
        let mut store = new_store(&self.engine, &self.grants, &self.memory);
        let app = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            app,
            calls: 0,
            last_used: Instant::now(),
        })
    }
}

async fn drop_unused(pool: Weak<InstancePool>, after: Duration) {
    let mut ticks = tokio::time::interval(after.max(Duration::from_millis(10)) / 2);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        let unused: Vec<Instance> = {
            let mut idle = pool.idle();
            // The last used are at the end, so the unused are the first ones.
            let count = idle.partition_point(|instance| instance.last_used.elapsed() >= after);
            idle.drain(..count).collect()
        };
        drop(unused);
    }
}
