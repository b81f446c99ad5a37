//! What clients are told when what is stored is damaged, or a store refuses: what to do, and nothing of the
//! insides. The log says what it is.

use asr_simulator::mark;
use end_to_end::http::raw_get;
use end_to_end::{Asr, Gateway, Settings};
use http::Method;
use s3_simulator::faults::Fault;
use serde_json::json;

const TEACHER: u16 = 1;
const DAMAGED: &str = "what is stored of this is damaged, and asking again does not help: the gateway's \
                       operator finds in its log what it is";

/// What stands in a stored document that is none, and must be in no answer.
const GARBAGE: &str = "{\"hush-hush\": ";

/// A request past the check that an answer is as the API's description says: no test but these provokes a
/// 500.
async fn assert_tells_only(gateway: &Gateway, path: &str, detail: &str) {
    let said = raw_get(gateway.address(), path).await;
    let status = said.split(' ').nth(1);
    assert_eq!(status, Some("500"), "{said}");
    let body = json!({"detail": detail}).to_string();
    assert!(said.ends_with(&body), "{said}");
}

#[tokio::test]
async fn a_damaged_record_is_told_without_what_is_in_it() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "damaged";
    let mut teacher = gateway.open(session, "teacher").await;
    teacher.store_marked(TEACHER, 1..=4).await;
    gateway
        .configure(session, &json!({"interviewer_name": "Ann"}))
        .await;
    teacher.close().await;
    gateway.transcribed(session, "teacher", TEACHER, 4).await;

    let is_utterance = |key: &str| key.contains("/u/teacher/");
    let keys: Vec<String> = gateway
        .store()
        .entries("damaged/")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let utterance = keys
        .iter()
        .find(|key| is_utterance(key))
        .expect("an utterance");
    for (key, path) in [
        (utterance.as_str(), "utterances?stream_role=teacher"),
        ("sessions/damaged/config", "state"),
        ("sessions/damaged/ingest/teacher", "state"),
        ("sessions/damaged/bridge/teacher", "state"),
    ] {
        let before = gateway.store().entries(key);
        let (_, before) = before.iter().find(|(name, _)| name == key).expect(key);
        gateway.store().overwrite(key, GARBAGE);
        let path = format!("/v1/sessions/damaged/{path}");
        assert_tells_only(&gateway, &path, DAMAGED).await;
        gateway.store().overwrite(key, before);
        assert_eq!(gateway.get(&path).await.status, 200, "{key}");
    }
    // A frame is not told more: here of another stream's record.
    gateway
        .store()
        .overwrite("sessions/damaged/ingest/teacher", GARBAGE);
    let mut students = gateway.open(session, "students").await;
    let answer = students.ask(&json!({"type": "status"})).await;
    assert_eq!(
        answer,
        json!({
            "type": "error",
            "detail": "the session state is damaged: the gateway's operator finds in its log what it is"
        })
    );
    for text in ["stored ingest record is damaged", "EOF while parsing"] {
        gateway.says(text).await;
    }
}

#[tokio::test]
async fn a_result_that_the_blob_store_refuses_is_told_without_its_words() {
    let asr = Asr::start().await;
    let gateway = Gateway::start_on_s3(Settings::with_asr(&asr)).await;
    let session = "refused";
    let mut teacher = gateway.open(session, "teacher").await;
    teacher.store(1, &mark::second(TEACHER, 1)).await;
    teacher.close().await;
    gateway.finalize(session).await;
    let server = gateway.blobs().server().expect("a server");
    server
        .faults()
        .always(Some(Method::GET), Fault::Refuse(403, "AccessDenied"));
    let path = "/v1/sessions/refused/result";
    let refused = "the blob store refuses to give result.json, and asking again does not help: the gateway's \
                   operator finds in its log why";
    assert_tells_only(&gateway, path, refused).await;
    gateway.says("AccessDenied").await;
    server.faults().clear();
    assert_eq!(gateway.get(path).await.status, 200);
}
