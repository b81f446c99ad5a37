//! Fault 20 of the list, the key-value store: it is locked, damaged, restarted, stands still, is gone and
//! comes back. No ack before the record is stored, a clear error, and recovery by itself.

use std::process::Stdio;
use std::time::Duration;

use end_to_end::store::Kind;
use end_to_end::wait::{eventually, in_time};
use end_to_end::{
    Asr, Expect, Gateway, Inference, Pace, Received, Recorded, Recorder, Reply, Settings, audit,
    gateway,
};
use rusqlite::Connection;
use serde_json::json;

const TEACHER: u16 = 1;
const STUDENTS: u16 = 2;
/// What a client is told whose frames could not be handled.
const NOT_HANDLED: u16 = 1011;

async fn on_redis(asr: &Asr, timeout_ms: &str) -> Gateway {
    let settings = Settings::with_asr(asr).set("REDIS_TIMEOUT_MS", timeout_ms);
    Gateway::start_on_redis(settings).await
}

fn client(gateway: &Gateway, session: &str) -> Recorder {
    let stream = Recorded::new(session, "teacher", TEACHER);
    Recorder::start(gateway, stream, Pace::Times(8.0))
}

fn is_not_handled(end: &Received) -> bool {
    matches!(end, Received::Closed { code, .. } if *code == NOT_HANDLED)
}

async fn is_told(client: &Recorder) {
    eventually("the client is told to send again", async || {
        let ends = client.ends();
        if ends.iter().any(is_not_handled) {
            Ok(())
        } else {
            Err(ends)
        }
    })
    .await;
}

