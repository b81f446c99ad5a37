//! What a request line and its headers may carry: paths, queries, ids, idempotency keys, lane names and
//! messages. Everything is an answer or an error, what is written reads back, and two session ids never
//! share a key.
//!
//! The input is lines: a path, a query, two path segments that may be ids, a header, a lane's message.
#![no_main]

use interview_live::ask::Ask;
use interview_session::id::SessionId;
use interview_session::idempotency::{MAX_KEY_BYTES, idempotency_key};
use interview_session::keys::{chunk_key, result_key, session_prefix};
use interview_session::lane::{Lane, LaneMessage};
use interview_session::query::{EVENTS_LIMIT, Query, UTTERANCES_LIMIT};
use interview_session::role::StreamRole;
use interview_session::route::Route;
use interview_session::seq::Seq;
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Longest part of a path that a file system takes, in bytes.
const MAX_PART: usize = 255;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(6, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    path(text(line()));
    query(text(line()));
    let (one, other) = (text(line()), text(line()));
    two_ids(one, other);
    header(line());
    message(line());
});

fn path(path: &str) {
    let Some(route) = Route::parse(path) else {
        return;
    };
    assert_eq!(Route::parse(&format!("{path}/")), Some(route));
    assert!(!route.takes("PATCH") && !route.takes(""));
    let methods = ["GET", "HEAD", "POST", "DELETE"];
    assert!(methods.iter().any(|method| route.takes(method)));
    assert_eq!(route.takes("GET"), route.takes("HEAD"));
    let (Route::WholeSession { session }
    | Route::Session { session, .. }
    | Route::Audio { session, .. }) = route
    else {
        return;
    };
    assert!(!session.contains('/'));
    if let Route::Audio { role, .. } = route {
        read_role(role);
    }
    let _ = SessionId::from_path_segment(session);
}

fn read_role(role: Option<&str>) {
    match StreamRole::parse(role) {
        Ok(role) => assert_eq!(StreamRole::parse(Some(role.as_str())), Ok(role)),
        Err(error) => assert!(error.to_string().len() <= 700),
    }
}

fn query(text: &str) {
    let query = Query::new(Some(text));
    read_role(query.get("stream_role").as_deref());
    assert!((1..=UTTERANCES_LIMIT.max).contains(&query.limit(UTTERANCES_LIMIT)));
    assert!((1..=EVENTS_LIMIT.max).contains(&query.limit(EVENTS_LIMIT)));
    assert!(query.max_windows() != Some(0));
    let _ = (
        query.view(),
        query.stream_role_filter(),
        query.flag("flush"),
    );
    if let Ok(Some(cursor)) = query.cursor() {
        let again = format!("cursor={cursor}");
        assert_eq!(Query::new(Some(&again)).cursor(), Ok(Some(cursor)));
    }
    if let Ok(ask) = Ask::from_query(&query) {
        let context = ask.to_context();
        assert!(context.len() < 100, "{context}");
        assert_eq!(Ask::from_context(&context), Some(ask));
    }
    let _ = Ask::from_context(text);
}

fn two_ids(one: &str, other: &str) {
    let ids = [one, other].map(|text| SessionId::from_path_segment(text).ok());
    for id in ids.iter().flatten() {
        alone(id);
    }
    let [Some(one), Some(other)] = ids else {
        return;
    };
    let prefixes = [session_prefix(&one), session_prefix(&other)];
    assert_eq!(
        one == other,
        prefixes[0] == prefixes[1],
        "{one:?} {other:?}"
    );
    if one != other {
        assert!(!prefixes[0].starts_with(&prefixes[1]), "{one:?} {other:?}");
        assert!(!prefixes[1].starts_with(&prefixes[0]), "{one:?} {other:?}");
        for lane in lanes(&one) {
            for other in lanes(&other) {
                assert_ne!(lane.to_string(), other.to_string());
            }
        }
    }
}

fn lanes(id: &SessionId) -> [Lane; 5] {
    let session = id.clone();
    let stream = |role| Lane::Stream {
        session: id.clone(),
        role,
    };
    let [mixed, teacher, students] = StreamRole::ALL.map(stream);
    let identity = Lane::Identity {
        session: session.clone(),
    };
    [mixed, teacher, students, identity, Lane::Live { session }]
}

fn alone(id: &SessionId) {
    let segment = utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC).to_string();
    assert_eq!(SessionId::from_path_segment(&segment).as_ref(), Ok(id));
    let document = serde_json::to_string(id).expect("an id is written");
    assert_eq!(
        serde_json::from_str::<SessionId>(&document).ok().as_ref(),
        Some(id)
    );
    let mut keys = vec![result_key(id)];
    for role in StreamRole::ALL {
        for seq in [1, 2, 99_999_999, 100_000_000, u32::MAX]
            .into_iter()
            .filter_map(Seq::new)
        {
            keys.push(chunk_key(id, role, seq));
        }
    }
    for key in &keys {
        assert!(key.starts_with(&session_prefix(id)));
        for part in key.split('/') {
            assert!(!part.is_empty() && part != "." && part != ".." && part.len() <= MAX_PART);
            assert!(
                part.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-~".contains(&b))
            );
        }
    }
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "two objects have one key");
    for lane in lanes(id) {
        assert_eq!(Lane::parse(&lane.to_string()), Ok(lane));
    }
}

fn header(value: &[u8]) {
    let (one, other) = value.split_at(value.len() / 2);
    let keys = [vec![value], vec![one, other], vec![one]].map(idempotency_key);
    for key in keys.iter().flatten().flatten() {
        assert!(!key.is_empty() && key.chars().count() <= MAX_KEY_BYTES);
    }
}

fn message(body: &[u8]) {
    if let Ok(message) = LaneMessage::parse(body) {
        assert_eq!(LaneMessage::parse(&message.to_body()), Ok(message));
    }
    if let Ok(text) = std::str::from_utf8(body) {
        if let Ok(lane) = Lane::parse(text) {
            assert_eq!(lane.to_string(), text);
        }
    }
}
