//! What the ASR and inference services say of a failure is shown to clients and stored; the keys that they
//! were sent are not, even if they repeat them.

use asr_simulator::Faults;
use end_to_end::http::request;
use end_to_end::wait::eventually;
use end_to_end::{Asr, Gateway, Inference, Reply, Settings};
use serde_json::json;

const INFERENCE_KEY: &str = "inference-key/5a+4b";
/// The simulator says this word of itself when it fails.
const ASR_KEY: &str = "simulator";
const STUDENTS: u16 = 2;

/// An error page that shows the request.
fn echo(_: &serde_json::Value) -> Reply {
    let page =
        format!("{{\"x-api-key\":\"{INFERENCE_KEY}\",\"as\":\"?key=inference-key%2F5a%2B4b\"}}");
    Reply::text(401, page)
}

#[tokio::test]
async fn a_service_that_repeats_its_key_does_not_give_it_away() {
    let asr = Asr::start().await;
    let inference = Inference::start(echo).await;
    let settings = Settings::with_asr(&asr)
        .set("ALIYUN_DASHSCOPE_API_KEY", ASR_KEY)
        .set("FINALIZE_FLUSH_TIMEOUT_MS", "0")
        .set("ASR_DEBUG_LOG_EVENTS", "1")
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_API_KEY", INFERENCE_KEY);
    let mut gateway = Gateway::start(settings).await;
    let session = "repeated";
    let mut said = Vec::new();

    // Asked by a client.
    let question = json!({"audio": {"content_b64": "AAAA", "format": "wav"}});
    let path = "/v1/sessions/repeated/resolve";
    let answer = gateway.send(request("POST", path, Some(&question))).await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.detail(),
        concat!(
            "inference request failed: inference backend non-success: status=401 ",
            r#"body={"x-api-key":"<secret>","as":"?key=<secret>"}"#
        )
    );
    said.push(answer.detail());

    // Asked by the gateway itself.
    let mut students = gateway.open(session, "students").await;
    students.store_marked(STUDENTS, 1..=4).await;
    students.close().await;
    let events = eventually("an event says why nobody is known", async || {
        let events = gateway.events(session, "students").await;
        match events.iter().any(|event| event["note"].is_string()) {
            true => Ok(events),
            false => Err(events),
        }
    })
    .await;
    let note = events[0]["note"].as_str().unwrap();
    assert!(
        note.contains("status=401") && note.contains("<secret>"),
        "{note}"
    );

    asr.set_faults(Faults {
        fail_after_seconds: Some(1),
        ..Faults::default()
    });
    let mut teacher = gateway.open(session, "teacher").await;
    teacher.store_marked(1, 1..=4).await;
    teacher.close().await;
    let shown = eventually("the state says that it failed", async || {
        let shown = gateway.asr_of(session, "teacher").await;
        match shown["last_error"].is_string() {
            true => Ok(shown),
            false => Err(shown),
        }
    })
    .await;
    let error = shown["last_error"].as_str().unwrap();
    assert!(error.contains("the <secret> was told to fail"), "{error}");

    let finalized = gateway.finalize(session).await;
    said.push(finalized.to_string());
    for path in ["state", "events", "result"] {
        let path = format!("/v1/sessions/repeated/{path}");
        said.push(gateway.get(&path).await.ok().to_string());
    }
    gateway.terminate().await;
    said.push(gateway.log());
    for key in gateway.blobs().keys("") {
        let bytes = gateway.blobs().read(&key).unwrap();
        said.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    said.extend(
        gateway
            .store()
            .entries("")
            .into_iter()
            .map(|(_, value)| value),
    );
    for text in &said {
        assert!(
            !text.contains(INFERENCE_KEY) && !text.contains("inference-key%2F"),
            "{text}"
        );
        assert!(!text.contains("the simulator was told"), "{text}");
    }
}
