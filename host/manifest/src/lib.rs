//! What is to be run: the application, its variables and the settings of the machine it runs on.
//!
//! - [`App`] is the application: components, what composes them, and the triggers of type
//!   `websocket`. It is read from a `spin.toml` ([`App::from_spin_toml`]) or from the locked app that
//!   `spin up` hands to an external trigger ([`App::from_locked_url`]); both give the same `App` and
//!   are held to the same rules.
//! - [`GivenVariables`] are the values that options, the environment and files give, [`Variables`] the
//!   application's variables with their values, [`AllowedHosts`] what one
//!   component may connect to, [`RuntimeConfig`] where this machine keeps things.
//!
//! This crate reads text and decides; it must not load components, open stores or connect to
//! anything, and it knows nothing of WebAssembly.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod allowed_hosts;
mod app;
mod assemble;
mod dependency_name;
mod env_file;
mod error;
mod given;
mod locked;
mod route;
mod runtime_config;
mod settings;
mod spin_toml;
mod template;
mod variable_source;
mod variables;

pub use allowed_hosts::{AllowedHosts, AllowedHostsError};
pub use app::{App, Build, Component, Dependency, Inherit, Trigger, VariableDecl};
pub use dependency_name::{DependencyName, DependencyNameError};
pub use env_file::EnvFile;
pub use error::ManifestError;
pub use given::{GivenError, GivenVariables};
pub use route::{Route, RouteError, Router};
pub use runtime_config::{KeyValueSettings, RuntimeConfig, RuntimeConfigError, ServerUrl};
pub use settings::{BlobSettings, TriggerSettings};
pub use template::{Template, TemplateError};
pub use variable_source::{MAX_VARIABLE_FILE_BYTES, VariableFileError, VariableSource};
pub use variables::{VariableError, Variables};
