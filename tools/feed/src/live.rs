//! What the gateway makes of the audio: shows utterances as they appear, waits for the recognition, and
//! finalizes. A gateway that is away for a while, because it restarts, is waited for.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::api::{Api, Error, Finalized};
use crate::display::Display;
use crate::session::Role;

/// How often new text is asked for.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Audio that was streamed faster than it can be recognised is waited for, as long as there is less
/// of it than this long ago.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(15);
/// A gateway that does not answer is asked again for this long.
const ABSENCE_PATIENCE: Duration = Duration::from_secs(60);

/// Follows a session.
pub struct Live {
    api: Api,
    display: Display,
    is_invented: bool,
    /// For each stream the ids that its last answer held.
    seen: Vec<(Role, HashSet<String>)>,
}

impl Live {
    /// Nothing is shown yet.
    #[must_use]
    pub fn new(api: Api, display: Display, is_invented: bool, roles: &[Role]) -> Self {
        Self {
            api,
            display,
            is_invented,
            seen: roles.iter().map(|role| (*role, HashSet::new())).collect(),
        }
    }

    /// Shows what appears, for ever.
    pub async fn follow(&mut self) -> ! {
        let mut ticks = interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // The streams notice by themselves when the gateway is gone, and say so.
            let _ = self.poll().await;
        }
    }

    /// Waits until the recognition has had all that is stored, or does not get on.
    ///
    /// # Errors
    /// When the gateway refuses, or stays away.
    pub async fn drain(&mut self) -> Result<(), Error> {
        let mut least = u64::MAX;
        let mut least_since = Instant::now();
        let mut absence = Absence::default();
        loop {
            let backlog = match self.backlog().await {
                Ok(backlog) => backlog,
                Err(error) => {
                    absence.bear(error, &self.display).await?;
                    // It has to catch up first.
                    least_since = Instant::now();
                    continue;
                }
            };
            absence = Absence::default();
            if backlog == 0 {
                return Ok(());
            }
            if backlog < least {
                if least == u64::MAX {
                    self.display
                        .line(&format!("{backlog} s of audio wait to be recognised"));
                }
                least = backlog;
                least_since = Instant::now();
            } else if least_since.elapsed() > BACKLOG_PATIENCE {
                self.display.line(&format!(
                    "{backlog} s of audio are not recognised and will be missing: the recognition does not get on; see asr_by_stream in the session's state"
                ));
                return Ok(());
            }
            sleep(POLL_EVERY).await;
        }
    }

    async fn backlog(&mut self) -> Result<u64, Error> {
        self.poll().await?;
        let mut backlog = 0;
        for (role, _) in &self.seen {
            backlog += self.api.recognition(*role).await?.backlog;
        }
        Ok(backlog)
    }

    /// Writes `result.json`, and shows the last words.
    ///
    /// # Errors
    /// When the gateway refuses, or stays away.
    pub async fn finalize(&mut self) -> Result<Finalized, Error> {
        let mut absence = Absence::default();
        loop {
            match self.api.finalize().await {
                Ok(finalized) => return Ok(finalized),
                Err(error) => absence.bear(error, &self.display).await?,
            }
        }
    }

    /// Final texts of a stream.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn utterances(&mut self, role: Role) -> Result<u64, Error> {
        Ok(self.api.recognition(role).await?.utterances)
    }

    /// Shows what is new.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn poll(&mut self) -> Result<(), Error> {
        for (role, seen) in &mut self.seen {
            let utterances = self.api.utterances(*role).await?;
            for utterance in &utterances {
                if !seen.contains(&utterance.utterance_id) {
                    self.display.utterance(*role, utterance, self.is_invented);
                }
            }
            *seen = utterances
                .into_iter()
                .map(|said| said.utterance_id)
                .collect();
        }
        Ok(())
    }
}

/// How long the gateway does not answer.
#[derive(Default)]
struct Absence(Option<Instant>);

impl Absence {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// With this error, when there is no point in another attempt.
    async fn bear(&mut self, error: Error, display: &Display) -> Result<(), Error> {
        if !error.is_transient() {
            return Err(error);
        }
        let since = match self.0 {
            Some(since) => since,
            None => {
                display.line(&format!("{error}; waiting for it"));
                *self.0.insert(Instant::now())
            }
        };
        if since.elapsed() > ABSENCE_PATIENCE {
            return Err(error);
        }
        sleep(POLL_EVERY).await;
        Ok(())
    }
}
