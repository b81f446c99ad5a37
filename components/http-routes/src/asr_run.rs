//! `POST asr-run`: has a stream's lane transcribe stored seconds, one window after the other, as long
//! as somebody waits for it. Each window is kept when it is done, so a run may end anywhere.
//!
//! The body begins while the windows run: a space each, which JSON permits before the object. That is
//! how a client that hung up is noticed: the body is dropped, and no further window is asked for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{Stream, unfold};
use interview_session::asr_run::{AsrRun, Stopped};
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::LaneMessage;
use interview_session::query::Query;
use interview_session::role::StreamRole;
use session_reader::Session;

use crate::answer::{self, Answer};
use crate::lane_call::{self, Unanswered};
use crate::state;

/// The longest run. The host lets a component answer for a minute; who wants more asks again.
const RUN_TIME: Duration = Duration::from_secs(45);

/// A run on its way.
struct Run {
    id: SessionId,
    role: StreamRole,
    flush: bool,
    until: Instant,
    /// As it was before the run.
    session: Session,
    run: AsrRun,
}

pub fn run(id: &SessionId, query: &Query<'_>) -> Result<Answer, ApiError> {
    let run = Run {
        id: id.clone(),
        role: query.stream_role()?,
        flush: query.flag("flush"),
        until: Instant::now() + RUN_TIME,
        session: state::session(id)?,
        run: AsrRun::new(query.max_windows()),
    };
    if !run.session.asr.enabled {
        return Ok(answer::ok(run.answer(&Stopped::Disabled)));
    }
    // A session without audio is not created by asking.
    if run.session.ingest.get(run.role).last_seq() == 0 {
        return Ok(answer::ok(run.answer(&Stopped::End)));
    }
    Ok(answer::streamed(run.pieces()))
}

impl Run {
    fn pieces(self) -> impl Stream<Item = Bytes> {
        unfold(Some(self), |run| async move {
            let mut run = run?;
            Some(match run.window().await {
                None => (Bytes::from_static(b" "), Some(run)),
                Some(stopped) => {
                    // The figures as they are after it. Without them those before it have to do: the
                    // answer has begun.
                    match state::session(&run.id) {
                        Ok(session) => run.session = session,
                        Err(error) => eprintln!("session={} {error}", run.id),
                    }
                    (Bytes::from(run.answer(&stopped)), None)
                }
            })
        })
    }

    /// One more window; none while there may be another.
    async fn window(&mut self) -> Option<Stopped> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Some(Stopped::Time);
        }
        let lane = lane_call::stream(&self.id, self.role);
        let message = LaneMessage::RunWindow { flush: self.flush };
        match lane_call::call(&lane, &message, left).await {
            Ok(answer) => self.run.ran(answer),
            Err(Unanswered::TimedOut) => Some(Stopped::Time),
            Err(unanswered) => Some(Stopped::Failed(unanswered.of(&lane).detail)),
        }
    }

    fn answer(&self, stopped: &Stopped) -> String {
        let asr = self.session.view(&self.id).asr_by_stream;
        self.run
            .to_json(&self.id, self.role, asr.get(self.role), stopped)
    }
}
