//! Live push of one session: what happens is numbered, kept, and sent to those who listen.
//!
//! The live log holds an entry for each number: a pointer into a stream's log, or a whole small frame
//! ([`entry`]). One lane per session writes it; [`lane::LiveLane`] is one batch of that lane, as values
//! in and values out: no clock, no I/O, no randomness, no WIT types. It decides the order in which the
//! streams' logs are numbered, what of the passing frames is worth a number, whom a frame concerns, how
//! much a socket gets at a time, and who is given up. It never looks into audio, and of utterances and
//! events only at their times and ids.

mod deliver;
mod numbering;
mod order;
mod passing;
mod viewers;

pub mod ask;
pub mod entry;
pub mod lane;
pub mod limits;
pub mod record;

pub use ask::{Ask, BadAsk};
pub use entry::{EntryName, Log};
pub use lane::{Append, Closing, Delivery, End, Input, LiveLane, Parcel, Store, Stored};
pub use record::{Listening, LogLength};
