use interview_session::frame::{CHUNK_BYTES, ClientFrame, Incoming, parse_frame};
use interview_session::ingest::{Decision, IngestRecord};
use interview_session::keys::chunk_key;
use interview_session::reply::{Ack, ErrorReply};
use interview_session::role::StreamRole;
use interview_session::time::EpochMs;
use serde_json::{Value, json};

use super::session;

/// A stream's lane without its stores.
struct Stream {
    id: &'static str,
    role: StreamRole,
    record: IngestRecord,
    stored: Vec<String>,
}

impl Stream {
    fn new(id: &'static str, role: StreamRole) -> Self {
        Self {
            id,
            role,
            record: IngestRecord::new(EpochMs(0)),
            stored: Vec::new(),
        }
    }

    /// What a chunk is answered with.
    fn send(&mut self, text: &str) -> Value {
        serde_json::from_str(&self.answer(text)).unwrap()
    }

    fn answer(&mut self, text: &str) -> String {
        let id = session(self.id);
        let frame = match parse_frame(Incoming::Text(text), &id, self.role) {
            Ok(ClientFrame::Chunk(frame)) => frame,
            Ok(other) => panic!("not a chunk: {other:?}"),
            Err(error) => return ErrorReply::new(error).to_json(),
        };
        match self.record.decide(frame.seq) {
            Decision::Store(seq) | Decision::FillGap(seq) => {
                if let Err(error) = frame.decode() {
                    return ErrorReply::new(error).to_json();
                }
                let key = chunk_key(&id, self.role, seq);
                assert!(self.record.stored(seq, EpochMs(1)));
                let ack = Ack::stored(self.role, seq, &key, &self.record).to_json();
                self.stored.push(key);
                ack
            }
            Decision::Duplicate(seq) => {
                self.record.duplicate(EpochMs(1));
                Ack::duplicate(self.role, seq, &self.record).to_json()
            }
            Decision::Refuse(refusal) => ErrorReply::new(refusal).to_json(),
        }
    }
}

fn pcm(bytes: usize) -> String {
    let pcm: Vec<u8> = (0..bytes).map(|at| (at * 7 % 251) as u8).collect();
    base64_simd::STANDARD.encode_to_string(pcm)
}

fn chunk(seq: impl Into<Value>) -> Value {
    let seq = seq.into();
    json!({"type": "chunk", "stream_role": "teacher", "meeting_id": "g-chunks", "seq": seq,
        "timestamp_ms": 1_760_000_001_000_u64, "sample_rate": 16000, "channels": 1,
        "format": "pcm_s16le", "content_b64": pcm(CHUNK_BYTES)})
}

fn with(mut chunk: Value, field: &str, value: Value) -> String {
    chunk[field] = value;
    chunk.to_string()
}

fn without(mut chunk: Value, field: &str) -> String {
    chunk.as_object_mut().unwrap().remove(field);
    chunk.to_string()
}

fn stored(seq: u32, last: u32, missing: u32, duplicates: u32) -> Value {
    json!({"type": "ack", "stream_role": "teacher", "seq": seq, "status": "stored",
        "key": format!("sessions/g-chunks/chunks/teacher/{seq:08}.pcm"),
        "last_seq": last, "missing_count": missing, "duplicate_count": duplicates})
}

fn duplicate(seq: u32, last: u32, missing: u32, duplicates: u32) -> Value {
    json!({"type": "ack", "stream_role": "teacher", "seq": seq, "status": "duplicate",
        "last_seq": last, "missing_count": missing, "duplicate_count": duplicates})
}

fn error(detail: &str) -> Value {
    json!({"type": "error", "detail": detail})
}

const ATOB: &str = "atob() called with invalid base64-encoded data. (Only whitespace, '+', '/', alphanumeric ASCII, and up to two terminal '=' signs when the input data length is divisible by 4 are allowed.)";

