//! What a component prints: lines of the log, with the component's id.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes of one line that are logged; the rest of a longer line follows as a line of its own.
const MAX_LINE: usize = 8 << 10;

/// What the lines are logged as, to be found and filtered.
pub const TARGET: &str = "component";

/// Which stream of the component it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Logged at level info.
    Stdout,
    /// Logged at level warn: panics arrive here.
    Stderr,
}

/// A stream whose lines go to the log.
#[derive(Clone, Debug)]
pub struct Lines {
    component: Arc<str>,
    source: Source,
}

impl Lines {
    /// The stream of the component with this id.
    pub fn new(component: &str, source: Source) -> Self {
        Self {
            component: component.into(),
            source,
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer {
            lines: self.clone(),
            pending: Vec::new(),
        })
    }

    // The default would write from a task of its own, and the last words of a component that traps
    // would be lost.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Writer {
            lines: self.clone(),
            pending: Vec::new(),
        })
    }
}

struct Writer {
    lines: Lines,
    /// The line that has not ended yet, at most [`MAX_LINE`] bytes.
    pending: Vec<u8>,
}

impl Writer {
    fn accept(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else {
                self.pending.push(byte);
                if self.pending.len() >= MAX_LINE {
                    self.end_line();
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.pending);
        let line = line.trim_end();
        if !line.is_empty() {
            match self.lines.source {
                Source::Stdout => {
                    tracing::info!(target: TARGET, component = %self.lines.component, "{line}")
                }
                Source::Stderr => {
                    tracing::warn!(target: TARGET, component = %self.lines.component, "{line}")
                }
            }
        }
        self.pending.clear();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end_line();
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.accept(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Pollable for Writer {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.accept(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        Writer {
            lines: Lines::new("test", Source::Stdout),
            pending: Vec::new(),
        }
    }

    #[test]
    fn a_line_waits_for_its_end() {
        let mut writer = writer();
        writer.accept(b"half");
        assert_eq!(writer.pending, b"half");
        writer.accept(b" done\nnext");
        assert_eq!(writer.pending, b"next");
    }

    #[test]
    fn a_line_without_an_end_is_bounded() {
        let mut writer = writer();
        writer.accept(&vec![b'x'; 3 * MAX_LINE + 1]);
        assert_eq!(writer.pending.len(), 1);
    }
}
