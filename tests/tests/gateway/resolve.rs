//! `POST resolve`: nobody waits for it but its caller, what is written while it waits stays, and an
//! answer changes what it names and nothing else (faults.md 15, 16, 28).

use asr_simulator::mark;
use end_to_end::http::{Answer, request};
use end_to_end::wait::eventually;
use end_to_end::{Asr, Gateway, Inference, Reply, Settings};
use futures::future::{join, join_all};
use serde_json::{Value, json};

use super::kept;

/// Longer than any test waits for something that hangs on purpose.
const LONG_MS: &str = "50000";

async fn gateway(asr: &Asr, inference: &Inference) -> Gateway {
    let settings = Settings::with_asr(asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", LONG_MS);
    Gateway::start(settings).await
}

fn path(session: &str, role: &str) -> String {
    format!("/v1/sessions/{session}/resolve?stream_role={role}")
}

fn question(text: &str) -> Value {
    json!({"audio": {"content_b64": "UklGRg==", "format": "wav"}, "asr_text": text})
}

async fn resolve(gateway: &Gateway, session: &str, text: &str) -> Answer {
    let path = path(session, "mixed");
    gateway.post(&path, &question(text)).await
}

async fn resolve_with_key(
    gateway: &Gateway,
    session: &str,
    role: &str,
    key: &str,
    text: &str,
) -> Answer {
    let mut request = request("POST", &path(session, role), Some(&question(text)));
    let key = key.parse().unwrap();
    request.headers_mut().insert("x-idempotency-key", key);
    gateway.send(request).await
}

fn is_replay(answer: &Answer) -> bool {
    answer.headers.contains_key("x-idempotent-replay")
}

/// A service that answers with the JSON that the question's text is.
fn as_told(request: &Value) -> Reply {
    let text = request["asr_text"].as_str().unwrap_or_default();
    Reply::text(200, text.to_owned())
}

fn cluster(id: &str, samples: u64, name: Option<&str>) -> Value {
    json!({"cluster_id": id, "centroid": [0.5, samples], "sample_count": samples, "bound_name": name})
}

async fn asked(inference: &Inference, requests: usize) {
    eventually("the service is asked", async || {
        let asked = inference.asked().len();
        (asked == requests).then_some(()).ok_or(asked)
    })
    .await;
}

/// What a look-up may change, or must leave alone.
async fn shared(gateway: &Gateway, session: &str) -> Value {
    let state = gateway.state(session).await;
    let field = |name: &str| state["state"][name].clone();
    json!({
        "clusters": field("clusters"), "bindings": field("bindings"),
        "roster": field("roster"), "config": field("config"),
    })
}

#[tokio::test]
async fn fault_15_16_nobody_waits_for_a_hanging_resolve_and_what_is_written_meanwhile_survives_it()
{
    let asr = Asr::start().await;
    // It gives back the state that it was sent, with a cluster more.
    let inference = Inference::start_closed(|request| {
        let mut state = request["state"].clone();
        state["clusters"] = json!([cluster("c1", 1, None)]);
        state["bindings"] = json!({"c1": "Bob"});
        Reply::ok(json!({"cluster_id": "c1", "decision": "auto", "updated_state": state}))
    })
    .await;
    let gateway = gateway(&asr, &inference).await;
    let session = "resolve-hangs";
    let config = |name: &str| json!({"interviewer_name": name, "teams_participants": [name]});
    gateway.configure(session, &config("Old")).await;
    let mut mixed = gateway.open(session, "mixed").await;

    let meanwhile = async {
        asked(&inference, 1).await;
        gateway.configure(session, &config("New")).await;
        mixed.store_marked(1, 1..=4).await;
        let mut teacher = gateway.open(session, "teacher").await;
        let capture = json!({"type": "capture_status", "payload": {"capture_state": "running"}});
        assert_eq!(teacher.ask(&capture).await["type"], "capture_status_ack");
        teacher.store_marked(2, 1..=4).await;
        eventually("both streams have an utterance", async || {
            let state = gateway.state(session).await;
            let counts = state["utterance_count_by_stream"].clone();
            let both = counts["mixed"] == 1 && counts["teacher"] == 1;
            both.then_some(()).ok_or(counts)
        })
        .await;
        let reset = format!("/v1/sessions/{session}/asr-reset?stream_role=mixed");
        assert_eq!(gateway.post(&reset, &json!({})).await.status, 200);
        assert_eq!(gateway.events(session, "mixed").await, Vec::<Value>::new());
        assert_eq!(gateway.get("/v1/sessions").await.status, 200);
        teacher.close().await;
        assert_eq!(inference.asked().len(), 1, "it hangs all the time");
        inference.let_go(1);
    };
    let (answer, ()) = join(resolve(&gateway, session, "hello"), meanwhile).await;

    assert_eq!(answer.ok()["speaker_name"], "Bob");
    let state = gateway.state(session).await;
    let ours = &state["state"];
    assert_eq!(ours["config"]["interviewer_name"], "New", "{ours:#}");
    assert_eq!(ours["config"]["teams_interviewer_name"], "New", "{ours:#}");
    assert_eq!(ours["roster"], json!([{"name": "New"}]), "{ours:#}");
    assert_eq!(ours["clusters"], json!([cluster("c1", 1, None)]));
    assert_eq!(ours["bindings"], json!({"c1": "Bob"}));
    let captured = &state["capture_by_stream"]["teacher"];
    assert_eq!(captured["capture_state"], "running", "{captured:#}");
    assert_eq!(gateway.events(session, "mixed").await.len(), 1);
    mixed.close().await;
}

#[tokio::test]
async fn fault_16_two_resolves_from_one_state_keep_both_their_clusters_and_the_most_samples() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(as_told).await;
    let gateway = gateway(&asr, &inference).await;
    let session = "resolve-twice";
    let told = |clusters: Value, bindings: Value| {
        json!({"updated_state": {"clusters": clusters, "bindings": bindings}}).to_string()
    };
    inference.let_go(1);
    let seed = told(json!([cluster("shared", 1, None)]), json!({}));
    assert_eq!(resolve(&gateway, session, &seed).await.status, 200);

    let more = told(
        json!([cluster("shared", 5, Some("Ada")), cluster("a", 1, None)]),
        json!({"a": "Alice"}),
    );
    let fewer = told(
        json!([cluster("shared", 3, None), cluster("b", 1, Some("Bob"))]),
        json!({"b": "Bob"}),
    );
    let both = join(
        resolve(&gateway, session, &more),
        resolve(&gateway, session, &fewer),
    );
    let meanwhile = async {
        asked(&inference, 3).await;
        inference.let_go(2);
    };
    let ((one, other), ()) = join(both, meanwhile).await;
    assert_eq!((one.status, other.status), (200, 200));

    let sent = inference.asked();
    for field in ["clusters", "bindings"] {
        let (one, other) = (&sent[1].body["state"], &sent[2].body["state"]);
        assert_eq!(one[field], other[field], "both were made from one state");
    }
    let mut state = shared(&gateway, session).await;
    let clusters = state["clusters"].as_array_mut().unwrap();
    clusters.sort_by_key(|cluster| cluster["cluster_id"].to_string());
    let expected = [
        cluster("a", 1, None),
        cluster("b", 1, Some("Bob")),
        cluster("shared", 5, Some("Ada")),
    ];
    assert_eq!(*clusters, expected);
    assert_eq!(state["bindings"], json!({"a": "Alice", "b": "Bob"}));
    assert_eq!(gateway.events(session, "mixed").await.len(), 3);
}

