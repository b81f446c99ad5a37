//! Idempotency keys of `resolve`: of requests with the same key one asks, the others wait for it and
//! get its answer. A claim has an end of its own, so a request that died does not block the key.

use std::time::{Duration, Instant};

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use spin_sdk::time::sleep;

use session_reader::bindings::interview::gateway::session_state;
use session_reader::{roles, unavailable};

/// What a request that asks needs besides the inference service's time: loading, merging, and the
/// stream's lane.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);

/// How much longer than the inference service may take a request waits for another one.
const WAIT_MARGIN: Duration = Duration::from_secs(10);

/// But never longer than this: the host lets a component answer for a minute.
const MAX_WAIT: Duration = Duration::from_secs(55);

/// The first pause between two looks, which then doubles.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// The longest.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// A key that is this request's to answer. It has to be ended.
pub struct Claim<'a> {
    session: &'a SessionId,
    role: StreamRole,
    key: &'a str,
    token: u64,
}

/// What became of a key.
pub enum Claimed<'a> {
    /// It is ours.
    Ours(Claim<'a>),
    /// It was answered with this.
    Answered(String),
}

/// Claims the key, waiting for others that have it. `timeout` is the inference service's.
pub async fn claim<'a>(
    session: &'a SessionId,
    role: StreamRole,
    key: &'a str,
    timeout: Duration,
) -> Result<Claimed<'a>, ApiError> {
    let token = getrandom::u64().map_err(|error| {
        let detail = "the gateway failed: send it again without x-idempotency-key, or later";
        ApiError::failed(detail, format!("there is no randomness: {error}"))
    })?;
    let give_up = Instant::now() + (timeout + WAIT_MARGIN).min(MAX_WAIT);
    let mut pause = MIN_PAUSE;
    loop {
        let now = crate::now().0;
        let claim_ms = u64::try_from((timeout + CLAIM_MARGIN).as_millis()).unwrap_or(u64::MAX);
        let until = now.saturating_add(claim_ms);
        let found =
            session_state::claim_answer(session.as_str(), roles::wit(role), key, now, until, token);
        match found {
            Ok(session_state::Claim::Claimed(token)) => {
                return Ok(Claimed::Ours(Claim {
                    session,
                    role,
                    key,
                    token,
                }));
            }
            Ok(session_state::Claim::Answered(json)) => return Ok(Claimed::Answered(json)),
            // Many requests with one key are what makes it contended.
            Ok(session_state::Claim::Busy(_)) | Err(session_state::Error::Contended) => {}
            Err(error) => return Err(unavailable(error)),
        }
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ApiError::idempotency_key_busy());
        }
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

impl Claim<'_> {
    /// Ends it: with an answer for those who come later, or without, so that the next one may try.
    pub fn end(self, answer: Option<&str>) {
        let ended = session_state::end_claim(
            self.session.as_str(),
            roles::wit(self.role),
            self.key,
            crate::now().0,
            self.token,
            answer,
        );
        // It ends by itself, only later.
        if let Err(error) = ended {
            eprintln!(
                "session={} role={} a claim was not ended: {error:?}",
                self.session, self.role
            );
        }
    }
}
