//! The load of a whole interview: the real `feed` plays two marked files, the teacher's and the
//! students', into a gateway, and connects again and resends by its own rules.
//!
//! What it was told comes from its report: it succeeds when every second is acknowledged, and says of
//! none which it was before. One that is stopped early tells nothing.

use std::process::Stdio;

use asr_simulator::mark;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::audit::Recorded;
use crate::build;
use crate::gateway::Gateway;
use crate::session::number;
use crate::wait::in_time;

/// The mark of the teacher's stream.
pub const TEACHER: u16 = 1;
/// The mark of the students' stream.
pub const STUDENTS: u16 = 2;

/// The speeds that `feed` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedPace {
    /// A second of audio each second.
    RealTime,
    /// As fast as the gateway answers.
    Fast,
}

/// A `feed` that runs. Dropping it kills it.
pub struct FeedLoad {
    child: Child,
    streams: [Recorded; 2],
    seconds: u32,
    _files: TempDir,
}

impl FeedLoad {
    /// Starts to play so many seconds into both streams of a session, which is not finalized at the end.
    /// It knows one address: a gateway that is to be restarted meanwhile is one started with
    /// [`Gateway::start_at_one_address`].
    #[must_use]
    pub fn start(gateway: &Gateway, session: &str, seconds: u32, pace: FeedPace) -> Self {
        let files = tempfile::tempdir().expect("a directory for audio files");
        let streams = [("teacher", TEACHER), ("students", STUDENTS)]
            .map(|(role, mark)| Recorded::new(session, role, mark));
        let mut feed = Command::new(build::feed());
        feed.args(["--url", &format!("http://{}", gateway.address())])
            .args(["--session", session, "--no-finalize", "--json"]);
        for stream in &streams {
            // s16le at 16000 Hz, mono.
            let file = files.path().join(stream.role()).with_extension("pcm");
            let second = |seq| mark::second(stream.mark(), seq);
            let pcm: Vec<u8> = (1..=seconds).flat_map(second).collect();
            std::fs::write(&file, pcm).expect("an audio file");
            feed.arg(format!("--{}", stream.role())).arg(file);
        }
        if pace == FeedPace::Fast {
            feed.arg("--fast");
        }
        feed.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self {
            child: feed.spawn().expect("feed can be started"),
            streams,
            seconds,
            _files: files,
        }
    }

    /// Waits until it ends; then all is acknowledged.
    ///
    /// # Panics
    /// It gave up.
    pub async fn finish(self) -> [Recorded; 2] {
        let output = in_time("feed ends", self.child.wait_with_output()).await;
        let output = output.expect("feed's output");
        assert!(
            output.status.success(),
            "feed ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(report["complete"], true, "{report:#}");
        self.streams.map(|mut stream| {
            let streams = report["streams"].as_array().into_iter().flatten();
            let told = streams
                .map(|told| (&told["stream_role"], &told["delivery"]))
                .find(|(role, _)| **role == stream.role());
            let Some((_, delivery)) = told else {
                panic!("nothing of {}: {report:#}", stream.role())
            };
            assert_eq!(number(delivery, "chunks"), u64::from(self.seconds));
            stream.delivered(1..=self.seconds, number(delivery, "duplicate"));
            stream
        })
    }
}
