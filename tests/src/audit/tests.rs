//! The audit finds what it is for: documents that are right pass, and each thing that is made wrong in
//! them is complained about, with its second.

use asr_simulator::mark;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::blobs::Blobs;

use super::{Documents, Expect, ROLES, Recorded};

const SESSION: &str = "fabricated";
const SECONDS: u32 = 6;
const STREAMS: [(&str, u16); 2] = [("teacher", 1), ("students", 2)];

struct Fabricated {
    documents: Documents,
    recorded: Vec<Recorded>,
    directory: TempDir,
}

impl Fabricated {
    /// A session as it should be: two streams, two utterances of three seconds each.
    fn whole() -> Self {
        let blobs = tempfile::tempdir().unwrap();
        let mut result = json!({
            "session_id": SESSION, "finalized_at": "2026-11-23T09:00:00.000Z",
            "state": {}, "ingest": {}, "asr": asr(0), "capture_by_stream": {}, "utterances_raw": [],
            "events": [], "ingest_by_stream": {}, "asr_by_stream": {},
            "utterances_raw_by_stream": {}, "utterances_merged_by_stream": {},
            "untranscribed_by_stream": {},
        });
        let mut state = json!({
            "session_id": SESSION, "phase": "finalized", "event_count": 4, "state": {},
            "ingest": {}, "capture_by_stream": {}, "utterance_count_by_stream": {},
        });
        let mut recorded = Vec::new();
        for role in ROLES {
            let stream = STREAMS.iter().find(|(name, _)| *name == role);
            let seconds = if stream.is_some() { SECONDS } else { 0 };
            let items = stream.map(|(_, mark)| utterances(role, *mark));
            let items = items.unwrap_or_default();
            result["asr_by_stream"][role] = asr(items.len());
            result["ingest_by_stream"][role] = ingest(seconds);
            result["untranscribed_by_stream"][role] = json!([]);
            let merged: Vec<Value> = items.iter().map(merged).collect();
            let events = items.iter().map(|item| event(role, item));
            result["events"].as_array_mut().unwrap().extend(events);
            state["utterance_count_by_stream"][role] = json!(items.len());
            result["utterances_raw_by_stream"][role] = json!(items);
            result["utterances_merged_by_stream"][role] = json!(merged);
            let Some((_, mark)) = stream else { continue };
            let mut told = Recorded::new(SESSION, role, *mark);
            for seq in 1..=SECONDS {
                let key = format!("sessions/{SESSION}/chunks/{role}/{seq:08}.pcm");
                let path = blobs.path().join(&key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, mark::second(*mark, seq)).unwrap();
                told.acked(seq, Some(&key));
            }
            recorded.push(told);
        }
        state["ingest_by_stream"] = result["ingest_by_stream"].clone();
        state["asr_by_stream"] = result["asr_by_stream"].clone();
        let mut fabricated = Self {
            documents: Documents {
                finalized: json!({"finalized_at": result["finalized_at"], "event_count": 4}),
                shown_result: Value::Null,
                result,
                state,
                raw: Default::default(),
                merged: Default::default(),
                events: Default::default(),
                blobs: Blobs::Directory(blobs.path().to_owned()),
            },
            recorded,
            directory: blobs,
        };
        fabricated.show();
        fabricated
    }

    /// The API shows what `result.json` says.
    fn show(&mut self) {
        let result = self.documents.result.clone();
        let page =
            |items: &Value| json!({"count": items.as_array().unwrap().len(), "items": items});
        for role in ROLES {
            let of_role = |event: &&Value| event["stream_role"] == role;
            let events = result["events"].as_array().unwrap().iter();
            let events: Vec<&Value> = events.filter(of_role).collect();
            let (raw, merged) = (
                page(&result["utterances_raw_by_stream"][role]),
                page(&result["utterances_merged_by_stream"][role]),
            );
            self.documents.raw.insert(role.to_owned(), raw);
            self.documents.merged.insert(role.to_owned(), merged);
            self.documents
                .events
                .insert(role.to_owned(), page(&json!(events)));
        }
        self.documents.shown_result = result;
    }

    fn raw(&mut self, role: &str) -> &mut Vec<Value> {
        list(&mut self.documents.result["utterances_raw_by_stream"][role])
    }

