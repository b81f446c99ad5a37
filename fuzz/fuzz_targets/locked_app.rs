//! Spin's locked app: as `manifest`, with JSON in the first part.
#![no_main]

use app_manifest::App;
use gateway_fuzz::application;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // JSON is UTF-8, but what is read need not be.
    let (locked, rest) = match std::str::from_utf8(input) {
        Ok(text) => match text.split_once("\n---\n") {
            Some((locked, rest)) => (locked.as_bytes(), rest),
            None => (input, ""),
        },
        Err(_) => (input, ""),
    };
    let (value, path) = rest.split_once("\n---\n").unwrap_or((rest, "/"));
    match App::from_locked(locked) {
        Ok(app) => application::ask(&app, value, path),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
