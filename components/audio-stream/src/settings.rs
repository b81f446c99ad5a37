//! What the operator decides about a stream: `interview-settings` over `wasi:config`, and its parts as
//! the bridge wants them. What is allowed is said there, not here.

use std::sync::OnceLock;
use std::time::Duration;

use crate::bindings::interview::gateway::asr_bridge;
use crate::bindings::wasi::config::store;
use crate::windows::WINDOW_TASK;
use interview_session::pace::Pace;
use interview_session::role::StreamRole;
use interview_settings::Asr;

pub use interview_settings::Inference as InferenceSettings;

/// All that the operator decides, and what it means for one stream.
pub struct Settings {
    /// Audio as it comes; not enabled in windowed mode.
    pub bridge: asr_bridge::Settings,
    /// Stored audio in windows: backfill, and the windowed mode.
    pub windows: asr_bridge::WindowSettings,
    /// How fast the stream may bring audio.
    pub pace: Pace,
    /// Goes into each utterance.
    pub provider: String,
    /// None: students are not identified.
    pub inference: Option<InferenceSettings>,
}

impl Settings {
    pub fn load(role: StreamRole) -> Result<Settings, String> {
        let domain = all()?;
        Ok(Settings {
            bridge: bridge(&domain.asr, role),
            windows: windows(&domain.asr, role),
            pace: Pace {
                rate: domain.max_chunk_rate,
                burst_seconds: domain.max_chunk_burst_seconds,
            },
            provider: domain.asr.provider.clone(),
            inference: domain.inference.clone(),
        })
    }

    /// Whether arriving audio is transcribed in windows.
    pub fn is_windowed(&self) -> bool {
        self.windows.automatic
    }
}

/// All settings, whichever component uses them. They do not change while the host runs, so an
/// instance reads them once.
///
/// # Errors
/// All that are wrong, one a line.
pub fn all() -> Result<&'static interview_settings::Settings, String> {
    static ALL: OnceLock<Result<interview_settings::Settings, String>> = OnceLock::new();
    let read = || {
        let get = |name: &str| store::get(name).map_err(|error| format!("{error:?}"));
        interview_settings::Settings::read(get).map_err(|bad| bad.to_string())
    };
    ALL.get_or_init(read).as_ref().map_err(Clone::clone)
}

fn bridge(asr: &Asr, role: StreamRole) -> asr_bridge::Settings {
    asr_bridge::Settings {
        enabled: asr.is_on() && asr.realtime,
        url: asr.ws_url.clone(),
        api_key: asr.api_key.expose().to_owned(),
        model: asr.model.clone(),
        start_timeout_ms: millis(asr.start_timeout()),
        catch_up_speed: asr.catch_up_speed as f32,
        task_prefix: format!("asr-realtime-{}-", role.as_str()),
        vocabulary_id: asr.vocabulary_id.clone(),
        language_hint: asr.language_hint.clone(),
        max_sentence_silence_ms: asr.max_sentence_silence_ms,
        semantic_punctuation: asr.semantic_punctuation,
        // Whoever knows that somebody listens sets it.
        wants_partials: false,
        notes_events: asr.debug_log_events,
    }
}

fn windows(asr: &Asr, role: StreamRole) -> asr_bridge::WindowSettings {
    asr_bridge::WindowSettings {
        service: asr_bridge::Settings {
            enabled: asr.is_on(),
            task_prefix: format!("{WINDOW_TASK}{}-", role.as_str()),
            ..bridge(asr, role)
        },
        timeout_ms: millis(asr.timeout),
        window_seconds: asr.window_seconds,
        hop_seconds: asr.hop_seconds,
        piece_bytes: asr.stream_chunk_bytes,
        pacing_ms: millis(asr.send_pacing),
        automatic: asr.is_on() && !asr.realtime,
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
