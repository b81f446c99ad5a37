//! The list of sessions, their phases, and reading them, which changes nothing (faults.md 18, 33).

use std::collections::BTreeSet;

use end_to_end::http::request;
use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, Gateway, Inference, Reply, Settings};
use futures::future::join;
use serde_json::{Value, json};

use super::kept;

const MARK: u16 = 4;

async fn create(gateway: &Gateway, path_id: &str) {
    let config = json!({"interviewer_name": "Ada"});
    gateway.configure(path_id, &config).await;
}

async fn page(gateway: &Gateway, query: &str) -> Value {
    gateway.get(&format!("/v1/sessions{query}")).await.ok()
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    assert_eq!(page["count"], items.len(), "{page:#}");
    let id = |item: &Value| item["session_id"].as_str().unwrap().to_owned();
    items.iter().map(id).collect()
}

/// The phase in `state`, which the list shows too.
async fn phase(gateway: &Gateway, session: &str) -> String {
    let state = gateway.state(session).await;
    let listed = kept::sessions(gateway).await;
    let listed = listed.iter().find(|item| item["session_id"] == session);
    let phase = state["phase"].as_str().unwrap().to_owned();
    if let Some(listed) = listed {
        // It may have become another one in between.
        let later = gateway.state(session).await["phase"].clone();
        let shown = &listed["phase"];
        assert!(*shown == phase || *shown == later, "{phase}: {listed:#}");
    }
    phase
}

async fn becomes(gateway: &Gateway, session: &str, expected: &str) {
    eventually(&format!("{session} is {expected}"), async || {
        let phase = phase(gateway, session).await;
        (phase == expected).then_some(()).ok_or(phase)
    })
    .await;
}

#[tokio::test]
async fn the_list_is_the_newest_first_and_has_its_ids_as_they_were_given() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let empty = page(&gateway, "").await;
    assert_eq!(ids(&empty), Vec::<String>::new());
    assert_eq!(empty["cursor"], Value::Null, "{empty:#}");

    let given = [
        ("plain", "plain"),
        ("a%2Fb", "a/b"),
        ("a_b", "a_b"),
        ("%E4%BC%9A%E8%AE%AE%E4%B8%80", "会议一"),
        ("%F0%9F%98%80%20%22%5C%25", "😀 \"\\%"),
        ("%252e%252e", "%2e%2e"),
        ("created", "created"),
    ];
    for (path_id, _) in given {
        create(&gateway, path_id).await;
    }
    // What comes again keeps its place.
    create(&gateway, "plain").await;
    let newest_first: Vec<_> = given.iter().rev().map(|(_, id)| (*id).to_owned()).collect();
    assert_eq!(ids(&page(&gateway, "").await), newest_first);

    for (query, limit, shown) in [
        ("?limit=1", 1, 1),
        ("?limit=3", 3, 3),
        ("?limit=200", 200, 7),
        ("?limit=201", 200, 7),
        ("?limit=99999999999999", 200, 7),
        ("?limit=0", 50, 7),
        ("?limit=-1", 50, 7),
        ("?limit=x", 50, 7),
        ("?limit=%00", 50, 7),
    ] {
        let page = page(&gateway, query).await;
        assert_eq!(page["limit"], limit, "{query}");
        assert_eq!(ids(&page), newest_first[..shown], "{query}");
    }
    for bad in [
        "",
        "x",
        "-1",
        "1.5",
        "%00",
        "%ff",
        "null",
        "12345678901234567890",
        "1%201",
    ] {
        let answer = gateway.get(&format!("/v1/sessions?cursor={bad}")).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        let detail = "cursor must be one that this route gave";
        assert_eq!(answer.detail(), detail, "{bad}");
    }
    // One that no page gave, but could have.
    assert_eq!(
        ids(&page(&gateway, "?cursor=0").await),
        Vec::<String>::new()
    );
    let beyond = page(&gateway, "?cursor=9999999999999999999").await;
    assert_eq!(ids(&beyond), newest_first);
}

#[tokio::test]
async fn pages_have_no_hole_and_no_double_while_sessions_come_and_go() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let old: Vec<_> = (0..23).map(|n| format!("old-{n:02}")).collect();
    for id in &old {
        create(&gateway, id).await;
    }
    let gone = ["old-04", "old-11", "old-20"];

    let mut seen = Vec::new();
    let mut path = "/v1/sessions?limit=4".to_owned();
    let mut pages = 0;
    loop {
        let (at_a_time, new) = (format!("new-{pages}-a"), format!("new-{pages}-b"));
        let (page, ()) = join(gateway.get(&path), create(&gateway, &at_a_time)).await;
        let page = page.ok();
        assert!(ids(&page).len() <= 4, "{page:#}");
        seen.extend(ids(&page));
        create(&gateway, &new).await;
        // One that was shown and two that were not yet.
        if pages == 0 {
            for id in gone {
                let deleted = gateway.delete(&format!("/v1/sessions/{id}")).await;
                assert_eq!(deleted.status, 200);
            }
        }
        let Some(cursor) = page["cursor"].as_str() else {
            break;
        };
        path = format!("/v1/sessions?limit=4&cursor={cursor}");
        pages += 1;
        assert!(pages < 50, "it ends: {seen:?}");
    }
    assert_eq!(
        seen.iter().collect::<BTreeSet<_>>().len(),
        seen.len(),
        "no double: {seen:?}"
    );
    let of_old: Vec<_> = seen.iter().filter(|id| id.starts_with("old")).collect();
    let expected: Vec<_> = old
        .iter()
        .rev()
        .filter(|id| *id == "old-20" || !gone.contains(&id.as_str()))
        .collect();
    assert_eq!(of_old, expected, "no hole");
    assert!(pages >= 5, "{pages}");
}

