//! `DELETE /v1/sessions/:id`: all of this session and nothing of another goes, and nothing comes back.

use asr_simulator::mark;
use end_to_end::client::chunk_frame;
use end_to_end::session::heard;
use end_to_end::wait::eventually;
use end_to_end::{Asr, AudioSocket, Gateway, Inference, Received, Reply, Settings, Shared};
use futures::future::join;
use serde_json::{Value, json};

use super::kept;

const MARK: u16 = 5;
const LATER_MARK: u16 = 6;

fn path(session: &str) -> String {
    format!("/v1/sessions/{session}")
}

async fn delete(gateway: &Gateway, session: &str) -> Value {
    let deleted = gateway.delete(&path(session)).await.ok();
    assert_eq!(deleted["deleted"], true, "{deleted:#}");
    deleted
}

/// Deletes a session of which somebody is connected.
async fn force(gateway: &Gateway, session: &str) -> Value {
    let deleted = gateway
        .delete(&format!("{}?force=true", path(session)))
        .await
        .ok();
    assert_eq!(deleted["deleted"], true, "{deleted:#}");
    deleted
}

/// What comes until the end.
async fn end_of(stream: &mut AudioSocket) -> Received {
    loop {
        match stream.next().await {
            Received::Frame(_) => {}
            end => return end,
        }
    }
}

#[tokio::test]
async fn a_session_that_is_recorded_is_deleted_by_force_only_and_its_clients_are_told() {
    let gateway = Shared::gateway().await;
    let session = "deleted-recording";
    let mut mixed = gateway.open(session, "mixed").await;
    let mut teacher = gateway.open(session, "teacher").await;
    mixed.store_marked(MARK, 1..=4).await;
    for query in ["", "?force=false", "?force=0", "?force", "?force=yes"] {
        let refused = gateway.delete(&format!("{}{query}", path(session))).await;
        assert_eq!(refused.status, 409, "{query}: {refused:?}");
        let detail = "a stream of this session is connected: close it, or add ?force=true";
        assert_eq!(refused.detail(), detail);
    }
    mixed.store_marked(MARK, 5..=5).await;
    assert_eq!(gateway.state(session).await["phase"], "recording");

    let deleted = force(&gateway, session).await;
    assert_eq!(deleted["removed_objects"], 5, "{deleted:#}");
    for stream in [&mut mixed, &mut teacher] {
        let end = end_of(stream).await;
        let told = Received::Closed {
            code: 1000,
            reason: "session deleted".to_owned(),
        };
        assert_eq!(end, told);
    }
    kept::stays_gone(&gateway, session).await;
    assert_eq!(delete(&gateway, session).await["removed_objects"], 0);

    // Its id is free: it begins again, at the first second.
    let mut mixed = gateway.open(session, "mixed").await;
    let ready = mixed.ask(&json!({"type": "hello"})).await;
    assert_eq!(ready["ingest"]["last_seq"], 0, "{ready:#}");
    mixed.store_marked(LATER_MARK, 1..=4).await;
    mixed.close().await;
    gateway.finalize(session).await;
    gateway.transcribed(session, "mixed", LATER_MARK, 4).await;
    let listed = kept::listed(&gateway).await;
    assert_eq!(listed.iter().filter(|id| *id == session).count(), 1);
    delete(&gateway, session).await;
    kept::stays_gone(&gateway, session).await;
}

#[tokio::test]
async fn a_client_that_goes_on_sending_does_not_bring_a_deleted_session_back() {
    let gateway = Shared::gateway().await;
    let session = "deleted-under-load";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(MARK, 1..=2).await;
    let sending = async {
        // Far more than the lane takes at a time; the gateway stops reading when it is closed.
        for seq in 3..=120 {
            students.send_chunk(seq, &mark::second(MARK, seq)).await;
            students
                .send(&json!({"type": "hello", "interviewer_name": "Eve"}))
                .await;
        }
        end_of(&mut students).await
    };
    let deleting = async {
        eventually("it is sending", async || {
            let state = gateway.state(session).await;
            let last = state["ingest_by_stream"]["students"]["last_seq"].as_u64();
            (last > Some(5)).then_some(()).ok_or(last)
        })
        .await;
        force(&gateway, session).await
    };
    let (end, _) = join(sending, deleting).await;
    assert!(
        matches!(end, Received::Closed { code: 1000, .. } | Received::Lost),
        "{end:?}"
    );
    kept::stays_gone(&gateway, session).await;
}