#[test]
fn ws_chunks_in_order() {
    let mut stream = Stream::new("g-chunks", StreamRole::Teacher);
    let mut check = |case: &str, text: String, answer: Value| {
        assert_eq!(stream.send(&text), answer, "{case}");
        stream.record.clone()
    };
    check(
        "stored-before-hello",
        chunk(1).to_string(),
        stored(1, 1, 0, 0),
    );
    check("stored-2", chunk(2).to_string(), stored(2, 2, 0, 0));
    check("duplicate-2", chunk(2).to_string(), duplicate(2, 2, 0, 1));
    check("duplicate-1", chunk(1).to_string(), duplicate(1, 2, 0, 2));
    check("gap-to-5", chunk(5).to_string(), stored(5, 5, 2, 2));
    // The original drops it: `duplicate`, missing 2, duplicates 3.
    check("late-3-after-gap", chunk(3).to_string(), stored(3, 5, 1, 2));
    check("late-3-again", chunk(3).to_string(), duplicate(3, 5, 1, 3));

    let before = check("duplicate-3", chunk(3).to_string(), duplicate(3, 5, 1, 4));
    for (seq, bytes) in [(6, 31999), (6, 32001), (6, 2), (6, 64000), (16, 100)] {
        let text = with(chunk(seq), "content_b64", json!(pcm(bytes)));
        let answer = error(&format!("chunk byte length must be 32000, got {bytes}"));
        assert_eq!(check("size", text, answer), before, "{bytes}");
    }
    let fields = [
        ("content_b64", json!(""), "frame.content_b64 is required"),
        ("content_b64", json!(5), "frame.content_b64 is required"),
        ("content_b64", json!("@@@@"), ATOB),
        (
            "content_b64",
            json!(pcm(CHUNK_BYTES).replace('/', "_").replacen('A', "-", 1)),
            ATOB,
        ),
        ("content_b64", json!("AAAAA"), ATOB),
        ("content_b64", json!("\u{e9}\u{e9}"), ATOB),
        (
            "sample_rate",
            json!(8000),
            "frame.sample_rate must be 16000",
        ),
        (
            "sample_rate",
            json!("16000"),
            "frame.sample_rate must be 16000",
        ),
        ("channels", json!(2), "frame.channels must be 1"),
        ("format", json!("wav"), "frame.format must be pcm_s16le"),
        (
            "meeting_id",
            json!("someone-else"),
            "meeting_id mismatch: expected g-chunks",
        ),
        ("meeting_id", json!(""), "frame.meeting_id is required"),
        ("meeting_id", json!(5), "frame.meeting_id is required"),
        (
            "stream_role",
            json!("students"),
            "chunk.stream_role mismatch: expected teacher, got students",
        ),
        (
            "stream_role",
            json!("nobody"),
            "unsupported stream_role: nobody",
        ),
        (
            "stream_role",
            json!("TEACHER"),
            "chunk.stream_role mismatch: expected teacher, got TEACHER",
        ),
        (
            "stream_role",
            json!(""),
            "chunk.stream_role mismatch: expected teacher, got ",
        ),
        (
            "timestamp_ms",
            json!(0),
            "frame.timestamp_ms must be a positive number",
        ),
        (
            "timestamp_ms",
            json!(-1),
            "frame.timestamp_ms must be a positive number",
        ),
        (
            "timestamp_ms",
            json!("5"),
            "frame.timestamp_ms must be a positive number",
        ),
        ("type", json!("chunkx"), "unsupported message type: chunkx"),
        ("seq", json!(0), "frame.seq must be a positive integer"),
        ("seq", json!(-1), "frame.seq must be a positive integer"),
        ("seq", json!(1.5), "frame.seq must be a positive integer"),
        ("seq", json!("6"), "frame.seq must be a positive integer"),
        ("seq", json!(null), "frame.seq must be a positive integer"),
    ];
    for (field, value, detail) in fields {
        let text = with(chunk(6), field, value.clone());
        assert_eq!(check(field, text, error(detail)), before, "{field} {value}");
    }
    let missing = [
        ("content_b64", "frame.content_b64 is required"),
        ("sample_rate", "frame.sample_rate must be 16000"),
        ("channels", "frame.channels must be 1"),
        ("format", "frame.format must be pcm_s16le"),
        ("meeting_id", "frame.meeting_id is required"),
        (
            "timestamp_ms",
            "frame.timestamp_ms must be a positive number",
        ),
        ("type", "unsupported message type: "),
        ("seq", "frame.seq must be a positive integer"),
    ];
    for (field, detail) in missing {
        assert_eq!(
            check(field, without(chunk(6), field), error(detail)),
            before,
            "{field}"
        );
    }
    check(
        "precedence-all-wrong",
        r#"{"type":"chunk"}"#.into(),
        error("frame.meeting_id is required"),
    );
    let size = with(chunk(2), "content_b64", json!(pcm(10)));
    check("duplicate-with-wrong-size", size, duplicate(2, 5, 1, 5));
    let bad = with(chunk(2), "content_b64", json!("@@@@"));
    check("duplicate-with-bad-b64", bad, duplicate(2, 5, 1, 6));

    check(
        "ts-fraction-ok",
        with(chunk(6), "timestamp_ms", json!(1.5)),
        stored(6, 6, 1, 6),
    );
    check(
        "role-null-ok",
        with(chunk(7), "stream_role", json!(null)),
        stored(7, 7, 1, 6),
    );
    check(
        "role-missing-ok",
        without(chunk(8), "stream_role"),
        stored(8, 8, 1, 6),
    );
    check(
        "extra-fields-ok",
        with(chunk(9), "foo", json!({"bar": 1})),
        stored(9, 9, 1, 6),
    );
    let audio = pcm(CHUNK_BYTES);
    let lines = format!("{}\n{}", &audio[..76], &audio[76..]);
    check(
        "b64-with-newlines-ok",
        with(chunk(10), "content_b64", json!(lines)),
        stored(10, 10, 1, 6),
    );
    let unpadded = audio.trim_end_matches('=');
    assert_ne!(unpadded, audio);
    check(
        "b64-unpadded",
        with(chunk(11), "content_b64", json!(unpadded)),
        stored(11, 11, 1, 6),
    );
    check(
        "seq-as-float",
        with(chunk(0), "seq", json!(12.0)),
        stored(12, 12, 1, 6),
    );
}

