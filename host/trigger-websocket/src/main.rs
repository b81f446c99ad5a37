//! The host: composed components behind one port, with their stores on this machine.
//!
//! Alone: `trigger-websocket up`. Through Spin: `spin up` starts it for an app with triggers of type
//! `websocket` and leaves the app's description in the environment (see [`launch`]).
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod asr_service;
mod bindings;
mod builds;
mod capability;
mod cli;
mod components;
mod composition;
mod doors;
mod engine;
mod errors;
mod failure;
mod figures;
mod host_id;
mod hosts;
mod http_component;
mod instance_pool;
mod lane_claims;
mod launch;
mod limits;
mod log;
mod mailbox;
mod measured;
mod open_files;
mod over;
mod request_body;
mod request_places;
mod resume;
mod scrape;
mod serve;
mod service;
mod startup;
mod store_health;
mod store_lock;
mod store_settings;
mod stores;
mod up;
mod variables;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use app_manifest::App;

use crate::cli::{Cli, Command, RunOptions, Up};
use crate::launch::Launch;
use crate::log::Outputs;

/// How long a file or a name look-up that is still being waited for may delay the end.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// The name of a manifest in a folder.
const MANIFEST: &str = "spin.toml";

fn main() -> ExitCode {
    let cli = Cli::read();
    // Before there is another thread.
    let outputs = match host_process::bound_heap().and_then(|()| Outputs::start()) {
        Ok(outputs) => outputs,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: cannot start a thread: {error}");
            return ExitCode::FAILURE;
        }
    };
    let _flush = outputs.flush_at_end();
    let done = if cli.launch_metadata_only {
        launch::metadata()
            .map_err(anyhow::Error::from)
            .and_then(|metadata| Ok(writeln!(std::io::stderr(), "{metadata}")?))
    } else if cli.help_args_only {
        writeln!(std::io::stdout(), "{}", launch::options_help()).map_err(anyhow::Error::from)
    } else {
        run(cli, &outputs)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // On standard error even when the log is switched off.
            outputs
                .log
                .line(&format!("error: {}", failure::told(&error)));
            match error.downcast_ref::<builds::BuildError>() {
                Some(failed) => ExitCode::from(failed.exit_code()),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn run(cli: Cli, outputs: &Outputs) -> anyhow::Result<()> {
    match cli.command {
        Some(Command::Up(Up { from, build, run })) => {
            outputs.start_log(&run);
            let manifest = if from.is_dir() {
                from.join(MANIFEST)
            } else {
                from
            };
            let app = App::from_spin_toml(&manifest)?;
            if build {
                builds::run(&app)?;
            }
            serve(app, up::folder_of(&manifest), &run, outputs)
        }
        None => {
            let Some(launch) = Launch::from_environment(|name| std::env::var(name).ok()) else {
                anyhow::bail!(
                    "nothing to run. Say `trigger-websocket up` (`--help` lists the options); without \
                     a command it is for Spin, which sets {}",
                    launch::LOCKED_URL
                );
            };
            outputs.start_log(&cli.run);
            let app = App::from_locked_url(&launch.locked_url)?;
            serve(
                app,
                launch.app_dir.unwrap_or_else(|| PathBuf::from(".")),
                &cli.run,
                outputs,
            )
        }
    }
}

fn serve(
    app: App,
    app_dir: PathBuf,
    options: &RunOptions,
    outputs: &Outputs,
) -> anyhow::Result<()> {
    // For wss and https; both ends of rustls in this process must use the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(up::run(app, &app_dir, options, outputs));
    runtime.shutdown_timeout(STRAGGLERS);
    done
}
