//! The ASR service: the simulator, in this process, so that its log can be read and it can be taken
//! away and brought back.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use asr_simulator::{Faults, Handshake, Options, PATH, Simulator, TaskRecord};

use crate::background;
use crate::wait::{eventually, in_time};

/// An ASR service at an address that stays the same while the service comes and goes.
pub struct Asr {
    options: Options,
    simulator: Option<Simulator>,
}

impl Asr {
    /// A service that runs.
    pub async fn start() -> Self {
        let mut asr = Self::down();
        asr.up().await;
        asr
    }

    /// One that runs with these options, but at an address of its own.
    pub async fn start_with(options: Options) -> Self {
        let mut asr = Self::down();
        asr.options = Options {
            listen: asr.options.listen,
            ..options
        };
        asr.up().await;
        asr
    }

    /// An address where none runs yet.
    #[must_use]
    pub fn down() -> Self {
        // Others take their ports on 127.0.0.1: this one stays free.
        let address = SocketAddr::from((Ipv4Addr::new(127, 77, 0, 1), 0));
        let listen = TcpListener::bind(address).and_then(|listener| listener.local_addr());
        let options = Options {
            listen: listen.expect("a free port"),
            ..Options::default()
        };
        Self {
            options,
            simulator: None,
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}{PATH}", self.options.listen)
    }

    /// Brings the service up.
    pub async fn up(&mut self) {
        assert!(self.simulator.is_none(), "it is up");
        let simulator = eventually("the ASR service gets its port", async || {
            background::run(Simulator::start(self.options.clone())).await
        })
        .await;
        self.simulator = Some(simulator);
    }

    /// Takes it down: its connections are closed in the middle of what they do. Gives its log.
    pub async fn stop(&mut self) -> Vec<TaskRecord> {
        let simulator = self.simulator.take().expect("it is up");
        let log = simulator.task_log().clone();
        in_time("the ASR service stops", background::run(simulator.stop())).await;
        log.records()
    }

    /// Replaces what it does wrong; `Faults::default()` makes it well. Forgotten when it goes down.
    pub fn set_faults(&self, faults: Faults) {
        let simulator = self.simulator.as_ref().expect("it is up");
        simulator.set_faults(faults).expect("faults that can be");
    }

    /// What it does wrong now, with the counts that are left.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.simulator.as_ref().expect("it is up").faults()
    }

    /// What its tasks were sent since it came up.
    #[must_use]
    pub fn log(&self) -> Vec<TaskRecord> {
        self.simulator.as_ref().expect("it is up").log()
    }

    /// When clients came since it came up, and how they were answered.
    #[must_use]
    pub fn handshakes(&self) -> Vec<Handshake> {
        let simulator = self.simulator.as_ref().expect("it is up");
        simulator.handshakes()
    }
}
