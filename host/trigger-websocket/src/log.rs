//! What the process says: the log on standard error, and the line on standard output that programs wait
//! for. Neither can hold anybody up ([`Output`]).

use std::io::{self, IsTerminal};

use host_process::{FlushAtEnd, Output};
use tracing_subscriber::EnvFilter;

use crate::capability::output::QUIET;
use crate::cli::{LogFormat, RunOptions};

/// Both outputs of the process.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub log: Output,
}

impl Outputs {
    /// Starts their threads.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start() -> io::Result<Self> {
        Ok(Self {
            stdout: Output::stdout()?,
            log: Output::stderr(|lines| {
                tracing::warn!(
                    lines,
                    "lines of the log are missing here: they could not be written, or nobody read them"
                );
            })?,
        })
    }

    /// Writes what is queued when what is returned is dropped, within a limit.
    #[must_use]
    pub fn flush_at_end(&self) -> (FlushAtEnd, FlushAtEnd) {
        (self.stdout.flush_at_end(), self.log.flush_at_end())
    }

    /// Starts the log, with panics in it; `RUST_LOG` says what is logged.
    pub fn start_log(&self, options: &RunOptions) {
        let mut filter = EnvFilter::builder()
            .with_default_directive(tracing::Level::INFO.into())
            .from_env_lossy();
        if options.quiet
            && let Ok(directive) = QUIET.parse()
        {
            filter = filter.add_directive(directive);
        }
        let output = self.log.clone();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(io::stderr().is_terminal())
            // It would go to standard error, past the output.
            .log_internal_errors(false)
            .with_writer(move || output.clone());
        match options.log_format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().init(),
        }
        host_process::log_panics();
    }
}
