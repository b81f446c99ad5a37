//! A reader that can look at what comes next without taking it, on files that cannot seek too. It
//! knows nothing of formats.

use std::io::{self, Read};

/// Reads through, and keeps what was looked at.
#[derive(Debug)]
pub struct Lookahead<R> {
    inner: R,
    /// Looked at and not read; from `taken` on.
    seen: Vec<u8>,
    taken: usize,
    position: u64,
}

impl<R: Read> Lookahead<R> {
    /// Nothing is read yet.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            seen: Vec::new(),
            taken: 0,
            position: 0,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next `count` bytes; fewer only at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        self.seen.drain(..self.taken);
        self.taken = 0;
        let missing = count.saturating_sub(self.seen.len());
        if missing > 0 {
            (&mut self.inner)
                .take(missing as u64)
                .read_to_end(&mut self.seen)?;
        }
        Ok(&self.seen[..count.min(self.seen.len())])
    }

    /// Fills `buffer`; less only at the end of the file. Gives how much.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Passes over so many bytes. Gives how many there were.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn skip(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut self.take(count), &mut io::sink())
    }
}

impl<R: Read> Read for Lookahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let seen = &self.seen[self.taken..];
        let read = if seen.is_empty() {
            self.inner.read(buffer)?
        } else {
            let count = seen.len().min(buffer.len());
            buffer[..count].copy_from_slice(&seen[..count]);
            self.taken += count;
            count
        };
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_was_looked_at_is_read_afterwards() {
        let mut reader = Lookahead::new(&b"abcdefgh"[..]);
        assert_eq!(reader.peek(3).unwrap(), b"abc");
        assert_eq!(reader.position(), 0);
        let mut two = [0; 2];
        assert_eq!(reader.read_full(&mut two).unwrap(), 2);
        assert_eq!(&two, b"ab");
        assert_eq!(reader.peek(2).unwrap(), b"cd");
        assert_eq!(reader.skip(3).unwrap(), 3);
        assert_eq!(reader.position(), 5);
        assert_eq!(reader.peek(9).unwrap(), b"fgh");
        assert_eq!(reader.skip(9).unwrap(), 3);
        assert_eq!(reader.peek(1).unwrap(), b"");
    }
}
