//! Standard error and standard output, written by threads of their own: whoever reads them may be slow,
//! stand still or go away, and the disk behind them may be full. Nothing of that stops a recording, so
//! nothing here waits for a line to be written, and a failure is counted, not returned.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::printable::printable;

/// Lines that wait to be written. Those that come then are dropped.
const QUEUE: usize = 256;
/// The last lines may take this long.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

enum Job {
    Line(String),
    Status(String),
    Flush(oneshot::Sender<()>),
}

/// Standard error.
#[derive(Clone, Debug)]
pub struct Output {
    jobs: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

impl Output {
    /// To standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::to(io::stderr())
    }

    /// To any other place.
    #[must_use]
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        let (jobs, receiver) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = dropped.clone();
        std::thread::spawn(move || write_all(writer, &receiver, &counter));
        Self { jobs, dropped }
    }

    /// A line of its own, with what a terminal would obey written as escapes.
    pub fn line(&self, text: &str) {
        self.put(Job::Line(printable(text).into_owned()));
    }

    /// The line that stays at the bottom of a terminal, instead of the one before.
    pub fn status(&self, text: &str) {
        self.put(Job::Status(printable(text).into_owned()));
    }

    /// Waits until all is written that was given, for a short time.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.jobs.try_send(Job::Flush(done)).is_ok() {
            let _ = timeout(FLUSH_PATIENCE, written).await;
        }
    }

    fn put(&self, job: Job) {
        let is_line = matches!(job, Job::Line(_));
        if self.jobs.try_send(job).is_err() && is_line {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Until nobody has anything to say any more.
fn write_all(mut writer: impl Write, jobs: &Receiver<Job>, dropped: &AtomicU64) {
    let mut status = String::new();
    while let Ok(job) = jobs.recv() {
        let mut text = String::new();
        match job {
            Job::Line(line) => {
                erase(&status, &mut text);
                match dropped.swap(0, Ordering::Relaxed) {
                    0 => {}
                    count => text.push_str(&format!("({count} lines were not shown)\n")),
                }
                text.push_str(&line);
                text.push('\n');
                text.push_str(&status);
            }
            Job::Status(new) => {
                erase(&status, &mut text);
                text.push_str(&new);
                status = new;
            }
            Job::Flush(done) => {
                let _ = writer.flush();
                let _ = done.send(());
            }
        }
        // One that cannot be written to today may be later: a disk, a terminal.
        let _ = writer.write_all(text.as_bytes());
    }
}

/// Back to the first column, and nothing in the line. Without a status there is no terminal.
fn erase(status: &str, text: &mut String) {
    if !status.is_empty() {
        text.push_str("\r\u{1b}[K");
    }
}

/// Writes to standard output. Waits as long as its reader does.
///
/// # Errors
/// When it cannot be written.
pub async fn to_stdout(text: String) -> io::Result<()> {
    let (done, written) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdout = io::stdout().lock();
        let result = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        // Nobody waits any more.
        let _ = done.send(result);
    });
    written.await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn lines_stand_above_the_status() {
        let written = Written::default();
        let output = Output::to(written.clone());
        output.line("a\u{1b}[2J");
        output.status("1 of 2");
        output.line("b");
        output.status("");
        output.flush().await;
        assert_eq!(
            written.text(),
            "a\\u{1b}[2J\n1 of 2\r\u{1b}[Kb\n1 of 2\r\u{1b}[K"
        );
    }

    /// A disk that is full, and then is not.
    struct Full(Written, bool);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_passed_over() {
        let written = Written::default();
        let output = Output::to(Full(written.clone(), false));
        output.line("lost");
        output.line("kept");
        output.flush().await;
        assert_eq!(written.text(), "kept\n");
    }

    /// A reader that stands still until it is let go.
    struct Stalled(std::sync::mpsc::Receiver<()>, Written);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_stops_nobody_and_is_told_what_it_missed() {
        let (go, stalled) = std::sync::mpsc::channel();
        let written = Written::default();
        let output = Output::to(Stalled(stalled, written.clone()));
        for i in 0..10_000 {
            output.line(&i.to_string());
        }
        drop(go);
        let missed = || written.text().contains("lines were not shown");
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while std::time::Instant::now() < deadline {
            output.line("more");
            output.flush().await;
            if missed() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{}", written.text());
    }
}