#[tokio::test]
async fn fault_28_an_answer_that_names_no_change_changes_no_cluster_binding_roster_or_config() {
    let asr = Asr::start().await;
    let inference = Inference::start(as_told).await;
    let gateway = gateway(&asr, &inference).await;
    let session = "resolve-no-change";
    let config = json!({"interviewer_name": "Ada", "teams_participants": ["Ada", {"name": "Bob", "email": "b@x"}]});
    gateway.configure(session, &config).await;
    let known = json!({"updated_state": {
        "clusters": [cluster("c1", 2, Some("Ada"))], "bindings": {"c1": "Ada", "c2": "Bob"},
    }});
    let answer = resolve(&gateway, session, &known.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let before = shared(&gateway, session).await;
    assert_eq!(before["clusters"], json!([cluster("c1", 2, Some("Ada"))]));
    assert_eq!(before["roster"].as_array().map(Vec::len), Some(2));

    let state = |state: Value| json!({"cluster_id": "c1", "updated_state": state});
    let answers = [
        json!({}),
        json!({"cluster_id": "c1", "decision": "auto", "speaker_name": "Eve"}),
        state(Value::Null),
        state(json!([])),
        state(json!("clusters")),
        state(json!(7)),
        state(json!({})),
        state(json!({"roster": null})),
        state(json!({"clusters": null, "bindings": null, "roster": null, "config": null})),
        state(json!({"clusters": [], "bindings": {}, "roster": [], "config": {}})),
        state(json!({"clusters": {}, "bindings": [], "roster": "Eve", "config": []})),
        state(json!({"bindings": {}, "config": {"interviewer_name": null}})),
        state(json!({"roster": [null, 5, {}, {"name": " "}], "config": {"interviewer_name": 7}})),
        state(json!({
            "clusters": [null, 5, {}, {"cluster_id": "c1"}, {"cluster_id": "c1", "sample_count": 9},
                {"cluster_id": "c1", "centroid": null, "sample_count": 9, "bound_name": "Eve"}],
            "bindings": {"c1": null, "c2": 5, "": "Eve"},
        })),
    ];
    for (index, answer) in answers.iter().enumerate() {
        let answered = resolve(&gateway, session, &answer.to_string()).await;
        assert_eq!(answered.status, 200, "{answer}: {answered:?}");
        assert_eq!(shared(&gateway, session).await, before, "{answer}");
        let events = gateway.events(session, "mixed").await;
        assert_eq!(events.len(), index + 2, "an event for each: {answer}");
    }
}

#[tokio::test]
async fn fault_28_of_three_requests_with_one_key_one_asks_and_two_are_replays() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(|request| {
        Reply::ok(json!({"decision": "auto", "evidence": {"said": request["asr_text"]}}))
    })
    .await;
    let mut gateway = gateway(&asr, &inference).await;
    let session = "resolve-keys";
    let three = ["one", "two", "three"];
    let same =
        join_all(three.map(|text| resolve_with_key(&gateway, session, "mixed", "the-key", text)));
    let another_role = async {
        asked(&inference, 1).await;
        join(
            resolve_with_key(&gateway, session, "teacher", "the-key", "four"),
            async {
                asked(&inference, 2).await;
                inference.let_go(1000);
            },
        )
        .await
        .0
    };
    let (same, another_role) = join(same, another_role).await;

    let said: Vec<_> = inference
        .asked()
        .iter()
        .map(|asked| asked.body["asr_text"].clone())
        .collect();
    assert_eq!(said.len(), 2, "one call for each role: {said:?}");
    let body = same[0].clone().ok();
    assert_eq!(body["evidence"]["said"], said[0]);
    assert!(same.iter().all(|answer| answer.clone().ok() == body));
    assert_eq!(same.iter().filter(|answer| is_replay(answer)).count(), 2);
    assert!(!is_replay(&another_role), "{another_role:?}");
    assert_eq!(another_role.ok()["evidence"]["said"], "four");
    assert_eq!(gateway.events(session, "mixed").await.len(), 1);
    assert_eq!(gateway.events(session, "teacher").await.len(), 1);

    let another_key = resolve_with_key(&gateway, session, "mixed", "other", "five").await;
    assert!(!is_replay(&another_key), "{another_key:?}");
    assert_eq!(another_key.ok()["evidence"]["said"], "five");
    assert_eq!(inference.asked().len(), 3);

    gateway.kill().await;
    gateway.restart().await;
    let later = resolve_with_key(&gateway, session, "mixed", " the-key ", "six").await;
    assert!(is_replay(&later), "{later:?}");
    assert_eq!(later.ok(), body, "it is kept over a restart");
    assert_eq!(inference.asked().len(), 3, "nobody was asked");
}

