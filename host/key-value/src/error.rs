//! Why the store did not do it.

/// A call failed. It changed nothing, but for [`KvError::Unanswered`].
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// Another process held the file for too long; try again.
    #[error("the key-value store is busy: another process holds {place}; try again")]
    Busy {
        /// The file.
        place: String,
    },
    /// The file or server cannot be opened, read or written now; try again when what the message says
    /// is seen to.
    #[error("the key-value store is unavailable: {place}: {message}")]
    Unavailable {
        /// The file or server.
        place: String,
        /// Why.
        message: String,
    },
    /// It was sent to the server and no answer came: it may have been done, and it may not. It will not be
    /// done after a later call of this store. Read what is there before trying again.
    #[error(
        "the key-value store did not answer: {place}: {message}; what was asked for may have been done"
    )]
    Unanswered {
        /// The server.
        place: String,
        /// What happened.
        message: String,
    },
    /// The claim that this store writes under is somebody else's by now: stop, the work goes on there.
    #[error("nothing is written any more under this claim: another process has it")]
    ClaimLost,
    /// The disk, or the server's memory, is full.
    #[error("the key-value store is full: make room for {place}")]
    Full {
        /// The file or server.
        place: String,
    },
    /// The file is no SQLite database, has another schema or has been damaged; or what the server keeps at
    /// the key is no plain value.
    #[error("the key-value store is damaged: {place}: {message}")]
    Damaged {
        /// The file or server.
        place: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A key, a value or a batch is over its limit; see the constants of this crate.
    #[error("too large: {what} of {size} exceeds {limit}")]
    TooLarge {
        /// `key bytes`, `value bytes` or `batch entries`.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The cursor is none that a page of this store gave.
    #[error("this is no cursor of a page of keys: begin without one")]
    BadCursor,
    /// The value at the key is not a number that can be incremented by this much.
    #[error("the value of \"{key}\" cannot be incremented: {why}")]
    NotANumber {
        /// The key.
        key: String,
        /// Why.
        why: &'static str,
    },
}
