//! `/metrics`: the text is what Prometheus reads, it says what happened, it names nobody, and nobody on
//! the network gets it unless it is said.

pub mod exposition;

use asr_simulator::mark;
use end_to_end::gateway::host;
use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, Gateway, Settings, build};
use exposition::Scrape;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MARK: u16 = 9;
const TEACHER: (&str, &str) = ("role", "teacher");
const SECOND: f64 = 32_000.0;

/// The status and the body of `GET /metrics`.
async fn get(gateway: &Gateway) -> (u16, String) {
    let port = gateway.address().port();
    in_time("the figures are answered", async {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = b"GET /metrics HTTP/1.0\r\nhost: x\r\n\r\n";
        tcp.write_all(request).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    })
    .await
}

pub async fn scrape(gateway: &Gateway) -> Scrape {
    let (status, text) = get(gateway).await;
    assert_eq!(status, 200, "{text}");
    Scrape::read(&text)
}

/// Waits until the figures are as expected.
pub async fn shows(gateway: &Gateway, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    eventually(what, async || {
        let scrape = scrape(gateway).await;
        if is_so(&scrape) {
            Ok(scrape)
        } else {
            Err(scrape)
        }
    })
    .await
}

#[tokio::test]
async fn figures_say_what_happened_and_name_nobody() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "metrics-of-nobody";
    let before = scrape(&gateway).await;
    assert_eq!(before.total("gateway_chunks_total"), 0.0);

    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(MARK, 1..=12).await;
    stream.send_chunk(12, &mark::second(MARK, 12)).await;
    assert_eq!(stream.answer().await["status"], "duplicate");
    stream.send_chunk(1_000_000, &mark::second(MARK, 13)).await;
    assert_eq!(stream.answer().await["type"], "error");
    let now = scrape(&gateway).await;
    for (status, count) in [("stored", 12.0), ("duplicate", 1.0), ("refused", 1.0)] {
        let labels = [TEACHER, ("status", status)];
        assert_eq!(
            now.value("gateway_chunks_total", &labels),
            count,
            "{status}"
        );
    }
    assert_eq!(
        now.value("gateway_chunk_bytes_total", &[TEACHER]),
        12.0 * SECOND
    );
    assert_eq!(now.value("host_sockets", &[("side", "in")]), 1.0);
    assert_eq!(now.value("host_frames_received_total", &[]).min(14.0), 14.0);
    let put = [("store", "blobs"), ("operation", "put")];
    assert_eq!(now.value("host_store_seconds_count", &put), 12.0);

    gateway.transcribed(session, "teacher", MARK, 12).await;
    let ended = shows(&gateway, "nothing is behind", |now| {
        now.value("gateway_lag_seconds", &[TEACHER]) == 0.0
            && now.total("gateway_asr_streams") == 0.0
    })
    .await;
    let utterances = gateway.utterances(session, "teacher", "raw").await;
    let count = utterances.len() as f64;
    assert_eq!(ended.value("gateway_utterances_total", &[TEACHER]), count);
    let latencies = utterances
        .iter()
        .filter(|utterance| utterance["latency_ms"].is_number())
        .count() as f64;
    let told = ended.value("gateway_utterance_latency_seconds_count", &[TEACHER]);
    assert_eq!(told, latencies);
    assert!(latencies > 0.0, "{utterances:#?}");
    assert!(ended.value("gateway_asr_connections_total", &[TEACHER]) >= 1.0);
    assert_eq!(ended.total("gateway_asr_failures_total"), 0.0);
    assert_eq!(ended.total("host_app_figures_dropped_total"), 0.0);
    assert_eq!(ended.total("host_component_failures_total"), 0.0);
    assert_eq!(ended.total("host_store_errors_total"), 0.0);

    // The host takes 16 MiB, the app 1 MiB.
    let large = json!({ "interviewer": "x".repeat(1 << 20) });
    let config = format!("/v1/sessions/{session}/config");
    assert_eq!(gateway.post(&config, &large).await.status, 413);
    shows(&gateway, "a body over the app's limit", |now| {
        now.value("gateway_limit_hits_total", &[("limit", "body-bytes")]) == 1.0
    })
    .await;

    stream.close().await;
    shows(&gateway, "the socket is gone", |now| {
        now.value("host_sockets", &[("side", "in")]) == 0.0
    })
    .await;
    let (_, text) = get(&gateway).await;
    let said = utterances[0]["text"].as_str().unwrap();
    for secret in [session, "metrics-of", "a-key", said] {
        assert!(!text.contains(secret), "{secret:?} is in {text}");
    }
}