#[tokio::test]
async fn of_a_session_that_a_client_comes_back_to_while_it_is_deleted_the_store_has_what_it_says() {
    let gateway = Shared::gateway().await;
    for round in 0..6 {
        let session = format!("deleted-and-back-{round}");
        let mut stream = gateway.open(&session, "mixed").await;
        stream.store_marked(MARK, 1..=3).await;
        // It comes back as soon as it is closed, as the desktop client does, and goes on.
        let client = async {
            let end = end_of(&mut stream).await;
            assert!(matches!(end, Received::Closed { .. }), "{end:?}");
            let mut again = gateway.open(&session, "mixed").await;
            let mut acked = 0;
            for seq in 1..=4 {
                again.send_chunk(seq, &mark::second(LATER_MARK, seq)).await;
                match again.next().await {
                    Received::Frame(ack) if ack["status"] == "stored" => acked += 1,
                    // Its folder was being removed: "send it again".
                    Received::Frame(error) if error["type"] == "error" => return acked,
                    Received::Frame(frame) => panic!("{frame:#}"),
                    _ => return acked,
                }
            }
            // A deletion that finds it removes it once more, and closes it.
            again.send(&json!({"type": "close"})).await;
            end_of(&mut again).await;
            acked
        };
        let (acked, _) = join(client, force(&gateway, &session)).await;
        let ingest = gateway.state(&session).await["ingest"].clone();
        let chunks = kept::objects(&gateway, &session);
        assert_eq!(
            ingest["received_chunks"],
            chunks.len(),
            "{acked} acked: {ingest:#}"
        );
        assert_eq!(
            ingest["last_seq"],
            chunks.len(),
            "{acked} acked: {ingest:#}"
        );
        let listed = kept::listed(&gateway).await;
        assert_eq!(listed.contains(&session), !chunks.is_empty(), "{ingest:#}");
        delete(&gateway, &session).await;
        kept::stays_gone(&gateway, &session).await;
    }
}

#[tokio::test]
async fn fault_26_sessions_that_look_alike_survive_the_deletion_of_one() {
    let gateway = Shared::gateway().await;
    let alike = [
        ("alike_b", "alike_b"),
        ("alike%2Fb", "alike/b"),
        ("alike%20b", "alike b"),
        ("alike_", "alike_"),
        ("alike_bc", "alike_bc"),
        ("alike_b%2Fmixed", "alike_b/mixed"),
        ("%E4%BC%9A", "会"),
        ("%E8%AE%AE", "议"),
        ("_", "_"),
    ];
    let mut all = Vec::new();
    for (n, (path_id, id)) in alike.iter().enumerate() {
        let config = json!({"interviewer_name": id});
        gateway.configure(path_id, &config).await;
        let opened = gateway.open_path(&format!("/v1/audio/ws/{path_id}")).await;
        let mut stream = opened.unwrap();
        let pcm = mark::second(u16::try_from(n).unwrap() + 20, 1);
        let ack = stream.ask(&chunk_frame(id, "mixed", 1, &pcm)).await;
        assert_eq!(ack["status"], "stored", "{id}: {ack}");
        stream.close().await;
        let result = gateway.finalize(path_id).await;
        let keys = [&ack["key"], &result["result_key"]].map(|key| key.as_str().unwrap().to_owned());
        all.push((*path_id, *id, keys));
    }
    while let Some((path_id, id, keys)) = all.pop() {
        let deleted = delete(&gateway, path_id).await;
        assert_eq!(deleted["removed_objects"], 2, "{id}: {deleted:#}");
        for key in &keys {
            assert!(!gateway.blobs().has(key), "{id}: {key}");
        }
        let state = gateway.state(path_id).await;
        assert_eq!(state["state"]["config"], json!({}), "{id}");
        let listed = kept::listed(&gateway).await;
        assert!(!listed.iter().any(|listed| listed == id), "{id}");
        for (path_id, other, keys) in &all {
            for key in keys {
                assert!(gateway.blobs().has(key), "{id} took {other}'s {key}");
            }
            let state = gateway.state(path_id).await;
            assert_eq!(state["state"]["config"]["interviewer_name"], *other);
            assert_eq!(state["ingest"]["received_chunks"], 1, "{id} took {other}'s");
            assert!(listed.iter().any(|listed| listed == other), "{other}");
        }
    }
}

