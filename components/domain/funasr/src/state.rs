//! What is stored of a stream's recognition between two steps.

use serde::{Deserialize, Serialize};

use crate::SECOND_MS;
use crate::arrivals::Arrivals;
use crate::held::Held;
use crate::late::Late;
use crate::machine::OpenEnd;
use crate::missing::Missing;
use crate::odd::Odd;
use crate::pace::Pace;
use crate::phase::{Connection, Phase};
use crate::rejected::Rejected;

/// All that the state machine knows. It is stored as JSON by the caller; its fields are this
/// crate's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The last stored second.
    pub(crate) stored: u32,
    /// From this session time on the stream is this path's; whole seconds, at most `final_ms`.
    pub(crate) from_ms: u64,
    /// Before this session time all text is final, or is not this path's.
    pub(crate) final_ms: u64,
    /// The last second sent in the current task.
    pub(crate) sent: u32,
    pub(crate) phase: Phase,
    pub(crate) pace: Pace,
    pub(crate) arrivals: Arrivals,
    /// Missing seconds that are waited for.
    #[serde(skip_serializing_if = "Held::is_empty")]
    pub(crate) held: Held,
    /// Seconds that came after silence had been sent for them.
    #[serde(skip_serializing_if = "Late::is_empty")]
    pub(crate) late: Late,
    /// Failures since the last final sentence or orderly end.
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
    /// The service refuses for a reason that lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rejected: Option<Rejected>,
    /// A final sentence whose end is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open_end: Option<OpenEnd>,
    /// Where the last one of this task that was told begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_open_begin_ms: Option<u64>,
    /// What the service said in this task that means nothing.
    #[serde(skip_serializing_if = "Odd::is_empty")]
    pub(crate) odd: Odd,
    /// The host does not know the socket any more: until when its end is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gone_until: Option<u64>,
    /// The task whose socket took no more frames: why may be said in one that waits to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
    pub(crate) finished_tasks: u32,
    /// The recording has ended: nobody waits for another second until one comes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ended: bool,
    /// Who waits for all that is stored to be final.
    pub(crate) flushes: Vec<String>,
    /// When the stream's timer is due, as far as is known.
    pub(crate) timer_at: Option<u64>,
}

/// What operators see of a [`State`].
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Where the connection stands.
    pub connection: Connection,
    /// The open socket.
    pub socket: Option<String>,
    /// The last second sent in the current task, or the last final one when there is no task.
    pub sent: u32,
    /// From this session time on the stream is transcribed in realtime; what is before it was reset
    /// or is covered elsewhere.
    pub from_ms: u64,
    /// Before this session time all text is final.
    pub final_ms: u64,
    /// The last stored second.
    pub stored: u32,
    /// Stored seconds that came after silence had been sent for them, and are not transcribed.
    pub late: u32,
    /// Failures since the last final sentence or orderly end.
    pub consecutive_failures: u32,
    /// When the next attempt is due, epoch ms.
    pub retry_at: Option<u64>,
    /// Why the last task or connection failed; none after one that started well.
    pub last_error: Option<String>,
    /// Tasks that ended in good order.
    pub finished_tasks: u32,
}

impl State {
    /// The second with which the next task must begin: the one that holds `final_ms`.
    pub(crate) fn next_base(&self) -> u32 {
        u32::try_from(self.final_ms / SECOND_MS).unwrap_or(u32::MAX - 1) + 1
    }

    /// The first second of which nothing is final.
    pub(crate) fn first_open(&self) -> u32 {
        u32::try_from(self.final_ms.div_ceil(SECOND_MS)).unwrap_or(u32::MAX - 1) + 1
    }

    /// Seconds up to this one are not this path's.
    pub(crate) fn given_up(&self) -> u32 {
        u32::try_from(self.from_ms / SECOND_MS).unwrap_or(u32::MAX)
    }

    /// Late seconds that no task of this path will get any more.
    pub(crate) fn late_for_good(&self) -> Late {
        self.late.up_to(self.next_base() - 1)
    }

    /// No second is waited for: somebody wants the end, or the recording has ended.
    pub(crate) fn is_to_finish(&self) -> bool {
        self.ended || !self.flushes.is_empty()
    }

    /// How many seconds up to the last stored one are not final: what this path has yet to get past. Those
    /// that are missing are among them.
    pub fn untranscribed(&self) -> u32 {
        (self.stored + 1).saturating_sub(self.next_base())
    }

    /// The stored seconds that are not final, and the late ones.
    pub(crate) fn not_transcribed(&self, missing: Missing<'_>) -> u32 {
        let next = self.next_base();
        let ahead =
            self.untranscribed() - missing.count(next, self.stored).min(self.untranscribed());
        let late = self.late_for_good();
        let late = late
            .ranges()
            .flat_map(|(first, last)| missing.split(first, last, 0))
            .map(|(first, last)| last - first + 1);
        late.fold(ahead, u32::saturating_add)
    }

    /// What operators see.
    pub fn status(&self) -> Status {
        let sending = matches!(self.phase, Phase::Running(_) | Phase::Finishing { .. });
        Status {
            connection: self.phase.connection(),
            socket: self.phase.socket().map(str::to_owned),
            sent: if sending {
                self.sent
            } else {
                (self.next_base() - 1).min(self.stored)
            },
            from_ms: self.from_ms,
            final_ms: self.final_ms,
            stored: self.stored,
            late: self.late.count(),
            consecutive_failures: self.failures,
            retry_at: match self.phase {
                Phase::Waiting { until } => Some(until),
                _ => None,
            },
            last_error: self.last_error.clone(),
            finished_tasks: self.finished_tasks,
        }
    }
}
