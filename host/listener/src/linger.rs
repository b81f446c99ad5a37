//! The end of a connection whose client may still be sending.
//!
//! Closing a socket with unread input resets the connection, and a reset takes the answer with it that was
//! sent before: a client that uploads megabytes reads `connection reset` instead of 401. So the sending half
//! is closed first, and what still comes is read and thrown away until the client has closed its half, or
//! enough of it has come, or it took long enough.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awake::timeout;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Limits;
use crate::limits::LINGER_QUIET;

/// What is thrown away is read into so many bytes.
const BUFFER_BYTES: usize = 16 * 1024;

/// Says that a request was answered before all of its body had been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<AtomicBool>);

impl Unread {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Closes the sending half of a connection, then reads and throws away what the peer still sends. It is waited
/// for longer when it is known that more is to come.
pub(crate) async fn discard(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    limits: &Limits,
    unread: &Unread,
) {
    let idle = if unread.get() {
        limits.linger_idle
    } else {
        LINGER_QUIET
    };
    let discarding = async {
        // Closed already after an answer, and not after an error.
        let _ = timeout(idle, stream.shutdown()).await;
        throw_away(stream, idle, limits.linger_bytes).await;
    };
    let _ = timeout(limits.linger, discarding).await;
}

async fn throw_away(stream: &mut (impl AsyncRead + Unpin), idle: Duration, bytes: usize) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = bytes;
    while left > 0 {
        match timeout(idle, stream.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => left = left.saturating_sub(count),
            // It has closed its half, is gone, or stands still.
            _ => return,
        }
    }
}

/// Sends an answer that the peer gets to read although it may still be sending. Whoever calls this bounds its
/// time.
pub(crate) async fn tell(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
    limits: &Limits,
) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    throw_away(&mut stream, limits.linger_idle, limits.linger_bytes).await;
    Ok(())
}
