//! Standard output and standard error as queues: whoever writes a line leaves it there and goes on, and
//! a thread of the output's own writes it. A reader that stands still, a pipe that nobody reads any more
//! or a disk that is full so costs lines, which are counted, and nothing else.
//!
//! `tracing_appender::non_blocking` is not used: it bounds lines and not bytes, and neither counts nor
//! retries what could not be written.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait to be written; what comes while there is no room for it is lost. As many again are being
/// written.
pub const QUEUED_BYTES: usize = 1 << 20;

/// After an error, before the next lines are tried.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long the end of a process may wait for what is queued.
pub const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Before a descriptor that is full and does not block is asked again. Whoever shares it may have made it so.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// An output. Clones are the same one. Writing to it never blocks and never fails.
#[derive(Clone, Debug)]
pub struct Output(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write, or somebody waits for the end of it.
    work: Condvar,
    /// Nothing is left to write.
    done: Condvar,
    /// Lines that were not written, since the start.
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole lines, at most [`QUEUED_BYTES`].
    waiting: Vec<u8>,
    is_writing: bool,
    is_flushed: bool,
}

impl Output {
    /// Standard output.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn stdout() -> io::Result<Self> {
        // Not `io::stdout` itself: its lock would be held while a write waits.
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(stdout) => Self::start("stdout", File::from(stdout), |_| ()),
            Err(_) => Self::start("stdout", io::stdout(), |_| ()),
        }
    }

    /// Standard error, for the log: `found_lost` is called with the number of lines that were lost, once
    /// some can be written again. It may write to this output.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn stderr(found_lost: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(stderr) => Self::start("log", File::from(stderr), found_lost),
            Err(_) => Self::start("log", io::stderr(), found_lost),
        }
    }

    fn start(
        name: &str,
        sink: impl Write + Send + 'static,
        found_lost: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            shared: Arc::clone(&shared),
            sink,
            is_amid_line: false,
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run(found_lost))?;
        Ok(Self(shared))
    }

    /// Queues a line; its end is added.
    pub fn line(&self, line: &str) {
        self.push(format!("{line}\n").as_bytes());
    }

    /// Lines that were not written, since the start: there was no room, or writing failed.
    #[must_use]
    pub fn lines_lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until what is queued is written or lost, but no longer than `within`; whether that was
    /// enough. It blocks: for the end of a process.
    pub fn flush(&self, within: Duration) -> bool {
        let mut queue = self.0.queue();
        queue.is_flushed = true;
        self.0.work.notify_all();
        let is_left = |queue: &mut Queue| queue.is_writing || !queue.waiting.is_empty();
        let waited = self.0.done.wait_timeout_while(queue, within, is_left);
        let (mut queue, result) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.is_flushed = false;
        !result.timed_out()
    }

    /// Flushes, for at most [`FLUSH_TIME`], when what is returned is dropped.
    #[must_use]
    pub fn flush_at_end(&self) -> FlushAtEnd {
        FlushAtEnd(self.clone())
    }

    fn push(&self, lines: &[u8]) {
        let mut queue = self.0.queue();
        if queue.waiting.len() + lines.len() > QUEUED_BYTES {
            drop(queue);
            self.0.lose(lines);
        } else {
            queue.waiting.extend_from_slice(lines);
            self.0.work.notify_all();
        }
    }
}

/// Takes whole lines, as `tracing` writes them.
impl Write for Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See [`Output::flush_at_end`].
#[derive(Debug)]
pub struct FlushAtEnd(Output);

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        self.0.flush(FLUSH_TIME);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, lines: &[u8]) {
        let ends = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let cut = u64::from(lines.last().is_some_and(|last| *last != b'\n'));
        self.lost.fetch_add(ends + cut, Ordering::Relaxed);
    }
}

/// The thread of an output.
struct Writer<S> {
    shared: Arc<Shared>,
    sink: S,
    /// The last write that worked ended within a line.
    is_amid_line: bool,
}

impl<S: Write> Writer<S> {
    fn run(mut self, found_lost: impl Fn(u64)) {
        let mut batch = Vec::new();
        let mut told = 0;
        loop {
            // Those were lost after what is in this batch.
            let lost = self.take(&mut batch);
            match self.write(&batch) {
                Ok(()) if lost > told => {
                    found_lost(lost - told);
                    told = lost;
                }
                Ok(()) => {}
                Err(written) => {
                    self.shared.lose(batch.get(written..).unwrap_or_default());
                    self.pause();
                }
            }
            batch.clear();
        }
    }

