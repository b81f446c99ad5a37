//! Clients that mean no good: slow in every way, many, larger than permitted, against the protocol. Beside
//! them a stream of a client that behaves, which loses nothing, and the memory of the gateway, which stays
//! bounded. What its latency is meanwhile, the benchmark says (`gateway-bench hostile`).

mod breaches;
mod crowd;
mod keyless;
mod requests;
mod slow;

use end_to_end::wait::in_time;
use end_to_end::{Asr, Expect, Gateway, Pace, Recorded, Recorder, Settings, audit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::client_faults::memory::MemoryWatch;
use crate::metrics::scrape;

const MIB: u64 = 1 << 20;

/// A gateway with a client that behaves: four seconds of audio a second.
struct Scene {
    gateway: Gateway,
    good: Recorder,
    memory: MemoryWatch,
    _asr: Asr,
}

impl Scene {
    async fn start(session: &str, options: &[&str]) -> Self {
        Self::start_with(session, options, &[], None).await
    }

    /// With settings besides, and the key that the client shows.
    async fn start_with(
        session: &str,
        options: &[&str],
        more: &[(&str, &str)],
        key: Option<&str>,
    ) -> Self {
        let asr = Asr::start().await;
        let mut settings = Settings::with_asr(&asr).set("ASR_CATCH_UP_SPEED", "1000");
        for (name, value) in more {
            settings = settings.set(name, value);
        }
        let gateway = Gateway::start_with_options(settings, options).await;
        let gateway = match key {
            Some(key) => gateway.with_key(key),
            None => gateway,
        };
        // What it grows by later is not what serving at all takes.
        let warm = Recorded::new("warm", "mixed", 9);
        let mut warm = Recorder::start_up_to(&gateway, warm, Pace::Fast, 200);
        warm.acked(200).await;
        warm.finish().await;
        let good = Recorded::new(session, "teacher", 1);
        let mut good = Recorder::start(&gateway, good, Pace::Times(4.0));
        good.acked(4).await;
        let memory = MemoryWatch::start(&gateway);
        Self {
            gateway,
            good,
            memory,
            _asr: asr,
        }
    }

    /// The client that behaves was never closed, and all that it was told is so.
    async fn end(mut self, most_memory: u64) {
        self.good.acked_more(8).await;
        let grown = self.memory.grown();
        println!("the gateway grew by {} MiB at most", grown / MIB);
        assert!(grown < most_memory, "{grown} bytes");
        assert_eq!(self.good.ends(), [], "it was closed");
        let recorded = [self.good.finish().await];
        audit(&self.gateway, &recorded, Expect::AllTranscribed).await;
    }
}

/// How often a limit was hit.
async fn hits(gateway: &Gateway, limit: &str) -> f64 {
    let scrape = scrape(gateway).await;
    scrape.value("host_limit_hits_total", &[("limit", limit)])
}

/// A connection from an address of this machine.
async fn connect_from(gateway: &Gateway, address: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{address}:0").parse().expect("an address"))?;
    socket.connect(gateway.address()).await
}

/// What comes until the connection ends, however it does.
async fn rest(tcp: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = in_time("the connection ends", tcp.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a whole request, and gives all that comes until the connection ends.
async fn ask(gateway: &Gateway, request: &str) -> String {
    let mut tcp = connect_from(gateway, "127.0.0.1")
        .await
        .expect("a connection");
    let _ = tcp.write_all(request.as_bytes()).await;
    rest(&mut tcp).await
}