#[tokio::test]
async fn what_is_no_session_id_cannot_be_deleted_and_what_never_was_can() {
    let gateway = Shared::gateway().await;
    for id in [
        "%00",
        "a%00b",
        "%ff",
        "%",
        "%20",
        "%ed%a0%80",
        &"a".repeat(129),
    ] {
        let answer = gateway.delete(&path(id)).await;
        assert_eq!(answer.status, 400, "{id}: {answer:?}");
    }
    for id in [".", "..", "%2e%2E"] {
        let answer = gateway.delete(&path(id)).await;
        assert_eq!(answer.status, 404, "{id}: {answer:?}");
    }
    assert_eq!(delete(&gateway, "never-was").await["removed_objects"], 0);
    assert_eq!(force(&gateway, "never-was").await["removed_objects"], 0);
}

async fn with_inference(asr: &Asr, inference: &Inference) -> Gateway {
    let settings = Settings::with_asr(asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", "50000")
        .set("FINALIZE_FLUSH_TIMEOUT_MS", "50000");
    Gateway::start(settings).await
}

async fn asked(inference: &Inference, requests: usize) {
    eventually("the service is asked", async || {
        let asked = inference.asked().len();
        (asked == requests).then_some(()).ok_or(asked)
    })
    .await;
}

async fn students(gateway: &Gateway, session: &str, mark: u16) {
    let mut students = gateway.open(session, "students").await;
    students.store_marked(mark, 1..=3).await;
    students.close().await;
}

/// How the service answers.
type Answers = fn(&Value) -> Reply;

/// Names the voice after the marked stream that the question's text names.
fn voice_of(request: &Value) -> String {
    let text = request["asr_text"].as_str().unwrap_or_default();
    let (stream, _) = mark::seconds_in(text)[0];
    format!("voice-{stream}")
}

fn with_state(request: &Value) -> Reply {
    let voice = voice_of(request);
    let cluster =
        json!({"cluster_id": voice, "centroid": [1], "sample_count": 1, "bound_name": voice});
    let state = json!({"clusters": [cluster], "bindings": {&voice: voice}});
    Reply::ok(json!({"cluster_id": voice, "decision": "auto", "updated_state": state}))
}

fn without_state(request: &Value) -> Reply {
    let voice = voice_of(request);
    Reply::ok(json!({"cluster_id": voice, "speaker_name": voice, "decision": "auto"}))
}

fn failing(_: &Value) -> Reply {
    Reply::status(500, json!("overloaded"))
}

#[tokio::test]
async fn a_look_up_that_ends_after_the_deletion_leaves_nothing_behind() {
    let asr = Asr::start().await;
    let answers: [(&str, Answers); 3] = [
        ("with-state", with_state),
        ("without-state", without_state),
        ("failing", failing),
    ];
    for (name, answer) in answers {
        let inference = Inference::start_closed(answer).await;
        let gateway = with_inference(&asr, &inference).await;
        let session = format!("deleted-looked-up-{name}");
        students(&gateway, &session, MARK).await;
        asked(&inference, 1).await;
        delete(&gateway, &session).await;
        inference.let_go(1000);
        kept::stays_gone(&gateway, &session).await;
    }
}

#[tokio::test]
async fn an_answer_for_the_deleted_session_is_not_taken_for_the_next_one_with_its_id() {
    let asr = Asr::start().await;
    let answers: [(&str, Answers); 2] =
        [("with-state", with_state), ("without-state", without_state)];
    for (name, answer) in answers {
        let inference = Inference::start_closed(answer).await;
        let gateway = with_inference(&asr, &inference).await;
        let session = format!("deleted-and-begun-again-{name}");
        students(&gateway, &session, MARK).await;
        asked(&inference, 1).await;
        delete(&gateway, &session).await;
        students(&gateway, &session, LATER_MARK).await;
        eventually("the next session has its utterance", async || {
            let raw = gateway.utterances(&session, "students", "raw").await;
            (raw.len() == 1).then_some(()).ok_or(raw)
        })
        .await;
        inference.let_go(1000);
        gateway.finalize(&session).await;

        let raw = gateway
            .transcribed(&session, "students", LATER_MARK, 3)
            .await;
        let events = gateway.events(&session, "students").await;
        assert_eq!(events.len(), 1, "{events:#?}");
        let voice = format!("voice-{LATER_MARK}");
        assert_eq!(events[0]["speaker_name"], voice, "{events:#?}");
        assert_eq!(events[0]["utterance_id"], raw[0]["utterance_id"]);
        let state = gateway.state(&session).await;
        let clusters = state["state"]["clusters"].as_array().unwrap();
        assert!(
            clusters
                .iter()
                .all(|cluster| cluster["cluster_id"] == voice),
            "{clusters:#?}"
        );
        assert_eq!(heard(&raw)[0].0, LATER_MARK);
    }
}

#[tokio::test]
async fn a_finalize_of_a_session_that_is_deleted_meanwhile_writes_no_result() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(without_state).await;
    let gateway = with_inference(&asr, &inference).await;
    let session = "deleted-finalizing";
    students(&gateway, session, MARK).await;
    asked(&inference, 1).await;
    let finalizing = async {
        let path = format!("{}/finalize", path(session));
        gateway.post(&path, &json!({})).await
    };
    let deleting = async {
        eventually("it is finalizing", async || {
            let phase = gateway.state(session).await["phase"].clone();
            (phase == "finalizing").then_some(()).ok_or(phase)
        })
        .await;
        delete(&gateway, session).await;
        inference.let_go(1000);
    };
    let (answer, ()) = join(finalizing, deleting).await;
    assert_eq!(
        answer.status, 404,
        "there is nothing to finalize: {answer:?}"
    );
    kept::stays_gone(&gateway, session).await;
}

