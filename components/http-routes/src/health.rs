//! `GET /health`.

use interview_session::error::ApiError;
use interview_session::role::StreamRole;
use interview_session::stored::to_json;
use serde::Serialize;

use crate::settings;

/// In the order of the original, whose `durable_object` and `r2_bucket` are `session_store` and
/// `blob_store` here.
#[derive(Serialize)]
struct Health {
    status: &'static str,
    app: &'static str,
    session_store: String,
    blob_store: String,
    asr_enabled: bool,
    asr_realtime_enabled: bool,
    asr_mode: &'static str,
    asr_provider: String,
    asr_model: String,
    asr_window_seconds: u32,
    asr_hop_seconds: u32,
    stream_roles: [&'static str; 3],
}

pub fn health() -> Result<String, ApiError> {
    let asr = settings::asr()?;
    let (session_store, blob_store) = settings::stores()?;
    Ok(to_json(&Health {
        status: "ok",
        app: "interview-feedback-gateway",
        session_store,
        blob_store,
        asr_enabled: asr.enabled,
        asr_realtime_enabled: asr.realtime,
        asr_mode: asr.mode(),
        asr_provider: asr.provider,
        asr_model: asr.model,
        asr_window_seconds: asr.window_seconds,
        asr_hop_seconds: asr.hop_seconds,
        stream_roles: StreamRole::ALL.map(StreamRole::as_str),
    }))
}
