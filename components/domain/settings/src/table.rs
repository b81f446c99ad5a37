//! The table: every setting there is, in the order of the documentation.

use crate::rule::{
    AllowedOrigins, ApiKeys, Decimal, Even, Flag, Key, Language, Line, Optional, Path, Rule, Url,
    Whole,
};

/// One setting.
pub struct Setting<R> {
    /// As in `spin.toml`; the operator writes it in upper case.
    pub name: &'static str,
    /// When it is not set, or set to nothing.
    pub default: &'static str,
    pub rule: R,
    /// What it means, with its unit.
    pub meaning: &'static str,
    pub secret: bool,
    /// Whether the gateway that this one replaces has it.
    pub original: bool,
}

/// A row of the table, whatever its type.
pub trait Row: Sync {
    /// As in `spin.toml`; the operator writes it in upper case.
    fn name(&self) -> &'static str;
    /// What it is when it is not set, or set to nothing.
    fn default(&self) -> &'static str;
    /// What is allowed, in words.
    fn allowed(&self) -> String;
    /// Whether this value, trimmed, is allowed as far as it alone can tell.
    fn allows(&self, value: &str) -> bool;
    /// What it means, with its unit.
    fn meaning(&self) -> &'static str;
    /// Whether its value must not be shown.
    fn is_secret(&self) -> bool;
    /// Whether the gateway that this one replaces has it.
    fn is_original(&self) -> bool;
}

impl<R: Rule + Sync> Row for Setting<R> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn default(&self) -> &'static str {
        self.default
    }
    fn allowed(&self) -> String {
        self.rule.words()
    }
    fn allows(&self, value: &str) -> bool {
        self.rule.parse(value).is_some()
    }
    fn meaning(&self) -> &'static str {
        self.meaning
    }
    fn is_secret(&self) -> bool {
        self.secret
    }
    fn is_original(&self) -> bool {
        self.original
    }
}

/// Every setting.
pub static ALL: &[&dyn Row] = &[
    &ALIYUN_DASHSCOPE_API_KEY,
    &ASR_ENABLED,
    &ASR_MODEL,
    &ASR_PROVIDER,
    &ASR_WS_URL,
    &ASR_TIMEOUT_MS,
    &ASR_REALTIME_ENABLED,
    &ASR_CATCH_UP_SPEED,
    &ASR_WINDOW_SECONDS,
    &ASR_HOP_SECONDS,
    &ASR_STREAM_CHUNK_BYTES,
    &ASR_SEND_PACING_MS,
    &ASR_DEBUG_LOG_EVENTS,
    &ASR_VOCABULARY_ID,
    &ASR_LANGUAGE_HINTS,
    &ASR_MAX_SENTENCE_SILENCE,
    &ASR_SEMANTIC_PUNCTUATION_ENABLED,
    &INFERENCE_BASE_URL,
    &INFERENCE_RESOLVE_PATH,
    &INFERENCE_API_KEY,
    &INFERENCE_TIMEOUT_MS,
    &FINALIZE_FLUSH_TIMEOUT_MS,
    &GATEWAY_API_KEYS,
    &CORS_ALLOWED_ORIGINS,
    &MAX_STREAMS_PER_KEY,
    &MAX_SESSIONS_PER_KEY,
    &MAX_CHUNK_RATE,
    &MAX_CHUNK_BURST_SECONDS,
    &SESSION_STORE,
    &BLOB_STORE,
];

pub static ALIYUN_DASHSCOPE_API_KEY: Setting<Key> = Setting {
    name: "aliyun_dashscope_api_key",
    default: "",
    rule: Key,
    meaning: "The key for the ASR service. Without one the host starts its built-in ASR simulator, \
              whose transcripts are invented, and points ASR_WS_URL at it; where others can reach the port, \
              or GATEWAY_API_KEYS is set, only with `--asr simulator`.",
    secret: true,
    original: true,
};

pub static ASR_ENABLED: Setting<Flag> = Setting {
    name: "asr_enabled",
    default: "true",
    rule: Flag,
    meaning: "False: audio is stored and nothing is transcribed.",
    secret: false,
    original: true,
};

pub static ASR_MODEL: Setting<Line> = Setting {
    name: "asr_model",
    default: "fun-asr-realtime-2025-11-07",
    rule: Line,
    meaning: "The model that the service is asked for; goes into each utterance.",
    secret: false,
    original: true,
};

pub static ASR_PROVIDER: Setting<Line> = Setting {
    name: "asr_provider",
    default: "dashscope",
    rule: Line,
    meaning: "What utterances and /health call the service; `simulator` while the host's own one runs.",
    secret: false,
    original: false,
};

