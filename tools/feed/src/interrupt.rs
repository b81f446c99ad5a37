//! Signals that ask the program to end. The first one asks for an orderly end, the second does not wait
//! for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Signals that come together are one: a terminal and a launcher may both send theirs.
const TOGETHER: Duration = Duration::from_millis(500);

/// Told to those who listen, and how the program ends then.
#[derive(Debug)]
pub struct Interrupt {
    asked: watch::Receiver<bool>,
    status: watch::Receiver<u8>,
}

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP, as far as they are not ignored, as `nohup` has it.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen() -> std::io::Result<Self> {
        let (ask, asked) = watch::channel(false);
        let (set_status, status) = watch::channel(0);
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            let status = signals.next().await;
            let first = Instant::now();
            // Nobody listens any more when the program is about to end.
            let _ = set_status.send(status);
            let _ = ask.send(true);
            loop {
                let status = signals.next().await;
                if first.elapsed() >= TOGETHER {
                    std::process::exit(status.into());
                }
            }
        });
        Ok(Self { asked, status })
    }

    /// Becomes true with the first signal.
    #[must_use]
    pub fn asked(&self) -> watch::Receiver<bool> {
        self.asked.clone()
    }

    /// The exit status that tells of the signal, if there was one: 128 and its number.
    #[must_use]
    pub fn status(&self) -> Option<u8> {
        Some(*self.status.borrow()).filter(|status| *status > 0)
    }
}

#[cfg(unix)]
struct Signals(Vec<(u8, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let ignored = ignored();
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let numbered = kinds.into_iter().filter_map(|kind| {
            let number = u8::try_from(kind.as_raw_value()).ok()?;
            let is_ignored = ignored >> number.checked_sub(1)? & 1 == 1;
            (!is_ignored).then(|| Ok((128 + number, signal(kind)?)))
        });
        numbered.collect::<std::io::Result<_>>().map(Self)
    }

    /// The exit status that tells of the next one.
    async fn next(&mut self) -> u8 {
        std::future::poll_fn(|context| {
            for (status, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*status);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Signals that whoever started this program had ignored, a bit each; none where that is not known.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        130
    }
}
