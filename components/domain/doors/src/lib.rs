//! Who may do what: the operator's keys, the tokens that are made with them for one session, the origins
//! of web pages, and what each route needs.
//!
//! Plain values in and out: no clock, no I/O, no randomness, no WIT. It must never show a key or a token:
//! not in an error, not in `Debug`, and no answer says more of a wrong one than that it is wrong.

mod auth_frame;
mod credential;
mod grant;
mod keys;
mod origins;
mod preflight;
mod scope;
mod seldom;
mod token;
mod token_request;

pub use auth_frame::{AUTH_TEXT_MAX, AUTH_WITHIN_MS, AuthFrame, auth_ok};
pub use credential::{Credential, MAX_CREDENTIAL_BYTES, PROTOCOL, offers_gateway};
pub use grant::{Denied, Grant, NO_STORE, Roles, needed_scope};
pub use keys::{
    BadKeys, Keys, MAX_KEY_CHARS, MAX_KEYS, MAX_NAME_CHARS, MIN_KEY_CHARS, SAFE_ADMIN_KEY_CHARS,
};
pub use origins::{Asker, BadOrigins, MAX_ORIGINS, Origins};
pub use preflight::{ALLOWED_HEADERS, EXPOSED_HEADERS, MAX_AGE_SECONDS, allowed_methods};
pub use scope::Scope;
pub use seldom::{SELDOM_MS, Seldom};
pub use token::{Issued, MAX_LIFETIME_SECONDS};
pub use token_request::{BadTokenRequest, DEFAULT_LIFETIME_SECONDS, TokenRequest};
