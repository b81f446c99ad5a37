//! Timers of lanes. A timer that has run out waits for space in its lane: it is never lost. The time during
//! which the process does not run does not count: what a timer waits for may be there, unread.

use std::{sync::Arc, time::Duration};

use tokio::task::AbortHandle;

use crate::{
    TimerError,
    events::Event,
    lane::Lane,
    registry::{Phase, Registry},
};

/// A timer that is set.
#[derive(Debug)]
pub(crate) struct Timer {
    setting: u64,
    task: AbortHandle,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    pub(crate) fn set_timer(
        self: &Arc<Self>,
        lane: &str,
        name: &str,
        delay: Duration,
    ) -> Result<(), TimerError> {
        if name.len() > self.limits.name_bytes {
            return Err(TimerError::TooMany);
        }
        self.in_lane(lane, |lane, state| {
            let is_new = !state.timers.contains_key(name);
            if is_new && state.timers.len() >= self.limits.timers_per_lane {
                return Err(TimerError::TooMany);
            }
            state.timer_settings += 1;
            let setting = state.timer_settings;
            let name: Arc<str> = Arc::from(name);
            let fire = fire(
                Arc::clone(self),
                Arc::clone(lane),
                Arc::clone(&name),
                setting,
                delay,
            );
            let task = self.runtime.spawn(fire).abort_handle();
            state.timers.insert(name, Timer { setting, task });
            Ok(())
        })
        .map_err(|_| TimerError::TooMany)?
    }

    /// Has the lane look, some time after a batch was given up, for what that batch was to do. The more were
    /// given up in a row the later; a retry that is on its way already stays.
    pub(crate) fn retry_later(self: &Arc<Self>, lane: &Arc<Lane>) {
        let mut state = lane.state();
        state.given_up = state.given_up.saturating_add(1);
        if state.retry.is_some() || self.phase() == Phase::Stopped {
            return;
        }
        let limits = &self.limits;
        if state.given_up > limits.retries {
            tracing::error!(lane = %lane.name, "batches fail again and again: the lane waits for its next event");
            return;
        }
        let delay = limits.retry_first * 2_u32.saturating_pow(state.given_up - 1);
        let retry = retry(
            Arc::clone(self),
            Arc::clone(lane),
            delay.min(limits.retry_cap),
        );
        let task = self.runtime.spawn(retry).abort_handle();
        state.retry = Some(Timer { setting: 0, task });
    }

    pub(crate) fn cancel_timer(&self, lane: &str, name: &str) {
        if let Some(lane) = self.existing_lane(lane) {
            let timer = lane.state().timers.remove(name);
            if timer.is_some() {
                self.retire_if_idle(&lane);
            }
        }
    }
}

async fn retry(registry: Arc<Registry>, lane: Arc<Lane>, delay: Duration) {
    tokio::time::sleep(delay).await;
    let space = lane.messages.reserve(0).await;
    let mut state = lane.state();
    // The lane was handed over while this waited for the lock.
    if state.retry.is_none() {
        return;
    }
    state.queue.push(Event::Retry, space, registry.queued_now());
    state.retry = None;
    lane.wake(&registry, &mut state);
}

async fn fire(
    registry: Arc<Registry>,
    lane: Arc<Lane>,
    name: Arc<str>,
    setting: u64,
    delay: Duration,
) {
    awake::sleep(delay).await;
    let space = lane.messages.reserve(name.len()).await;
    let mut state = lane.state();
    // Set anew or cancelled while this waited for the lock.
    if state.timers.get(&name).map(|timer| timer.setting) != Some(setting) {
        return;
    }
    state.queue.push(
        Event::Timer {
            name: Arc::clone(&name),
        },
        space,
        registry.queued_now(),
    );
    state.timers.remove(&name);
    lane.wake(&registry, &mut state);
}
