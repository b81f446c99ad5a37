//! Why the store did not do it.

/// A call failed and changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// Another process held the file for too long; try again.
    #[error("the key-value store is busy: another process holds {file}; try again")]
    Busy {
        /// The file.
        file: String,
    },
    /// The file cannot be opened, read or written now; try again when what the message says is seen
    /// to.
    #[error("the key-value store is unavailable: {file}: {message}")]
    Unavailable {
        /// The file.
        file: String,
        /// Why.
        message: String,
    },
    /// The disk is full.
    #[error("the key-value store is full: free space for {file}")]
    Full {
        /// The file.
        file: String,
    },
    /// The file is no SQLite database, has another schema or has been damaged.
    #[error(
        "the key-value store is damaged: {file}: {message}; move the file away (or restore it from \
         a copy) and start again"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
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
    /// The value at the key is not a number that can be incremented by this much.
    #[error("the value of \"{key}\" cannot be incremented: {why}")]
    NotANumber {
        /// The key.
        key: String,
        /// Why.
        why: &'static str,
    },
}