#[tokio::test]
async fn fault_28_a_failure_is_not_kept_and_the_next_request_with_the_key_asks() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(|request| match request["asr_text"].as_str() {
        Some("fail") => Reply::status(500, json!("overloaded")),
        _ => Reply::ok(json!({"decision": "auto"})),
    })
    .await;
    let gateway = gateway(&asr, &inference).await;
    let session = "resolve-failure-with-key";
    let ask = |text| resolve_with_key(&gateway, session, "mixed", "k", text);
    // The one that fails is the first; the others wait for it, and then one of them asks.
    let others = async {
        asked(&inference, 1).await;
        join(join_all(["two", "three"].map(ask)), async {
            inference.let_go(1000);
        })
        .await
        .0
    };
    let (failed, others) = join(ask("fail"), others).await;
    assert_eq!(failed.status, 502, "{failed:?}");
    assert!(!is_replay(&failed));
    assert!(others.iter().all(|answer| answer.status == 200));
    assert_eq!(others.iter().filter(|answer| is_replay(answer)).count(), 1);
    assert_eq!(inference.asked().len(), 2);
    assert_eq!(gateway.events(session, "mixed").await.len(), 1);
    let again = ask("fail").await;
    assert!(is_replay(&again), "the answer is kept now: {again:?}");
}