pub static ASR_WS_URL: Setting<Optional<Url>> = Setting {
    name: "asr_ws_url",
    // Empty, because a manifest's allowed host cannot be an URL with a path under Spin.
    default: "",
    rule: Optional(Url {
        schemes: ["ws", "wss"],
        is_base: false,
    }),
    meaning: "The service's WebSocket. Nothing: the public one, \
              `wss://dashscope.aliyuncs.com/api-ws/v1/inference/`.",
    secret: false,
    original: true,
};

pub static ASR_TIMEOUT_MS: Setting<Whole> = Setting {
    name: "asr_timeout_ms",
    default: "45000",
    rule: Whole {
        min: 1,
        max: 600_000,
    },
    meaning: "Milliseconds that the service has for a window. It has as long to start a task, but at \
              most 15000.",
    secret: false,
    original: true,
};

pub static ASR_REALTIME_ENABLED: Setting<Flag> = Setting {
    name: "asr_realtime_enabled",
    default: "true",
    rule: Flag,
    meaning: "True: audio goes to the service as it comes. False: in windows.",
    secret: false,
    original: true,
};

pub static ASR_CATCH_UP_SPEED: Setting<Decimal> = Setting {
    name: "asr_catch_up_speed",
    default: "8",
    rule: Decimal {
        min: 1.0,
        max: 1_000.0,
    },
    meaning: "How fast stored audio is sent after an interruption: seconds of audio per second.",
    secret: false,
    original: false,
};

pub static ASR_WINDOW_SECONDS: Setting<Whole> = Setting {
    name: "asr_window_seconds",
    default: "10",
    rule: Whole { min: 1, max: 60 },
    meaning: "Seconds of audio in a window.",
    secret: false,
    original: true,
};

pub static ASR_HOP_SECONDS: Setting<Whole> = Setting {
    name: "asr_hop_seconds",
    default: "3",
    rule: Whole { min: 1, max: 60 },
    meaning: "Seconds from a window's end to the next one's. At most ASR_WINDOW_SECONDS, else audio \
              between two windows would be left out.",
    secret: false,
    original: true,
};

pub static ASR_STREAM_CHUNK_BYTES: Setting<Even> = Setting {
    name: "asr_stream_chunk_bytes",
    default: "12800",
    rule: Even(Whole {
        min: 320,
        max: 320_000,
    }),
    meaning: "Bytes of a window that are sent at a time; 32000 are one second.",
    secret: false,
    original: true,
};

pub static ASR_SEND_PACING_MS: Setting<Whole> = Setting {
    name: "asr_send_pacing_ms",
    default: "0",
    rule: Whole {
        min: 0,
        max: 10_000,
    },
    meaning: "Milliseconds between two such pieces.",
    secret: false,
    original: true,
};

pub static ASR_DEBUG_LOG_EVENTS: Setting<Flag> = Setting {
    name: "asr_debug_log_events",
    default: "false",
    rule: Flag,
    meaning: "True: a line of the log for each event of the service, with the event's name, its task \
              and its times. Never its text.",
    secret: false,
    original: true,
};

pub static ASR_VOCABULARY_ID: Setting<Optional<Line>> = Setting {
    name: "asr_vocabulary_id",
    default: "",
    rule: Optional(Line),
    meaning: "FunASR's `vocabulary_id`: a list of hot words that the service knows. Nothing: none.",
    secret: false,
    original: false,
};

pub static ASR_LANGUAGE_HINTS: Setting<Optional<Language>> = Setting {
    name: "asr_language_hints",
    default: "",
    rule: Optional(Language),
    meaning: "FunASR's `language_hints`, a list of which it takes one: that one. Nothing: the service \
              finds out.",
    secret: false,
    original: false,
};

pub static ASR_MAX_SENTENCE_SILENCE: Setting<Optional<Whole>> = Setting {
    name: "asr_max_sentence_silence",
    default: "",
    rule: Optional(Whole {
        min: 200,
        max: 6_000,
    }),
    meaning: "FunASR's `max_sentence_silence`: milliseconds of a pause that ends a sentence. Nothing: \
              the service's own, 1300.",
    secret: false,
    original: false,
};

pub static ASR_SEMANTIC_PUNCTUATION_ENABLED: Setting<Optional<Flag>> = Setting {
    name: "asr_semantic_punctuation_enabled",
    default: "",
    rule: Optional(Flag),
    meaning: "FunASR's `semantic_punctuation_enabled`: sentences by meaning and not by pauses. \
              Nothing: as the service has it.",
    secret: false,
    original: false,
};

