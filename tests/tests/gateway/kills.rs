//! `kill -9` at random moments, again and again, under the load of two streams of one session: what
//! was acknowledged before is there after the last restart, transcribed once, without any client.
//!
//! `KILLS=500` makes the campaign longer, `KILL_SEED=<number>` repeats one: the same moments are chosen,
//! though the machine is never as busy as it was.

use std::net::SocketAddr;
use std::time::Duration;

use end_to_end::http::{request, try_send};
use end_to_end::session::number;
use end_to_end::wait::eventually_within;
use end_to_end::{Asr, Expect, Gateway, Pace, Recorded, Recorder, Settings, audit};
use serde_json::{Value, json};

const SESSION: &str = "killed";
/// How many kills, unless [`KILLS`] says so.
const FEW: u32 = 50;
const KILLS: &str = "KILLS";
const KILL_SEED: &str = "KILL_SEED";
/// Seconds of audio a second that each client sends.
const SPEED: f64 = 8.0;
/// How fast the backlog of a kill is caught up with: faster than it grows, and slow enough to be killed.
const CATCH_UP: &str = "40";
/// The backlog of all the campaign may be left to the end.
const DRAIN: Duration = Duration::from_secs(120);

/// When a run of the gateway is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// While it starts: so long after that began.
    Starting(Duration),
    /// So long after it began to listen.
    Listening(Duration),
    /// So long after the service heard something of this run: tasks run, the backlog is being sent.
    Hearing(Duration),
    /// A `finalize` comes so long after it began to listen, and the kill so long after that.
    Finalizing(Duration, Duration),
}

/// A seeded source of moments (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn micros(&mut self, below: u64) -> Duration {
        Duration::from_micros(self.next() % below)
    }

    fn moment(&mut self) -> Moment {
        match self.next() % 10 {
            0 | 1 => Moment::Starting(self.micros(400_000)),
            // The lanes wake up, the clients come.
            2 | 3 => Moment::Listening(self.micros(10_000)),
            4 | 5 => Moment::Listening(self.micros(500_000)),
            6 => Moment::Listening(self.micros(1_500_000)),
            7 | 8 => Moment::Hearing(self.micros(300_000)),
            _ => Moment::Finalizing(self.micros(300_000), self.micros(300_000)),
        }
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_kill_9_at_any_moment() {
    let kills = from_environment(KILLS).unwrap_or_else(|| FEW.into());
    let seed = from_environment(KILL_SEED).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap_or_default().as_micros() as u64
    });
    eprintln!("{kills} kills; to repeat them: {KILL_SEED}={seed} {KILLS}={kills}");
    let mut random = Random(seed);
    let asr = Asr::start().await;
    let settings = Settings::with_asr(&asr).set("ASR_CATCH_UP_SPEED", CATCH_UP);
    let mut gateway = Gateway::start(settings).await;
    let streams = [("teacher", 1), ("students", 2)];
    let mut clients = streams.map(|(role, mark)| {
        let recorded = Recorded::new(SESSION, role, mark);
        Recorder::start(&gateway, recorded, Pace::Times(SPEED))
    });
    for client in &mut clients {
        client.acked(1).await;
    }

    for kill in 1..=kills {
        let moment = random.moment();
        eprintln!("kill {kill}: {moment:?}");
        let finalizing = match moment {
            Moment::Starting(after) => {
                gateway.kill().await;
                gateway.restart_and_kill(after).await;
                gateway.restart().await;
                continue;
            }
            Moment::Listening(after) => {
                tokio::time::sleep(after).await;
                None
            }
            Moment::Hearing(after) => {
                hears_more(&asr).await;
                tokio::time::sleep(after).await;
                None
            }
            Moment::Finalizing(after, until_kill) => {
                tokio::time::sleep(after).await;
                let finalizing = tokio::spawn(finalize(gateway.address()));
                tokio::time::sleep(until_kill).await;
                Some(finalizing)
            }
        };
        gateway.kill().await;
        if let Some(finalizing) = finalizing {
            let answer = finalizing
                .await
                .expect("the client of `finalize` does not panic");
            result_is_whole(&gateway, answer);
        }
        if kill < kills {
            gateway.restart().await;
        }
    }
    if gateway.addresses().borrow().is_some() {
        gateway.kill().await;
    }

    // The clients are gone for good. What was acknowledged to them is the gateway's to look after.
    let [teacher, students] = clients;
    let recorded = [teacher.vanish().await, students.vanish().await];
    gateway.restart().await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;

    // And they can come back.
    let clients = recorded.map(|recorded| Recorder::start(&gateway, recorded, Pace::Fast));
    let mut recorded = Vec::new();
    for mut client in clients {
        client.acked_more(10).await;
        recorded.push(client.finish().await);
    }
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let seconds: usize = recorded.iter().map(Recorded::acked_count).sum();
    eprintln!("{seconds} seconds of audio in {} tasks", asr.log().len());
}

/// Waits until the service hears more than before, but not for ever: the next attempt may be far off.
async fn hears_more(asr: &Asr) {
    const LONGEST: Duration = Duration::from_secs(2);
    let heard = || -> usize { asr.log().iter().map(|task| task.heard.len()).sum() };
    let before = heard();
    let more = async {
        while heard() <= before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(LONGEST, more).await;
}

/// Asks for `result.json`; gives the answer if there was one.
async fn finalize(address: SocketAddr) -> Option<Value> {
    let path = format!("/v1/sessions/{SESSION}/finalize");
    let finalize = request("POST", &path, Some(&json!({})));
    let answer = try_send(address, finalize).await.ok()?;
    Some(answer.ok())
}

/// A `result.json` that is there is a whole one, also when its writer was killed; one that was answered
/// is there.
fn result_is_whole(gateway: &Gateway, answer: Option<Value>) {
    let key = format!("sessions/{SESSION}/result.json");
    match gateway.blobs().read(&key) {
        Some(bytes) => {
            let result: Value = serde_json::from_slice(&bytes).expect("a whole result.json");
            assert_eq!(result["session_id"], SESSION);
            if let Some(answer) = answer {
                assert_eq!(result["finalized_at"], answer["finalized_at"]);
            }
        }
        None => assert_eq!(answer, None, "it was answered"),
    }
}

/// Waits until all that is stored is transcribed and nothing is under way; only reads.
pub async fn without_any_client(gateway: &Gateway, recorded: &[Recorded]) {
    let what = "without any client all that is stored is transcribed, and the tasks end";
    eventually_within(DRAIN, what, async || {
        let state = gateway.state(recorded[0].session()).await;
        let is_over = recorded.iter().all(|stream| {
            let asr = &state["asr_by_stream"][stream.role()];
            number(asr, "ingest_lag_seconds") == 0 && asr["asr_ws_state"] == "disconnected"
        });
        if is_over {
            Ok(())
        } else {
            Err(state["asr_by_stream"].clone())
        }
    })
    .await;
}
