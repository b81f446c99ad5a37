//! What the original gateway answered, recorded, asked again of this one. The records lie beside the
//! repository, in `../shared/conformance`, or where `SHARED_DIR` says; without them nothing is
//! compared, and that is said aloud.
//!
//! Every difference has to be in [`deviations::DEVIATIONS`], with the reason why it may be; an entry
//! that is not needed fails the test as well.

mod allowances;
mod compare;
mod deviations;
mod replay;
mod speaker_service;

use std::io::Write;
use std::path::{Path, PathBuf};

use end_to_end::wait::eventually;
use end_to_end::{Asr, Gateway, Inference, Settings, Shared, build};
use futures::future::join;
use serde_json::Value;

use allowances::Allowances;
use replay::Replay;

#[tokio::test]
async fn health_is_as_recorded() {
    let Some(records) = records("health") else {
        return;
    };
    let asr = Asr::down();
    let with = |name, value| Gateway::start(Settings::with_asr(&asr).set(name, value));
    let mut allowances = Allowances::of("health");
    let gateway = Shared::gateway().await;
    replay(&gateway, &records, None, &mut allowances).await;
    let gateway = with("ASR_ENABLED", "false").await;
    replay(&gateway, &records, Some("asr-off"), &mut allowances).await;
    let gateway = with("ASR_REALTIME_ENABLED", "false").await;
    replay(&gateway, &records, Some("windowed"), &mut allowances).await;
    let gateway = Gateway::start(Settings::default()).await;
    replay(&gateway, &records, Some("no-key"), &mut allowances).await;
    allowances.conclude();
}

#[tokio::test]
async fn routing_and_its_errors_are_as_recorded() {
    replay_theme("routing-errors").await;
}

#[tokio::test]
async fn config_is_as_recorded() {
    replay_theme("config").await;
}

#[tokio::test]
async fn hello_status_ping_and_close_are_as_recorded() {
    replay_theme("ws-hello-status-ping").await;
}

#[tokio::test]
async fn chunks_are_as_recorded() {
    replay_theme("ws-chunks").await;
}

#[tokio::test]
async fn capture_status_is_as_recorded() {
    replay_theme("capture-status").await;
}

#[tokio::test]
async fn resolve_is_as_recorded() {
    let Some(records) = records("resolve") else {
        return;
    };
    let asr = Asr::down();
    let with = |inference: &Inference| {
        Settings::with_asr(&asr)
            .set("INFERENCE_BASE_URL", &inference.url())
            .set("INFERENCE_API_KEY", speaker_service::KEY)
    };
    let mut allowances = Allowances::of("resolve");
    let (together, one_by_one): (Vec<_>, Vec<_>) = records
        .iter()
        .partition(|record| record["case"] == "idem-concurrent");

    let inference = Inference::start(speaker_service::answer).await;
    let gateway = Gateway::start(with(&inference)).await;
    let mut replay = Replay::with_inference(&gateway, &inference);
    for record in one_by_one {
        for difference in replay.play(record).await {
            allowances.judge(record, difference);
        }
    }

    let inference = Inference::start_closed(speaker_service::answer).await;
    let gateway = Gateway::start(with(&inference)).await;
    let mut replay = Replay::with_inference(&gateway, &inference);
    let (questions, after): (Vec<_>, Vec<_>) = together
        .into_iter()
        .partition(|record| record["request"]["method"] == "POST");
    // The first answer is held back until all have asked.
    let answering = async {
        eventually("the service is asked", async || {
            let asked = inference.asked().len();
            if asked > 0 { Ok(()) } else { Err(asked) }
        })
        .await;
        // This request comes after the others.
        assert_eq!(gateway.get("/health").await.status, 200);
        inference.let_go(questions.len());
    };
    let (found, ()) = join(replay.play_together(&questions), answering).await;
    for (record, differences) in questions.iter().zip(found) {
        for difference in differences {
            allowances.judge(record, difference);
        }
    }
    for record in after {
        for difference in replay.play(record).await {
            allowances.judge(record, difference);
        }
    }
    allowances.conclude();
}

/// Replays a theme that was recorded with the default settings only.
async fn replay_theme(theme: &'static str) {
    let Some(records) = records(theme) else {
        return;
    };
    assert!(
        records.iter().all(|record| variant(record).is_none()),
        "settings to be replayed"
    );
    let mut allowances = Allowances::of(theme);
    let gateway = Shared::gateway().await;
    replay(&gateway, &records, None, &mut allowances).await;
    allowances.conclude();
}

async fn replay(
    gateway: &Gateway,
    records: &[Value],
    with: Option<&str>,
    allowances: &mut Allowances,
) {
    let mut replay = Replay::new(gateway);
    for record in records.iter().filter(|record| variant(record) == with) {
        for difference in replay.play(record).await {
            allowances.judge(record, difference);
        }
    }
}

fn variant(record: &Value) -> Option<&str> {
    record["variant"].as_str()
}

/// The records of a theme; none when they are not there.
fn records(theme: &str) -> Option<Vec<Value>> {
    let path = directory().join(format!("{theme}.jsonl"));
    if !path.exists() {
        // Past the test harness, which swallows what passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: NOTHING IS COMPARED WITH THE ORIGINAL ({theme}): there is no {}; set SHARED_DIR",
            path.display()
        );
        return None;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn directory() -> PathBuf {
    let shared = std::env::var_os("SHARED_DIR").filter(|value| !value.is_empty());
    let shared = shared.map_or_else(|| build::workspace().join("../shared"), PathBuf::from);
    Path::new(&shared).join("conformance")
}