#[tokio::test]
async fn fault_20_a_redis_that_is_restarted_is_waited_for() {
    let asr = Asr::start().await;
    let gateway = on_redis(&asr, "20000").await;
    let mut client = client(&gateway, "redis-restarts");
    client.acked(5).await;
    for round in 0..4 {
        {
            let mut server = gateway.store().server();
            match round % 2 {
                0 => server.stop(),
                _ => server.kill(),
            }
            server.restart();
        }
        client.acked_more(5).await;
    }
    assert_eq!(client.ends(), [], "no client noticed");
    let recorded = client.finish().await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_20_a_redis_that_is_gone_for_long_comes_back() {
    let asr = Asr::start().await;
    let gateway = on_redis(&asr, "300").await;
    let mut client = client(&gateway, "redis-gone");
    client.acked(5).await;
    gateway.store().server().stop();
    is_told(&client).await;
    // Reading says so, too, and does not invent an empty session.
    let state = gateway.get("/v1/sessions/redis-gone/state").await;
    assert_eq!(state.status, 503, "{state:?}");
    gateway.store().server().restart();
    client.acked_more(5).await;
    let recorded = client.finish().await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_20_a_redis_that_stands_still_is_not_taken_for_one_that_answers() {
    let asr = Asr::start().await;
    let gateway = on_redis(&asr, "300").await;
    let mut client = client(&gateway, "redis-frozen");
    for _ in 0..3 {
        client.acked_more(5).await;
        let before = client.ends().len();
        gateway.store().server().freeze();
        eventually("the client is told to send again", async || {
            let ends = client.ends();
            let new = ends.get(before..).unwrap_or_default();
            if new.iter().any(is_not_handled) {
                Ok(())
            } else {
                Err(ends)
            }
        })
        .await;
        gateway.store().server().thaw();
    }
    client.acked_more(5).await;
    let recorded = client.finish().await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

#[tokio::test]
async fn fault_20_a_sqlite_file_that_is_held_is_waited_for() {
    let asr = Asr::start().await;
    let url = asr.url();
    let gateway = Gateway::start_with_store(Kind::Sqlite, move |state| {
        let mut command = gateway::up(state);
        command
            .env("ASR_WS_URL", &url)
            .env("ALIYUN_DASHSCOPE_API_KEY", "a-key");
        command
    })
    .await;
    let mut client = client(&gateway, "sqlite-held");
    client.acked(5).await;
    let file = gateway.state_dir().join("sqlite_key_value.db");
    let other = Connection::open(file).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    is_told(&client).await;
    let state = gateway.state("sqlite-held").await;
    assert_eq!(state["session_id"], "sqlite-held", "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    client.acked_more(5).await;
    let recorded = client.finish().await;
    audit(&gateway, &[recorded], Expect::AllTranscribed).await;
}

/// Nothing else happens in the session: what is to be done is found without another event.
#[tokio::test]
async fn fault_20_a_look_up_whose_batches_fail_is_gone_on_with_when_the_store_is_back() {
    let asr = Asr::start().await;
    let inference =
        Inference::start_closed(|_| Reply::ok(json!({"speaker_name": "Bob", "decision": "auto"})))
            .await;
    let settings = Settings::with_asr(&asr).set("INFERENCE_BASE_URL", &inference.url());
    let gateway = Gateway::start_on(Kind::Sqlite, settings).await;
    let mut students = gateway.open("errand", "students").await;
    students.store_marked(STUDENTS, 1..=4).await;
    let asked = async |count: usize| {
        eventually(&format!("{count} look-ups"), async || {
            let asked = inference.asked().len();
            if asked >= count { Ok(()) } else { Err(asked) }
        })
        .await;
    };
    asked(1).await;
    let other = Connection::open(gateway.state_dir().join("sqlite_key_value.db")).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    inference.let_go(1000);
    // Of a batch, of its repetition, and of one that nobody but the host asked for.
    asked(3).await;
    other.execute_batch("ROLLBACK").unwrap();
    eventually("the event is there", async || {
        let events = gateway.events("errand", "students").await;
        let names: Vec<_> = events.iter().map(|event| &event["speaker_name"]).collect();
        if names.contains(&&json!("Bob")) {
            Ok(())
        } else {
            Err(events.clone())
        }
    })
    .await;
}

/// Starts a host that ends by itself; gives what it said.
async fn refused(change: impl FnOnce(&std::path::Path, &mut std::process::Command)) -> String {
    let state = tempfile::tempdir().unwrap();
    let mut command = gateway::up(state.path());
    change(state.path(), &mut command);
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ended = in_time("the gateway ends by itself", command.output()).await;
    let ended = ended.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    said
}

/// What tells a host with this state directory of a server.
fn told_of(
    state: &std::path::Path,
    server: &redis_server::RedisServer,
) -> [(&'static str, String); 1] {
    let config = state.join("runtime-config.toml");
    let url = server.url();
    let text = format!("[key_value_store.default]\ntype = \"redis\"\nurl = \"{url}\"\n");
    std::fs::write(&config, text).unwrap();
    [("RUNTIME_CONFIG_FILE", config.display().to_string())]
}

#[tokio::test]
async fn with_power_in_mind_a_session_is_stored_where_the_disk_is_waited_for() {
    let asr = Asr::start().await;
    let server = redis_server::RedisServer::with_options("appendonly yes\nappendfsync always\n");
    let settings = Settings::with_asr(&asr).set("STORE_SYNC", "power");
    let state = tempfile::tempdir().unwrap();
    let [(name, config)] = told_of(state.path(), &server);
    // The first is told of no server, whatever stores the run is about.
    for settings in [settings.clone(), settings.set(name, &config)] {
        let gateway = Gateway::start_on(Kind::Sqlite, settings).await;
        let mut stream = Recorded::new("power", "teacher", TEACHER);
        let mut socket = gateway.open("power", "teacher").await;
        stream.store(&mut socket, 1..=3).await;
        socket.close().await;
        audit(&gateway, &[stream], Expect::AllTranscribed).await;
    }
}

#[tokio::test]
async fn fault_20_a_store_that_cannot_be_used_ends_the_start_with_advice() {
    let said = refused(|state, _| {
        let text = "no database, but long enough to look like one".repeat(100);
        std::fs::write(state.join("sqlite_key_value.db"), text).unwrap();
    })
    .await;
    assert!(
        said.contains("damaged") && said.contains("move the file away"),
        "{said}"
    );

    let server = redis_server::RedisServer::with_password("hush-1");
    for url in [
        format!("redis://:hush-2@{}", server.address()),
        "redis://:hush-2@127.0.0.1:1".to_owned(),
        "http://:hush-2@127.0.0.1".to_owned(),
    ] {
        let said = refused(|state, command| {
            let config = state.join("runtime-config.toml");
            let text = format!("[key_value_store.default]\ntype = \"redis\"\nurl = \"{url}\"\n");
            std::fs::write(&config, text).unwrap();
            command.arg("--runtime-config-file").arg(config);
            command
                .env("REDIS_CONNECT_TIMEOUT_MS", "1000")
                .env("RUST_LOG", "trace");
        })
        .await;
        assert!(said.contains("[key_value_store.default]"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }

    // With the power that it is to survive, a server that answers before its disk has it is none.
    let server = redis_server::RedisServer::start();
    let said = refused(|state, command| {
        command.envs(told_of(state, &server));
        command.env("STORE_SYNC", "power");
    })
    .await;
    assert!(
        said.contains("STORE_SYNC is \"power\"") && said.contains("appendfsync"),
        "{said}"
    );

    let said = refused(|_, command| {
        command.env("STORE_SYNC", "disk");
    })
    .await;
    assert!(
        said.contains("STORE_SYNC is \"disk\": write process or power"),
        "{said}"
    );
}
