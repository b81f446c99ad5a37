//! What a newcomer does: a gateway without any settings, and `feed` with the two sample files.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use end_to_end::wait::in_time;
use end_to_end::{Gateway, Settings, build};
use serde_json::{Value, json};
use tokio::process::Command;

#[tokio::test]
async fn the_sample_interview_becomes_a_result_without_any_settings() {
    let gateway = Gateway::start(Settings::default()).await;
    let session = "samples";
    let files = [
        ("teacher", sample("interviewer.wav")),
        ("students", sample("candidate.wav")),
    ];
    let mut feed = Command::new(build::feed());
    feed.args([
        "--url",
        &format!("http://{}", gateway.address()),
        "--session",
        session,
    ]);
    for (role, file) in &files {
        feed.arg(format!("--{role}")).arg(file);
    }
    feed.args(["--interviewer", "Ada", "--fast", "--json"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let fed = in_time("feed ends", feed.output()).await.unwrap();
    assert!(
        fed.status.success(),
        "{}",
        String::from_utf8_lossy(&fed.stderr)
    );
    let said: Value = serde_json::from_slice(&fed.stdout).unwrap();
    assert_eq!(said["complete"], true, "{said:#}");
    // Nobody takes the simulator's words for the file's.
    assert_eq!(said["transcripts_are_invented"], true, "{said:#}");
    let shown = String::from_utf8_lossy(&fed.stderr);
    assert!(shown.contains("the transcripts are INVENTED"), "{shown}");
    let utterances = shown.lines().filter(|line| line.starts_with('['));
    for utterance in utterances {
        assert!(utterance.contains("] (invented) "), "{utterance}");
    }

    let key = said["result_key"].as_str().unwrap();
    let result: Value = serde_json::from_slice(&gateway.blobs().read(key).unwrap()).unwrap();
    for (role, file) in &files {
        let seconds = seconds(file);
        let ingest = &result["ingest_by_stream"][role];
        assert_eq!(ingest["received_chunks"], seconds, "{role}: {ingest:#}");
        assert_eq!(ingest["missing_chunks"], 0, "{role}: {ingest:#}");
        let chunks = gateway
            .blobs()
            .keys(&format!("sessions/{session}/chunks/{role}/"));
        assert_eq!(chunks.len(), usize::try_from(seconds).unwrap(), "{role}");

        assert_eq!(result["untranscribed_by_stream"][role], json!([]), "{role}");
        let raw = result["utterances_raw_by_stream"][role].as_array().unwrap();
        assert!(
            raw.len() >= 2,
            "{role}: sentences with pauses between them: {raw:#?}"
        );
        let mut before = 0;
        for item in raw {
            let (start, end) = (
                item["start_ms"].as_u64().unwrap(),
                item["end_ms"].as_u64().unwrap(),
            );
            assert!(
                before <= start && start < end && end <= u64::from(seconds) * 1000,
                "{item:#}"
            );
            assert!(!item["text"].as_str().unwrap().is_empty(), "{item:#}");
            assert_eq!(
                item["asr_provider"], "simulator",
                "invented text says so: {item:#}"
            );
            before = end;
        }
        let events = result["events"].as_array().unwrap().iter();
        let names: Vec<_> = events
            .filter(|event| event["stream_role"] == *role)
            .map(|event| event["speaker_name"].clone())
            .collect();
        let name = if *role == "teacher" {
            json!("Ada")
        } else {
            Value::Null
        };
        assert_eq!(names, vec![name; raw.len()], "{role}");
    }
}

fn sample(name: &str) -> PathBuf {
    build::workspace().join("samples").join(name)
}

/// The last one may be a part of a second; it is sent whole.
fn seconds(file: &Path) -> u32 {
    let reader = hound::WavReader::open(file).unwrap();
    reader.duration().div_ceil(reader.spec().sample_rate)
}
