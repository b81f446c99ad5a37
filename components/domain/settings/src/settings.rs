//! The settings with their types.

use std::fmt::Display;
use std::time::Duration;

use interview_doors::{Keys, Origins};

use crate::error::BadSettings;
use crate::reader::Reader;
use crate::secret::Secret;
use crate::table;

/// The public service: DashScope's WebSocket API, as its documentation names it.
const DASHSCOPE: &str = "wss://dashscope.aliyuncs.com/api-ws/v1/inference/";

/// The service gets at most this long to start a task, whatever ASR_TIMEOUT_MS says.
pub const MAX_START_TIMEOUT: Duration = Duration::from_secs(15);

/// All that the operator decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How audio becomes text.
    pub asr: Asr,
    /// Where speakers are looked up. None: nobody is asked.
    pub inference: Option<Inference>,
    /// How long `finalize` waits for audio that is not transcribed yet.
    pub finalize_flush_timeout: Duration,
    /// Who may come in.
    pub doors: Doors,
    /// Seconds of audio that a stream may bring in a second; 0: as many as come.
    pub max_chunk_rate: u32,
    /// Seconds of audio that it may bring at once before that counts.
    pub max_chunk_burst_seconds: u32,
    /// The kind of the store of sessions, for /health.
    pub session_store: String,
    /// The kind of the store of audio and results, for /health.
    pub blob_store: String,
}

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    /// None: everybody.
    pub keys: Keys,
    /// Web pages that may.
    pub origins: Origins,
    /// WebSockets that a key has open at a time.
    pub max_streams_per_key: u32,
    /// Sessions that they are of.
    pub max_sessions_per_key: u32,
}

/// How audio becomes text.
#[derive(Debug, Clone, PartialEq)]
pub struct Asr {
    /// As it is set; see [`Asr::is_on`].
    pub enabled: bool,
    /// Goes into each utterance.
    pub provider: String,
    /// What the service is asked for.
    pub model: String,
    /// `ws://` or `wss://`.
    pub ws_url: String,
    /// Empty: there is none.
    pub api_key: Secret,
    /// For a window; see [`Asr::start_timeout`].
    pub timeout: Duration,
    /// Audio goes to the service as it comes, else in windows.
    pub realtime: bool,
    /// How fast a backlog is sent: seconds of audio per second, at least 1.
    pub catch_up_speed: f64,
    /// Of a window; at least 1.
    pub window_seconds: u32,
    /// From a window's end to the next one's; 1 to `window_seconds`.
    pub hop_seconds: u32,
    /// Bytes of a window that are sent at a time; even.
    pub stream_chunk_bytes: u32,
    /// Between two such pieces.
    pub send_pacing: Duration,
    /// Whether each event of the service is logged: names, tasks and times, never text.
    pub debug_log_events: bool,
    /// A hot-word list of the service.
    pub vocabulary_id: Option<String>,
    /// A language code; FunASR's `language_hints` is a list of this one.
    pub language_hint: Option<String>,
    /// How long a pause ends a sentence, in ms: 200 to 6000.
    pub max_sentence_silence_ms: Option<u32>,
    /// Sentences by meaning and not by pauses.
    pub semantic_punctuation: Option<bool>,
}

/// Where speakers are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inference {
    /// `http://` or `https://`, with the path.
    pub url: String,
    /// Sent as `x-api-key`, unless it is empty.
    pub api_key: Secret,
    /// For connecting, waiting and reading together.
    pub timeout: Duration,
}

impl Asr {
    /// Enabled, and there is a key to ask with.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.enabled && !self.api_key.is_empty()
    }

    /// How long connecting, and the wait for `task-started`, may take.
    #[must_use]
    pub fn start_timeout(&self) -> Duration {
        self.timeout.min(MAX_START_TIMEOUT)
    }
}

