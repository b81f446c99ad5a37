//! A process that may have few files open: what the stores need is kept for them, whoever connects.

use end_to_end::gateway::up;
use end_to_end::http::{request, try_send};
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, Gateway, Pace, Recorded, Recorder, audit};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::after;

/// What is allowed.
const FILES: usize = 64;
/// More than that are left.
const IDLE: usize = 60;

#[tokio::test]
async fn idle_connections_take_no_file_that_the_stores_need() {
    let asr = Asr::start().await;
    let url = asr.url();
    let gateway = Gateway::start_by(move |state| {
        let mut command = up(state);
        command.envs([
            ("ASR_WS_URL", url.as_str()),
            ("ALIYUN_DASHSCOPE_API_KEY", "a-key"),
        ]);
        after(&format!("ulimit -n {FILES}"), command)
    })
    .await;
    gateway
        .says(&format!(
            "the process may have {FILES} files open: at most "
        ))
        .await;
    let streams = [("teacher", 1), ("students", 2)].map(|(role, mark)| {
        Recorder::start(
            &gateway,
            Recorded::new("few-files", role, mark),
            Pace::Times(10.0),
        )
    });
    let [mut teacher, mut students] = streams;
    teacher.acked(5).await;
    students.acked(5).await;

    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(
            TcpStream::connect(gateway.address())
                .await
                .expect("a connection"),
        );
    }
    // The last of them is closed: it had no place.
    let last = idle.last_mut().expect("a connection");
    let mut answer = Vec::new();
    let _ = end_to_end::wait::in_time("it is refused", last.read_to_end(&mut answer)).await;
    // Streams are stored and transcribed as if nobody else were there.
    teacher.acked_more(40).await;
    students.acked_more(40).await;
    let ends = [teacher.ends(), students.ends()].concat();
    assert_eq!(ends, []);
    drop(idle);
    eventually("there are places again", async || {
        match try_send(gateway.address(), request("GET", "/health", None)).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let recorded = [teacher.finish().await, students.finish().await];
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = gateway.log();
    for trouble in ["os error 24", "Too many open files", "unable to open"] {
        assert!(!log.contains(trouble), "{trouble}: {log}");
    }
}
