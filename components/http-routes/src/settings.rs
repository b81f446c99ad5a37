//! What the operator decides, as the routes want it: `interview-settings` over `wasi:config`. What is
//! allowed is said there, not here.

use std::sync::OnceLock;
use std::time::Duration;

use interview_session::asr::AsrSettings;
use interview_session::error::ApiError;
use interview_settings::{Doors, Inference, Settings};

use crate::bindings::wasi::config::store;

/// How the ASR path is set up.
pub fn asr() -> Result<AsrSettings, ApiError> {
    Ok(session_reader::asr_settings(&all()?.asr))
}

/// How long `finalize` waits for audio that is still being recognised.
pub fn flush_timeout() -> Result<Duration, ApiError> {
    Ok(all()?.finalize_flush_timeout)
}

/// Where speakers are looked up. None: INFERENCE_BASE_URL is not set.
pub fn inference() -> Result<Option<&'static Inference>, ApiError> {
    Ok(all()?.inference.as_ref())
}

/// Who may come in.
pub fn doors() -> Result<&'static Doors, ApiError> {
    Ok(&all()?.doors)
}

/// Kinds of the stores in use, never secrets or paths.
pub fn stores() -> Result<(String, String), ApiError> {
    let settings = all()?;
    Ok((settings.session_store.clone(), settings.blob_store.clone()))
}

/// All settings. They do not change while the host runs, so an instance reads them once.
///
/// # Errors
/// Some are wrong: only under a host that does not ask `audio-stream` before it starts. Which ones is
/// for the log: a client of the API has not set them.
fn all() -> Result<&'static Settings, ApiError> {
    static ALL: OnceLock<Option<Settings>> = OnceLock::new();
    let read = || {
        let get = |name: &str| store::get(name).map_err(|error| format!("{error:?}"));
        Settings::read(get)
            .inspect_err(|bad| eprintln!("the settings are wrong:\n{bad}"))
            .ok()
    };
    ALL.get_or_init(read).as_ref().ok_or_else(|| {
        let detail = "the gateway's settings are wrong: its log names them";
        ApiError::new(500, detail)
    })
}
