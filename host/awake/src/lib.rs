//! Deadlines that count only the time during which the process runs.
//!
//! A process can be stopped for minutes (`SIGSTOP`, a debugger, a suspended machine, a frozen cgroup). When
//! it goes on, every deadline of Tokio has passed although nobody has looked at the sockets: `epoll_wait`
//! then returns `EINTR`, without the data that waits, and timers fire first. Whoever judges a peer by such a
//! deadline judges itself.
//!
//! Here a deadline is waited for in [`SLICES`] parts, one after the other, and what it bounds is polled
//! between them. A stop of any length costs one part. At the end there is a short [`LOOK`], in which the
//! runtime delivers what the operating system has by then.
//!
//! It must not know what is waited for.
#![deny(clippy::print_stderr, clippy::print_stdout)]

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Parts of a deadline. A stop of the process takes at most one of them from whoever is waited for.
pub const SLICES: u32 = 8;

/// A [`Sleep`] that is shorter is one part: nobody is judged by it, and parts would make it inexact.
pub const SLICED: Duration = Duration::from_secs(1);

/// The last part: long enough for one turn of the runtime's I/O driver.
pub const LOOK: Duration = Duration::from_millis(1);

/// A deadline passed while the process ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}

/// The parts in which `limit` is waited for.
fn slices(limit: Duration) -> impl Iterator<Item = Duration> {
    let count = if limit < SLICED { 1 } else { SLICES };
    (0..count)
        .map(move |_| limit / count)
        .chain(std::iter::once(LOOK))
}

/// Waits for `future`, at most for `limit` of the time during which the process runs.
///
/// # Errors
/// It is not ready in time; it was polled after the whole of `limit` had passed.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    for slice in slices(limit) {
        if let Ok(output) = tokio::time::timeout(slice, future.as_mut()).await {
            return Ok(output);
        }
    }
    Err(Elapsed)
}

/// Waits for `limit` of the time during which the process runs.
pub fn sleep(limit: Duration) -> Sleep {
    let parts = if limit < SLICED { 1 } else { SLICES };
    Sleep {
        part: Box::pin(tokio::time::sleep(limit / parts)),
        length: limit / parts,
        left: if parts == 1 { 0 } else { parts },
    }
}

/// See [`sleep`].
#[derive(Debug)]
pub struct Sleep {
    part: Pin<Box<tokio::time::Sleep>>,
    /// Of each part but the last, which is a [`LOOK`].
    length: Duration,
    /// Parts after this one.
    left: u32,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            ready!(this.part.as_mut().poll(cx));
            let Some(left) = this.left.checked_sub(1) else {
                return Poll::Ready(());
            };
            this.left = left;
            let next = if left == 0 { LOOK } else { this.length };
            this.part.set(tokio::time::sleep(next));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::future::{pending, poll_fn};
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_deadline_is_as_long_as_it_says() {
        for millis in [0, 5, 1_000] {
            let limit = Duration::from_millis(millis);
            let since = Instant::now();
            assert_eq!(timeout(limit, pending::<()>()).await, Err(Elapsed));
            assert!(since.elapsed() >= limit, "{:?}", since.elapsed());
            let since = Instant::now();
            sleep(limit).await;
            assert!(since.elapsed() >= limit, "{:?}", since.elapsed());
        }
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
    }

    #[test]
    fn the_parts_of_a_deadline_are_the_whole_and_a_look() {
        for limit in [Duration::ZERO, SLICED - LOOK, SLICED, SLICED * 3_600] {
            let parts: Duration = slices(limit).sum();
            assert_eq!(parts, limit + LOOK);
        }
        assert_eq!(slices(SLICED).count(), SLICES as usize + 1);
    }

    /// While its only thread is blocked, the runtime sees as little as in a process that is stopped.
    #[tokio::test]
    async fn a_stop_of_the_process_costs_one_part() {
        let limit = SLICED;
        let least = limit - limit / SLICES;
        let mut sleeping = sleep(limit);
        let mut waiting = Box::pin(timeout(limit, pending::<()>()));
        poll_fn(|cx| {
            assert!(Pin::new(&mut sleeping).poll(cx).is_pending());
            assert!(waiting.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        std::thread::sleep(limit * 2);
        let since = Instant::now();
        let ended = tokio::join!(
            async {
                sleeping.await;
                since.elapsed()
            },
            async {
                assert_eq!(waiting.await, Err(Elapsed));
                since.elapsed()
            }
        );
        assert!(ended.0 >= least && ended.1 >= least, "{ended:?}");
    }

    /// What becomes ready while the process is stopped in the last part is still seen.
    #[tokio::test]
    async fn what_is_there_when_all_parts_are_over_is_seen() {
        let limit = Duration::from_millis(50);
        let since = Instant::now();
        let there = poll_fn(|_| match since.elapsed() > limit {
            true => Poll::Ready("there"),
            false => Poll::Pending,
        });
        assert_eq!(timeout(limit, there).await, Ok("there"));
    }
}
