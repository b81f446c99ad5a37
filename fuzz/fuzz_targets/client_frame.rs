//! What one client sends, a frame a line: every frame gets an answer that is JSON and no longer than it
//! must be, and an ack says what is true of the seconds that are stored.
//!
//! `$PCM` stands for one second of silence in base64: 43 KB would be beyond what the fuzzer varies.
//! The first line is the session's id.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use interview_session::capture::CaptureRecord;
use interview_session::config::{ConfigPatch, ConfigState, MAX_ROSTER};
use interview_session::frame::{CHUNK_BYTES, ChunkFrame, ClientFrame, Incoming, parse_frame};
use interview_session::id::SessionId;
use interview_session::ingest::{Decision, IngestRecord};
use interview_session::keys::{chunk_key, chunk_metadata};
use interview_session::reply::{Ack, CaptureAck, Closing, ErrorReply, Pong, Ready, Status};
use interview_session::role::{ByRole, StreamRole};
use interview_session::seq::Seq;
use interview_session::stored::to_json;
use interview_session::time::EpochMs;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Longest text of an error frame, in bytes: an answer must not grow with what was sent. 200 UTF-16 units of
/// it may be the client's, which are 600 bytes.
const MAX_DETAIL: usize = 1024;

/// Longest reason in a `closing`, in UTF-16 units.
const MAX_REASON: usize = 120;

/// Frames of one input.
const MAX_FRAMES: usize = 64;

const ROLE: StreamRole = StreamRole::Teacher;

static SECOND: LazyLock<String> =
    LazyLock::new(|| base64_simd::STANDARD.encode_to_string(vec![0; CHUNK_BYTES]));

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let id = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let session = id.and_then(|id| SessionId::parse(id).ok());
    let session = session.unwrap_or_else(|| SessionId::parse("g").expect("an id"));
    let mut gateway = Gateway::new(session);
    for line in lines.take(MAX_FRAMES) {
        gateway.serve(line);
    }
});

struct Gateway {
    session: SessionId,
    now: EpochMs,
    ingest: ByRole<IngestRecord>,
    capture: CaptureRecord,
    people: ConfigState,
    /// What is in the blob store.
    blobs: BTreeSet<u32>,
}

impl Gateway {
    fn new(session: SessionId) -> Self {
        let now = EpochMs(1_760_000_000_000);
        Self {
            session,
            now,
            ingest: ByRole::new(|_| IngestRecord::new(now)),
            capture: CaptureRecord::new(now),
            people: ConfigState::default(),
            blobs: BTreeSet::new(),
        }
    }

    fn serve(&mut self, line: &[u8]) {
        self.now.0 += 1000;
        let text = std::str::from_utf8(line).map(|text| text.replace("$PCM", &SECOND));
        let incoming = match &text {
            Ok(text) => Incoming::Text(text),
            Err(_) => Incoming::Binary(line),
        };
        let session = self.session.clone();
        let frame = match parse_frame(incoming, &session, ROLE) {
            Ok(frame) => frame,
            Err(error) => return error_frame(&ErrorReply::new(error).to_json()),
        };
        match frame {
            ClientFrame::Ping => is_frame(&Pong::new(ROLE, self.now).to_json(), "pong"),
            ClientFrame::Status => {
                is_frame(
                    &Status::new(&session, ROLE, &self.ingest).to_json(),
                    "status",
                );
            }
            ClientFrame::Hello { config, subscribe } => {
                if let Some(patch) = config {
                    self.configure(&patch);
                }
                if let Some(wanted) = subscribe {
                    let kinds: BTreeSet<_> = wanted.kinds.iter().collect();
                    assert_eq!(kinds.len(), wanted.kinds.len(), "a kind came twice");
                }
                is_frame(&Ready::new(&session, ROLE, &self.ingest).to_json(), "ready");
            }
            ClientFrame::CaptureStatus(patch) => {
                patch.apply(&mut self.capture, self.now);
                let rate = self.capture.echo_suppression_recent_rate;
                assert!((0.0..=1.0).contains(&rate), "{rate}");
                let ack = CaptureAck::new(ROLE, &self.capture).to_json();
                is_frame(&ack, "capture_status_ack");
                let document = to_json(&self.capture);
                let read: CaptureRecord = serde_json::from_str(&document).expect("reads back");
                assert_eq!(read, self.capture);
                // A second time it changes nothing.
                patch.apply(&mut self.capture, self.now);
                assert_eq!(read, self.capture);
            }
            ClientFrame::Close { reason } => {
                assert!(!reason.is_empty());
                assert!(reason.encode_utf16().count() <= MAX_REASON);
                is_frame(&Closing::new(ROLE, &reason).to_json(), "closing");
            }
            ClientFrame::Chunk(chunk) => self.chunk(&chunk),
        }
    }

