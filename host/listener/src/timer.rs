//! The clock of hyper's deadlines: the time during which the process does not run does not count. A request
//! that waits unread when a stopped process goes on did not come too late.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// For hyper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awake;

struct Sleep(awake::Sleep);

impl hyper::rt::Timer for Awake {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(awake::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

impl hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}
