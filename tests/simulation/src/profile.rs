//! Which faults a run has, and how often. A profile holds chances and nothing else.

/// Chances of a run. `_pm` is per mille at each opportunity, `_pcm` per hundred thousand.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// How it is named on the command line.
    pub name: &'static str,

    /// At each call that the component makes of the host: the process is killed.
    pub crash_pcm: u32,
    /// The same: the component traps.
    pub trap_pcm: u32,
    /// The same: an outbound socket dies just then.
    pub socket_dies_pcm: u32,
    /// The process is killed between two batches, once for each chance in a run.
    pub idle_crashes: u32,

    /// A chunk is not stored.
    pub put_fails_pm: u32,
    /// It is stored, but the store says that it is not.
    pub put_lies_pm: u32,
    /// A chunk cannot be read.
    pub get_fails_pm: u32,
    /// Records cannot be read.
    pub load_fails_pm: u32,
    /// They are not written.
    pub commit_fails_pm: u32,
    /// They are written, but the store says that they are not.
    pub commit_lies_pm: u32,
    /// How often in a run the host's clock is set, by up to an hour.
    pub clock_steps: u32,
    /// How often in a run the stores are gone for some seconds.
    pub store_outages: u32,

    /// How often in a run the ASR service is gone for up to a minute.
    pub asr_outages: u32,
    /// Of connections: refused, 401, 503, no answer, a late answer.
    pub handshake_pm: [u32; 5],
    /// Of tasks: never start, closed before, failed before, a late start.
    pub start_pm: [u32; 4],
    /// At each second that the service hears: closes, fails, goes silent (half-open), hears but says
    /// nothing more, ends the task by itself.
    pub hears_pm: [u32; 5],
    /// At each frame it says: says it twice, says garbage, says something of another task, says no end of a
    /// final sentence or one beyond all that it heard.
    pub says_pm: [u32; 4],
    /// Of finishes: slow, far too slow, closes instead, fails instead.
    pub finish_pm: [u32; 4],
    /// A task that is finished is closed at once.
    pub closes_after_pm: u32,
    /// Results may come this late, ms.
    pub result_lag_ms: u64,
    /// The service may take this long to read a frame, ms.
    pub read_lag_ms: u64,
    /// How many frames wait in an outbound socket at most; the first is usual.
    pub outbox: (u32, u32),

    /// Of seconds: never sent, sent late, sent twice, a pause before it, a hostile number beside it.
    pub chunk_pm: [u32; 5],
    /// A second skips so many others that silence is not sent for them, at most [`Profile::MAX_JUMPS`] times
    /// in a client's run.
    pub jump_pm: u32,
    /// At each time that a client has something to do: its connection is lost.
    pub client_drops_pm: u32,
    /// A second client on the same role.
    pub second_client_pm: u32,
    /// The client is gone for ever before it sent all.
    pub client_leaves_pm: u32,
    /// Calls of `flush` in a run, at most.
    pub flushes: u32,
    /// Calls of `reset` in a run, at most.
    pub resets: u32,
    /// How late anything may come, ms.
    pub delay_ms: u64,
}

/// The names of all profiles.
pub const NAMES: [&str; 7] = [
    "calm",
    "flaky-asr",
    "flaky-stores",
    "crashing",
    "hostile-client",
    "resets",
    "everything",
];

impl Profile {
    /// So that a client's seconds stay together.
    pub const MAX_JUMPS: u32 = 3;

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Profile> {
        let name = NAMES.into_iter().find(|known| *known == name)?;
        let calm = Profile {
            name,
            outbox: (64, 64),
            chunk_pm: [20, 10, 10, 30, 0],
            jump_pm: 15,
            flushes: 1,
            result_lag_ms: 800,
            read_lag_ms: 20,
            delay_ms: 30,
            ..Profile::default()
        };
        Some(match name {
            "flaky-asr" => calm.flaky_asr(),
            "flaky-stores" => calm.flaky_stores(),
            "crashing" => calm.crashing(),
            "hostile-client" => calm.hostile_client(),
            "resets" => calm.flaky_asr().hostile_client().resets(),
            "everything" => calm.flaky_asr().flaky_stores().crashing().hostile_client(),
            _ => calm,
        })
    }

    fn flaky_asr(self) -> Profile {
        Profile {
            socket_dies_pcm: 400,
            asr_outages: 2,
            handshake_pm: [80, 30, 60, 60, 80],
            start_pm: [50, 60, 50, 80],
            hears_pm: [15, 12, 6, 6, 6],
            says_pm: [80, 60, 60, 120],
            finish_pm: [120, 60, 80, 60],
            closes_after_pm: 300,
            result_lag_ms: 6_000,
            read_lag_ms: 900,
            outbox: (64, 5),
            delay_ms: 400,
            ..self
        }
    }

    fn flaky_stores(self) -> Profile {
        Profile {
            trap_pcm: 500,
            put_fails_pm: 50,
            put_lies_pm: 20,
            get_fails_pm: 40,
            load_fails_pm: 8,
            commit_fails_pm: 25,
            commit_lies_pm: 15,
            store_outages: 2,
            ..self
        }
    }

    fn crashing(self) -> Profile {
        Profile {
            crash_pcm: 250,
            idle_crashes: 3,
            client_leaves_pm: 300,
            clock_steps: 2,
            ..self
        }
    }

    fn hostile_client(self) -> Profile {
        Profile {
            chunk_pm: [60, 80, 80, 60, 30],
            jump_pm: 40,
            client_drops_pm: 40,
            second_client_pm: 500,
            client_leaves_pm: 200,
            flushes: 4,
            delay_ms: self.delay_ms.max(150),
            ..self
        }
    }

    fn resets(self) -> Profile {
        Profile { resets: 3, ..self }
    }
}