#[tokio::test]
async fn more_sessions_make_no_more_series() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let mut sizes = Vec::new();
    for number in 0..3 {
        let session = format!("one-of-many-{number}");
        let mut stream = gateway.open(&session, "teacher").await;
        stream.store_marked(MARK, 1..=4).await;
        stream.close().await;
        gateway.transcribed(&session, "teacher", MARK, 4).await;
        gateway.state(&session).await;
        sizes.push(scrape(&gateway).await.len());
    }
    assert_eq!(sizes[1], sizes[2], "{sizes:?}");
}

#[tokio::test]
async fn a_service_that_is_away_shows_by_reason_lag_and_state_until_it_is_back() {
    let mut asr = Asr::down();
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let mut one = gateway.open("away-one", "teacher").await;
    let mut other = gateway.open("away-other", "teacher").await;
    let mut deleted = gateway.open("away-deleted", "teacher").await;
    one.store_marked(MARK, 1..=5).await;
    other.store_marked(MARK, 1..=3).await;
    deleted.store_marked(MARK, 1..=7).await;
    let unreachable = [TEACHER, ("reason", "unreachable")];
    let behind = |sum: f64, greatest: f64| {
        move |now: &Scrape| {
            now.value("gateway_lag_seconds", &[TEACHER]) == sum
                && now.value("gateway_lag_seconds_max", &[TEACHER]) == greatest
                && now.value("gateway_backlog_seconds", &[TEACHER]) == sum
                && now.value("gateway_backlog_seconds_max", &[TEACHER]) == greatest
        }
    };
    shows(&gateway, "three streams are behind", behind(15.0, 7.0)).await;
    shows(&gateway, "each has failed", |now| {
        now.value("gateway_asr_failures_total", &unreachable) >= 3.0
            && now.total("gateway_asr_streams") == 3.0
    })
    .await;
    let errors = [TEACHER, ("state", "error")];
    shows(&gateway, "each shows an error", |now| {
        now.value("gateway_asr_streams", &errors) == 3.0
    })
    .await;

    deleted.close().await;
    let path = "/v1/sessions/away-deleted?force=true";
    assert_eq!(gateway.delete(path).await.ok()["deleted"], json!(true));
    shows(&gateway, "the deleted one is not behind", behind(8.0, 5.0)).await;

    asr.up().await;
    gateway.transcribed("away-one", "teacher", MARK, 5).await;
    gateway.transcribed("away-other", "teacher", MARK, 3).await;
    let ended = shows(&gateway, "nothing is behind", behind(0.0, 0.0)).await;
    assert_eq!(ended.value("gateway_asr_streams", &errors), 0.0);
    let failures = ended.total("gateway_asr_failures_total");
    assert_eq!(
        failures,
        ended.value("gateway_asr_failures_total", &unreachable)
    );
    let begun = ended.value("gateway_asr_connections_total", &[TEACHER]);
    assert!(begun > failures, "{begun} connections, {failures} failures");
}

/// `up`, listening on all addresses.
async fn exposed(more: &'static [&'static str]) -> Gateway {
    Gateway::start_by(move |state| {
        let mut command = host();
        command.arg("up").arg("--from").arg(build::manifest());
        command.args(["--listen", "0.0.0.0:0", "--insecure", "--state-dir"]);
        command.arg(state).args(["--asr", "simulator"]).args(more);
        command
    })
    .await
}

#[tokio::test]
async fn on_all_addresses_nobody_gets_figures_unless_it_is_said() {
    let gateway = exposed(&[]).await;
    let (status, body) = get(&gateway).await;
    assert_eq!(
        (status, body.as_str()),
        (404, r#"{"detail":"route not found"}"#)
    );
    let gateway = exposed(&["--metrics", "on"]).await;
    assert!(scrape(&gateway).await.families().contains("host_lanes"));
}

/// What the table in docs/metrics.md says there is, is there, and the other way round.
#[tokio::test]
async fn the_documentation_names_every_figure() {
    let documented = include_str!("../../../docs/metrics.md");
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let session = "documented";
    let mut stream = gateway.open(session, "teacher").await;
    stream.store_marked(MARK, 1..=4).await;
    gateway.transcribed(session, "teacher", MARK, 4).await;
    stream.close().await;
    let scrape = scrape(&gateway).await;
    for family in scrape.families() {
        let is_named = ["", "_total", "_info"]
            .iter()
            .any(|suffix| documented.contains(&format!("`{family}{suffix}`")));
        // The greatest number of streams in one stream is said to be worth no look.
        assert!(is_named || family == "gateway_asr_streams_max", "{family}");
    }
    let names = documented
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2));
    // What nobody has failed at has no series yet.
    let rare = ["failures", "errors", "dropped", "pauses", "gateway_limit"];
    for name in names.filter(|name| name.starts_with(['g', 'h', 'p']) && !name.starts_with("put")) {
        let family = name.trim_end_matches("_total").trim_end_matches("_info");
        let is_there = scrape.families().contains(family);
        assert!(
            is_there || rare.iter().any(|word| name.contains(word)),
            "{name}"
        );
    }
}
