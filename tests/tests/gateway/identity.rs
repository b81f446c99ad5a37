//! Who spoke: the students' audio goes to the inference service, and nobody waits for it.

use asr_simulator::mark;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use end_to_end::wait::eventually;
use end_to_end::{Asr, Gateway, Inference, Reply, Settings};
use serde_json::{Value, json};

const TEACHER: u16 = 1;
const STUDENTS: u16 = 2;

async fn gateway(asr: &Asr, inference: &Inference) -> Gateway {
    let settings = Settings::with_asr(asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_API_KEY", "inference-key");
    Gateway::start(settings).await
}

/// Knows one voice, and counts its samples.
fn one_voice(request: &Value) -> Reply {
    let known = request["state"]["clusters"][0]["sample_count"]
        .as_u64()
        .unwrap_or(0);
    let cluster = json!({
        "cluster_id": "c1", "centroid": [0.25, -1.5], "sample_count": known + 1, "bound_name": "Bob",
    });
    Reply::ok(json!({
        "session_id": request["session_id"],
        "cluster_id": "c1",
        "speaker_name": "Bob",
        "decision": "auto",
        "evidence": {"sv_score": 0.9},
        "updated_state": {"clusters": [cluster], "bindings": {"c1": "Bob"}, "config": {}, "roster": []},
    }))
}

#[tokio::test]
async fn students_get_the_names_that_the_service_gives_and_its_clusters_are_kept() {
    let asr = Asr::start().await;
    let inference = Inference::start(one_voice).await;
    let gateway = gateway(&asr, &inference).await;
    let session = "named";
    gateway
        .configure(session, &json!({"teams_participants": ["Bob"]}))
        .await;
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=6).await;
    students.close().await;
    gateway.finalize(session).await;

    let utterances = gateway.transcribed(session, "students", STUDENTS, 6).await;
    let events = gateway.events(session, "students").await;
    assert_eq!(events.len(), utterances.len());
    for (event, utterance) in events.iter().zip(&utterances) {
        assert_eq!(
            event["utterance_id"], utterance["utterance_id"],
            "{event:#}"
        );
        assert_eq!(event["source"], "inference_resolve", "{event:#}");
        assert_eq!(event["speaker_name"], "Bob", "{event:#}");
        assert_eq!(event["cluster_id"], "c1", "{event:#}");
        assert_eq!(event["decision"], "auto", "{event:#}");
        assert_eq!(event["note"], Value::Null, "{event:#}");
    }

    let asked = inference.asked();
    assert_eq!(asked.len(), utterances.len());
    for (asked, utterance) in asked.iter().zip(&utterances) {
        assert_eq!(asked.headers["x-api-key"], "inference-key");
        assert_eq!(asked.body["session_id"], session);
        assert_eq!(asked.body["asr_text"], utterance["text"]);
        assert_eq!(asked.body["state"]["roster"][0]["name"], "Bob");
        assert_eq!(asked.body["audio"]["format"], "wav");
        let wav = STANDARD
            .decode(asked.body["audio"]["content_b64"].as_str().unwrap())
            .unwrap();
        assert!(wav.starts_with(b"RIFF"));
        let heard: Vec<_> = mark::read(&wav)
            .iter()
            .map(|heard| u64::from(heard.seq))
            .collect();
        let (first, last) = (
            utterance["start_seq"].as_u64(),
            utterance["end_seq"].as_u64(),
        );
        assert_eq!(
            (heard.first().copied(), heard.last().copied()),
            (first, last),
            "its own audio"
        );
    }

    let state = &gateway.state(session).await["state"];
    assert_eq!(
        state["clusters"][0]["sample_count"],
        utterances.len(),
        "each look-up saw the one before"
    );
    assert_eq!(state["bindings"], json!({"c1": "Bob"}));
    assert_eq!(
        state["roster"][0]["name"], "Bob",
        "the service's empty roster changes nothing"
    );
}

