//! Bounded waits for a condition.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long anything may take. Long enough for a busy machine, since only a failing test takes it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Probes until the answer is `Ok`, and gives what it holds.
///
/// # Panics
/// After [`PATIENCE`], with the last answer.
pub async fn eventually<T, E: Debug>(what: &str, probe: impl AsyncFnMut() -> Result<T, E>) -> T {
    eventually_within(PATIENCE, what, probe).await
}

/// As [`eventually`], with another limit.
///
/// # Panics
/// After `limit`, with the last answer.
pub async fn eventually_within<T, E: Debug>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match probe().await {
            Ok(found) => return found,
            Err(last) if Instant::now() >= deadline => {
                panic!("not within {limit:?}: {what}; the last answer was {last:#?}")
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}

/// Waits for a future.
///
/// # Panics
/// After [`PATIENCE`].
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}