impl Settings {
    /// Reads and checks all settings. `get` gives a variable by its lower-case name; one that is not
    /// there, or is only white space, has its default.
    ///
    /// # Errors
    /// All settings that are wrong.
    pub fn read<E: Display>(
        get: impl Fn(&str) -> Result<Option<String>, E>,
    ) -> Result<Self, BadSettings> {
        let mut from = Reader::new(get);
        let settings = Self {
            asr: asr(&mut from),
            inference: inference(&mut from),
            finalize_flush_timeout: millis(from.take(&table::FINALIZE_FLUSH_TIMEOUT_MS)),
            doors: Doors {
                keys: from.take(&table::GATEWAY_API_KEYS),
                origins: from.take(&table::CORS_ALLOWED_ORIGINS),
                max_streams_per_key: from.take(&table::MAX_STREAMS_PER_KEY),
                max_sessions_per_key: from.take(&table::MAX_SESSIONS_PER_KEY),
            },
            max_chunk_rate: from.take(&table::MAX_CHUNK_RATE),
            max_chunk_burst_seconds: from.take(&table::MAX_CHUNK_BURST_SECONDS),
            session_store: from.take(&table::SESSION_STORE),
            blob_store: from.take(&table::BLOB_STORE),
        };
        from.finish(settings)
    }
}

fn asr<E: Display>(from: &mut Reader<impl Fn(&str) -> Result<Option<String>, E>>) -> Asr {
    let api_key = from.take(&table::ALIYUN_DASHSCOPE_API_KEY);
    let enabled = from.take(&table::ASR_ENABLED);
    let model = from.take(&table::ASR_MODEL);
    let provider = from.take(&table::ASR_PROVIDER);
    let ws_url = from.take(&table::ASR_WS_URL);
    let timeout = millis(from.take(&table::ASR_TIMEOUT_MS));
    let realtime = from.take(&table::ASR_REALTIME_ENABLED);
    let catch_up_speed = from.take(&table::ASR_CATCH_UP_SPEED);
    let (window_seconds, hop_seconds) = window_and_hop(from);
    Asr {
        enabled,
        provider,
        model,
        ws_url: ws_url.unwrap_or_else(|| DASHSCOPE.to_owned()),
        api_key,
        timeout,
        realtime,
        catch_up_speed,
        window_seconds,
        hop_seconds,
        stream_chunk_bytes: from.take(&table::ASR_STREAM_CHUNK_BYTES),
        send_pacing: millis(from.take(&table::ASR_SEND_PACING_MS)),
        debug_log_events: from.take(&table::ASR_DEBUG_LOG_EVENTS),
        vocabulary_id: from.take(&table::ASR_VOCABULARY_ID),
        language_hint: from.take(&table::ASR_LANGUAGE_HINTS),
        max_sentence_silence_ms: from.take(&table::ASR_MAX_SENTENCE_SILENCE),
        semantic_punctuation: from.take(&table::ASR_SEMANTIC_PUNCTUATION_ENABLED),
    }
}

/// A hop over more than a window would leave audio out.
fn window_and_hop<E: Display>(
    from: &mut Reader<impl Fn(&str) -> Result<Option<String>, E>>,
) -> (u32, u32) {
    let window = from.read(&table::ASR_WINDOW_SECONDS);
    let hop = from.read(&table::ASR_HOP_SECONDS);
    if let (Some(window), Some(hop)) = (window, hop)
        && hop > window
    {
        let allowed = format!("a whole number from 1 to {window}, which is ASR_WINDOW_SECONDS");
        from.refuse(&table::ASR_HOP_SECONDS, &hop.to_string(), allowed);
    }
    (window.unwrap_or_default(), hop.unwrap_or_default())
}

fn inference<E: Display>(
    from: &mut Reader<impl Fn(&str) -> Result<Option<String>, E>>,
) -> Option<Inference> {
    // All are read, and checked, also when they are not needed.
    let base = from.take(&table::INFERENCE_BASE_URL);
    let path = from.take(&table::INFERENCE_RESOLVE_PATH);
    let api_key = from.take(&table::INFERENCE_API_KEY);
    let timeout = millis(from.take(&table::INFERENCE_TIMEOUT_MS));
    let base = base?;
    Some(Inference {
        url: format!("{}{path}", base.trim_end_matches('/')),
        api_key,
        timeout,
    })
}

fn millis(number: u32) -> Duration {
    Duration::from_millis(number.into())
}
