//! What is small as text and large as values, names and answers without end, and records that are longer
//! than any that is made today: memory stays bounded, and nothing becomes unreadable for ever.

use std::time::{Duration, Instant};

use bytes::Bytes;
use end_to_end::http::Answer;
use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, AudioSocket, Gateway, Inference, Reply, Settings};
use futures::future::join_all;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client_faults::memory::MemoryWatch;

const MIB: u64 = 1 << 20;
const STUDENTS: u16 = 2;

/// As many as one name could have in a body of 1 MiB, when names had no limit.
const LONG: usize = 1_000_000;

async fn post(gateway: &Gateway, path: &str, body: String) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    gateway
        .send(request.body(Full::new(Bytes::from(body))).unwrap())
        .await
}

async fn with_inference(
    answers: impl Fn(&Value) -> Reply + Send + Sync + 'static,
) -> (Asr, Inference, Gateway) {
    let asr = Asr::start().await;
    let inference = Inference::start(answers).await;
    let settings = Settings::with_asr(&asr).set("INFERENCE_BASE_URL", &inference.url());
    let gateway = Gateway::start_with_options(settings, &["--metrics", "on"]).await;
    (asr, inference, gateway)
}

async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let metrics = end_to_end::http::raw_get(gateway.address(), "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn bodies_of_many_small_values_are_refused_before_they_are_built() {
    let (_asr, _inference, gateway) = with_inference(|_| Reply::ok(json!({}))).await;
    let session = "/v1/sessions/many-values";
    // An object of one entry takes 600 bytes and more; here it takes seven of the body.
    let objects = |count: usize| format!("[{}{{}}]", "{\"\":0},".repeat(count));
    let audio = r#"{"content_b64":"AA==","format":"wav"}"#;
    let resolve = |count| format!(r#"{{"audio":{audio},"roster":{}}}"#, objects(count));
    let roster = |count| format!(r#"{{"teams_participants":{}}}"#, objects(count));
    let metadata = |count| format!(r#"{{"metadata":{{"m":{}}}}}"#, objects(count));
    let numbers = format!(r#"{{"metadata":{{"m":[{}0]}}}}"#, "0,".repeat(500_000));
    // So that what a first request costs is not counted.
    let _ = post(&gateway, &format!("{session}/config"), roster(3)).await;
    let memory = MemoryWatch::start(&gateway);
    let too_many =
        "request body holds more than 4000 JSON arrays and objects: send less in one request";
    let requests = (0..16).flat_map(|_| {
        [
            ("resolve", resolve(450_000), too_many),
            ("resolve", resolve(900_000), too_many),
            ("config", roster(140_000), too_many),
            ("finalize", metadata(140_000), too_many),
            (
                "finalize",
                numbers.clone(),
                "request body holds more than 20000 JSON values: send less in one request",
            ),
        ]
    });
    let requests: Vec<_> = requests.collect();
    let count = requests.len() as f64;
    let gateway = &gateway;
    join_all(
        requests
            .into_iter()
            .map(|(route, body, detail)| async move {
                let answer = post(gateway, &format!("{session}/{route}"), body).await;
                assert_eq!(answer.status, 413, "{route}: {answer:?}");
                assert_eq!(answer.detail(), detail, "{route}");
            }),
    )
    .await;
    // Of the bodies themselves there may be some hundreds of megabytes at one time.
    assert!(memory.grown() < 700 * MIB, "{} bytes", memory.grown());
    eventually("each is counted", async || {
        match metric(gateway, "gateway_limit_hits_total{limit=\"json-values\"}").await {
            hits if hits == count => Ok(()),
            hits => Err(hits),
        }
    })
    .await;
    // The same in a frame.
    let mut stream = gateway.open("many-values", "teacher").await;
    let hello = format!(
        r#"{{"type":"hello","teams_participants":{}}}"#,
        objects(140_000)
    );
    stream.send_text(hello).await;
    assert_eq!(
        stream.answer().await["detail"],
        "websocket frame holds more than 4000 JSON arrays and objects: send less in one frame"
    );
    stream.close().await;
}

#[tokio::test]
async fn names_over_their_limit_are_refused_over_http_and_in_hello() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let detail = "interviewer_name must have at most 200 characters, not 1000000";
    let long = json!({"interviewer_name": "n".repeat(LONG)});
    let answer = gateway.post("/v1/sessions/names/config", &long).await;
    assert_eq!((answer.status, answer.detail().as_str()), (400, detail));
    let mut stream = gateway.open("names", "teacher").await;
    let hello = json!({"type": "hello", "interviewer_name": "n".repeat(LONG)});
    assert_eq!(
        stream.ask(&hello).await,
        json!({"type": "error", "detail": detail})
    );
    stream.close().await;
    eventually("nothing is begun", async || {
        match gateway.store().entries("names") {
            none if none.is_empty() => Ok(()),
            some => Err(some),
        }
    })
    .await;
}

/// Each event a megabyte, as they were stored when a name could be one.
#[tokio::test]
async fn events_with_names_of_a_megabyte_are_shown_finalized_and_told_live() {
    const EVENTS: usize = 130;
    let (_asr, _inference, gateway) =
        with_inference(|_| Reply::ok(json!({"speaker_name": "Ann", "decision": "auto"}))).await;
    let session = "long-events";
    let question = json!({"audio": {"content_b64": "AA==", "format": "wav"}});
    for number in 0..EVENTS {
        let role = ["teacher", "students"][number % 2];
        let path = format!("/v1/sessions/{session}/resolve?stream_role={role}");
        let _ = gateway.post(&path, &question).await.ok();
    }
    for (key, event) in gateway.store().entries(&format!("{session}/e/")) {
        let mut event: Value = serde_json::from_str(&event).unwrap();
        event["speaker_name"] = json!("n".repeat(LONG));
        gateway.store().overwrite(&key, &event.to_string());
    }
    let is_long = |event: &Value| event["speaker_name"].as_str().unwrap().len() == LONG;
    for (role, expected) in [("", EVENTS), ("&stream_role=teacher", EVENTS / 2)] {
        let path = format!("/v1/sessions/{session}/events?limit={EVENTS}{role}");
        let shown = gateway.get(&path).await.ok();
        assert_eq!(shown["count"], expected, "{role}");
        let items = shown["items"].as_array().unwrap();
        assert_eq!(items.len(), expected, "{role}");
        assert!(items.iter().all(is_long), "{role}");
        let times: Vec<_> = items.iter().map(|item| item["ts"].as_str()).collect();
        assert!(times.is_sorted(), "{role}: {times:?}");
    }
    // The last ones, from wherever they are.
    let all = gateway
        .get(&format!("/v1/sessions/{session}/events?limit={EVENTS}"))
        .await
        .ok();
    let last = gateway
        .get(&format!("/v1/sessions/{session}/events?limit=7"))
        .await
        .ok();
    assert_eq!(
        last["items"].as_array().unwrap()[..],
        all["items"].as_array().unwrap()[EVENTS - 7..]
    );
    let finalized = gateway.finalize(session).await;
    assert_eq!(finalized["event_count"], EVENTS);
    let mut viewer = gateway.watch(session, "?after=0").await;
    in_time("each event is told", async {
        let mut told = 0;
        while told < EVENTS {
            let frame = viewer.answer().await;
            if frame["type"] == "speaker_event" {
                told += 1;
                assert_eq!(frame["live_seq"], told);
                assert!(is_long(&frame["event"]), "{told}");
            }
        }
    })
    .await;
    drop(viewer);
}

/// Utterances that came out of order have no merged log: their view is made when it is read, of however
/// much there is.
#[tokio::test]
async fn a_view_of_long_utterances_that_came_out_of_order_is_made_and_finalized() {
    const LAST: u32 = 120;
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "long-utterances";
    let mut stream = gateway.open(session, "students").await;
    stream.store_marked(STUDENTS, 1..=LAST).await;
    stream.close().await;
    let before = gateway
        .transcribed(session, "students", STUDENTS, LAST)
        .await;
    let merged = gateway.utterances(session, "students", "merged").await;
    // Out of order, and each as long as a frame of the service can make it.
    let key = format!("sessions/{session}/log/students");
    let (_, log) = gateway.store().entries(&key).remove(0);
    let mut log: Value = serde_json::from_str(&log).unwrap();
    log["out_of_order"] = json!(true);
    gateway.store().overwrite(&key, &log.to_string());
    let made = gateway.utterances(session, "students", "merged").await;
    assert_eq!(made, merged, "made as it was kept");
    let long = "w ".repeat(LONG / 2 - 1000);
    for (key, utterance) in gateway.store().entries(&format!("{session}/u/students/")) {
        let mut utterance: Value = serde_json::from_str(&utterance).unwrap();
        utterance["text"] = json!(format!("{long}{}", utterance["text"].as_str().unwrap()));
        gateway.store().overwrite(&key, &utterance.to_string());
    }
    for view in ["raw", "merged"] {
        let path = format!(
            "/v1/sessions/{session}/utterances?stream_role=students&view={view}&limit=1000"
        );
        let shown = gateway.get(&path).await.ok();
        assert_eq!(shown["count"], before.len(), "{view}");
        let items = shown["items"].as_array().unwrap();
        assert_eq!(items.len(), before.len(), "{view}");
        let starts: Vec<_> = items.iter().map(|item| &item["start_seq"]).collect();
        let expected: Vec<_> = before.iter().map(|item| &item["start_seq"]).collect();
        assert_eq!(starts, expected, "{view}");
    }
    gateway.finalize(session).await;
}

#[tokio::test]
async fn an_answer_of_nearly_a_megabyte_costs_its_event_no_more_than_its_evidence() {
    // Below the 1 MiB that is read of an answer, but too much for an event; many values; a name.
    let (_asr, inference, gateway) = with_inference(|request| {
        let said = request["asr_text"].as_str().unwrap_or_default().len();
        let n = request["state"]["config"]["interviewer_name"]
            .as_str()
            .map_or(0, str::len);
        Reply::text(
            200,
            match (n, said) {
                (1, _) => format!(
                    r#"{{"speaker_name":"Bob","decision":"auto","evidence":{{"heard":"{}"}}}}"#,
                    "e".repeat(1_040_000)
                ),
                (2, _) => format!(r#"{{"evidence":{{"heard":[{}0]}}}}"#, "{},".repeat(340_000)),
                (3, _) => format!(
                    r#"{{"speaker_name":"{}","decision":"auto"}}"#,
                    "n".repeat(LONG)
                ),
                _ => r#"{"speaker_name":"Eve","decision":"auto"}"#.to_owned(),
            },
        )
    })
    .await;
    let session = "large-answers";
    let mut students = gateway.open(session, "students").await;
    let mut seen = 0;
    let mut events = Vec::new();
    for kind in 1..=4 {
        let name = "n".repeat(kind);
        gateway
            .configure(session, &json!({ "interviewer_name": name }))
            .await;
        let last = kind as u32 * 6;
        students.store_marked(STUDENTS, last - 5..=last).await;
        events = eventually("the next utterance is identified", async || {
            let events = gateway.events(session, "students").await;
            let utterances = gateway.utterances(session, "students", "raw").await;
            match events.len() > seen && events.len() == utterances.len() {
                true => Ok(events),
                false => Err((events.len(), utterances.len())),
            }
        })
        .await;
        seen = events.len();
    }
    let with = |text: &str| {
        events
            .iter()
            .filter(|event| {
                event["note"]
                    .as_str()
                    .is_some_and(|note| note.contains(text))
            })
            .count()
    };
    assert!(
        with("the evidence of 1040012 bytes is left out") > 0,
        "{events:#?}"
    );
    assert!(
        with("more than 8000 JSON arrays and objects") > 0,
        "{events:#?}"
    );
    let names: Vec<_> = events
        .iter()
        .map(|event| event["speaker_name"].as_str())
        .collect();
    assert!(names.contains(&Some("Bob")), "{names:?}");
    assert_eq!(names.last(), Some(&Some("Eve")), "{names:?}");
    assert!(names.iter().flatten().all(|name| name.len() <= 200));
    students.close().await;
    let finalized = tokio::time::timeout(Duration::from_secs(60), gateway.finalize(session)).await;
    let events = gateway.events(session, "students").await;
    assert_eq!(finalized.unwrap()["event_count"], events.len());
    assert_eq!(
        inference.asked().len(),
        events.len(),
        "none was asked twice"
    );
}

/// Asks so many times without waiting for an answer, and takes one for each; gives how long it took.
async fn flood(stream: &mut AudioSocket, kind: &str, frames: u32) -> Duration {
    let since = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    while answered < frames {
        while sent < frames && sent < answered + 300 {
            sent += 1;
            match kind {
                "binary" => stream.send_binary(vec![0]).await,
                "empty" => stream.send_text("").await,
                "capture_status" => {
                    let payload = json!({"capture_state": "running"});
                    stream
                        .send(&json!({"type": kind, "payload": payload}))
                        .await;
                }
                _ => stream.send(&json!({ "type": kind })).await,
            }
        }
        stream.answer().await;
        answered += 1;
    }
    since.elapsed()
}

/// What a second of audio costs is limited (`MAX_CHUNK_RATE`); what is no audio is no way around that.
#[tokio::test]
async fn floods_of_frames_that_are_no_chunks_are_paced_and_answered() {
    // Four seconds and more of what is charged, of which one may come at once, and half a second waits in
    // the lane.
    const FRAMES: u32 = 1000;
    let asr = Asr::start().await;
    let gateway = Gateway::start_with_options(Settings::with_asr(&asr), &["--metrics", "on"]).await;
    let gateway = &gateway;
    let kinds = [
        "status",
        "capture_status",
        "ping",
        "hello",
        "empty",
        "binary",
    ];
    let floods = join_all(kinds.into_iter().map(|kind| async move {
        let session = format!("flood-of-{kind}");
        let mut stream = gateway.open(&session, "teacher").await;
        let took = flood(&mut stream, kind, FRAMES).await;
        assert!(took >= Duration::from_millis(1500), "{kind}: {took:?}");
        // And then audio is taken as ever.
        stream.store(1, &vec![0; 32_000]).await;
        stream.close().await;
    }));
    let bystander = async {
        let mut stream = gateway.open("bystander", "teacher").await;
        for seq in 1..=20 {
            stream.store(seq, &vec![0; 32_000]).await;
        }
        stream.close().await;
    };
    futures::join!(floods, bystander);
    let name = "gateway_frame_pauses_total{role=\"teacher\"}";
    eventually("clients were left unread", async || {
        match metric(gateway, name).await {
            some if some > 0.0 => Ok(()),
            none => Err(none),
        }
    })
    .await;
    // A viewer that talks.
    let mut viewer = gateway.watch("flood-of-viewers", "").await;
    let took = flood(&mut viewer, "ping", FRAMES).await;
    assert!(took >= Duration::from_millis(1500), "{took:?}");
    drop(viewer);
}
