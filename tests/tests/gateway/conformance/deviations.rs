//! In what this gateway differs from the original, and why it may.

/// What this gateway answers instead.
#[derive(Debug, Clone, Copy)]
pub enum Ours {
    /// The kind of key-value store that the tests run with.
    SessionStore,
    /// This JSON.
    Is(&'static str),
    /// Nothing is there.
    Absent,
    /// The recorded number and this.
    Plus(i64),
    /// Something that depends on the moment or on the ASR service.
    Varies,
    /// The kind of blob store that the tests run with.
    BlobStore,
}
use Ours::{Absent, BlobStore, Is, Plus, SessionStore, Varies};

/// One difference that may be, in every one of the cases.
pub struct Deviation {
    pub theme: &'static str,
    /// As in the records, `<variant>/<case>` where there is a variant. `*`: in any case.
    pub cases: &'static [&'static str],
    /// Where; what is below is meant, too.
    pub at: &'static [&'static str],
    pub ours: Ours,
    pub why: &'static str,
}

// Why.
const HEALTH_IS_OURS: &str = "http-api.md: the store fields are our own, and a simulator is named";
const METHODS: &str =
    "http-api.md: a known path with another method is 405; faults.md 27: HEAD is as GET";
const CLOSE: &str =
    "RFC 6455, 5.5.1: a close frame is answered with the code it had; the original's had none";
const LATE: &str = "http-api.md: a late chunk that fills a gap is stored, and is no gap any more";
const JUMP: &str =
    "faults.md 25: a jump of more than an hour is refused, with no effect on what follows";
const SILENCE: &str = "the original's ASR service heard words in the audio, ours is sent silence";
const IDS: &str = "http-api.md: an id has 1 to 128 characters; faults.md 27: NUL is a 4xx";

const NO_OBJECT: &str =
    "http-api.md and faults.md 28: an answer that is no object is a failed request, and no event";
const NO_STATE: &str = "faults.md 28: an answer without updated_state changes nothing";
const ONE_CALL: &str = "faults.md 28: concurrent requests with one idempotency key make one call";
const WHOLE_SESSION: &str = "the issue: a session can be deleted, so its path is known";
const PHASE: &str = "the issue: the state has a phase";

// Themes, cases and values that come up again.
const RESOLVE: &str = "resolve";
const IDLE: &str = r#""idle""#;
const NOT_AN_OBJECT: &str = r#"{"detail":
    "inference request failed: inference backend returned JSON that is not an object"}"#;
const HELLO: &str = "ws-hello-status-ping";
const CHUNKS: &str = "ws-chunks";
const JSON: &str = r#""application/json; charset=utf-8""#;
const NULL_BODY: &str = "faults.md 27: null in a body is a 4xx, never a 5xx";
const LONG_REASON: &str =
    "faults.md 27: a long close reason is cut at a character, the original broke off";
const LARGE: &str = "http-api.md and the issue: frames over 1 MiB close with 1009";
const NO_KEY: &[&str] = &[
    "no-key/get",
    "no-key/trailing-slash",
    "no-key/two-trailing-slashes",
    "no-key/query",
];
const HEALTH_POST: &[&str] = &["post", "asr-off/post", "windowed/post", "no-key/post"];
const STATUS_AFTER_LATE: &[&str] = &[
    "status-after-gap",
    "status-after-wrong-size",
    "status-after-wrong-size-with-gap",
    "status-at-end",
];

const fn entry(
    theme: &'static str,
    cases: &'static [&'static str],
    at: &'static [&'static str],
    ours: Ours,
    why: &'static str,
) -> Deviation {
    Deviation {
        theme,
        cases,
        at,
        ours,
        why,
    }
}

