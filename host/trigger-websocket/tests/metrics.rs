//! The host's figures, with a component that does what it is told (`tests/echo-guest`).

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use harness::{Host, WAIT, Ws};
use tokio_tungstenite::tungstenite::Message;

/// From one look at the figures to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

async fn ask(ws: &mut Ws, command: &str) -> String {
    ws.send(Message::text(command)).await.unwrap();
    let answer = tokio::time::timeout(WAIT, ws.next()).await.unwrap();
    answer.unwrap().unwrap().to_text().unwrap().to_owned()
}

fn scrape(host: &Host) -> String {
    let answer = host.request("GET", "/metrics", "", b"");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    text.to_owned()
}

/// The value of a series; none if there is no such line.
fn value(text: &str, series: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value)
}

/// The figures, once they are these. A frame that was answered is counted a moment later: what the app sends
/// goes out while its call still runs, and a call is counted when it is over.
#[track_caller]
fn shows(host: &Host, series: &[(&str, f64)]) -> String {
    let deadline = Instant::now() + WAIT / 2;
    loop {
        let text = scrape(host);
        let differs = |(name, expected): &&(&str, f64)| value(&text, name) != Some(*expected);
        let wrong: Vec<_> = series.iter().filter(differs).collect();
        if wrong.is_empty() {
            return text;
        }
        // Before the host gives up a socket that is not read here.
        assert!(Instant::now() < deadline, "not {wrong:?}: {text}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[tokio::test]
async fn what_the_app_counts_is_shown_and_what_it_gets_wrong_costs_it_nothing() {
    let host = Host::start(&[]);
    let mut one = host.connect("/ws/lane-one").await;
    let mut other = host.connect("/ws/lane-other").await;
    for command in ["count apples red", "count apples red", "count apples green"] {
        assert_eq!(ask(&mut one, command).await, "counted");
    }
    assert_eq!(ask(&mut one, "observe ride_seconds").await, "observed");
    assert_eq!(ask(&mut one, "level backlog 3").await, "levelled");
    assert_eq!(ask(&mut other, "level backlog 4").await, "levelled");
    for wrong in [
        "count Apples red",
        "count apples_total red",
        "observe apples",
    ] {
        assert_eq!(
            ask(&mut one, wrong).await.len(),
            "counted".len() + usize::from(wrong.starts_with('o'))
        );
    }
    assert_eq!(ask(&mut one, "level backlog nothing").await, "levelled");
    shows(
        &host,
        &[
            ("gateway_apples_total{kind=\"red\"}", 4.0),
            ("gateway_apples_total{kind=\"green\"}", 2.0),
            ("gateway_ride_seconds_sum{}", 1.5),
            ("gateway_ride_seconds_bucket{le=\"1.0\"}", 0.0),
            ("gateway_ride_seconds_bucket{le=\"2.0\"}", 1.0),
            ("gateway_backlog", 7.0),
            ("gateway_backlog_max", 4.0),
            ("host_app_figures_dropped_total{reason=\"invalid\"}", 4.0),
        ],
    );
    assert_eq!(ask(&mut other, "level backlog 0").await, "levelled");
    let text = shows(
        &host,
        &[("gateway_backlog", 3.0), ("gateway_backlog_max", 3.0)],
    );
    assert!(!text.contains("lane-"), "{text}");
    host.stop();
}

#[tokio::test]
async fn calls_faults_sockets_stores_and_requests_are_counted() {
    let host = Host::start(&["--call-timeout", "1"]);
    let mut ws = host.connect("/ws/counted").await;
    // Else the first command may come with the socket's beginning, in one call.
    let handled = "host_component_call_seconds_count{component=\"echo\",export=\"handle\"}";
    shows(&host, &[(handled, 1.0)]);
    for number in 1..=3 {
        let increment = format!("Ok({number})");
        assert_eq!(ask(&mut ws, "increment n").await, increment);
    }
    let text = shows(
        &host,
        &[
            // The socket's beginning, and three commands.
            (handled, 4.0),
            (
                "host_component_call_seconds_count{component=\"echo\",export=\"admit\"}",
                1.0,
            ),
            (
                "host_http_request_seconds_count{component=\"echo\",status=\"1xx\"}",
                1.0,
            ),
            (
                "host_component_failures_total{component=\"echo\",kind=\"trap\"}",
                0.0,
            ),
            (
                "host_store_seconds_count{store=\"key-value:default\",operation=\"increment\"}",
                3.0,
            ),
            ("host_instances_in_use{component=\"echo\"}", 0.0),
            ("host_sockets{side=\"in\"}", 1.0),
            ("host_sockets{side=\"out\"}", 0.0),
            ("host_frames_received_total", 3.0),
            ("host_frames_sent_total", 3.0),
            ("host_batches_total", 4.0),
            ("host_batch_retries_total", 0.0),
            ("host_lane_wait_seconds_count", 4.0),
            // The WebSocket's, and this request's own.
            ("host_connections", 2.0),
            ("host_connections_refused_total", 0.0),
        ],
    );
    assert!(value(&text, "host_instances_made_total{component=\"echo\"}").unwrap() >= 1.0);

    // A batch that traps is handled twice.
    ws.send(Message::text("trap")).await.unwrap();
    while ws.next().await.is_some_and(|message| message.is_ok()) {}
    for path in ["/hello", "/trap", "/spin"] {
        host.request("GET", path, "", b"");
    }
    shows(
        &host,
        &[
            (
                "host_component_failures_total{component=\"echo\",kind=\"trap\"}",
                3.0,
            ),
            (
                "host_component_failures_total{component=\"echo\",kind=\"timeout\"}",
                1.0,
            ),
            ("host_batch_retries_total", 1.0),
            ("host_batches_failed_total", 1.0),
            (
                "host_http_request_seconds_count{component=\"echo\",status=\"2xx\"}",
                1.0,
            ),
            (
                "host_http_request_seconds_count{component=\"echo\",status=\"5xx\"}",
                2.0,
            ),
            (
                "host_component_call_seconds_count{component=\"echo\",export=\"http\"}",
                3.0,
            ),
        ],
    );
    host.stop();
}

#[test]
fn only_the_one_path_is_taken_from_the_app_and_only_reading() {
    let host = Host::start(&[]);
    scrape(&host);
    let query = host.request("GET", "/metrics?x=1", "", b"");
    assert!(
        query.contains(" 200 ") && query.contains("# EOF"),
        "{query}"
    );
    let head = host.request("HEAD", "/metrics", "", b"");
    assert!(
        head.contains(" 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for method in ["POST", "DELETE", "OPTIONS"] {
        let refused = host.request(method, "/metrics", "", b"");
        assert!(refused.contains(" 405 "), "{method}: {refused}");
        assert!(
            refused
                .to_ascii_lowercase()
                .contains("\r\nallow: get, head\r\n"),
            "{refused}"
        );
        assert!(
            refused.ends_with(r#"{"detail":"method not allowed"}"#),
            "{refused}"
        );
    }
    // Of the app: it says the path back.
    for (path, said) in [
        ("/metrics/", "metrics "),
        ("/metrics/x", "metrics x"),
        ("/Metrics", "Metrics"),
    ] {
        let answer = host.request("GET", path, "", b"");
        assert!(
            answer.ends_with(&format!("\r\n\r\n{said}")),
            "{path}: {answer}"
        );
    }
    let upgrade = "connection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = host.request("GET", "/metrics", upgrade, b"");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    host.stop();
}

#[tokio::test]
async fn switched_off_the_path_is_the_apps_and_counting_goes_nowhere() {
    let host = Host::start(&["--metrics", "off"]);
    let mut ws = host.connect("/ws/off").await;
    assert_eq!(ask(&mut ws, "count apples red").await, "counted");
    assert!(
        host.request("GET", "/metrics", "", b"")
            .ends_with("\r\n\r\nmetrics")
    );
    host.stop();
}

#[test]
fn figures_can_have_a_port_of_their_own() {
    let host = Host::start(&["--metrics-listen", "127.0.0.1:0"]);
    assert!(
        host.request("GET", "/metrics", "", b"")
            .ends_with("\r\n\r\nmetrics")
    );
    let address = host.logged("figures for Prometheus: http://", "/metrics");
    let of_figures = |method, path| host.request_to(&address, method, path, "", b"");
    let answer = of_figures("GET", "/metrics");
    assert!(
        answer.contains(" 200 ") && answer.ends_with("# EOF\n"),
        "{answer}"
    );
    assert!(of_figures("POST", "/metrics").contains(" 405 "));
    let elsewhere = of_figures("GET", "/hello");
    assert!(elsewhere.contains(" 404 "), "{elsewhere}");
    host.stop();
}

#[test]
fn what_contradicts_itself_ends_the_start() {
    let output = Host::refused(&["--metrics", "off", "--metrics-listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("leave one of them out"), "{said}");
}
