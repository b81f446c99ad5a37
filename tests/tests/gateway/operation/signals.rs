//! What signals mean: one request to end often arrives as several of them.

use std::time::{Duration, Instant};

use end_to_end::gateway::up;
use end_to_end::http::{request, try_send};
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, Gateway, Pace, Received, Recorded, Recorder, Settings, audit};
use rustix::process::Signal;
use serde_json::json;

use super::after;
use crate::kills::without_any_client;

/// What the host takes to end at most: its `--shutdown-timeout`, and a little.
const END: Duration = Duration::from_secs(20 + 5);

/// Waits until the client was told once that the server goes away, and nothing else ended it.
async fn is_told(client: &Recorder) {
    eventually("the client is told", async || {
        match client.ends().as_slice() {
            [Received::Closed { code: 1001, .. }] => Ok(()),
            other => Err(other.to_vec()),
        }
    })
    .await;
}

/// A terminal signals its whole process group, and a launcher in it passes the signal on; `timeout` and
/// supervisors send several at once.
#[tokio::test]
async fn several_signals_together_are_one_request_to_end_in_order() {
    let mut asr = Asr::down();
    let settings = Settings::with_asr(&asr).set("FINALIZE_FLUSH_TIMEOUT_MS", "4000");
    let mut gateway = Gateway::start(settings).await;
    let streams = ["teacher", "students"].map(|role| {
        let stream = Recorded::new("signals", role, if role == "teacher" { 1 } else { 2 });
        Recorder::start(&gateway, stream, Pace::Times(20.0))
    });
    let [mut teacher, mut students] = streams;
    teacher.acked(10).await;
    students.acked(10).await;
    // It waits for a service that is not there.
    let address = gateway.address();
    let finalize = request("POST", "/v1/sessions/signals/finalize", Some(&json!({})));
    let finalizing = tokio::spawn(async move { try_send(address, finalize).await });
    eventually("it is finalizing", async || {
        let phase = gateway.state("signals").await["phase"].clone();
        if phase == "finalizing" {
            Ok(())
        } else {
            Err(phase)
        }
    })
    .await;

    let asked = Instant::now();
    let signals = [
        Signal::INT,
        Signal::TERM,
        Signal::HUP,
        Signal::TERM,
        Signal::INT,
    ];
    let status = gateway.end_by(&signals).await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(asked.elapsed() < END, "it took {:?}", asked.elapsed());
    let answer = finalizing
        .await
        .expect("the client of `finalize` does not panic");
    let answer = answer.expect("`finalize` is answered, not cut off");
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    is_told(&teacher).await;
    is_told(&students).await;

    asr.up().await;
    gateway.restart().await;
    let recorded = [teacher.finish().await, students.finish().await];
    // `finalize` waits for four seconds only.
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

#[tokio::test]
async fn sighup_is_an_orderly_end() {
    let asr = Asr::start().await;
    let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let stream = Recorded::new("hangup", "teacher", 1);
    let mut client = Recorder::start(&gateway, stream, Pace::Times(20.0));
    client.acked(10).await;
    let status = gateway.end_by(&[Signal::HUP]).await;
    assert_eq!(status.code(), Some(0), "{status}");
    is_told(&client).await;
    gateway.says("SIGHUP: closing connections").await;
    gateway.restart().await;
    let recorded = [client.finish().await];
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
}

/// As under `nohup`.
#[tokio::test]
async fn sighup_that_is_ignored_at_the_start_stays_ignored() {
    let asr = Asr::start().await;
    let url = asr.url();
    let mut gateway = Gateway::start_by(move |state| {
        let mut command = up(state);
        command.envs([
            ("ASR_WS_URL", url.as_str()),
            ("ALIYUN_DASHSCOPE_API_KEY", "a-key"),
        ]);
        after("trap '' HUP", command)
    })
    .await;
    let stream = Recorded::new("nohup", "teacher", 1);
    let mut client = Recorder::start(&gateway, stream, Pace::Times(20.0));
    client.acked(10).await;
    gateway.send_signal(Signal::HUP);
    client.acked_more(20).await;
    assert_eq!(client.ends(), []);
    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
    gateway.says("SIGTERM: closing connections").await;
    assert!(!gateway.log().contains("SIGHUP"), "{}", gateway.log());
}
