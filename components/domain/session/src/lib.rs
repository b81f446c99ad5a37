//! What a session is: ids, roles, client frames, ingest, capture, config, and what the HTTP API and
//! the WebSocket protocol say of them.
//!
//! Pure functions and values: no clock, no I/O, no randomness, no WIT types. Time comes in as
//! [`time::EpochMs`]. Input from outside is parsed here once, into types that carry the rules
//! ([`id::SessionId`], [`role::StreamRole`], [`seq::Seq`]) and are trusted from then on.

mod js;

pub mod asr;
pub mod asr_run;
pub mod capture;
pub mod config;
pub mod connected;
pub mod error;
pub mod frame;
pub mod id;
pub mod idempotency;
pub mod ingest;
pub mod keys;
pub mod lane;
pub mod pace;
pub mod phase;
pub mod query;
pub mod reply;
pub mod role;
pub mod route;
pub mod seq;
pub mod session_document;
pub mod speakers;
pub mod state_view;
pub mod stored;
pub mod storing;
pub mod time;