    /// Waits for lines and takes them all. Gives how many are lost so far.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        let mut queue = self.shared.queue();
        while queue.waiting.is_empty() {
            queue.is_writing = false;
            self.shared.done.notify_all();
            let waited = self.shared.work.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_writing = true;
        std::mem::swap(&mut queue.waiting, batch);
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Writes it all. An error is how many bytes were written before it.
    fn write(&mut self, batch: &[u8]) -> Result<(), usize> {
        if self.is_amid_line {
            self.write_all(b"\n")?;
        }
        self.write_all(batch)
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => return Err(written),
                Ok(count) => {
                    written += count;
                    let last = bytes.get(written.saturating_sub(1));
                    self.is_amid_line = last.is_some_and(|last| *last != b'\n');
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(FULL_PAUSE);
                }
                Err(_) => return Err(written),
            }
        }
        // Unbuffered but for `io::stdout`, and there an error is one of the next write.
        let _ = self.sink.flush();
        Ok(())
    }

    /// Waits after an error, unless somebody waits for the end.
    fn pause(&self) {
        let queue = self.shared.queue();
        let is_paused = |queue: &mut Queue| !queue.is_flushed;
        let _ = self
            .shared
            .work
            .wait_timeout_while(queue, RETRY_PAUSE, is_paused);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// A sink that is told how much of each write it takes, and says what it took.
    struct Scripted {
        answers: mpsc::Receiver<Answer>,
        asked: mpsc::Sender<()>,
        took: Arc<Mutex<Vec<u8>>>,
    }

    #[derive(Clone, Copy)]
    enum Answer {
        All,
        Bytes(usize),
        Error(ErrorKind),
    }

    struct Reader {
        answers: mpsc::Sender<Answer>,
        asked: mpsc::Receiver<()>,
        took: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(());
            // Nobody answers any more: as a reader that is gone.
            let count = match self
                .answers
                .recv()
                .unwrap_or(Answer::Error(ErrorKind::BrokenPipe))
            {
                Answer::All => bytes.len(),
                Answer::Bytes(count) => count,
                Answer::Error(kind) => return Err(kind.into()),
            };
            self.took.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Reader {
        fn is_asked(&self) {
            self.asked.recv_timeout(LONG).expect("a write");
        }

        fn answer(&self, answer: Answer) {
            self.answers.send(answer).unwrap();
        }

        fn text(&self) -> String {
            String::from_utf8(self.took.lock().unwrap().clone()).unwrap()
        }
    }

    /// An output that says in itself what was lost.
    fn output() -> (Output, Reader) {
        let (answers, answered) = mpsc::channel();
        let (asked, is_asked) = mpsc::channel();
        let took = Arc::new(Mutex::default());
        let sink = Scripted {
            answers: answered,
            asked,
            took: Arc::clone(&took),
        };
        let slot: Arc<Mutex<Option<Output>>> = Arc::default();
        let own = Arc::clone(&slot);
        let output = Output::start("test", sink, move |lost| {
            if let Some(output) = &*own.lock().unwrap() {
                output.line(&format!("{lost} lost"));
            }
        });
        let output = output.unwrap();
        *slot.lock().unwrap() = Some(output.clone());
        let reader = Reader {
            answers,
            asked: is_asked,
            took,
        };
        (output, reader)
    }

    #[test]
    fn what_is_queued_is_written_in_order_before_the_end() {
        let (output, reader) = output();
        for number in 0..3 {
            output.line(&number.to_string());
            reader.answer(Answer::All);
        }
        assert!(output.flush(LONG));
        assert_eq!(reader.text(), "0\n1\n2\n");
        assert_eq!(output.lines_lost(), 0);
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_they_are_counted_and_told_of() {
        let (output, reader) = output();
        output.line("first");
        reader.is_asked();
        // It stands still. The queue takes its limit and no more.
        let line = "x".repeat(1023);
        let room = QUEUED_BYTES / 1024;
        for _ in 0..room + 5 {
            output.line(&line);
        }
        assert_eq!(output.lines_lost(), 5);
        assert!(
            !output.flush(Duration::from_millis(10)),
            "it cannot be written"
        );
        // It goes on: what waited is read, and then how many are missing there.
        for _ in 0..3 {
            reader.answer(Answer::All);
        }
        assert!(output.flush(LONG));
        let expected = format!("first\n{}5 lost\n", format!("{line}\n").repeat(room));
        assert!(reader.text() == expected, "{} bytes", reader.text().len());
        assert_eq!(output.lines_lost(), 5);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_next_begins_a_line() {
        let (output, reader) = output();
        output.line("one");
        reader.is_asked();
        output.line("two");
        output.line("three");
        reader.answer(Answer::All);
        // "two" and half of "three", then the disk is full.
        reader.is_asked();
        reader.answer(Answer::Bytes(6));
        reader.answer(Answer::Error(ErrorKind::StorageFull));
        assert!(output.flush(LONG));
        assert_eq!(
            (reader.text().as_str(), output.lines_lost()),
            ("one\ntwo\nth", 1)
        );
        output.line("four");
        for _ in 0..3 {
            reader.answer(Answer::All);
        }
        assert!(output.flush(LONG));
        assert_eq!(reader.text(), "one\ntwo\nth\nfour\n1 lost\n");
    }

    #[test]
    fn a_reader_that_is_gone_delays_nobody() {
        let (output, reader) = output();
        drop(reader);
        for _ in 0..100 {
            output.line("nobody reads this");
        }
        assert!(output.flush(LONG), "it is lost, not waited for");
        assert_eq!(output.lines_lost(), 100);
    }

    #[test]
    fn what_is_only_for_a_moment_is_tried_again() {
        let (output, reader) = output();
        output.line("line");
        for error in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
            reader.answer(Answer::Error(error));
        }
        reader.answer(Answer::All);
        assert!(output.flush(LONG));
        assert_eq!((reader.text().as_str(), output.lines_lost()), ("line\n", 0));
    }
}