#[tokio::test]
async fn a_failed_resolve_says_why_and_changes_nothing() {
    let asr = Asr::start().await;
    let inference = Inference::start(|request| match request["asr_text"].as_str() {
        Some("status") => Reply::status(503, json!("overloaded")),
        Some("text") => Reply::text(200, "<html>"),
        Some("array") => Reply::ok(json!([{"updated_state": {}}])),
        Some("long") => Reply::text(200, format!("{{}}{}", " ".repeat(2 << 20))),
        _ => Reply::text(204, ""),
    })
    .await;
    let gateway = gateway(&asr, &inference).await;
    let session = "resolve-fails";
    let config = json!({"interviewer_name": "Ada", "teams_participants": ["Ada"]});
    gateway.configure(session, &config).await;
    let before = gateway.state(session).await;
    for (text, why) in [
        ("status", "status=503"),
        ("text", "non-JSON"),
        ("array", "not an object"),
        ("long", "more than 1048576 bytes"),
        ("empty", "non-JSON"),
    ] {
        let answer = resolve(&gateway, session, text).await;
        assert_eq!(answer.status, 502, "{text}: {answer:?}");
        let detail = answer.detail();
        assert!(
            detail.starts_with("inference request failed: ") && detail.contains(why),
            "{text}: {detail}"
        );
        assert_eq!(gateway.state(session).await, before, "{text}");
        assert_eq!(gateway.events(session, "mixed").await, Vec::<Value>::new());
    }
    // Nor does it begin a session.
    let never = resolve(&gateway, "resolve-fails-and-never-seen", "status").await;
    assert_eq!(never.status, 502, "{never:?}");
    assert_eq!(kept::listed(&gateway).await, [session]);
}

#[tokio::test]
async fn a_service_that_does_not_answer_in_time_is_a_502_without_an_event() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(as_told).await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", "300");
    let gateway = Gateway::start(settings).await;
    let session = "resolve-times-out";
    gateway
        .configure(session, &json!({"interviewer_name": "Ada"}))
        .await;
    let before = gateway.state(session).await;
    let answer = resolve(&gateway, session, "{}").await;
    assert_eq!(answer.status, 502, "{answer:?}");
    let why = "inference request failed: inference backend did not answer within 300 ms";
    assert_eq!(answer.detail(), why);
    assert_eq!(gateway.state(session).await, before);
    assert_eq!(gateway.events(session, "mixed").await, Vec::<Value>::new());

    // One that is not there.
    drop(inference);
    let answer = resolve(&gateway, session, "{}").await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.detail().starts_with("inference request failed: "));
    assert_eq!(gateway.state(session).await, before);
}