pub static INFERENCE_BASE_URL: Setting<Optional<Url>> = Setting {
    name: "inference_base_url",
    default: "",
    rule: Optional(Url {
        schemes: ["http", "https"],
        is_base: true,
    }),
    meaning: "The service that tells speakers apart. Nothing: nobody is asked, and students' events \
              say so.",
    secret: false,
    original: true,
};

pub static INFERENCE_RESOLVE_PATH: Setting<Path> = Setting {
    name: "inference_resolve_path",
    default: "/speaker/resolve",
    rule: Path,
    meaning: "Is put behind INFERENCE_BASE_URL.",
    secret: false,
    original: true,
};

pub static INFERENCE_API_KEY: Setting<Key> = Setting {
    name: "inference_api_key",
    default: "",
    rule: Key,
    meaning: "Goes to that service as `x-api-key`. Nothing: no such header.",
    secret: true,
    original: true,
};

pub static INFERENCE_TIMEOUT_MS: Setting<Whole> = Setting {
    name: "inference_timeout_ms",
    default: "15000",
    // The host ends a call after 60 s, and what the call stores afterwards takes time too.
    rule: Whole {
        min: 1,
        max: 50_000,
    },
    meaning: "Milliseconds that service has for an answer.",
    secret: false,
    original: true,
};

pub static FINALIZE_FLUSH_TIMEOUT_MS: Setting<Whole> = Setting {
    name: "finalize_flush_timeout_ms",
    default: "20000",
    rule: Whole {
        min: 0,
        max: 600_000,
    },
    meaning: "Milliseconds that `finalize` waits for audio that is not transcribed yet. Above 50000 \
              also give the host a longer `--call-timeout`.",
    secret: false,
    original: false,
};

pub static GATEWAY_API_KEYS: Setting<ApiKeys> = Setting {
    name: "gateway_api_keys",
    default: "",
    rule: ApiKeys,
    meaning: "Who may use this gateway: every route but /health needs one of these, see \
              [access.md](access.md). Nothing: everybody may.",
    secret: true,
    original: false,
};

pub static CORS_ALLOWED_ORIGINS: Setting<AllowedOrigins> = Setting {
    name: "cors_allowed_origins",
    default: "",
    rule: AllowedOrigins,
    meaning: "Whose web pages may use this gateway from a browser. Nothing: with keys only pages of its \
              own host may open WebSockets, and none of elsewhere read answers.",
    secret: false,
    original: false,
};

pub static MAX_STREAMS_PER_KEY: Setting<Whole> = Setting {
    name: "max_streams_per_key",
    default: "1000",
    rule: Whole {
        min: 1,
        max: 100_000,
    },
    meaning: "WebSockets, of streams and of viewers, that a key and all tokens made with it have open at \
              a time. The next is closed with 1013.",
    secret: false,
    original: false,
};

pub static MAX_SESSIONS_PER_KEY: Setting<Whole> = Setting {
    name: "max_sessions_per_key",
    default: "500",
    rule: Whole {
        min: 1,
        max: 100_000,
    },
    meaning: "Sessions that these WebSockets may be of at a time. One of a further session is closed \
              with 1013.",
    secret: false,
    original: false,
};

pub static MAX_CHUNK_RATE: Setting<Whole> = Setting {
    name: "max_chunk_rate",
    default: "100",
    rule: Whole { min: 0, max: 1_000 },
    meaning: "Seconds of audio that a stream may bring in a second, once MAX_CHUNK_BURST_SECONDS are used \
              up. A frame that is refused, and a `hello` with names, counts as a second. What comes \
              faster waits unread in the connection; nothing is refused for it. 0: no limit.",
    secret: false,
    original: false,
};

pub static MAX_CHUNK_BURST_SECONDS: Setting<Whole> = Setting {
    name: "max_chunk_burst_seconds",
    default: "3600",
    rule: Whole {
        min: 1,
        max: 86_400,
    },
    meaning: "Seconds of audio that a stream may bring as fast as it can, such as after a network that \
              was away for so long.",
    secret: false,
    original: false,
};

pub static SESSION_STORE: Setting<Line> = Setting {
    name: "session_store",
    default: "key-value",
    rule: Line,
    meaning: "What /health says of the store of sessions. The host sets it, from its \
              runtime-config.toml.",
    secret: false,
    original: false,
};

pub static BLOB_STORE: Setting<Line> = Setting {
    name: "blob_store",
    default: "blob-store",
    rule: Line,
    meaning: "Where the host keeps audio and results: `directory`, which it is when not set, or \
              `s3`, with the settings in [r2.md](r2.md). /health says it.",
    secret: false,
    original: false,
};
