//! Where the stand-in services run: every test has a Tokio runtime of its own, which ends with it,
//! while a service may serve several tests.

use std::sync::LazyLock;

use tokio::runtime::{Handle, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime for the stand-in services")
});

/// The runtime of the stand-in services.
pub(crate) fn handle() -> &'static Handle {
    RUNTIME.handle()
}

/// Runs a future there and waits for it.
pub(crate) async fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    handle()
        .spawn(future)
        .await
        .expect("a stand-in service panicked")
}
