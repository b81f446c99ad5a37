//! Live push: what is said and by whom, told as it is known, numbered, and resumed without a gap.

use std::collections::BTreeSet;

use end_to_end::session::heard;
use end_to_end::wait::eventually;
use end_to_end::{Asr, AudioSocket, Gateway, Received, Settings, Shared};
use serde_json::{Value, json};

const TEACHER: u16 = 5;
const STUDENTS: u16 = 6;

fn live_seq(frame: &Value) -> u64 {
    frame["live_seq"].as_u64().expect("a number")
}

fn of_type<'a>(frames: &'a [Value], kind: &str) -> Vec<&'a Value> {
    frames
        .iter()
        .filter(|frame| frame["type"] == kind)
        .collect()
}

/// What was said in utterance frames of a role.
fn said(frames: &[Value], role: &str) -> Vec<(u16, u32)> {
    let items: Vec<Value> = of_type(frames, "utterance")
        .into_iter()
        .filter(|frame| frame["stream_role"] == role)
        .map(|frame| frame["utterance"].clone())
        .collect();
    heard(&items)
}

/// Reads frames until `enough`.
async fn read_until(viewer: &mut AudioSocket, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut frames = Vec::new();
    while !enough(&frames) {
        frames.push(viewer.answer().await);
    }
    frames
}

fn assert_contiguous(frames: &[Value], first: u64) {
    let numbers: Vec<_> = frames.iter().map(live_seq).collect();
    let expected: Vec<_> = (first..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "{frames:#?}");
}

fn seconds(stream: u16, last: u32) -> Vec<(u16, u32)> {
    (1..=last).map(|seq| (stream, seq)).collect()
}

#[tokio::test]
async fn a_viewer_is_told_everything_once_in_order_and_resumes_without_a_gap() {
    let gateway = Shared::gateway().await;
    let session = "live-viewer";
    gateway
        .configure(session, &json!({"interviewer_name": "Ada"}))
        .await;
    let mut viewer = gateway.watch(session, "?after=0").await;
    let mut teacher = gateway.open(session, "teacher").await;
    let mut students = gateway.open(session, "students").await;
    for seq in 1..=12 {
        teacher.store_marked(TEACHER, seq..=seq).await;
        students.store_marked(STUDENTS, seq..=seq).await;
    }
    let before = read_until(&mut viewer, |frames| {
        said(frames, "teacher").len() >= 6 && said(frames, "students").len() >= 6
    })
    .await;
    assert_contiguous(&before, 1);
    drop(viewer);

    // Nobody watches now.
    teacher.store_marked(TEACHER, 13..=15).await;
    teacher.close().await;
    students.close().await;
    gateway.finalize(session).await;

    let last = before.last().map_or(0, live_seq);
    let mut viewer = gateway.watch(session, &format!("?after={last}")).await;
    let all_said = |frames: &[Value]| {
        let mut all = before.clone();
        all.extend_from_slice(frames);
        said(&all, "teacher") == seconds(TEACHER, 15)
            && said(&all, "students") == seconds(STUDENTS, 12)
            && of_type(&all, "speaker_event").len() == of_type(&all, "utterance").len()
    };
    let after = read_until(&mut viewer, all_said).await;
    assert_contiguous(&after, last + 1);

    let mut all = before;
    all.extend(after);
    for role in ["teacher", "students"] {
        let pushed: Vec<_> = of_type(&all, "utterance")
            .into_iter()
            .filter(|frame| frame["stream_role"] == role)
            .map(|frame| frame["utterance"].clone())
            .collect();
        let shown = gateway.utterances(session, role, "raw").await;
        assert_eq!(pushed, shown, "the same as the API shows");
        let pushed: Vec<_> = of_type(&all, "speaker_event")
            .into_iter()
            .filter(|frame| frame["stream_role"] == role)
            .map(|frame| frame["event"].clone())
            .collect();
        assert_eq!(pushed, gateway.events(session, role).await);
    }
    for event in of_type(&all, "speaker_event") {
        let of = &event["event"]["utterance_id"];
        let told = of_type(&all, "utterance")
            .into_iter()
            .find(|frame| frame["utterance"]["utterance_id"] == *of);
        assert!(live_seq(told.expect("its utterance")) < live_seq(event));
    }
    let states: BTreeSet<_> = of_type(&all, "asr_state")
        .into_iter()
        .map(|frame| frame["asr_ws_state"].as_str().unwrap().to_owned())
        .collect();
    assert!(states.contains("running"), "{states:?}");

    // Everything from the start, to somebody who comes when all is over.
    let mut late = gateway.watch(session, "?after=0&stream_role=teacher").await;
    let frames = read_until(&mut late, |frames| {
        said(frames, "teacher") == seconds(TEACHER, 15)
    })
    .await;
    assert!(
        frames.iter().all(|frame| frame["stream_role"] == "teacher"),
        "{frames:#?}"
    );
}

