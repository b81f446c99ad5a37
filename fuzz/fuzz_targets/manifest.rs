//! `spin.toml` and `runtime-config.toml`: read or refused with a message, and what is read answers all
//! that the host asks of it.
//!
//! The input is a text in three parts with lines `---` between them: the manifest, what its variables are
//! set to, the path of a request.
#![no_main]

use std::path::Path;

use app_manifest::{App, RuntimeConfig};
use gateway_fuzz::application;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut parts = input.splitn(3, "\n---\n");
    let manifest = parts.next().unwrap_or_default();
    let value = parts.next().unwrap_or_default();
    let path = parts.next().unwrap_or("/");
    match App::from_spin_toml_text(manifest, Path::new("/app")) {
        Ok(app) => application::ask(&app, value, path),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match RuntimeConfig::parse(manifest, "runtime-config.toml", Path::new("/app")) {
        Ok(config) => {
            assert!(config.key_value_stores.contains_key("default"));
            let file = config.key_value_file("default", Path::new("/state"));
            // None: the store is in a server.
            assert!(file.is_none_or(|file| file.is_absolute()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
