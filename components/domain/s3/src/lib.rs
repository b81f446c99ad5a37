//! S3 as the blob stores use it, without a connection: which keys are taken, the settings, what an answer
//! means, text in headers; with the feature `requests` also the signed requests. Plain Rust: time is an
//! argument, nothing is sent from here, and nothing is known of what objects mean.

pub mod answer;
#[cfg(feature = "requests")]
mod authorization;
pub mod encoded_word;
pub mod keys;
#[cfg(feature = "requests")]
pub mod requests;
pub mod settings;

/// The name of what an upload in parts writes into the metadata for itself, to know the object again. It
/// is not shown to those who read the object.
pub const UPLOAD_MARK: &str = "gateway-upload";

/// The longest such mark, in bytes. Its room is kept free in the metadata, with that of its name.
pub const MAX_MARK_BYTES: usize = 32;