#[tokio::test]
async fn without_a_service_resolve_says_what_to_set() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let answer = resolve(&gateway, "resolve-nobody", "hello").await;
    assert_eq!(answer.status, 502, "{answer:?}");
    let detail = answer.detail();
    assert!(
        detail.starts_with("inference request failed: ") && detail.contains("INFERENCE_BASE_URL"),
        "{detail}"
    );
    let bad = gateway
        .post(&path("resolve-nobody", "mixed"), &json!({"asr_text": "x"}))
        .await;
    assert_eq!(bad.status, 400, "what is wrong with the body comes first");
    assert_eq!(kept::listed(&gateway).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_for_a_session_that_was_deleted_meanwhile_brings_nothing_back() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(as_told).await;
    let gateway = gateway(&asr, &inference).await;
    let updated = json!({"cluster_id": "c1", "updated_state": {
        "clusters": [cluster("c1", 1, Some("Bob"))], "bindings": {"c1": "Bob"},
        "roster": [{"name": "Bob"}], "config": {"interviewer_name": "Bob"},
    }});
    let answers = [
        ("updated", updated),
        ("no-state", json!({"cluster_id": "c1", "decision": "auto"})),
        ("empty-state", json!({"updated_state": {}})),
    ];
    for (round, (name, answer)) in answers.iter().enumerate() {
        for with_key in [false, true] {
            let session = format!("resolve-deleted-{name}-{with_key}");
            gateway
                .configure(&session, &json!({"interviewer_name": "Ada"}))
                .await;
            let text = answer.to_string();
            let resolving = async {
                match with_key {
                    true => resolve_with_key(&gateway, &session, "mixed", "k", &text).await,
                    false => resolve(&gateway, &session, &text).await,
                }
            };
            let meanwhile = async {
                asked(&inference, 2 * round + usize::from(with_key) + 1).await;
                let deleted = gateway.delete(&format!("/v1/sessions/{session}")).await;
                assert_eq!(deleted.status, 200, "{deleted:?}");
                inference.let_go(1);
            };
            let (answer, ()) = join(resolving, meanwhile).await;
            assert!(answer.status == 200 || answer.status == 404, "{answer:?}");
            kept::stays_gone(&gateway, &session).await;
        }
    }
}

#[tokio::test]
async fn fault_16_a_look_up_and_a_resolve_of_one_session_keep_each_other_s_clusters() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(|request| {
        let is_ours = request["asr_text"] == "ours";
        let id = if is_ours { "resolved" } else { "looked-up" };
        let updated = json!({"clusters": [cluster(id, 1, Some(id))], "bindings": {id: id}});
        Reply::ok(json!({"cluster_id": id, "decision": "auto", "updated_state": updated}))
    })
    .await;
    let gateway = gateway(&asr, &inference).await;
    let session = "resolve-and-look-up";
    let mut students = gateway.open(session, "students").await;
    for seq in 1..=3 {
        students.store(seq, &mark::second(3, seq)).await;
    }
    students.close().await;
    let resolving = async {
        asked(&inference, 1).await;
        join(resolve(&gateway, session, "ours"), async {
            asked(&inference, 2).await;
            inference.let_go(2);
        })
        .await
        .0
    };
    let (_, answer) = join(gateway.finalize(session), resolving).await;
    assert_eq!(answer.ok()["speaker_name"], "resolved");
    let state = shared(&gateway, session).await;
    let both = json!({"resolved": "resolved", "looked-up": "looked-up"});
    assert_eq!(state["bindings"], both, "{state:#}");
    assert_eq!(state["clusters"].as_array().map(Vec::len), Some(2));
}
