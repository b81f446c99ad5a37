//! The signals that ask a server to end: SIGTERM, SIGINT and SIGHUP.

use std::io;
use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::end_request::{EndRequests, EndSignal, Request};

/// The bit of SIGHUP, which is signal 1, in the masks of `/proc/self/status`.
const HANGUP_BIT: u64 = 1;

/// The signals that end the process. From [`Signals::install`] on they no longer do so by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where the parent has SIGHUP ignored, as `nohup` does: it stays so.
    hangup: Option<Signal>,
    requests: EndRequests,
}

impl Signals {
    /// Takes the signals over. Needs a Tokio runtime.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn install() -> io::Result<Self> {
        let hangup = if ignores_hangup() {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
            requests: EndRequests::default(),
        })
    }

    /// Waits until the process is asked to end, and gives the name of the signal.
    pub async fn end(&mut self) -> &'static str {
        self.until(Request::End).await
    }

    /// After [`Self::end`]: waits until the same signal comes again, [`IMPATIENCE`](crate::IMPATIENCE) or
    /// more after it came first, and gives its name.
    pub async fn impatience(&mut self) -> &'static str {
        self.until(Request::CutOff).await
    }

    async fn until(&mut self, request: Request) -> &'static str {
        loop {
            let signal = self.next().await;
            if self.requests.came(signal, Instant::now()) == request {
                return signal.name();
            }
        }
    }

    async fn next(&mut self) -> EndSignal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => {
                    let _ = hangup.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => EndSignal::Terminate,
            _ = self.interrupt.recv() => EndSignal::Interrupt,
            () = hangup => EndSignal::Hangup,
        }
    }
}

/// Whether SIGHUP is ignored now. Where there is no `/proc` it is taken not to be.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| has_hangup_ignored(&status))
}

fn has_hangup_ignored(status: &str) -> bool {
    let mask = |line: &str| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok();
    let ignored = status.lines().find_map(mask);
    ignored.is_some_and(|mask| mask & HANGUP_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hangup_is_read_from_the_status() {
        let status = |mask: &str| format!("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert!(has_hangup_ignored(&status("0000000000001001")));
        assert!(!has_hangup_ignored(&status("0000000000001000")));
        assert!(!has_hangup_ignored(&status("x")));
        assert!(!has_hangup_ignored(""));
    }
}
