//! What the process says: the log on standard error, and the line on standard output that programs wait
//! for. Neither can hold anybody up ([`Output`]).

use std::io::{self, IsTerminal};

use host_process::{FlushAtEnd, Output};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::capability::output::TARGET;
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
        let directives = std::env::var("RUST_LOG").unwrap_or_default();
        let (filter, wrong) = filter(&directives, options.quiet);
        let output = self.log.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(io::stderr().is_terminal())
            // It would go to standard error, past the output.
            .log_internal_errors(false)
            .with_writer(move || output.clone());
        match options.log_format {
            LogFormat::Text => log.finish().with(filter).init(),
            LogFormat::Json => log.json().finish().with(filter).init(),
        }
        host_process::log_panics();
        for directive in wrong {
            tracing::warn!(
                "RUST_LOG has {directive:?}, which is ignored: write a level, such as debug, or a part and its \
                 level, such as lanes=trace"
            );
        }
    }
}

/// What is logged, and the directives that are none. Without one the level is `info`.
fn filter(directives: &str, is_quiet: bool) -> (Targets, Vec<&str>) {
    let mut targets = Targets::new().with_default(LevelFilter::INFO);
    let mut wrong = Vec::new();
    let each = directives.split(',').map(str::trim);
    for directive in each.filter(|directive| !directive.is_empty()) {
        match directive.parse::<Targets>() {
            Ok(parsed) => {
                if let Some(level) = parsed.default_level() {
                    targets = targets.with_default(level);
                }
                targets = targets.with_targets(parsed.iter());
            }
            Err(_) => wrong.push(directive),
        }
    }
    if is_quiet {
        targets = targets.with_target(TARGET, LevelFilter::OFF);
    }
    (targets, wrong)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_nearest_directive_decides() {
        let (targets, wrong) = filter("lanes=trace, listener=off,warn", false);
        assert_eq!(wrong, [""; 0]);
        assert!(targets.would_enable("lanes::queue", &Level::TRACE));
        assert!(!targets.would_enable("listener", &Level::ERROR));
        assert!(targets.would_enable("up", &Level::WARN));
        assert!(!targets.would_enable("up", &Level::INFO));
    }

    #[test]
    fn without_a_level_it_is_info() {
        for directives in ["", "lanes=debug"] {
            let (targets, _) = filter(directives, false);
            assert!(targets.would_enable("up", &Level::INFO));
            assert!(!targets.would_enable("up", &Level::DEBUG));
        }
    }

    #[test]
    fn what_is_no_directive_is_told_and_the_rest_holds() {
        let (targets, wrong) = filter("lanes=loud,debug", false);
        assert_eq!(wrong, ["lanes=loud"]);
        assert!(targets.would_enable("up", &Level::DEBUG));
    }

    #[test]
    fn quiet_leaves_out_what_components_print() {
        let (targets, _) = filter("debug", true);
        assert!(!targets.would_enable(TARGET, &Level::ERROR));
        assert!(targets.would_enable("up", &Level::DEBUG));
    }
}