#[tokio::test]
async fn a_deletion_ends_a_finalize_that_waits_for_an_asr_service_that_is_away() {
    let asr = Asr::down();
    let settings = Settings::with_asr(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "50000");
    let gateway = Gateway::start(settings).await;
    let session = "deleted-flushing";
    let mut teacher = gateway.open(session, "teacher").await;
    teacher.store_marked(MARK, 1..=3).await;
    teacher.close().await;
    let finalizing = async {
        let path = format!("{}/finalize", path(session));
        gateway.post(&path, &json!({})).await
    };
    let deleting = async {
        eventually("it is finalizing", async || {
            let phase = gateway.state(session).await["phase"].clone();
            (phase == "finalizing").then_some(()).ok_or(phase)
        })
        .await;
        delete(&gateway, session).await;
        kept::stays_gone(&gateway, session).await;
    };
    let began = std::time::Instant::now();
    let (answer, ()) = join(finalizing, deleting).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let waited = began.elapsed().as_secs();
    assert!(waited < 45, "nothing is left to wait for: {waited} s");
    kept::stays_gone(&gateway, session).await;
}

#[tokio::test]
async fn a_deletion_in_the_middle_of_a_backfill_ends_it() {
    let asr = Asr::start().await;
    // 26 pieces of a window, 40 ms apart: a window takes a second.
    let settings = Settings::with_asr(&asr).set("ASR_SEND_PACING_MS", "40");
    let gateway = Gateway::start(settings).await;
    let session = "deleted-backfill";
    let mut mixed = gateway.open(session, "mixed").await;
    mixed.store_marked(MARK, 1..=40).await;
    mixed.close().await;
    let post = |action: &str| {
        let path = format!("{}/{action}", path(session));
        let gateway = &gateway;
        async move { gateway.post(&path, &json!({})).await }
    };
    assert_eq!(post("asr-reset").await.status, 200);
    let deleting = async {
        eventually("a window is done", async || {
            let raw = gateway.utterances(session, "mixed", "raw").await;
            (!raw.is_empty()).then_some(()).ok_or("none")
        })
        .await;
        delete(&gateway, session).await;
    };
    let (ran, ()) = join(post("asr-run"), deleting).await;
    assert!(ran.status < 500, "{ran:?}");
    kept::stays_gone(&gateway, session).await;
}

#[tokio::test]
async fn a_deletion_survives_a_kill() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    for session in ["deleted-killed", "kept-killed"] {
        let mut mixed = gateway.open(session, "mixed").await;
        mixed.store_marked(MARK, 1..=3).await;
        mixed.close().await;
        gateway.finalize(session).await;
    }
    delete(&gateway, "deleted-killed").await;
    gateway.kill().await;
    gateway.restart().await;
    kept::stays_gone(&gateway, "deleted-killed").await;
    assert_eq!(kept::listed(&gateway).await, ["kept-killed"]);
    gateway.transcribed("kept-killed", "mixed", MARK, 3).await;
}
