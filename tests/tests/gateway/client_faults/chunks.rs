//! Faults 13 and 25 of the list: chunks that are missing, late, there twice, of two clients, or of a number
//! beyond reason.

use std::time::{Duration, Instant};

use asr_simulator::mark::{self, SECOND_BYTES};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use end_to_end::session::{heard, number};
use end_to_end::wait::eventually;
use end_to_end::{
    Asr, AudioSocket, Expect, Gateway, Inference, Pace, Recorded, Recorder, Reply, Settings, audit,
    chunk_frame,
};
use serde_json::{Value, json};

use super::{STUDENTS, TEACHER, tasks_of};

/// The gateway waits 2 s for a missing second: one that is to be in time must be quicker.
const IN_TIME: Duration = Duration::from_millis(1500);
/// Bytes of a WAV file before its samples.
const WAV_HEADER: usize = 44;

/// The service has heard a second, which is the last that was sent.
async fn is_heard(asr: &Asr, stream: u16, seq: u32) {
    eventually("the service hears the second", async || {
        let heard = tasks_of(asr, stream);
        let last = heard.iter().flat_map(|task| &task.heard).last().copied();
        match last {
            Some(last) if last.seq == seq => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

async fn store_one(recorded: &mut Recorded, socket: &mut AudioSocket, seq: u32) -> Value {
    recorded.sent(seq);
    socket
        .send_chunk(seq, &mark::second(recorded.mark(), seq))
        .await;
    let ack = socket.answer().await;
    recorded.take(&ack);
    assert_eq!(ack["seq"], seq, "{ack}");
    ack
}

#[tokio::test]
async fn fault_13_missing_late_and_duplicate_chunks_are_counted_and_the_clock_stays_true() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-13-counted";
    let students = Recorded::new(session, "students", STUDENTS);
    let students = Recorder::start(&gateway, students, Pace::Times(4.0));
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let mut socket = gateway.open(session, "teacher").await;
    let began = Instant::now();
    // Second, what is said of it, last_seq, missing, duplicates.
    let acks = [
        (1, "stored", 1, 0, 0),
        (2, "stored", 2, 0, 0),
        (3, "stored", 3, 0, 0),
        (6, "stored", 6, 2, 0),
        (6, "duplicate", 6, 2, 1),
        (1, "duplicate", 6, 2, 2),
        (4, "stored", 6, 1, 2),
        (4, "duplicate", 6, 1, 3),
        (7, "stored", 7, 1, 3),
    ];
    for (seq, status, last, missing, duplicates) in acks {
        let ack = store_one(&mut teacher, &mut socket, seq).await;
        let told = json!([
            ack["status"],
            ack["last_seq"],
            ack["missing_count"],
            ack["duplicate_count"]
        ]);
        assert_eq!(told, json!([status, last, missing, duplicates]), "{ack}");
    }
    let is_in_time = began.elapsed() < IN_TIME;
    // 5 never comes, nor do 8 to 10.
    for seq in 11..=14 {
        store_one(&mut teacher, &mut socket, seq).await;
    }
    socket.close().await;

    let expect = if is_in_time {
        Expect::AllTranscribed
    } else {
        Expect::OrListed
    };
    let documents = audit(&gateway, &[teacher, students.finish().await], expect).await;
    let ingest = &documents.state["ingest_by_stream"]["teacher"];
    let counts = [
        "last_seq",
        "received_chunks",
        "missing_chunks",
        "duplicate_chunks",
    ]
    .map(|field| number(ingest, field));
    assert_eq!(counts, [14, 10, 4, 3], "{ingest:#}");
    let raw = documents.result["utterances_raw_by_stream"]["teacher"].as_array();
    let last = raw.and_then(|raw| raw.last()).expect("utterances");
    assert_eq!(number(last, "end_seq"), 14, "gaps are silence: {last:#}");
}

#[tokio::test]
async fn fault_13_a_second_that_comes_after_its_silence_is_listed_and_can_be_made_up_for() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-13-late";
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let mut socket = gateway.open(session, "teacher").await;
    teacher.store(&mut socket, 1..=3).await;
    teacher.store(&mut socket, 5..=9).await;
    is_heard(&asr, TEACHER, 9).await;
    let ack = store_one(&mut teacher, &mut socket, 4).await;
    assert_eq!(ack["status"], "stored", "{ack}");
    assert_eq!(ack["missing_count"], 0, "{ack}");
    teacher.store(&mut socket, 10..=12).await;
    socket.close().await;

    let recorded = [teacher];
    let documents = audit(&gateway, &recorded, Expect::OrListed).await;
    let listed = &documents.result["untranscribed_by_stream"]["teacher"];
    assert_eq!(*listed, json!([{"first_seq": 4, "last_seq": 4}]));

    let path = format!("/v1/sessions/{session}/asr-run?stream_role=teacher&flush=true");
    let run = gateway.post(&path, &json!({})).await.ok();
    assert_eq!(run["last_error"], Value::Null, "{run:#}");
    gateway.finalize(session).await;
    let result = gateway.get(&format!("/v1/sessions/{session}/result")).await;
    let listed = &result.ok()["untranscribed_by_stream"]["teacher"];
    assert_eq!(*listed, json!([]), "a window has heard it");
    // A window that comes later is behind what was there; the merged view is in the order of time.
    let raw = gateway.utterances(session, "teacher", "raw").await;
    let last = raw.last().expect("utterances");
    assert_eq!(
        heard(std::slice::from_ref(last)),
        [(TEACHER, 4)],
        "{last:#}"
    );
    assert_eq!(
        (&last["start_seq"], &last["end_seq"]),
        (&json!(4), &json!(4))
    );
    let merged = gateway.utterances(session, "teacher", "merged").await;
    let expected: Vec<_> = (1..=12).map(|seq| (TEACHER, seq)).collect();
    assert_eq!(heard(&merged), expected, "{merged:#?}");
}

#[tokio::test]
async fn fault_13_two_clients_on_one_role_store_each_second_once() {
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("ASR_CATCH_UP_SPEED", "1000");
    let gateway = Gateway::start(settings).await;
    let session = "fault-13-two";
    let stream = Recorded::new(session, "students", STUDENTS);
    // Both send all of it, at their own pace.
    const BOTH: u32 = 60;
    let [mut one, mut other] = [Pace::Fast, Pace::Times(40.0)]
        .map(|pace| Recorder::start_up_to(&gateway, stream.clone(), pace, BOTH));
    one.acked(BOTH as usize).await;
    other.acked(BOTH as usize).await;
    let (one, other) = (one.finish().await, other.finish().await);
    assert_eq!(one.acked_count(), other.acked_count());
    let ingest = gateway.state(session).await["ingest_by_stream"]["students"].clone();
    let counts = [
        "last_seq",
        "received_chunks",
        "missing_chunks",
        "duplicate_chunks",
    ]
    .map(|field| number(&ingest, field));
    let both = u64::from(BOTH);
    assert_eq!(counts, [both, both, 0, both], "{ingest:#}");

    // Then they take turns.
    let mut recorded = Recorded::new(session, "students", STUDENTS);
    recorded.delivered(1..=BOTH, both);
    let mut sockets = [
        gateway.open(session, "students").await,
        gateway.open(session, "students").await,
    ];
    for seq in BOTH + 1..=BOTH + 12 {
        let socket = &mut sockets[seq as usize % 2];
        store_one(&mut recorded, socket, seq).await;
    }
    for socket in sockets {
        socket.close().await;
    }
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_13_students_are_identified_over_a_gap() {
    let asr = Asr::start().await;
    let inference = Inference::start(|request| {
        Reply::ok(json!({
            "session_id": request["session_id"], "cluster_id": "c1", "speaker_name": "Bob",
            "decision": "auto", "evidence": {},
            "updated_state": {"clusters": [], "bindings": {}},
        }))
    })
    .await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        // A sentence goes on over the gap.
        .set("ASR_MAX_SENTENCE_SILENCE", "6000");
    let gateway = Gateway::start(settings).await;
    let session = "fault-13-gap";
    let mut students = Recorded::new(session, "students", STUDENTS);
    let mut socket = gateway.open(session, "students").await;
    // At once, and then nobody waits for what is missing: all is one task's.
    let seconds = [1, 2, 5, 6, 7, 8];
    for seq in seconds {
        students.sent(seq);
        socket.send_chunk(seq, &mark::second(STUDENTS, seq)).await;
    }
    for _ in seconds {
        students.take(&socket.answer().await);
    }
    socket.close().await;

    audit(&gateway, &[students], Expect::AllTranscribed).await;
    let events = gateway.events(session, "students").await;
    assert_eq!(events.len(), 2, "{events:#?}");
    for event in &events {
        assert_eq!(event["speaker_name"], "Bob", "{event:#}");
    }
    let utterances = gateway.utterances(session, "students", "raw").await;
    assert_eq!(
        heard(&utterances[..1]),
        [1, 2, 5].map(|seq| (STUDENTS, seq)),
        "the gap is within the first: {utterances:#?}"
    );
    let asked = inference.asked();
    let audio = &asked.first().expect("a look-up").body["audio"];
    let wav = STANDARD
        .decode(audio["content_b64"].as_str().expect("audio"))
        .expect("base64");
    assert_eq!(wav.len(), WAV_HEADER + 5 * SECOND_BYTES);
    for (seq, pcm) in (1..).zip(wav[WAV_HEADER..].chunks(SECOND_BYTES)) {
        let expected = match seq {
            3 | 4 => vec![0; SECOND_BYTES],
            seq => mark::second(STUDENTS, seq),
        };
        assert!(pcm == expected, "second {seq} is itself, or silence");
    }
}

#[tokio::test]
async fn fault_25_a_number_beyond_reason_is_refused_and_changes_nothing() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-25";
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let mut socket = gateway.open(session, "teacher").await;
    teacher.store(&mut socket, 1..=3).await;
    // Its answer comes after all that was sent before it is stored.
    gateway.transcribed(session, "teacher", TEACHER, 3).await;
    let before = settled(&gateway, session).await;
    let objects = chunks(&gateway, session);

    let no_integer = "frame.seq must be a positive integer";
    let no_json = "websocket frame is not valid JSON";
    let jump =
        |seq: &str| format!("frame.seq jumps from 3 to {seq}: at most 3600 seconds may be skipped");
    let claims = [
        ("1000000000", jump("1000000000")),
        ("1e9", jump("1000000000")),
        ("4294967296", jump("4294967296")),
        ("4294967295", jump("4294967295")),
        ("18446744073709551616", jump("18446744073709552000")),
        ("1e300", jump("1e+300")),
        ("3605", jump("3605")),
        ("1e400", no_integer.to_owned()),
        ("NaN", no_json.to_owned()),
        ("Infinity", no_json.to_owned()),
        ("\"NaN\"", no_integer.to_owned()),
        ("\"4\"", no_integer.to_owned()),
        ("null", no_integer.to_owned()),
        ("true", no_integer.to_owned()),
        ("[4]", no_integer.to_owned()),
        ("{}", no_integer.to_owned()),
        ("0", no_integer.to_owned()),
        ("-0", no_integer.to_owned()),
        ("-1", no_integer.to_owned()),
        ("-1e300", no_integer.to_owned()),
        ("4.5", no_integer.to_owned()),
        ("1e-300", no_integer.to_owned()),
    ];
    let chunk = chunk_frame(session, "teacher", 4, &mark::second(TEACHER, 4)).to_string();
    assert!(
        chunk.contains("\"seq\":4,"),
        "{}",
        &chunk[chunk.len() - 300..]
    );
    for (claim, detail) in claims {
        let claimed = chunk.replace("\"seq\":4,", &format!("\"seq\":{claim},"));
        socket.send_text(claimed).await;
        let answer = socket.answer().await;
        assert_eq!(
            answer,
            json!({"type": "error", "detail": detail}),
            "{claim}"
        );
    }
    assert_eq!(settled(&gateway, session).await, before, "nothing changed");
    assert_eq!(chunks(&gateway, session), objects, "nothing is stored");

    let ack = store_one(&mut teacher, &mut socket, 4).await;
    assert_eq!(
        (&ack["status"], &ack["last_seq"]),
        (&json!("stored"), &json!(4))
    );
    socket.close().await;
    audit(&gateway, &[teacher], Expect::AllTranscribed).await;
}

/// The state when the stream's task is over.
async fn settled(gateway: &Gateway, session: &str) -> Value {
    eventually("the task is over", async || {
        let state = gateway.state(session).await;
        match state["asr"]["asr_ws_state"] == "disconnected"
            && state["asr_by_stream"]["teacher"]["asr_ws_state"] == "disconnected"
        {
            true => Ok(state),
            false => Err(state),
        }
    })
    .await
}

/// The objects of a teacher's chunks.
fn chunks(gateway: &Gateway, session: &str) -> Vec<String> {
    let folder = format!("sessions/{session}/chunks/teacher/");
    gateway.blobs().names(&folder)
}

/// Whole seconds that the service was sent, and the last one of them that it heard.
fn sent_of(asr: &Asr, stream: u16) -> (u64, u32) {
    let tasks = tasks_of(asr, stream);
    let bytes: u64 = tasks.iter().map(|task| task.audio_bytes).sum();
    let last = tasks.iter().flat_map(|task| &task.heard).last();
    (
        bytes / SECOND_BYTES as u64,
        last.map_or(0, |second| second.seq),
    )
}

#[tokio::test]
async fn fault_13_seconds_that_were_never_recorded_cost_nothing_and_are_in_no_list() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "fault-13-jumps";
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let mut socket = gateway.open(session, "teacher").await;
    // Five jumps: five hours that were not recorded.
    let seconds = [1, 3602, 7203, 10_804, 14_405, 18_006];
    for seq in seconds {
        store_one(&mut teacher, &mut socket, seq).await;
    }
    is_heard(&asr, TEACHER, 18_006).await;
    assert_eq!(sent_of(&asr, TEACHER), (6, 18_006), "no silence");
    // One of those between comes after all: it is listed, and only it.
    store_one(&mut teacher, &mut socket, 50).await;
    socket.close().await;
    let recorded = [teacher];
    let documents = audit(&gateway, &recorded, Expect::OrListed).await;
    let listed = &documents.result["untranscribed_by_stream"]["teacher"];
    assert_eq!(*listed, json!([{"first_seq": 50, "last_seq": 50}]));
    let asr_view = &documents.state["asr_by_stream"]["teacher"];
    assert_eq!(asr_view["backlog_chunks"], 0, "{asr_view:#}");
    let raw = documents.result["utterances_raw_by_stream"]["teacher"].as_array();
    let ranges: Vec<_> = raw
        .expect("utterances")
        .iter()
        .map(|item| (number(item, "start_seq"), number(item, "end_seq")))
        .collect();
    assert_eq!(ranges, seconds.map(|seq| (u64::from(seq), u64::from(seq))));

    // The same in windows.
    let before = asr.log().len();
    let reset = format!("/v1/sessions/{session}/asr-reset?stream_role=teacher");
    let _ = gateway.post(&reset, &json!({})).await.ok();
    let run = format!("/v1/sessions/{session}/asr-run?stream_role=teacher&flush=true");
    let run = gateway.post(&run, &json!({})).await.ok();
    assert_eq!(
        (&run["stopped"], &run["last_error"]),
        (&json!("end"), &Value::Null),
        "{run:#}"
    );
    let log = asr.log();
    let windows: Vec<_> = log.iter().skip(before).collect();
    let bytes: u64 = windows.iter().map(|task| task.audio_bytes).sum();
    let most = 7 * SECOND_BYTES as u64 + windows.len() as u64 * WAV_HEADER as u64;
    assert!(
        bytes <= most,
        "{bytes} bytes for seven seconds: {windows:#?}"
    );
    let documents = audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let listed = &documents.result["untranscribed_by_stream"]["teacher"];
    assert_eq!(*listed, json!([]));
}