    fn configure(&mut self, patch: &ConfigPatch) {
        patch.apply(&mut self.people);
        let once = self.people.clone();
        patch.apply(&mut self.people);
        assert_eq!(once, self.people, "the same config twice is not the same");
        let roster = self.people.roster.iter().flatten();
        assert!(roster.clone().count() <= MAX_ROSTER);
        assert!(roster.clone().all(|entry| !entry.name.trim().is_empty()));
        let read: ConfigState = serde_json::from_str(&to_json(&once)).expect("reads back");
        assert_eq!(read, once);
        let body = to_json(patch);
        let again = ConfigPatch::from_body(body.as_bytes()).expect("a patch is a body");
        assert_eq!(again, *patch);
    }

    fn chunk(&mut self, chunk: &ChunkFrame<'_>) {
        assert_eq!(chunk.meeting_id, self.session.as_str());
        assert!(chunk.timestamp_ms.is_finite() && chunk.timestamp_ms > 0.0);
        let record = self.ingest.get_mut(ROLE);
        let (last, missing) = (record.last_seq(), record.missing_chunks());
        match record.decide(chunk.seq) {
            Decision::Refuse(refusal) => error_frame(&ErrorReply::new(refusal).to_json()),
            Decision::Duplicate(seq) => {
                assert!(self.blobs.contains(&seq.get()), "{seq} is not stored");
                record.duplicate(self.now);
                is_ack(
                    &Ack::duplicate(ROLE, seq, record).to_json(),
                    seq,
                    "duplicate",
                );
            }
            decision @ (Decision::Store(seq) | Decision::FillGap(seq)) => {
                let pcm = match chunk.decode() {
                    Ok(pcm) => pcm,
                    Err(error) => return error_frame(&ErrorReply::new(error).to_json()),
                };
                assert_eq!(pcm.len(), CHUNK_BYTES);
                assert!(self.blobs.insert(seq.get()), "{seq} was stored before");
                assert!(record.stored(seq, self.now), "{seq} was to be stored");
                assert!(record.is_stored(seq));
                assert_eq!(record.last_seq(), last.max(seq.get()));
                if matches!(decision, Decision::FillGap(_)) {
                    assert_eq!(record.missing_chunks() + 1, missing);
                }
                let key = chunk_key(&self.session, ROLE, seq);
                let ack = Ack::stored(ROLE, seq, &key, record).to_json();
                is_ack(&ack, seq, "stored");
                for (_, value) in chunk_metadata(
                    &self.session,
                    ROLE,
                    &chunk.meeting_id,
                    seq,
                    chunk.timestamp_ms,
                ) {
                    assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{value}");
                }
            }
        }
        let record = self.ingest.get(ROLE);
        assert_eq!(record.received_chunks() as usize, self.blobs.len());
        let read = IngestRecord::load(Some(&record.to_document()), self.now).expect("reads back");
        assert_eq!(read, *record);
    }
}

fn is_frame(text: &str, kind: &str) {
    read(text, kind);
}

fn read(text: &str, kind: &str) -> Value {
    let frame: Value = serde_json::from_str(text).expect("an answer is JSON");
    assert_eq!(frame["type"], kind);
    frame
}

fn is_ack(text: &str, seq: Seq, status: &str) {
    let frame = read(text, "ack");
    assert_eq!(frame["seq"], seq.get());
    assert_eq!(frame["status"], status);
}

fn error_frame(text: &str) {
    let frame = read(text, "error");
    let detail = frame["detail"]
        .as_str()
        .expect("an error says what is wrong");
    assert!(!detail.is_empty());
    assert!(
        detail.len() <= MAX_DETAIL,
        "{} bytes: {detail}",
        detail.len()
    );
}
