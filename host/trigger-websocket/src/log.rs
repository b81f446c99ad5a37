//! The log of the process, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::capability::output::QUIET;
use crate::cli::{LogFormat, RunOptions};

/// Starts it; `RUST_LOG` says what is logged.
pub fn start(options: &RunOptions) {
    let mut filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    if options.quiet
        && let Ok(directive) = QUIET.parse()
    {
        filter = filter.add_directive(directive);
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
