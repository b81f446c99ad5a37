//! The component's variables, read once a batch. Values that do not parse stop the batch with a
//! message that names the variable.

use std::time::Duration;

use crate::bindings::interview::gateway::asr_bridge;
use crate::bindings::wasi::config::store;
use interview_session::role::StreamRole;

/// The public service: DashScope's WebSocket API, as its documentation names it.
const DASHSCOPE: &str = "wss://dashscope.aliyuncs.com/api-ws/v1/inference/";
/// The service gets at most this long to start a task, whatever ASR_TIMEOUT_MS says.
const MAX_START_TIMEOUT_MS: u64 = 15_000;

/// All that the operator decides about a stream.
pub struct Settings {
    pub bridge: asr_bridge::Settings,
    /// Goes into each utterance.
    pub provider: String,
    /// None: students are not identified.
    pub inference: Option<InferenceSettings>,
}

/// Where speakers are looked up.
pub struct InferenceSettings {
    pub url: String,
    pub api_key: String,
    pub timeout: Duration,
}

impl Settings {
    pub fn load(role: StreamRole) -> Result<Settings, String> {
        let key = text("aliyun_dashscope_api_key")?;
        let enabled = flag("asr_enabled", true)? && !key.is_empty();
        let timeout = number("asr_timeout_ms", 45_000.0, 1.0..=600_000.0)? as u64;
        let silence = optional("asr_max_sentence_silence")?;
        let punctuation = optional("asr_semantic_punctuation_enabled")?;
        let bridge = asr_bridge::Settings {
            enabled: enabled && flag("asr_realtime_enabled", true)?,
            url: optional("asr_ws_url")?.unwrap_or_else(|| DASHSCOPE.into()),
            api_key: key,
            model: text("asr_model")?,
            start_timeout_ms: u32::try_from(timeout.min(MAX_START_TIMEOUT_MS)).unwrap_or(u32::MAX),
            catch_up_speed: number("asr_catch_up_speed", 8.0, 1.0..=1_000.0)? as f32,
            task_prefix: format!("asr-realtime-{}-", role.as_str()),
            vocabulary_id: optional("asr_vocabulary_id")?,
            language_hint: optional("asr_language_hints")?,
            max_sentence_silence_ms: match silence {
                None => None,
                Some(_) => Some(number("asr_max_sentence_silence", 1300.0, 200.0..=6000.0)? as u32),
            },
            semantic_punctuation: match punctuation {
                None => None,
                Some(_) => Some(flag("asr_semantic_punctuation_enabled", false)?),
            },
        };
        Ok(Settings {
            bridge,
            provider: text("asr_provider")?,
            inference: inference()?,
        })
    }
}

fn inference() -> Result<Option<InferenceSettings>, String> {
    let Some(base) = optional("inference_base_url")? else {
        return Ok(None);
    };
    let path = text("inference_resolve_path")?;
    let url = format!(
        "{}/{}",
        base.trim_end_matches('/'),
        path.trim_start_matches('/')
    );
    let timeout = number("inference_timeout_ms", 15_000.0, 1.0..=50_000.0)?;
    Ok(Some(InferenceSettings {
        url,
        api_key: text("inference_api_key")?,
        timeout: Duration::from_millis(timeout as u64),
    }))
}

fn text(name: &str) -> Result<String, String> {
    let value = store::get(name).map_err(|error| format!("variable {name}: {error:?}"))?;
    Ok(value.unwrap_or_default().trim().to_owned())
}

fn optional(name: &str) -> Result<Option<String>, String> {
    text(name).map(|value| Some(value).filter(|value| !value.is_empty()))
}

fn flag(name: &str, default: bool) -> Result<bool, String> {
    match text(name)?.to_ascii_lowercase().as_str() {
        "" => Ok(default),
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        other => Err(format!("variable {name} is {other:?}: write true or false")),
    }
}

fn number(name: &str, default: f64, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let value = text(name)?;
    if value.is_empty() {
        return Ok(default);
    }
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "variable {name} is {value:?}: write a number from {} to {}",
                range.start(),
                range.end()
            )
        })
}
