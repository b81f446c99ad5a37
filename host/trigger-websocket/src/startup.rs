//! Asks the component behind WebSockets whether the app can start (`realtime:sockets/startup`), before
//! anything can be asked of it: what an operator got wrong is said at the start, to the operator.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Context, bail};
use unicode_text::at_most_bytes;
use wasmtime::Engine;
use wasmtime::component::Accessor;

use crate::bindings::{App, AppPre};
use crate::capability::{Ctx, Grants};
use crate::instance_pool::{Call, InstancePool, PoolLimits};

/// Bytes of the component's reason that are shown.
const MAX_REASON: usize = 16 << 10;

/// Asks one instance, which is not used for anything else.
///
/// # Errors
/// The component's reason not to start, or that it did not answer.
pub async fn check(
    engine: &Engine,
    pre: AppPre<Ctx>,
    grants: Grants,
    limits: PoolLimits,
) -> anyhow::Result<()> {
    let id = grants.component.clone();
    let pool = InstancePool::new(engine, pre, Arc::new(grants), limits);
    let answer = pool
        .call(CheckCall)
        .await
        .with_context(|| format!("component '{id}' cannot be asked whether the app can start"))?;
    if let Err(reason) = answer {
        bail!("component '{id}' refuses to start:{}", indented(&reason));
    }
    Ok(())
}

/// Each line of it on a line of its own.
fn indented(reason: &str) -> String {
    let mut text = String::new();
    for line in at_most_bytes(reason, MAX_REASON).lines() {
        // Writing into a String does not fail.
        let _ = write!(text, "\n  {line}");
    }
    text
}

struct CheckCall;

impl Call for CheckCall {
    type Answer = Result<(), String>;

    async fn run(self, accessor: &Accessor<Ctx>, app: &App) -> wasmtime::Result<Self::Answer> {
        app.realtime_sockets_startup().call_check(accessor).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_shown_line_by_line_and_not_without_end() {
        assert_eq!(indented("a\nb"), "\n  a\n  b");
        assert_eq!(indented(""), "");
        let long = "é".repeat(MAX_REASON);
        assert_eq!(indented(&long).len(), MAX_REASON + "\n  ".len());
    }
}
