//! How many files the process may have open, and who gets them. A connection is one, and so are what the
//! stores have open and every connection to a service: if clients took them all, nothing could be stored.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where what is allowed cannot be had, less is asked for: macOS gives no process more than this.
const FALLBACK: u64 = 10_240;

/// For the key-value store, objects that are read and written, components and the runtime: so many at least,
/// and of a larger limit this share, since more then happens at one time.
const OWN_FILES: u64 = 32;
const OWN_SHARE: u64 = 16;

/// Connections without a place that are told so at one time, and those to a port for metrics alone: so many
/// at most, and this share of what is left.
const SIDE_CONNECTIONS: u64 = 64;
const SIDE_SHARE: u64 = 8;

/// With fewer connections a gateway is of no use.
const MIN_CONNECTIONS: u64 = 8;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// `--limit-connections`.
    pub connections: u64,
    /// Metrics have a port of their own.
    pub has_metrics_port: bool,
    /// The ASR service is in this process, so both ends of its connections are.
    pub has_simulator: bool,
}

/// Who may have how many files at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// Connections of the app's port: what was asked for, or fewer.
    pub connections: usize,
    /// Connections of it that are told at one time that there is no place.
    pub refusals: usize,
    /// Connections of a port for metrics alone.
    pub metrics_connections: usize,
    /// WebSockets to services.
    pub outbound: usize,
    /// Connections of the ASR simulator.
    pub simulator: usize,
}

impl OpenFiles {
    /// Asks for all that the process may have, and divides it. Says so where that is too little for what was
    /// asked for.
    ///
    /// # Errors
    /// It is too little to serve anybody; the message says what to do.
    pub fn divide(asked: Asked) -> anyhow::Result<Self> {
        let allowed = raise();
        let free = allowed.saturating_sub(open_now());
        let Some(files) = Self::of(free, asked) else {
            bail!(
                "the process may have {allowed} files open, which is too few to serve anybody: allow it {} \
                 (`ulimit -n`, LimitNOFILE of systemd)",
                recommended(asked, allowed - free)
            );
        };
        if (files.connections as u64) < asked.connections {
            tracing::warn!(
                "the process may have {allowed} files open: at most {} connections are served at one time, not {} \
                 (--limit-connections), so that stores and services have theirs. Allow it {} (`ulimit -n`, \
                 LimitNOFILE of systemd), or lower --limit-connections",
                files.connections,
                asked.connections,
                recommended(asked, allowed - free)
            );
        }
        Ok(files)
    }

    /// Divides so many.
    fn of(free: u64, asked: Asked) -> Option<Self> {
        let rest = free.checked_sub(OWN_FILES.max(free / OWN_SHARE))?;
        let side = (rest / SIDE_SHARE).clamp(1, SIDE_CONNECTIONS);
        let metrics = if asked.has_metrics_port { side } else { 0 };
        let rest = rest.checked_sub(side + metrics)?;
        // A stream has one connection of its own and often one to the ASR service; other clients have none.
        let (most, ends) = if asked.has_simulator {
            (rest / 2, 2)
        } else {
            (rest / 3 * 2, 1)
        };
        let connections = most.min(asked.connections);
        let outbound = (rest - connections) / ends;
        let is_enough = connections >= MIN_CONNECTIONS.min(asked.connections) && outbound > 0;
        is_enough.then(|| Self {
            connections: size(connections),
            refusals: size(side),
            metrics_connections: size(metrics),
            outbound: size(outbound),
            simulator: size(if asked.has_simulator { outbound } else { 0 }),
        })
    }
}

/// A number of files that serves what was asked for, if so many are open at the start.
fn recommended(asked: Asked, open: u64) -> u64 {
    let is_enough = |all: u64| {
        let files = OpenFiles::of(all.saturating_sub(open), asked);
        files.is_some_and(|files| files.connections as u64 == asked.connections)
    };
    let mut all = 1;
    while !is_enough(all) {
        all *= 2;
    }
    all
}

/// Asks for all that the process may have; gives what it has then.
fn raise() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let ask = |current| {
        let limit = Rlimit {
            current,
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, limit)
    };
    if ask(before.maximum).is_err() && before.current.is_some_and(|current| current < FALLBACK) {
        let _ = ask(Some(FALLBACK));
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many are open already, those that the parent left open included.
fn open_now() -> u64 {
    let open = std::fs::read_dir("/dev/fd").map_or(0, |files| files.count());
    // Not the one that this reads them with.
    open.saturating_sub(1) as u64
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const PLAIN: Asked = Asked {
        connections: 4096,
        has_metrics_port: false,
        has_simulator: false,
    };

    fn all() -> [Asked; 4] {
        let with = |has_metrics_port, has_simulator| Asked {
            has_metrics_port,
            has_simulator,
            ..PLAIN
        };
        [
            PLAIN,
            with(true, false),
            with(false, true),
            with(true, true),
        ]
    }

    fn total(files: &OpenFiles) -> u64 {
        let OpenFiles {
            connections,
            refusals,
            metrics_connections,
            outbound,
            simulator,
        } = files;
        (connections + refusals + metrics_connections + outbound + simulator) as u64
    }

    #[test]
    fn what_the_stores_need_is_never_given_away() {
        for asked in all() {
            for free in (0..3_000).chain([20_000, 1 << 20]) {
                let Some(files) = OpenFiles::of(free, asked) else {
                    continue;
                };
                let own = free - total(&files);
                assert!(own >= OWN_FILES.max(free / OWN_SHARE), "{free}: {files:?}");
                assert!(files.outbound > 0 && files.connections > 0, "{files:?}");
            }
        }
    }

    #[test]
    fn sixty_four_files_serve_a_few_and_less_serve_nobody() {
        // Of 64 some are open at the start.
        for asked in all() {
            let files = OpenFiles::of(64, asked).unwrap();
            assert!((8..=18).contains(&files.connections), "{files:?}");
            assert_eq!(OpenFiles::of(32, asked), None);
        }
        let one = Asked {
            connections: 1,
            ..PLAIN
        };
        assert_eq!(OpenFiles::of(40, one).unwrap().connections, 1);
    }

    #[test]
    fn where_there_are_enough_all_get_what_they_ask_for() {
        for asked in all() {
            let files = OpenFiles::of(20_000, asked).unwrap();
            assert_eq!((files.connections, files.refusals), (4096, 64));
            assert!(files.outbound >= 4096, "{files:?}");
        }
        let ten_thousand = Asked {
            connections: 10_000,
            ..PLAIN
        };
        let files = OpenFiles::of(19_900, ten_thousand).unwrap();
        assert_eq!(files.connections, 10_000);
    }

    #[test]
    fn what_is_recommended_is_enough() {
        for asked in all() {
            let recommended = recommended(asked, 10);
            let files = OpenFiles::of(recommended - 10, asked).unwrap();
            assert_eq!(files.connections, 4096);
        }
    }
}
