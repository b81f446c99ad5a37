//! What was said and by whom: utterances, the merged view of them, speaker events, and the request
//! to the inference service that identifies a speaker.
//!
//! Everything here is a value in and a value out: no clock, no randomness, no I/O, no WIT types.
//! Session ids, stream roles and times come in as they are written in JSON (`&str`), because this
//! crate only passes them on; times are RFC 3339 UTC with milliseconds, written by the caller.

pub mod event;
pub mod inference;
pub mod merge;
pub mod range;
pub mod resolve;
pub mod speech;
pub mod utterance;
pub mod wav;
pub mod words;

pub use event::{
    Decision, IdentitySource, KnownNames, Source, SpeakerEvent, students_event_resolved,
    students_event_unknown, teacher_event,
};
pub use inference::{Answer, InferenceError, parse_answer, request_body};
pub use merge::{Merge, MergedEntry, merge_all, merge_next, order, order_key};
pub use speech::introduced_name;
pub use utterance::{FinalSentence, Refused, Utterance, WindowText};