#[test]
fn escaped_audio_is_the_same_audio() {
    let plain = chunk(1).to_string();
    assert!(plain.contains('/'));
    // Only the audio holds slashes.
    let escaped = plain.replace('/', "\\/");
    let unicode = plain
        .replace('/', "\\u002f")
        .replace("\"seq\"", "\"s\\u0065q\"");
    let decode = |text: &str| match parse_frame(
        Incoming::Text(text),
        &session("g-chunks"),
        StreamRole::Teacher,
    ) {
        Ok(ClientFrame::Chunk(frame)) => frame.decode().unwrap(),
        other => panic!("{other:?}"),
    };
    let pcm = decode(&plain);
    assert_eq!(pcm.len(), CHUNK_BYTES);
    assert_eq!(decode(&escaped), pcm);
    assert_eq!(decode(&unicode), pcm);
    let spaced = plain.replacen("AAcO", "AA c\\tO", 1);
    assert_ne!(spaced, plain);
    assert_eq!(decode(&spaced), pcm);
}

/// The original stores these and then takes every later chunk for a duplicate.
#[test]
fn jumps_are_refused_and_change_nothing() {
    let mut stream = Stream::new("g-chunks", StreamRole::Teacher);
    let jump = |seq: &str, last: u32| {
        error(&format!(
            "frame.seq jumps from {last} to {seq}: at most 3600 seconds may be skipped"
        ))
    };
    assert_eq!(stream.send(&chunk(3602).to_string()), jump("3602", 0));
    assert_eq!(stream.send(&chunk(1).to_string()), stored(1, 1, 0, 0));
    let before = stream.record.clone();
    for (text, shown) in [
        ("1000000000", "1000000000"),
        ("9007199254740991", "9007199254740991"),
        ("1e300", "1e+300"),
        ("18446744073709551616", "18446744073709552000"),
        ("4294967296", "4294967296"),
        ("3603", "3603"),
    ] {
        let frame = chunk(1)
            .to_string()
            .replace("\"seq\":1,", &format!("\"seq\":{text},"));
        assert_eq!(stream.send(&frame), jump(shown, 1), "{text}");
        assert_eq!(stream.record, before);
    }
    let frame = chunk(1).to_string().replace("\"seq\":1,", "\"seq\":1e400,");
    assert_eq!(
        stream.send(&frame),
        error("frame.seq must be a positive integer")
    );
    assert_eq!(stream.send(&chunk(2).to_string()), stored(2, 2, 0, 0));
    assert_eq!(
        stream.send(&chunk(3603).to_string()),
        stored(3603, 3603, 3600, 0)
    );
}

#[test]
fn pipelined_20() {
    let mut stream = Stream::new("g-chunks-pipe", StreamRole::Mixed);
    for seq in 1..=20_u32 {
        let mut frame = chunk(seq);
        frame["meeting_id"] = json!("g-chunks-pipe");
        frame["stream_role"] = json!("mixed");
        let key = format!("sessions/g-chunks-pipe/chunks/{seq:08}.pcm");
        assert_eq!(
            stream.answer(&frame.to_string()),
            format!(
                r#"{{"type":"ack","stream_role":"mixed","seq":{seq},"status":"stored","key":"{key}","last_seq":{seq},"missing_count":0,"duplicate_count":0}}"#
            )
        );
    }
    assert_eq!(stream.stored.len(), 20);
}
