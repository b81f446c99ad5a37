//! The host with a component that does what it is told (`tests/echo-guest`), faults included: what a
//! component can reach, what its faults cost, and what others notice of them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use futures::{SinkExt, StreamExt};
use harness::{Host, WAIT, Ws};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

async fn ask(ws: &mut Ws, command: &str) -> String {
    ws.send(Message::text(command)).await.unwrap();
    match next(ws).await {
        Message::Text(text) => text.to_string(),
        other => panic!("{command}: {other:?}"),
    }
}

async fn next(ws: &mut Ws) -> Message {
    tokio::time::timeout(WAIT, async {
        loop {
            match ws.next().await.expect("the socket ended").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    })
    .await
    .expect("nothing came in time")
}

async fn close_code(ws: &mut Ws) -> CloseCode {
    match next(ws).await {
        Message::Close(Some(frame)) => frame.code,
        other => panic!("not a close frame: {other:?}"),
    }
}

#[tokio::test]
async fn a_component_gets_what_its_manifest_grants_and_no_more() {
    let host = Host::start(&[]);
    let mut ws = host.connect("/ws/grants").await;
    assert_eq!(ask(&mut ws, "hello").await, "hello");
    ws.send(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(next(&mut ws).await, Message::binary(vec![0, 255]));

    assert_eq!(ask(&mut ws, "config greeting").await, "Ok(Some(\"hello\"))");
    assert_eq!(ask(&mut ws, "config secret").await, "Ok(None)");
    assert_eq!(
        ask(&mut ws, "environment").await,
        "[(\"COLOUR\", \"green\")]"
    );
    assert_eq!(ask(&mut ws, "store default").await, "Ok(())");
    assert_eq!(
        ask(&mut ws, "store other").await,
        "Err(Error::AccessDenied)"
    );
    assert!(ask(&mut ws, "files").await.starts_with("Err("));

    let denied = ask(&mut ws, "get http://127.0.0.1:1/").await;
    assert!(denied.contains("Denied"), "{denied}");
    let denied = ask(&mut ws, "open ws://127.0.0.1:1/").await;
    assert!(denied.contains("NotAllowed"), "{denied}");
    assert_eq!(ask(&mut ws, "open ws://127.0.0.1:2/").await, "Ok(())");

    assert_eq!(ask(&mut ws, "ask marco").await, "marco");
    assert_eq!(ask(&mut ws, "timer soon").await, "Ok(())");
    host.stop();
}

#[tokio::test]
async fn a_component_says_which_place_a_socket_takes_and_for_how_long_it_is_not_read() {
    let host = Host::start(&[]);
    let mut unknown = host.connect("/ws/lane?unknown").await;
    let mut counted = host.connect("/ws/other?counted").await;
    assert_eq!(ask(&mut counted, "hello").await, "hello");
    let full = "Err(Error::TooMany) Ok(())";
    assert_eq!(ask(&mut unknown, "settle").await, full);
    // It is not read again before it has a place.
    drop(unknown);
    let mut more = host.connect("/ws/lane?counted").await;
    assert_eq!(close_code(&mut more).await, CloseCode::Again);
    counted.close(None).await.unwrap();
    // The host has freed its place when it has told the lane.
    let settled = async {
        let mut lane = 0;
        loop {
            let mut unknown = host.connect(&format!("/ws/{lane}?unknown")).await;
            if ask(&mut unknown, "settle").await != full {
                break unknown;
            }
            lane += 1;
        }
    };
    let mut settled = tokio::time::timeout(WAIT, settled).await.unwrap();
    // Who has a place is read, and keeps it.
    assert_eq!(ask(&mut settled, "settle").await, "Ok(()) Ok(())");
    host.stop();
}

/// What a start that was refused said.
fn refusal(at_start: &str) -> String {
    let variable = format!("at_start={at_start}");
    let output = Host::refused(&["--call-timeout", "1", "--variable", &variable]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "it said that it listens");
    said
}

#[test]
fn a_setting_that_the_component_refuses_ends_the_start_and_is_named() {
    let said = refusal("nonsense");
    let message = "error: component 'echo' refuses to start:\n  \
                   AT_START is \"nonsense\": write nothing\n  and a second line\n";
    assert!(said.ends_with(message), "{said}");
}

#[test]
fn a_component_that_cannot_answer_at_the_start_is_named() {
    let said = refusal("trap");
    assert!(
        said.contains("error: component 'echo' cannot be asked whether the app can start"),
        "{said}"
    );
    let said = refusal("spin");
    assert!(said.contains("did not finish within 1 s"), "{said}");
}

#[test]
fn before_the_start_no_store_is_open() {
    let said = refusal("store");
    assert!(said.contains("Err(Error::AccessDenied)"), "{said}");
}

#[tokio::test]
async fn an_instance_is_used_again() {
    let host = Host::start(&[]);
    let mut ws = host.connect("/ws/reuse").await;
    let first: u32 = ask(&mut ws, "calls").await.parse().unwrap();
    let second: u32 = ask(&mut ws, "calls").await.parse().unwrap();
    assert!(second > first, "{first}, then {second}");
    host.stop();
}

#[tokio::test]
async fn an_instance_is_replaced_after_a_thousand_calls() {
    let host = Host::start(&[]);
    let mut ws = host.connect("/ws/recycle").await;
    let mut before = 0;
    for _ in 0..1_100 {
        let calls: u32 = ask(&mut ws, "calls").await.parse().unwrap();
        if calls < before {
            assert!((900..=1_000).contains(&before), "{before}");
            host.stop();
            return;
        }
        before = calls;
    }
    panic!("{before} calls, and it is still the same instance");
}

#[tokio::test]
async fn the_same_signal_later_ends_it_at_once() {
    let host = Host::start(&[]);
    // It never reads: the close frame is not answered, which takes longer than patience does.
    let _ws = host.connect("/ws/silent").await;
    assert_eq!(host.terminate().insist(), Some(1));
}

#[tokio::test]
async fn a_fault_costs_its_own_sockets_only() {
    let host = Host::start(&["--call-timeout", "1"]);
    let mut bystander = host.connect("/ws/bystander").await;
    for fault in ["trap", "eat", "fail", "spin"] {
        let mut ws = host.connect("/ws/faulty").await;
        ws.send(Message::text(fault)).await.unwrap();
        assert_eq!(
            ask(&mut bystander, "still here").await,
            "still here",
            "{fault}"
        );
        assert_eq!(close_code(&mut ws).await, CloseCode::Error, "{fault}");
        let mut again = host.connect("/ws/faulty").await;
        assert_eq!(ask(&mut again, "back").await, "back", "{fault}");
    }
    let log = host.stop();
    assert!(log.contains("more than 256 MiB of memory"), "{log}");
}

#[tokio::test]
async fn an_upgrade_is_decided_by_the_component() {
    let host = Host::start(&[]);
    let upgrade = "connection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let refused = host.request("GET", "/nowhere", upgrade, b"");
    assert!(refused.starts_with("HTTP/1.1 418 "), "{refused}");
    assert!(refused.ends_with("no lane"), "{refused}");
    let failed = host.request("GET", "/ws/x?trap", upgrade, b"");
    assert!(failed.starts_with("HTTP/1.1 500 "), "{failed}");
    assert!(
        failed.ends_with(r#"{"detail":"internal error"}"#),
        "{failed}"
    );
    let mut ws = host.connect("/ws/fine").await;
    assert_eq!(ask(&mut ws, "fine").await, "fine");
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_requests_are_answered_whatever_the_component_does() {
    let host = Host::start(&["--call-timeout", "1"]);
    let get = |path: &str| host.request("GET", path, "", b"");
    assert!(get("/hello").ends_with("\r\n\r\nhello"));
    assert!(get("/uri").contains("http://127.0.0.1:"));
    for fault in ["/trap", "/fail", "/eat", "/spin"] {
        let answer = get(fault);
        assert!(answer.contains(" 500 "), "{fault}: {answer}");
        assert!(answer.contains("cache-control: no-store"), "{answer}");
        assert!(get("/hello").ends_with("hello"), "after {fault}");
    }
    assert!(get("/trap").ends_with(r#"{"detail":"internal error"}"#));

    let body = vec![b'x'; 1 << 20];
    assert!(
        host.request("POST", "/length", "", &body)
            .ends_with("\r\n1048576")
    );
    let declared = host.request("POST", "/length", "content-length: 99999999\r\n", b"");
    assert!(declared.contains(" 413 "), "{declared}");
    assert!(
        declared.ends_with(r#"{"detail":"request body too large"}"#),
        "{declared}"
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_memory_of_all_instances_are_told_to_try_again() {
    // Requests have three quarters of what all may grow by: less than one of them may have.
    let host = Host::start(&["--limit-memory-mib", "64", "--limit-total-memory-mib", "64"]);
    let get = |path: &str| host.request("GET", path, "", b"");
    assert!(get("/hello").ends_with("\r\n\r\nhello"));
    let refused = get("/eat");
    assert!(refused.contains(" 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert!(refused.contains("take all memory"), "{refused}");
    // It is given back, and lanes have a quarter more.
    assert!(get("/hello").ends_with("\r\n\r\nhello"));
    let mut ws = host.connect("/ws/lane").await;
    assert_eq!(ask(&mut ws, "still here").await, "still here");
    let log = host.stop();
    assert!(log.contains("grown by more than 48 MiB"), "{log}");
}

#[tokio::test]
async fn what_is_stored_survives_and_the_end_is_orderly() {
    let host = Host::start(&[]);
    let mut ws = host.connect("/ws/store").await;
    assert_eq!(ask(&mut ws, "increment n").await, "Ok(1)");
    assert_eq!(ask(&mut ws, "increment n").await, "Ok(2)");
    let host = host.terminate();
    assert_eq!(close_code(&mut ws).await, CloseCode::Away);
    let host = host.restart();
    let mut ws = host.connect("/ws/store").await;
    assert_eq!(ask(&mut ws, "increment n").await, "Ok(3)");
    host.stop();
}

#[tokio::test]
async fn what_a_component_prints_is_in_the_log() {
    let host = Host::start(&[]);
    let mut ws = host.connect("/ws/print").await;
    assert_eq!(ask(&mut ws, "print a line of its own").await, "printed");
    let log = host.stop();
    assert!(log.contains("a line of its own"), "{log}");
}

#[tokio::test]
async fn lanes_that_the_component_names_at_the_start_are_told_once_and_a_failure_is_tried_again() {
    let host = Host::start(&["--variable", "errands=one broken two"]);
    host.logs("work of an earlier run goes on lanes=3");
    for lane in ["one", "broken", "two"] {
        host.logs(&format!("{lane}: resumed"));
    }
    host.logs("what is left to do cannot be found out, trying again: told to");
    let log = host.stop();
    assert_eq!(log.matches(": resumed").count(), 3, "{log}");
}