    /// The utterances changed, and everything that is counted or made from them agrees with it.
    fn agree(&mut self) {
        for role in ROLES {
            let items = self.raw(role).clone();
            let merged: Vec<Value> = items.iter().map(merged).collect();
            let documents = &mut self.documents;
            documents.result["utterances_merged_by_stream"][role] = json!(merged);
            documents.state["utterance_count_by_stream"][role] = json!(items.len());
            for document in [&mut documents.result, &mut documents.state] {
                document["asr_by_stream"][role]["utterance_count"] = json!(items.len());
            }
            let is_named = |event: &Value| {
                event["stream_role"] != role
                    || items
                        .iter()
                        .any(|item| item["utterance_id"] == event["utterance_id"])
            };
            let events = list(&mut documents.result["events"]);
            events.retain(is_named);
            for item in &items {
                if !events
                    .iter()
                    .any(|event| event["utterance_id"] == item["utterance_id"])
                {
                    events.push(event(role, item));
                }
            }
            let count = events.len();
            documents.state["event_count"] = json!(count);
            documents.finalized["event_count"] = json!(count);
        }
        self.show();
    }

    fn faults(&self, expect: Expect) -> Vec<String> {
        self.documents.faults(&self.recorded, expect)
    }

    /// There is this one complaint.
    fn complains(&self, expect: Expect, of: &str) {
        let faults = self.faults(expect);
        assert!(
            faults.len() == 1 && faults[0].contains(of),
            "not one complaint of `{of}`: {faults:#?}"
        );
    }

    fn file(&self, role: &str, seq: u32) -> std::path::PathBuf {
        let folder = self
            .directory
            .path()
            .join(format!("sessions/{SESSION}/chunks/{role}"));
        folder.join(format!("{seq:08}.pcm"))
    }
}

fn list(list: &mut Value) -> &mut Vec<Value> {
    list.as_array_mut().unwrap()
}

fn utterances(role: &str, stream: u16) -> Vec<Value> {
    (1..=SECONDS)
        .step_by(3)
        .map(|first| utterance(role, stream, first))
        .collect()
}

/// Of three seconds.
fn utterance(role: &str, stream: u16, first: u32) -> Value {
    let words: Vec<_> = (first..first + 3)
        .map(|seq| mark::word(stream, seq))
        .collect();
    json!({
        "utterance_id": format!("{SESSION}-{role}-{:08}-x", first + 2),
        "stream_role": role, "text": words.join(" "),
        "start_seq": first, "end_seq": first + 2,
        "start_ms": (first - 1) * 1000, "end_ms": (first + 2) * 1000, "duration_ms": 3000,
    })
}

fn merged(utterance: &Value) -> Value {
    let mut entry = utterance.clone();
    entry["merged_id"] = json!("an entry");
    entry["source_utterance_ids"] = json!([utterance["utterance_id"]]);
    entry
}

fn event(role: &str, utterance: &Value) -> Value {
    json!({"stream_role": role, "utterance_id": utterance["utterance_id"]})
}

fn ingest(seconds: u32) -> Value {
    json!({
        "received_chunks": seconds, "last_seq": seconds, "missing_chunks": 0,
        "duplicate_chunks": 0, "bytes_stored": seconds * 32_000,
    })
}

fn asr(utterances: usize) -> Value {
    json!({
        "asr_ws_state": "disconnected", "last_error": null, "backlog_chunks": 0,
        "ingest_lag_seconds": 0, "consecutive_failures": 0, "next_retry_after_ms": 0,
        "utterance_count": utterances, "updated_at": "2026-11-23T09:00:00.000Z",
    })
}

use Expect::{AllTranscribed, OrListed};

#[test]
fn what_is_right_passes() {
    let mut session = Fabricated::whole();
    assert_eq!(session.faults(AllTranscribed), Vec::<String>::new());
    // The gateway may or may not have what was sent and not acknowledged.
    session.recorded[0].sent(7);
    assert_eq!(session.faults(AllTranscribed), Vec::<String>::new());
}

#[test]
fn a_removed_object_is_found() {
    let session = Fabricated::whole();
    std::fs::remove_file(session.file("students", 4)).unwrap();
    session.complains(
        AllTranscribed,
        "students second 4: acked, not stored at sessions/",
    );
}

#[test]
fn a_changed_byte_and_a_cut_object_are_found() {
    let session = Fabricated::whole();
    let mut pcm = mark::second(1, 5);
    pcm[17_000] ^= 1;
    std::fs::write(session.file("teacher", 5), &pcm).unwrap();
    session.complains(AllTranscribed, "is not what was sent, from byte 17000 on");
    std::fs::write(session.file("teacher", 5), &pcm[..100]).unwrap();
    session.complains(AllTranscribed, "teacher second 5: acked, and sessions/");
    session.complains(AllTranscribed, "has 100 bytes, not 32000");
}