#[tokio::test]
async fn a_client_that_subscribes_is_told_on_its_own_connection_and_another_is_not() {
    let gateway = Shared::gateway().await;
    let session = "live-subscriber";
    let mut teacher = gateway.open(session, "teacher").await;
    let subscribe = json!({"type": "hello", "subscribe": ["utterances", "partials"]});
    let ready = teacher.ask(&subscribe).await;
    assert_eq!(ready["type"], "ready", "first: {ready}");
    // This one never asked: the harness fails the test if it is told anything live.
    let mut mixed = gateway.open(session, "mixed").await;
    let ready = mixed.ask(&json!({"type": "hello"})).await;
    assert_eq!(ready["type"], "ready", "{ready}");

    let mut frames = Vec::new();
    let mut acked = 0;
    for seq in 1..=9 {
        teacher
            .send_chunk(seq, &asr_simulator::mark::second(TEACHER, seq))
            .await;
        while acked < seq {
            let frame = teacher.answer().await;
            match frame["type"].as_str() {
                Some("ack") => acked += 1,
                _ => frames.push(frame),
            }
        }
        mixed.store_marked(STUDENTS, seq..=seq).await;
    }
    while said(&frames, "teacher").len() < 6 || said(&frames, "mixed").len() < 6 {
        frames.push(teacher.answer().await);
    }
    assert_eq!(
        of_type(&frames, "speaker_event").len(),
        0,
        "events were not asked for: {frames:#?}"
    );
    assert!(!of_type(&frames, "partial").is_empty(), "{frames:#?}");
    let partials: Vec<_> = of_type(&frames, "partial");
    let mut texts = BTreeSet::new();
    for partial in partials {
        let text = format!("{}: {}", partial["stream_role"], partial["text"]);
        assert!(texts.insert(text), "twice: {partial}");
    }
    mixed.close().await;
}

#[tokio::test]
async fn numbers_survive_kill_9() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "live-killed";
    let mut viewer = gateway.watch(session, "?after=0").await;
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(TEACHER, 1..=9).await;
    let before = read_until(&mut viewer, |frames| said(frames, "teacher").len() >= 6).await;
    gateway.kill().await;
    gateway.restart().await;
    let last = before.last().map_or(0, live_seq);
    let mut viewer = gateway.watch(session, &format!("?after={last}")).await;
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(TEACHER, 10..=12).await;
    stream.close().await;
    gateway.finalize(session).await;
    let after = read_until(&mut viewer, |frames| {
        let mut all = before.clone();
        all.extend_from_slice(frames);
        said(&all, "teacher") == seconds(TEACHER, 12)
    })
    .await;
    assert_contiguous(&after, last + 1);
}

#[tokio::test]
async fn a_reset_begins_anew_and_a_deletion_ends_the_viewer() {
    let gateway = Shared::gateway().await;
    let session = "live-reset";
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(TEACHER, 1..=6).await;
    eventually("something was said", async || {
        let raw = gateway.utterances(session, "teacher", "raw").await;
        (!raw.is_empty()).then_some(()).ok_or("nothing")
    })
    .await;
    let path = format!("/v1/sessions/{session}/asr-reset?stream_role=teacher");
    let reset = gateway.post(&path, &json!({})).await.ok();
    assert_ne!(reset["removed_raw"], 0, "{reset:#}");
    let mut viewer = gateway.watch(session, "?after=0").await;
    stream.store_marked(TEACHER, 7..=12).await;
    let frames = read_until(&mut viewer, |frames| said(frames, "teacher").len() >= 3).await;
    assert_eq!(
        said(&frames, "teacher")[0],
        (TEACHER, 7),
        "what was reset is not told: {frames:#?}"
    );
    drop(stream);

    let deleted = gateway
        .delete(&format!("/v1/sessions/{session}?force=true"))
        .await
        .ok();
    assert_eq!(deleted["deleted"], true);
    loop {
        match viewer.next().await {
            Received::Frame(_) => {}
            Received::Closed { code, reason } => {
                assert_eq!((code, reason.as_str()), (1000, "session deleted"));
                break;
            }
            Received::Lost => panic!("without a close frame"),
        }
    }
    let listed = gateway.get("/v1/sessions").await.ok();
    let mut items = listed["items"].as_array().unwrap().iter();
    assert!(!items.any(|item| item["session_id"] == session));
}

#[tokio::test]
async fn a_viewer_only_listens_and_a_bad_request_is_no_viewer() {
    let gateway = Shared::gateway().await;
    let mut viewer = gateway.watch("live-silent", "").await;
    let answer = viewer.ask(&json!({"type": "ping"})).await;
    assert_eq!(
        answer,
        json!({"type": "error", "detail": "this connection only listens"})
    );
    for (query, detail) in [
        ("?after=x", "after must be a whole number from 0"),
        ("?after=-1", "after must be a whole number from 0"),
        ("?after=1.5", "after must be a whole number from 0"),
        ("?stream_role=nobody", "unsupported stream_role: nobody"),
    ] {
        let path = format!("/v1/sessions/live-silent/live{query}");
        let refused = gateway.open_path(&path).await.expect_err("refused");
        assert_eq!(
            (refused.status, refused.body["detail"].as_str()),
            (400, Some(detail))
        );
    }
    let plain = gateway.get("/v1/sessions/live-silent/live").await;
    assert_eq!(plain.status, 426, "{plain:?}");
    let mut client = gateway.open("live-silent", "teacher").await;
    for (hello, detail) in [
        (
            json!({"type": "hello", "subscribe": ["everything"]}),
            "hello.subscribe must be a list of utterances, partials, events",
        ),
        (
            json!({"type": "hello", "subscribe": ["events"], "after": -1}),
            "hello.after must be a whole number from 0",
        ),
    ] {
        let answer = client.ask(&hello).await;
        assert_eq!(answer, json!({"type": "error", "detail": detail}));
    }
    drop(client);
    drop(viewer);
    eventually(
        "a session that nobody recorded leaves nothing",
        async || {
            let listed = gateway.get("/v1/sessions?limit=200").await.ok();
            let mut items = listed["items"].as_array().unwrap().iter();
            let found = items.any(|item| item["session_id"] == "live-silent");
            (!found).then_some(()).ok_or(listed)
        },
    )
    .await;
}