#[tokio::test]
async fn sessions_that_begin_at_the_same_time_are_each_listed_once() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    // Each by two routes and a stream at a time.
    let begin = |n: usize| {
        let gateway = &gateway;
        async move {
            let id = format!("at-once-{n}");
            let stream = async {
                let mut stream = gateway.open(&id, "mixed").await;
                stream.store_marked(MARK, 1..=1).await;
                stream.close().await;
            };
            let finalize = gateway.finalize(&id);
            join(
                join(create(gateway, &id), create(gateway, &id)),
                join(stream, finalize),
            )
            .await;
        }
    };
    futures::future::join_all((0..8).map(begin)).await;
    let mut listed = kept::listed(&gateway).await;
    listed.sort();
    let expected: Vec<_> = (0..8).map(|n| format!("at-once-{n}")).collect();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn a_session_is_idle_recording_finalizing_finalized_and_recording_again() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(|_| Reply::ok(json!({"decision": "auto"}))).await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", "50000")
        .set("FINALIZE_FLUSH_TIMEOUT_MS", "50000");
    let gateway = Gateway::start(settings).await;
    let session = "phases";
    assert_eq!(phase(&gateway, session).await, "idle");
    create(&gateway, session).await;
    assert_eq!(phase(&gateway, session).await, "idle");

    let mut students = gateway.open(session, "students").await;
    students.store_marked(MARK, 1..=3).await;
    assert_eq!(phase(&gateway, session).await, "recording");
    students.close().await;
    becomes(&gateway, session, "idle").await;

    // It waits for the look-up, which hangs.
    let watching = async {
        becomes(&gateway, session, "finalizing").await;
        let early = gateway.get(&format!("/v1/sessions/{session}/result")).await;
        assert_eq!(early.status, 404, "{early:?}");
        inference.let_go(1000);
    };
    let (finalized, ()) = join(gateway.finalize(session), watching).await;
    assert_eq!(phase(&gateway, session).await, "finalized");
    assert_eq!(finalized["event_count"], 1, "{finalized:#}");
    let listed = kept::sessions(&gateway).await;
    assert_eq!(listed[0]["finalized_at"], finalized["finalized_at"]);

    let mut students = gateway.open(session, "students").await;
    let pong = students.ask(&json!({"type": "ping"})).await;
    assert_eq!(pong["type"], "pong");
    assert_eq!(phase(&gateway, session).await, "finalized", "no chunk came");
    students.store_marked(MARK, 4..=4).await;
    assert_eq!(phase(&gateway, session).await, "recording");
    students.close().await;
    becomes(&gateway, session, "idle").await;
    gateway.finalize(session).await;
    assert_eq!(phase(&gateway, session).await, "finalized");
}

#[tokio::test]
async fn finalize_while_the_asr_service_is_away_is_finalizing_until_its_time_is_over() {
    let asr = Asr::down();
    let settings = Settings::with_asr(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "4000");
    let gateway = Gateway::start(settings).await;
    let session = "phases-away";
    let mut mixed = gateway.open(session, "mixed").await;
    mixed.store_marked(MARK, 1..=2).await;
    let watching = becomes(&gateway, session, "finalizing");
    let (finalized, ()) = join(gateway.finalize(session), watching).await;
    assert!(finalized["finalized_at"].is_string());
    // Its client is connected all the time, which does not make it another phase.
    assert_eq!(phase(&gateway, session).await, "finalized");
    mixed.store_marked(MARK, 3..=3).await;
    assert_eq!(phase(&gateway, session).await, "recording");
    mixed.close().await;
}