#[test]
fn an_object_that_nobody_sent_is_found() {
    let session = Fabricated::whole();
    std::fs::write(session.file("teacher", 9), mark::second(1, 9)).unwrap();
    session.complains(
        AllTranscribed,
        "teacher: 00000009.pcm is stored, and nobody sent it",
    );
}

#[test]
fn a_doubled_utterance_is_found() {
    let mut session = Fabricated::whole();
    let mut again = session.raw("teacher")[1].clone();
    again["utterance_id"] = json!("another");
    session.raw("teacher").push(again);
    session.agree();
    let faults = session.faults(AllTranscribed).join("\n");
    for seq in 4..=6 {
        assert!(
            faults.contains(&format!(
                "teacher second {seq}: transcribed twice, in fabricated-teacher-00000006-x"
            )),
            "{faults}"
        );
    }
    assert!(
        faults.contains("begins before the utterance before it ended, at 6000 ms"),
        "{faults}"
    );
}

#[test]
fn a_missing_utterance_is_found_unless_it_is_listed() {
    let mut session = Fabricated::whole();
    session.raw("students").pop();
    session.agree();
    let faults = session.faults(OrListed);
    let expected: Vec<String> = (4..=6)
        .map(|seq| format!("students second {seq}: acked, neither transcribed nor listed"))
        .collect();
    assert_eq!(faults, expected);

    let left = json!([{"first_seq": 4, "last_seq": 6}]);
    session.documents.result["untranscribed_by_stream"]["students"] = left;
    session.show();
    assert_eq!(session.faults(OrListed), Vec::<String>::new());
    let faults = session.faults(AllTranscribed);
    assert_eq!(
        faults[2],
        "students second 6: acked, listed as not transcribed"
    );
}

#[test]
fn what_is_listed_and_transcribed_is_found() {
    let mut session = Fabricated::whole();
    let left = json!([{"first_seq": 6, "last_seq": 6}]);
    session.documents.result["untranscribed_by_stream"]["teacher"] = left;
    session.show();
    session.complains(OrListed, "teacher second 6: transcribed, and listed");
}

#[test]
fn a_text_under_another_time_is_found() {
    let mut session = Fabricated::whole();
    let text = utterance("teacher", 1, 7)["text"].clone();
    session.raw("teacher")[1]["text"] = text;
    session.recorded[0].sent(7);
    session.recorded[0].sent(8);
    session.recorded[0].sent(9);
    session.agree();
    let faults = session.faults(AllTranscribed).join("\n");
    assert!(
        faults.contains(
            "teacher second 8: is in fabricated-teacher-00000006-x (3000 to 6000 ms), another time"
        ),
        "{faults}"
    );
    assert!(
        faults.contains("teacher second 5: acked, neither"),
        "{faults}"
    );
}

#[test]
fn ranges_that_do_not_increase_and_empty_ones_are_found() {
    let mut session = Fabricated::whole();
    session.raw("teacher").swap(0, 1);
    session.agree();
    let faults = session.faults(AllTranscribed).join("\n");
    assert!(
        faults.contains("begins before the utterance before it ended"),
        "{faults}"
    );

    let mut session = Fabricated::whole();
    session.raw("teacher")[1]["end_ms"] = json!(3000);
    session.agree();
    let faults = session.faults(AllTranscribed).join("\n");
    assert!(
        faults.contains("is empty or ends before it begins"),
        "{faults}"
    );
}

#[test]
fn a_text_of_another_stream_is_found() {
    let mut session = Fabricated::whole();
    let text = utterance("teacher", 2, 4)["text"].clone();
    session.raw("teacher")[1]["text"] = text;
    session.agree();
    let faults = session.faults(AllTranscribed).join("\n");
    assert!(
        faults.contains("teacher second 4: of stream 2 is transcribed, and nobody sent it"),
        "{faults}"
    );
}

#[test]
fn a_merged_view_that_loses_or_repeats_a_second_is_found() {
    for text in ["s1t4e s1t5e", "s1t4e s1t5e s1t6e s1t6e"] {
        let mut session = Fabricated::whole();
        list(&mut session.documents.result["utterances_merged_by_stream"]["teacher"])[1]["text"] =
            json!(text);
        session.show();
        session.complains(
            AllTranscribed,
            "teacher second 6: 1 times in the utterances",
        );
    }
}

