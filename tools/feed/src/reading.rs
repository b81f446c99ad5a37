//! A file, read on a thread of its own: disks and pipes may stand still, the streams do not wait for
//! them. At most `AHEAD` seconds are read ahead.

use tokio::sync::mpsc;

use crate::audio::{Error, Source};

/// Seconds that are read and not taken.
const AHEAD: usize = 4;

/// What the file gives.
#[derive(Debug)]
pub enum Read {
    /// The next second.
    Second(Vec<u8>),
    /// Something that the user should know.
    Note(String),
}

/// Starts to read. The channel ends with the file, or with an error.
#[must_use]
pub fn start(mut source: Source) -> mpsc::Receiver<Result<Read, Error>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    // Not of the runtime: it would wait for a pipe that gives nothing when the program ends.
    std::thread::spawn(move || {
        loop {
            let second = source.next_second();
            let notes = source
                .take_notes()
                .into_iter()
                .map(|note| Ok(Read::Note(note)));
            let second = second.transpose().map(|second| second.map(Read::Second));
            let has_ended = !matches!(second, Some(Ok(_)));
            for read in notes.chain(second) {
                if sender.blocking_send(read).is_err() {
                    return;
                }
            }
            if has_ended {
                return;
            }
        }
    });
    receiver
}