/// All of them.
pub const DEVIATIONS: &[Deviation] = &[
    // resolve
    entry(
        RESOLVE,
        &["upstream-null", "upstream-array"],
        &["status"],
        Is("502"),
        NO_OBJECT,
    ),
    entry(
        RESOLVE,
        &["upstream-null"],
        &["content-type"],
        Is(JSON),
        NO_OBJECT,
    ),
    entry(
        RESOLVE,
        &["upstream-null", "upstream-array"],
        &["body"],
        Is(NOT_AN_OBJECT),
        NO_OBJECT,
    ),
    entry(
        RESOLVE,
        &["upstream-array"],
        &["body/count"],
        Is("1"),
        NO_OBJECT,
    ),
    entry(
        RESOLVE,
        &["upstream-array"],
        &["body/items/1"],
        Absent,
        NO_OBJECT,
    ),
    entry(
        RESOLVE,
        &["no-updated-state"],
        &["body/updated_state/clusters/0", "body/state/clusters/0"],
        Is(
            r#"{"cluster_id": "c1", "centroid": [-0.9538, -0.2624, 0.6702, 0.9866],
            "sample_count": 1, "bound_name": "Alice"}"#,
        ),
        NO_STATE,
    ),
    entry(
        RESOLVE,
        &["no-updated-state"],
        &["body/updated_state/bindings/c1", "body/state/bindings/c1"],
        Is(r#""Alice""#),
        NO_STATE,
    ),
    entry(
        RESOLVE,
        &["no-updated-state"],
        &[
            "body/updated_state/config/interviewer_name",
            "body/updated_state/config/teams_interviewer_name",
            "body/state/config/interviewer_name",
            "body/state/config/teams_interviewer_name",
        ],
        Is(r#""Ada""#),
        NO_STATE,
    ),
    entry(
        RESOLVE,
        &["no-updated-state"],
        &["body/updated_state/roster", "body/state/roster"],
        Is(r#"[{"name": "Ada"}, {"name": "Bob"}]"#),
        NO_STATE,
    ),
    entry(
        RESOLVE,
        &["idem-concurrent"],
        &["x-idempotent-replay"],
        Is(r#""true""#),
        ONE_CALL,
    ),
    entry(
        RESOLVE,
        &["idem-concurrent"],
        &[
            "body/updated_state/clusters/0/sample_count",
            "body/count",
            "data",
        ],
        Is("1"),
        ONE_CALL,
    ),
    entry(
        RESOLVE,
        &["idem-concurrent"],
        &["body/items/1", "body/items/2"],
        Absent,
        ONE_CALL,
    ),
    // phase
    entry("config", &["*"], &["body/phase"], Is(IDLE), PHASE),
    entry("routing-errors", &["*"], &["body/phase"], Is(IDLE), PHASE),
    entry(RESOLVE, &["*"], &["body/phase"], Is(IDLE), PHASE),
    entry("capture-status", &["*"], &["body/phase"], Varies, PHASE),
    entry(HELLO, &["*"], &["body/phase"], Varies, PHASE),
    entry(CHUNKS, &["*"], &["body/phase"], Varies, PHASE),
    // health
    entry(
        "health",
        &["*"],
        &["body/durable_object", "body/r2_bucket"],
        Absent,
        HEALTH_IS_OURS,
    ),
    entry(
        "health",
        &["*"],
        &["body/session_store"],
        SessionStore,
        HEALTH_IS_OURS,
    ),
    entry(
        "health",
        &["*"],
        &["body/blob_store"],
        BlobStore,
        HEALTH_IS_OURS,
    ),
    entry(
        "health",
        &["*"],
        &["body/asr_provider"],
        Is(r#""dashscope""#),
        HEALTH_IS_OURS,
    ),
    entry(
        "health",
        NO_KEY,
        &["body/asr_provider"],
        Is(r#""simulator""#),
        HEALTH_IS_OURS,
    ),
    entry(
        "health",
        NO_KEY,
        &["body/asr_enabled"],
        Is("true"),
        "without a key the simulator is used",
    ),
    entry(
        "health",
        &["head", "asr-off/head", "windowed/head", "no-key/head"],
        &["status"],
        Is("200"),
        METHODS,
    ),
    entry("health", HEALTH_POST, &["status"], Is("405"), METHODS),
    entry(
        "health",
        HEALTH_POST,
        &["body/detail"],
        Is(r#""method not allowed""#),
        METHODS,
    ),
    // routing-errors
    entry(
        "routing-errors",
        &["405-state-HEAD", "405-utterances-HEAD", "405-events-HEAD"],
        &["status"],
        Is("200"),
        METHODS,
    ),
    entry(
        "routing-errors",
        &["session-without-action"],
        &["status"],
        Is("405"),
        WHOLE_SESSION,
    ),
    entry(
        "routing-errors",
        &["session-without-action"],
        &["body/detail"],
        Is(r#""method not allowed""#),
        WHOLE_SESSION,
    ),
    entry(
        "routing-errors",
        &["id-space", "id-nul"],
        &["status"],
        Is("400"),
        IDS,
    ),
    entry(
        "routing-errors",
        &["id-space"],
        &[
            "body/session_id",
            "body/stream_role",
            "body/count",
            "body/limit",
            "body/items",
        ],
        Absent,
        IDS,
    ),
    entry(
        "routing-errors",
        &["id-space"],
        &["body/detail"],
        Is(r#""session_id must be 1..128 chars""#),
        IDS,
    ),
    entry(
        "routing-errors",
        &["id-nul"],
        &["body"],
        Is(r#"{"detail": "session_id must not contain control characters"}"#),
        IDS,
    ),
    entry(
        "routing-errors",
        &["id-nul"],
        &["content-type"],
        Is(JSON),
        IDS,
    ),
    entry(
        "routing-errors",
        &[
            "ws-role-upper",
            "ws-role-mixed-explicit",
            "ws-trailing-slash",
            "ws-id-128",
            "ws-id-unicode",
        ],
        &["code"],
        Is("1000"),
        CLOSE,
    ),
    // config
    entry("config", &["null-body"], &["status"], Is("400"), NULL_BODY),
    entry(
        "config",
        &["null-body"],
        &["content-type"],
        Is(JSON),
        NULL_BODY,
    ),
    entry(
        "config",
        &["null-body"],
        &["body"],
        Is(r#"{"detail": "request body must be a JSON object"}"#),
        NULL_BODY,
    ),
    // ws-hello-status-ping
    entry(
        HELLO,
        &[
            "client-close-1000",
            "mixed-hello",
            "mixed-path-hello-students-mismatch",
        ],
        &["code"],
        Is("1000"),
        CLOSE,
    ),
    entry(
        HELLO,
        &["client-close-1000"],
        &["reason"],
        Is(r#""done""#),
        CLOSE,
    ),
    entry(HELLO, &["client-close-4001"], &["code"], Is("4001"), CLOSE),
    entry(
        HELLO,
        &["client-close-4001"],
        &["reason"],
        Is(r#""app code""#),
        CLOSE,
    ),
    entry(
        HELLO,
        &["close-cjk-reason-180-bytes"],
        &["code"],
        Is("1000"),
        LONG_REASON,
    ),
    entry(
        HELLO,
        &["close-cjk-reason-180-bytes"],
        &["reason"],
        // 41 of the 60 characters: 123 bytes.
        Is(
            r#""面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面面""#,
        ),
        LONG_REASON,
    ),
    // ws-chunks
    entry(
        CHUNKS,
        &["late-3-after-gap"],
        &["frame/status"],
        Is(r#""stored""#),
        LATE,
    ),
    entry(
        CHUNKS,
        &["late-3-after-gap"],
        &["frame/key"],
        Is(r#""sessions/g-chunks/chunks/teacher/00000003.pcm""#),
        LATE,
    ),
    entry(
        CHUNKS,
        &[
            "late-3-after-gap",
            "duplicate-with-wrong-size-is-duplicate",
            "duplicate-with-bad-b64-is-duplicate",
            "ts-fraction-ok",
            "role-null-ok",
            "role-missing-ok",
            "extra-fields-ok",
            "b64-with-newlines-ok",
            "b64-unpadded",
        ],
        &["frame/missing_count", "frame/duplicate_count"],
        Plus(-1),
        LATE,
    ),
    entry(
        CHUNKS,
        STATUS_AFTER_LATE,
        &[
            "frame/missing_chunks",
            "frame/duplicate_chunks",
            "frame/ingest_by_stream/teacher/missing_chunks",
            "frame/ingest_by_stream/teacher/duplicate_chunks",
        ],
        Plus(-1),
        LATE,
    ),
    entry(
        CHUNKS,
        STATUS_AFTER_LATE,
        &[
            "frame/received_chunks",
            "frame/ingest_by_stream/teacher/received_chunks",
        ],
        Plus(1),
        LATE,
    ),
    entry(
        CHUNKS,
        STATUS_AFTER_LATE,
        &[
            "frame/bytes_stored",
            "frame/ingest_by_stream/teacher/bytes_stored",
        ],
        Plus(32_000),
        LATE,
    ),
    entry(
        CHUNKS,
        &["state-at-end"],
        &[
            "body/ingest_by_stream/teacher/missing_chunks",
            "body/ingest_by_stream/teacher/duplicate_chunks",
        ],
        Plus(-1),
        LATE,
    ),
    entry(
        CHUNKS,
        &["state-at-end"],
        &["body/ingest_by_stream/teacher/received_chunks"],
        Plus(1),
        LATE,
    ),
    entry(
        CHUNKS,
        &["state-at-end"],
        &["body/ingest_by_stream/teacher/bytes_stored"],
        Plus(32_000),
        LATE,
    ),
    entry(
        CHUNKS,
        &["r2-keys"],
        &["objects/00000003.pcm"],
        Varies,
        LATE,
    ),
    entry(CHUNKS, &["large-text-2MiB"], &["frame"], Absent, LARGE),
    entry(CHUNKS, &["large-text-2MiB"], &["code"], Is("1009"), LARGE),
    entry(
        CHUNKS,
        &["large-text-2MiB"],
        &["reason"],
        Is(r#""message is larger than 1 MiB: send smaller messages""#),
        LARGE,
    ),
    entry(
        CHUNKS,
        &["seq-jump-1e9"],
        &["frame"],
        Is(r#"{"type": "error", "detail":
            "frame.seq jumps from 1 to 1000000000: at most 3600 seconds may be skipped"}"#),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["seq-jump-1e9"],
        &["frame/status"],
        Is(r#""stored""#),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["seq-jump-1e9"],
        &["frame/key"],
        Is(r#""sessions/g-chunks-huge/chunks/teacher/00000002.pcm""#),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["seq-jump-1e9"],
        &["frame/last_seq"],
        Is("2"),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["seq-jump-1e9"],
        &["frame/missing_count", "frame/duplicate_count"],
        Is("0"),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["seq-max-safe"],
        &["frame"],
        Is(r#"{"type": "error", "detail":
            "frame.seq jumps from 2 to 9007199254740991: at most 3600 seconds may be skipped"}"#),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["seq-above-safe"],
        &["frame"],
        Is(r#"{"type": "error", "detail":
            "frame.seq jumps from 2 to 1e+300: at most 3600 seconds may be skipped"}"#),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["after-seq-jump"],
        &[
            "frame/last_seq",
            "frame/received_chunks",
            "frame/ingest_by_stream/teacher/last_seq",
            "frame/ingest_by_stream/teacher/received_chunks",
        ],
        Is("2"),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["after-seq-jump"],
        &[
            "frame/missing_chunks",
            "frame/duplicate_chunks",
            "frame/ingest_by_stream/teacher/missing_chunks",
            "frame/ingest_by_stream/teacher/duplicate_chunks",
        ],
        Is("0"),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["after-seq-jump"],
        &[
            "frame/bytes_stored",
            "frame/ingest_by_stream/teacher/bytes_stored",
        ],
        Is("64000"),
        JUMP,
    ),
    entry(
        CHUNKS,
        &["r2-keys-huge"],
        &[
            "objects/1000000000.pcm",
            "objects/9007199254740991.pcm",
            "objects/001e+300.pcm",
        ],
        Absent,
        JUMP,
    ),
    entry(
        CHUNKS,
        &["r2-keys-huge"],
        &["objects/00000002.pcm"],
        Varies,
        JUMP,
    ),
    entry(
        CHUNKS,
        &[
            "after-seq-jump",
            "status-at-end",
            "pipelined-20",
            "two-sockets-same-role",
            "reconnect",
        ],
        &["code"],
        Is("1000"),
        CLOSE,
    ),
    entry(
        CHUNKS,
        &["state-at-end"],
        &["body/asr_by_stream/teacher"],
        Varies,
        SILENCE,
    ),
    entry(
        CHUNKS,
        &["state-at-end"],
        &["body/event_count", "body/utterance_count_by_stream/teacher"],
        Is("0"),
        SILENCE,
    ),
    // capture-status
    entry(
        "capture-status",
        &["mixed-own-status"],
        &["code"],
        Is("1000"),
        CLOSE,
    ),
];