#[test]
fn a_speaker_event_that_is_missing_double_or_of_nothing_is_found() {
    let count = |session: &mut Fabricated, count: usize| {
        session.documents.state["event_count"] = json!(count);
        session.documents.finalized["event_count"] = json!(count);
        session.show();
    };
    let mut session = Fabricated::whole();
    list(&mut session.documents.result["events"]).remove(0);
    count(&mut session, 3);
    session.complains(
        OrListed,
        "no speaker event of fabricated-teacher-00000003-x",
    );

    let mut session = Fabricated::whole();
    list(&mut session.documents.result["events"])
        .push(event("teacher", &utterance("teacher", 1, 1)));
    count(&mut session, 5);
    session.complains(
        OrListed,
        "two speaker events of fabricated-teacher-00000003-x",
    );

    let mut session = Fabricated::whole();
    list(&mut session.documents.result["events"])
        .push(event("students", &utterance("students", 2, 7)));
    count(&mut session, 5);
    session.complains(
        OrListed,
        "a speaker event of fabricated-students-00000009-x, which",
    );
}

#[test]
fn a_state_that_does_not_tell_the_truth_is_found() {
    for (path, value, complaint) in [
        (
            "/ingest_by_stream/teacher/received_chunks",
            json!(5),
            "received_chunks is 5; 6 were acked, 6 sent",
        ),
        (
            "/ingest_by_stream/teacher/last_seq",
            json!(5),
            "last_seq is 5; 6 was acked",
        ),
        (
            "/ingest_by_stream/teacher/missing_chunks",
            json!(1),
            "missing_chunks is 1, with 6 of 6",
        ),
        (
            "/ingest_by_stream/students/bytes_stored",
            json!(32_000),
            "students: bytes_stored is 32000",
        ),
        (
            "/asr_by_stream/teacher/utterance_count",
            json!(3),
            "asr utterance_count is 3, of 2",
        ),
        (
            "/utterance_count_by_stream/teacher",
            json!(1),
            "utterance_count_by_stream is 1, of 2",
        ),
        (
            "/asr_by_stream/teacher/last_error",
            json!("lost"),
            "last_error is \"lost\"",
        ),
        (
            "/asr_by_stream/teacher/asr_ws_state",
            json!("running"),
            "asr_ws_state is \"running\"",
        ),
        (
            "/asr_by_stream/students/backlog_chunks",
            json!(2),
            "students: all is transcribed, and backlog_chunks is 2",
        ),
        ("/phase", json!("finalizing"), "the phase is \"finalizing\""),
        ("/event_count", json!(3), "event_count is 3, of 4"),
    ] {
        let mut session = Fabricated::whole();
        *session.documents.state.pointer_mut(path).unwrap() = value.clone();
        if let Some(field) = session.documents.result.pointer_mut(path) {
            *field = value;
        }
        session.show();
        let faults = session.faults(AllTranscribed).join("\n");
        assert!(faults.contains(complaint), "no `{complaint}` in: {faults}");
    }
    let mut session = Fabricated::whole();
    session.recorded[0].acked(3, None);
    session.complains(AllTranscribed, "duplicate_chunks is 0; 1 were acked so");
}

#[test]
fn an_api_that_differs_from_the_result_is_found() {
    let mut session = Fabricated::whole();
    session.documents.raw.get_mut("teacher").unwrap()["items"][1]["text"] = json!("s1t4e");
    session.complains(
        AllTranscribed,
        "teacher: other utterances than in result.json",
    );
    let mut session = Fabricated::whole();
    session.documents.merged.get_mut("students").unwrap()["count"] = json!(1);
    session.complains(
        AllTranscribed,
        "students: 1 merged entries, 2 in result.json",
    );
    let mut session = Fabricated::whole();
    session.documents.shown_result["finalized_at"] = json!("earlier");
    session.complains(AllTranscribed, "GET result");
    let mut session = Fabricated::whole();
    session.documents.state["ingest_by_stream"]["mixed"]["last_seq"] = json!(1);
    session.complains(AllTranscribed, "ingest_by_stream");
}

#[test]
fn audio_without_marks_need_not_be_heard_but_stored() {
    let mut session = Fabricated::whole();
    let silence = vec![0; mark::SECOND_BYTES];
    let key = format!("sessions/{SESSION}/chunks/teacher/00000007.pcm");
    std::fs::write(session.file("teacher", 7), &silence).unwrap();
    session.recorded[0].acked_pcm(7, Some(&key), &silence);
    for document in [&mut session.documents.result, &mut session.documents.state] {
        document["ingest_by_stream"]["teacher"] = ingest(7);
    }
    session.show();
    assert_eq!(session.faults(AllTranscribed), Vec::<String>::new());
    std::fs::remove_file(session.file("teacher", 7)).unwrap();
    session.complains(AllTranscribed, "teacher second 7: acked, not stored");
}
