//! All that the operator decides. One table ([`ALL`]) says of each setting what it is called, what it
//! is when nobody sets it, what is allowed and what it means; [`Settings::read`] reads, checks and
//! types them, and `docs/settings.md` is rendered from the same rows ([`page::render`]). A test holds
//! `spin.toml` to them.
//!
//! Plain values in and out: where variables come from is the caller's to know. Nothing here prints a
//! secret, in errors or in `Debug`.

mod error;
pub mod page;
mod reader;
mod rule;
mod secret;
mod settings;
mod table;

pub use error::{BadSetting, BadSettings, MAX_SHOWN_CHARS};
pub use rule::{MAX_KEY_CHARS, MAX_LINE_CHARS, MAX_URL_CHARS};
pub use secret::Secret;
pub use settings::{Asr, Doors, Inference, MAX_START_TIMEOUT, Settings};
pub use table::{ALL, Row};
