//! Bugs that can be switched on, to prove that the simulation finds them. Each is one that the real
//! code could have; those inside `funasr` cannot be switched and were tried by hand.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mutant {
    /// The code as it is.
    #[default]
    None,
    /// An ack is sent before what it says is committed.
    AcksBeforeCommit,
    /// A chunk is acked although the store refused it.
    AcksUnstored,
    /// Audio is sent before the state that says so is committed.
    SendsBeforeCommit,
    /// The part of a second that is final already is sent again aloud.
    NeverMutes,
    /// A frame of an old task counts as one of the current task.
    IgnoresTask,
    /// A send that was refused counts as sent.
    IgnoresRefusedSends,
    /// A second that cannot be read is sent as silence.
    SilenceForUnreadable,
    /// The wake-up after a restart does nothing.
    SleepsAfterRestart,
    /// A batch that failed is not looked at again. (It was so: when the stores were gone for some
    /// seconds and no client was there, a backlog stayed for ever.)
    SleepsAfterFailure,
    /// Timers are set after the commit that counts on them. (It was so, with the same end.)
    SetsTimersLate,
    /// The bridge is not told which seconds are missing. (It was so: an hour that was never recorded was
    /// sent as silence.)
    ForgetsMissing,
    /// The host repeats a batch without closing the lane's outbound sockets.
    RepeatsWithSocketsOpen,
}

impl Mutant {
    /// All of them, without [`Mutant::None`].
    pub const ALL: [Mutant; 12] = [
        Mutant::AcksBeforeCommit,
        Mutant::AcksUnstored,
        Mutant::SendsBeforeCommit,
        Mutant::NeverMutes,
        Mutant::IgnoresTask,
        Mutant::IgnoresRefusedSends,
        Mutant::SilenceForUnreadable,
        Mutant::SleepsAfterRestart,
        Mutant::SleepsAfterFailure,
        Mutant::SetsTimersLate,
        Mutant::ForgetsMissing,
        Mutant::RepeatsWithSocketsOpen,
    ];

    /// What the lane tells the bridge of a frame of the service.
    pub(crate) fn mislead(
        self,
        state: Option<&str>,
        task: String,
        text: String,
    ) -> (String, String) {
        if self != Mutant::IgnoresTask {
            return (task, text);
        }
        let Some(current) = state.and_then(current_task) else {
            return (task, text);
        };
        let text = text
            .replace(&task, &current)
            .replace("\"another\"", &format!("\"{current}\""));
        (current, text)
    }
}

/// The task of a stored state of the bridge.
pub(crate) fn current_task(state: &str) -> Option<String> {
    let state: serde_json::Value = serde_json::from_str(state).ok()?;
    let phase = &state["phase"];
    [&phase["task"], &phase["running"]["task"]]
        .into_iter()
        .find_map(|task| task.as_str().map(str::to_owned))
}