#[tokio::test]
async fn what_is_configured_during_a_look_up_stays() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(one_voice).await;
    let gateway = gateway(&asr, &inference).await;
    let session = "configured";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=4).await;
    a_look_up_is_under_way(&inference).await;

    gateway
        .configure(
            session,
            &json!({"interviewer_name": "Ada", "teams_participants": ["Ada", "Bob"]}),
        )
        .await;
    let capture = json!({"type": "capture_status", "payload": {"capture_state": "running"}});
    assert_eq!(students.ask(&capture).await["type"], "capture_status_ack");
    inference.let_go(1000);
    students.close().await;
    gateway.finalize(session).await;

    gateway.transcribed(session, "students", STUDENTS, 4).await;
    let state = gateway.state(session).await;
    let ours = &state["state"];
    assert_eq!(
        ours["clusters"][0]["cluster_id"], "c1",
        "the look-up's own change is there"
    );
    assert_eq!(ours["config"]["interviewer_name"], "Ada");
    assert_eq!(ours["roster"], json!([{"name": "Ada"}, {"name": "Bob"}]));
    assert_eq!(
        state["capture_by_stream"]["students"]["capture_state"],
        "running"
    );
}

#[tokio::test]
async fn a_service_that_never_answers_delays_neither_stream_nor_config_nor_state() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(one_voice).await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", "50000");
    let gateway = Gateway::start(settings).await;
    let session = "hanging";
    let mut teacher = gateway.open(session, "teacher").await;
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=4).await;
    a_look_up_is_under_way(&inference).await;

    students.store_marked(STUDENTS, 5..=7).await;
    teacher.store_marked(TEACHER, 1..=4).await;
    gateway
        .configure(session, &json!({"interviewer_name": "Ada"}))
        .await;
    eventually("both streams have utterances", async || {
        let state = gateway.state(session).await;
        let counts = &state["utterance_count_by_stream"];
        if counts["students"] == 2 && counts["teacher"] == 1 {
            Ok(())
        } else {
            Err(counts.clone())
        }
    })
    .await;
    assert_eq!(gateway.events(session, "teacher").await.len(), 1);
    let events = gateway.events(session, "students").await;
    assert!(
        events.is_empty(),
        "the look-up hangs all the time: {events:#?}"
    );
}

#[tokio::test]
async fn a_look_up_without_an_answer_in_time_is_given_up_with_the_reason() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(one_voice).await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", "300");
    let gateway = Gateway::start(settings).await;
    let session = "given-up";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=3).await;
    students.close().await;
    gateway.finalize(session).await;
    gateway.transcribed(session, "students", STUDENTS, 3).await;
    let events = gateway.events(session, "students").await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["decision"], "unknown", "{:#}", events[0]);
    assert_eq!(events[0]["speaker_name"], Value::Null, "{:#}", events[0]);
    let note = events[0]["note"].as_str().unwrap();
    assert!(
        note.contains("inference request failed") && note.contains("300 ms"),
        "{note}"
    );
    assert_eq!(gateway.state(session).await["state"]["clusters"], json!([]));
}

#[tokio::test]
async fn look_ups_go_on_after_a_finalize_that_did_not_wait_for_them() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(one_voice).await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("FINALIZE_FLUSH_TIMEOUT_MS", "2000");
    let gateway = Gateway::start(settings).await;
    let session = "left-behind";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=9).await;
    students.close().await;
    a_look_up_is_under_way(&inference).await;
    gateway.finalize(session).await;
    assert!(gateway.events(session, "students").await.is_empty());

    inference.let_go(1000);
    eventually("each utterance has its event", async || {
        let events = gateway.events(session, "students").await.len();
        if events == 3 { Ok(()) } else { Err(events) }
    })
    .await;
}

async fn a_look_up_is_under_way(inference: &Inference) {
    eventually("a look-up is under way", async || {
        if inference.asked().is_empty() {
            Err("nothing was asked")
        } else {
            Ok(())
        }
    })
    .await;
}

#[tokio::test]
async fn answers_that_are_no_answers_change_nothing_and_are_noted() {
    let bad = [
        (
            "status",
            Reply::status(500, json!("overloaded")),
            "status=500",
        ),
        ("not-an-object", Reply::ok(json!([1])), "not an object"),
    ];
    let asr = Asr::start().await;
    for (session, reply, why) in bad {
        let inference = Inference::start(move |_| reply.clone()).await;
        let gateway = gateway(&asr, &inference).await;
        let mut students = gateway.open(session, "students").await;
        students.store_marked(STUDENTS, 1..=3).await;
        students.close().await;
        gateway.finalize(session).await;
        gateway.transcribed(session, "students", STUDENTS, 3).await;
        let events = gateway.events(session, "students").await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["decision"], "unknown");
        assert!(
            events[0]["note"].as_str().unwrap().contains(why),
            "{:#}",
            events[0]
        );
        let state = &gateway.state(session).await["state"];
        assert_eq!(
            (&state["clusters"], &state["bindings"]),
            (&json!([]), &json!({}))
        );
    }
}
