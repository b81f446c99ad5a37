//! Entry component: all that happens to one audio stream. The host calls it with the events of a
//! lane; it decides with the domain crates, has the leaves store and recognise, and tells the host
//! what to send. It keeps nothing between two calls.

mod admission;
mod audio;
mod changes;
mod client;
mod clients;
mod control;
mod doors;
mod figures;
mod identity;
mod live;
mod nudges;
mod outbox;
mod recognition;
mod result;
mod result_file;
mod resume;
mod roles;
mod settings;
mod stream;
mod take_back;
mod transcript;
mod windows;

use bindings::exports::realtime::sockets::mailbox;
use bindings::exports::realtime::sockets::startup;
use bindings::exports::realtime::sockets::upgrades;
use bindings::realtime::sockets::types::Event;
use interview_doors::SAFE_ADMIN_KEY_CHARS;
use interview_session::lane::Lane;
use interview_session::time::EpochMs;

#[allow(missing_docs, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/audio-stream",
        generate_all,
    });
    use super::AudioStream;
    export!(AudioStream);
}

struct AudioStream;

impl startup::Guest for AudioStream {
    fn check() -> Result<(), String> {
        for key in settings::all()?.doors.keys.short_admins() {
            eprintln!(
                "GATEWAY_API_KEYS: the admin's key {key} has fewer than {SAFE_ADMIN_KEY_CHARS} characters; \
                 whoever has a token can try keys on it: make a longer one with openssl rand -hex 32"
            );
        }
        Ok(())
    }

    async fn resume(cursor: Option<u64>) -> Result<startup::Errands, String> {
        resume::errands(cursor)
    }
}

impl upgrades::Guest for AudioStream {
    fn admit(request: upgrades::Request) -> Result<upgrades::Admission, upgrades::Refusal> {
        admission::admit(&request)
    }
}

impl mailbox::Guest for AudioStream {
    async fn handle(lane: String, events: Vec<Event>) -> Result<(), String> {
        match Lane::parse(&lane).map_err(|error| error.to_string())? {
            Lane::Stream { session, role } => stream::handle(&session, role, events).await,
            Lane::Identity { session } => identity::handle(&session, events).await,
            Lane::Live { session } => live::handle(&session, events),
            Lane::Result { session } => result::handle(&session, events).await,
        }
    }
}

/// The host's clock.
fn now() -> EpochMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    EpochMs(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}

/// The host's randomness, for names and jitter.
fn random() -> Result<u64, String> {
    getrandom::u64().map_err(|error| format!("no randomness: {error}"))
}
