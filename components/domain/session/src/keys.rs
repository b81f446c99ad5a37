//! Keys, content types and metadata of a session's objects in the blob store, and what keys are made
//! of.
//!
//! **Two session ids never share an object.** The safe id of the contract (every character outside
//! `[A-Za-z0-9._-]` replaced by `_`) is not injective: `a/b` and `a_b` have the same one. So an id
//! that had to be replaced gets `~` and the first 128 bits of its SHA-256 in hex behind it. `~` is
//! no character of a plain id, hence no plain id can look like that, and two replaced ids meet only
//! if their hashes do. `.` and `..`, which mean something else to a directory, get it too. Every
//! other id keeps its plain keys, `Abc` and `abc` are two: a directory for objects has to be on a
//! file system that tells the cases apart.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::id::SessionId;
use crate::js;
use crate::role::StreamRole;
use crate::seq::Seq;

/// Content type of a chunk.
pub const CHUNK_CONTENT_TYPE: &str = "application/octet-stream";

/// Content type of `result.json`.
pub const RESULT_CONTENT_TYPE: &str = "application/json";

/// Bytes of a short hash: 32 hex digits.
const HASH_BYTES: usize = 16;

/// Metadata become HTTP headers in S3, which are ASCII and lose repeated spaces.
const METADATA: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// `sessions/<safe id>/`, under which all objects of the session are and no other session's.
pub fn session_prefix(session: &SessionId) -> String {
    let id = session.as_str();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if id.chars().all(is_plain) && id != "." && id != ".." {
        return format!("sessions/{id}/");
    }
    let mut prefix = String::from("sessions/");
    for c in id.chars() {
        if is_plain(c) {
            prefix.push(c);
        } else {
            // The original replaced UTF-16 units.
            prefix.extend(std::iter::repeat_n('_', c.len_utf16()));
        }
    }
    prefix.push('~');
    prefix.push_str(&short_hash(id));
    prefix.push('/');
    prefix
}

/// The first 128 bits of a text's SHA-256 as 32 hex digits: a name of fixed length for a text of any,
/// which may then be part of a key.
pub fn short_hash(text: &str) -> String {
    let mut hash = String::with_capacity(2 * HASH_BYTES);
    for byte in Sha256::digest(text.as_bytes()).iter().take(HASH_BYTES) {
        // Writing to a string does not fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// Where one second of PCM is: `sessions/<safe id>/chunks/<role>/<seq, 8 digits>.pcm`, without the
/// role's folder for `mixed`.
pub fn chunk_key(session: &SessionId, role: StreamRole, seq: Seq) -> String {
    let mut key = session_prefix(session);
    key.push_str("chunks/");
    if role != StreamRole::Mixed {
        key.push_str(role.as_str());
        key.push('/');
    }
    // Writing to a string does not fail.
    let _ = write!(key, "{:08}.pcm", seq.get());
    key
}

/// Where `result.json` is.
pub fn result_key(session: &SessionId) -> String {
    session_prefix(session) + "result.json"
}

/// A chunk's metadata, in the documented order.
///
/// `session_id` and `meeting_id` are percent-encoded where they hold white space, `%`, control or
/// non-ASCII characters: metadata travel as HTTP headers. Plain ids read as they are.
/// `timestamp_ms` is the client's clock as the client wrote it.
pub fn chunk_metadata(
    session: &SessionId,
    role: StreamRole,
    meeting_id: &str,
    seq: Seq,
    timestamp_ms: f64,
) -> Vec<(String, String)> {
    let encoded = |text| utf8_percent_encode(text, METADATA).to_string();
    [
        ("session_id", encoded(session.as_str())),
        ("stream_role", role.as_str().to_owned()),
        ("meeting_id", encoded(meeting_id)),
        ("seq", seq.to_string()),
        ("timestamp_ms", js::number_text(timestamp_ms)),
        ("sample_rate", crate::frame::SAMPLE_RATE.to_string()),
        ("channels", crate::frame::CHANNELS.to_string()),
        ("format", crate::frame::FORMAT.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn id(text: &str) -> SessionId {
        SessionId::parse(text).unwrap()
    }

    fn seq(n: u32) -> Seq {
        Seq::new(n).unwrap()
    }

    #[test]
    fn plain_ids_keep_plain_keys() {
        let session = id("g-chunks.1_A");
        assert_eq!(
            chunk_key(&session, StreamRole::Teacher, seq(5)),
            "sessions/g-chunks.1_A/chunks/teacher/00000005.pcm"
        );
        assert_eq!(
            chunk_key(&session, StreamRole::Mixed, seq(1_000_000_000)),
            "sessions/g-chunks.1_A/chunks/1000000000.pcm"
        );
        assert_eq!(result_key(&session), "sessions/g-chunks.1_A/result.json");
    }

    #[test]
    fn ids_that_had_one_safe_id_do_not_meet() {
        let ids = [
            "a/b",
            "a_b",
            "a b",
            "a~b",
            "会议一",
            "会议二",
            "___",
            ".",
            "..",
            "_",
            "😀",
            "__",
        ];
        let keys: HashSet<_> = ids.iter().map(|text| result_key(&id(text))).collect();
        assert_eq!(keys.len(), ids.len());
        assert_eq!(
            result_key(&id("a/b")),
            "sessions/a_b~c14cddc033f64b9dea80ea675cf280a0/result.json"
        );
        assert!(result_key(&id("😀")).starts_with("sessions/__~"));
        assert!(result_key(&id("..")).starts_with("sessions/..~"));
    }

    #[test]
    fn a_short_hash_is_short_whatever_the_text() {
        assert_eq!(short_hash("a/b"), "c14cddc033f64b9dea80ea675cf280a0");
        assert_eq!(short_hash(&"k".repeat(3000)).len(), 2 * HASH_BYTES);
        assert_ne!(short_hash(&"k".repeat(3000)), short_hash(&"k".repeat(3001)));
    }

    #[test]
    fn metadata_as_in_the_records() {
        let session = id("会 x");
        let metadata = chunk_metadata(
            &session,
            StreamRole::Mixed,
            "会 x",
            seq(1),
            1_760_000_001_000.0,
        );
        let shown: Vec<_> = metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            shown.join(" "),
            "session_id=%E4%BC%9A%20x stream_role=mixed meeting_id=%E4%BC%9A%20x seq=1 \
             timestamp_ms=1760000001000 sample_rate=16000 channels=1 format=pcm_s16le"
        );
    }

    proptest! {
        #[test]
        fn different_ids_have_different_prefixes(a in "[ab/_~. é]{1,6}", b in "[ab/_~. é]{1,6}") {
            let (Ok(a), Ok(b)) = (SessionId::parse(&a), SessionId::parse(&b)) else { return Ok(()) };
            prop_assert_eq!(a == b, session_prefix(&a) == session_prefix(&b));
        }

        #[test]
        fn keys_are_safe_paths(text in any::<String>()) {
            let Ok(session) = SessionId::parse(&text) else { return Ok(()) };
            let key = chunk_key(&session, StreamRole::Students, seq(1));
            prop_assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-~/".contains(&b)));
            prop_assert_eq!(key.split('/').count(), 5);
            prop_assert!(key.split('/').all(|part| !part.is_empty() && part != "." && part != ".."
                && part.len() < 255));
        }
    }
}
