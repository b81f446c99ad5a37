//! The component's variables.

use std::time::Duration;

use interview_session::asr::AsrSettings;
use interview_session::error::ApiError;

use crate::bindings::wasi::config::store;

/// How the ASR path is set up.
pub fn asr() -> Result<AsrSettings, ApiError> {
    let key = text("aliyun_dashscope_api_key")?;
    Ok(AsrSettings {
        enabled: flag("asr_enabled")? && !key.is_empty(),
        provider: text("asr_provider")?,
        model: text("asr_model")?,
        realtime: flag("asr_realtime_enabled")?,
        window_seconds: number("asr_window_seconds", 10)?,
        hop_seconds: number("asr_hop_seconds", 3)?,
    })
}

/// How long `finalize` waits for audio that is still being recognised.
pub fn flush_timeout() -> Result<Duration, ApiError> {
    Ok(Duration::from_millis(
        number("finalize_flush_timeout_ms", 20_000)?.into(),
    ))
}

/// Kinds of the stores in use, never secrets or paths.
pub fn stores() -> Result<(String, String), ApiError> {
    Ok((text("session_store")?, text("blob_store")?))
}

fn text(name: &str) -> Result<String, ApiError> {
    store::get(name)
        .map(|value| value.unwrap_or_default().trim().to_owned())
        .map_err(|error| wrong(format!("variable {name} cannot be read: {error:?}")))
}

fn flag(name: &str) -> Result<bool, ApiError> {
    match text(name)?.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        other => Err(wrong(format!(
            "variable {name} is {other:?}: write true or false"
        ))),
    }
}

fn number(name: &str, default: u32) -> Result<u32, ApiError> {
    let value = text(name)?;
    if value.is_empty() {
        return Ok(default);
    }
    value.parse().map_err(|_| {
        wrong(format!(
            "variable {name} is {value:?}: write a whole number"
        ))
    })
}

fn wrong(detail: String) -> ApiError {
    ApiError::new(500, detail)
}
