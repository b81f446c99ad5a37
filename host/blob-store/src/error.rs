//! Why the store did not do it.

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The store cannot do it now; try again.
    #[error("the blob store is unavailable: {0}")]
    Unavailable(String),
    /// The store does not take this key or value; trying again will not help.
    #[error("the blob store refuses: {0}")]
    Refused(String),
}