#[tokio::test]
async fn a_kill_keeps_result_list_and_phase_and_a_client_that_is_gone_records_nothing() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let (done, cut) = ("killed-finalized", "killed-recording");
    let mut stream = gateway.open(done, "teacher").await;
    stream.store_marked(MARK, 1..=3).await;
    stream.close().await;
    gateway.finalize(done).await;
    let result = gateway.get(&format!("/v1/sessions/{done}/result")).await;
    let mut stream = gateway.open(cut, "mixed").await;
    stream.store_marked(MARK, 1..=2).await;
    assert_eq!(phase(&gateway, cut).await, "recording");
    let before = kept::sessions(&gateway).await;

    gateway.kill().await;
    gateway.restart().await;

    let again = gateway.get(&format!("/v1/sessions/{done}/result")).await;
    assert_eq!(again.ok(), result.ok());
    assert_eq!(phase(&gateway, done).await, "finalized");
    // Its socket's name must not be that of somebody who comes now.
    let other = gateway.open("killed-other", "mixed").await;
    let another = gateway.open("killed-other", "teacher").await;
    assert_eq!(phase(&gateway, cut).await, "idle");
    let mut after = kept::sessions(&gateway).await;
    after.retain(|item| item["session_id"] != "killed-other");
    let mut expected = before;
    expected[0]["phase"] = json!("idle");
    // What was not transcribed may be, meanwhile.
    after[0]["utterance_count_by_stream"] = expected[0]["utterance_count_by_stream"].clone();
    assert_eq!(after, expected);
    let deleted = gateway.delete(&format!("/v1/sessions/{cut}")).await;
    assert_eq!(deleted.status, 200, "nobody is connected: {deleted:?}");
    other.close().await;
    another.close().await;
}

#[tokio::test]
async fn fault_18_reading_sessions_that_do_not_exist_creates_nothing() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    create(&gateway, "exists").await;
    let before = kept::entries(&gateway, "");
    let session = "/v1/sessions/never-seen";
    for method in ["GET", "HEAD"] {
        for (path, status) in [
            ("/state", 200),
            ("/utterances", 200),
            ("/utterances?view=merged&stream_role=teacher", 200),
            ("/events", 200),
            ("/events?stream_role=students", 200),
            ("/result", 404),
            ("/live", 426),
            ("/config", 405),
        ] {
            let path = format!("{session}{path}");
            let answer = gateway.send(request(method, &path, None)).await;
            assert_eq!(answer.status, status, "{method} {path}");
        }
    }
    assert_eq!(gateway.get("/v1/audio/ws/never-seen").await.status, 426);
    assert_eq!(gateway.delete(session).await.status, 200);
    for action in ["asr-reset", "asr-run", "asr-run?flush=true"] {
        let path = format!("{session}/{action}");
        assert_eq!(
            gateway.post(&path, &json!({})).await.status,
            200,
            "{action}"
        );
    }
    for path in ["config", "finalize", "resolve"] {
        let bad = gateway
            .post(&format!("{session}/{path}"), &Value::Null)
            .await;
        assert_eq!(bad.status, 400, "{path}: {bad:?}");
    }
    assert_eq!(kept::listed(&gateway).await, ["exists"]);
    assert_eq!(kept::entries(&gateway, ""), before);
}

#[tokio::test]
async fn fault_33_reads_change_nothing_updated_at_included() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "only-reads";
    create(&gateway, session).await;
    let mut teacher = gateway.open(session, "teacher").await;
    let capture = json!({"type": "capture_status", "payload": {"capture_state": "running"}});
    teacher.ask(&capture).await;
    teacher.store_marked(MARK, 1..=4).await;
    teacher.close().await;
    gateway.finalize(session).await;
    eventually("the task is over", async || {
        let asr = gateway.asr_of(session, "teacher").await;
        let is_over = asr["asr_ws_state"] == "disconnected";
        is_over.then_some(()).ok_or(asr)
    })
    .await;

    let (state, listed) = (gateway.state(session).await, kept::sessions(&gateway).await);
    let stored = kept::entries(&gateway, "");
    for _ in 0..3 {
        for path in [
            "utterances?view=merged&stream_role=teacher",
            "events",
            "result",
            "utterances",
        ] {
            let path = format!("/v1/sessions/{session}/{path}");
            assert_eq!(gateway.get(&path).await.status, 200);
            gateway.send(request("HEAD", &path, None)).await;
        }
        assert_eq!(gateway.state(session).await, state);
        assert_eq!(kept::sessions(&gateway).await, listed);
    }
    assert_eq!(kept::entries(&gateway, ""), stored);
}

#[tokio::test]
async fn a_finalize_that_the_client_does_not_wait_for_ends_all_the_same() {
    let asr = Asr::start().await;
    let inference = Inference::start_closed(|_| Reply::ok(json!({"decision": "auto"}))).await;
    let settings = Settings::with_asr(&asr)
        .set("INFERENCE_BASE_URL", &inference.url())
        .set("INFERENCE_TIMEOUT_MS", "50000");
    let gateway = Gateway::start(settings).await;
    let session = "hung-up-finalize";
    let mut students = gateway.open(session, "students").await;
    students.store_marked(MARK, 1..=3).await;
    students.close().await;
    {
        let finalizing = std::pin::pin!(gateway.finalize(session));
        let seen = std::pin::pin!(becomes(&gateway, session, "finalizing"));
        // The request is dropped, and with it its connection.
        in_time(
            "it is finalizing",
            futures::future::select(finalizing, seen),
        )
        .await;
    }
    inference.let_go(1000);
    eventually("it is not finalizing for ever", async || {
        let phase = phase(&gateway, session).await;
        (phase != "finalizing").then_some(()).ok_or(phase)
    })
    .await;
}
