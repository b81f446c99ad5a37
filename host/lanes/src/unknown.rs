//! Reading from a client of which nobody knows yet whose it is: a few bytes, no more, until the app has
//! settled it. So it costs next to nothing whatever it sends. Nothing here knows how it is settled.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

use crate::handle::Socket;

/// The error that ends the reading of such a client.
#[derive(Debug)]
pub(crate) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much was sent before it was known whose connection this is")
    }
}

impl std::error::Error for TooMuch {}

impl TooMuch {
    /// Whether this is that error.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// A connection that gives up to a number of bytes while its socket is unknown, then [`TooMuch`], once;
/// what comes after that is for nobody.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    /// Of the bytes, while it is unknown.
    left: Option<Left>,
}

#[derive(Debug)]
struct Left {
    bytes: usize,
    socket: Arc<Socket>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Metered<S> {
    /// The same WebSocket, of which nothing has been read, metered while `socket` is unknown.
    pub(crate) async fn new(
        ws: WebSocketStream<S>,
        socket: &Arc<Socket>,
        bytes: usize,
    ) -> WebSocketStream<Self> {
        let config = *ws.get_config();
        let left = socket.is_unknown().then(|| Left {
            bytes,
            socket: Arc::clone(socket),
        });
        let stream = Self {
            stream: ws.into_inner(),
            left,
        };
        WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(left) = this.left.as_mut().filter(|left| left.socket.is_unknown()) else {
            this.left = None;
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        };
        if left.bytes == 0 {
            this.left = None;
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let room = left.bytes.min(buffer.remaining());
        let mut some = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut some))?;
        let read = some.filled().len();
        left.bytes -= read;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
