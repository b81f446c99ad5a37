//! How often and how long something is asked of the server: attempts with growing pauses until a time
//! is over, and at most so many at once over all calls.

use std::fmt;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::failure::Failure;
use super::outage::{Leave, Outage};

/// The longest first pause between two attempts; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// A write may take this much longer for each MiB of its content.
pub(crate) const TIME_PER_MIB: Duration = Duration::from_secs(1);

/// Limits of one store, for all its calls together.
#[derive(Debug)]
pub(crate) struct Attempts {
    /// From the beginning of a call to its end.
    timeout: Duration,
    places: Semaphore,
    outage: Outage,
}

/// Why a call was given up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    operation: &'static str,
    attempts: u32,
    took: Duration,
    /// The last attempt's.
    pub(crate) failure: Failure,
}

impl Failed {
    /// An earlier attempt may have been carried out although no answer came.
    pub(crate) fn is_repeated(&self) -> bool {
        self.attempts > 1
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.failure)?;
        if self.attempts > 1 {
            let (attempts, seconds) = (self.attempts, self.took.as_secs_f32());
            write!(f, " (the last of {attempts} attempts in {seconds:.1} s)")?;
        }
        Ok(())
    }
}

impl Attempts {
    pub(crate) fn new(timeout: Duration, concurrency: usize) -> Self {
        Self {
            timeout,
            places: Semaphore::new(concurrency),
            outage: Outage::default(),
        }
    }

    /// When a call that begins now, and writes so many bytes, must have ended.
    pub(crate) fn deadline(&self, bytes: usize) -> Instant {
        Instant::now() + self.timeout + time_for(bytes)
    }

    /// Tries it until it goes well, is decided, or the deadline has come.
    pub(crate) async fn run<T, F>(
        &self,
        operation: &'static str,
        deadline: Instant,
        attempt: impl Fn() -> F,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let began = Instant::now();
        let mut attempts = 0;
        let failed = |attempts, failure| Failed {
            operation,
            attempts,
            took: began.elapsed(),
            failure,
        };
        let leave = self.outage.ask(began);
        if let Leave::Not(since) = leave {
            let down = format!("S3 has not answered for {} s", since.as_secs());
            return Err(failed(0, Failure::Down(down)));
        }
        loop {
            let Ok(Ok(place)) = timeout_at(deadline, self.places.acquire()).await else {
                let busy = "too many calls wait for S3".to_owned();
                return Err(failed(attempts, Failure::NoAnswer(busy)));
            };
            attempts += 1;
            let done = match timeout_at(deadline, attempt()).await {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(error)) => Err(Failure::from(error)),
                Err(_) => Err(Failure::NoAnswer("no answer in time".to_owned())),
            };
            drop(place);
            let now = Instant::now();
            let failure = match done {
                Ok(done) => {
                    self.outage.answered(now);
                    return Ok(done);
                }
                Err(failure) if !failure.is_outage() => {
                    self.outage.answered(now);
                    return Err(failed(attempts, failure));
                }
                Err(failure) => failure,
            };
            let pause = pause(attempts, &chance());
            if leave == Leave::Once || now + pause >= deadline {
                self.outage.given_up(began, now, &failure.to_string());
                return Err(failed(attempts, failure));
            }
            tracing::debug!(operation, attempts, %failure, "S3 is asked again");
            sleep(pause).await;
        }
    }
}

/// What writing so many bytes may take longer.
pub(crate) fn time_for(bytes: usize) -> Duration {
    TIME_PER_MIB.saturating_mul(u32::try_from(bytes >> 20).unwrap_or(u32::MAX))
}

/// A random part of the longest pause, so that many who failed at once do not come back at once.
fn pause(attempts: u32, chance: &[u8; 2]) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(16)))
        .min(MAX_PAUSE);
    let part = u32::from(u16::from_le_bytes(*chance));
    longest / 2 + (longest / 2).saturating_mul(part) / u32::from(u16::MAX)
}

fn chance() -> [u8; 2] {
    let mut bytes = [0; 2];
    // Without randomness all pauses are at their shortest.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        let (least, most) = ([0, 0], [255, 255]);
        assert_eq!(pause(1, &least), FIRST_PAUSE / 2);
        assert_eq!(pause(1, &most), FIRST_PAUSE);
        assert_eq!(pause(2, &most), FIRST_PAUSE * 2);
        assert_eq!(pause(1000, &most), MAX_PAUSE);
        assert_eq!(pause(1000, &least), MAX_PAUSE / 2);
    }

    #[test]
    fn more_bytes_have_more_time() {
        assert_eq!(time_for(32_000), Duration::ZERO);
        assert_eq!(time_for(8 << 20), TIME_PER_MIB * 8);
    }
}
