//! Texts that people write: when two of them are the same, and where one may be cut. `docs/unicode.md`
//! states the rules.
//!
//! Texts in, texts out. It knows no names, ids or limits: who compares or cuts says what, and how much.

mod cut;
mod form;

pub use cut::{at_most_bytes, at_most_chars, at_most_utf16};
pub use form::{is_joiner, is_mark, is_same_name, is_same_text, normal};
