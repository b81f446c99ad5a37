//! The live lane's own record: the last number, how far the streams' logs are numbered, who listens.

use interview_session::asr::WsState;
use interview_session::lane::LiveKind;
use interview_session::role::{ByRole, StreamRole};
use interview_session::time::EpochMs;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::entry::{Entry, EntryName, Log};
use crate::limits::MAX_NUMBER;

/// How long the logs of a stream are, in which life of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogLength {
    /// A reset begins a new one.
    pub life: u64,
    /// Utterances.
    pub utterances: u32,
    /// Speaker events.
    pub events: u32,
}

impl LogLength {
    pub(crate) const fn of(&self, log: Log) -> u32 {
        match log {
            Log::Utterances => self.utterances,
            Log::Events => self.events,
        }
    }

    /// Whether the log, when it was this long, did not have the entry yet.
    pub(crate) const fn is_before(&self, name: EntryName) -> bool {
        self.life != name.life || self.of(name.log) <= name.index
    }
}

/// Which kinds of live frames somebody listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listening {
    /// Final utterances.
    pub utterances: bool,
    /// Sentences that are still being heard.
    pub partials: bool,
    /// Speaker events.
    pub events: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The last number given; 0: none. One over [`MAX_NUMBER`] is damage and not read: numbers would run
    /// out.
    #[serde(deserialize_with = "number")]
    pub last: u64,
    pub roles: ByRole<Numbered>,
    pub viewers: Vec<Viewer>,
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(from)?;
    if number > MAX_NUMBER {
        return Err(D::Error::custom("no live log has so many entries"));
    }
    Ok(number)
}

/// How far one role is numbered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Numbered {
    /// Entries that have their number, in this life of the logs.
    pub logs: LogLength,
    /// The final utterance that reaches furthest: no older partial is of interest.
    pub last_final: Option<Span>,
    /// The last partial that got a number.
    pub partial: Option<SentPartial>,
    /// The newest partial, which waits for its turn.
    pub next_partial: Option<Partial>,
    /// The last state that got a number.
    pub asr_state: Option<WsState>,
    /// The newest state, while what was before is still being numbered.
    pub next_state: Option<WsState>,
}

/// Session time, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub start_ms: u64,
    pub end_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Partial {
    pub text: String,
    pub start_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SentPartial {
    pub partial: Partial,
    pub at: EpochMs,
}

/// Somebody who listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Viewer {
    pub socket: String,
    pub wants: Wants,
    pub place: Place,
    /// The number after which it asked to begin, until it is sent something: what asks for the same
    /// again then is a batch that is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
}

/// Who it is, and what it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wants {
    /// A socket of this lane: all kinds, of one role or of all.
    Viewer { role: Option<StreamRole> },
    /// A client of a stream: these kinds, of all roles.
    Subscriber { kinds: Vec<LiveKind> },
}

/// Where it is in the live log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// It came while older entries had no number yet: its first frame is that of the first entry
    /// that was not there when it came.
    Waiting {
        after: Option<u64>,
        came: ByRole<LogLength>,
    },
    /// The next number to look at.
    Next(u64),
}

/// It is further behind than it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Behind {
    /// Since when it has taken nothing.
    pub since: EpochMs,
    /// The number that it is to be sent next since then. A record of a version that did not store it has 0,
    /// which is no number: the time begins anew.
    #[serde(default)]
    pub next: u64,
}

impl Viewer {
    pub fn is_subscriber(&self) -> bool {
        matches!(self.wants, Wants::Subscriber { .. })
    }

    /// Whether it is sent every frame.
    pub fn wants_all(&self) -> bool {
        matches!(self.wants, Wants::Viewer { role: None })
    }

    pub fn listens_to(&self, kind: LiveKind) -> bool {
        match &self.wants {
            Wants::Viewer { .. } => true,
            Wants::Subscriber { kinds } => kinds.contains(&kind),
        }
    }

    pub fn is_concerned(&self, entry: &Entry) -> bool {
        let of_role = match self.wants {
            Wants::Viewer { role: Some(role) } => role == entry.role(),
            Wants::Viewer { role: None } | Wants::Subscriber { .. } => true,
        };
        of_role && entry.kind().is_none_or(|kind| self.listens_to(kind))
    }
}

impl Record {
    pub fn listening(&self) -> Listening {
        let to = |kind| self.viewers.iter().any(|viewer| viewer.listens_to(kind));
        Listening {
            utterances: to(LiveKind::Utterances),
            partials: to(LiveKind::Partials),
            events: to(LiveKind::Events),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use interview_session::stored::to_json;

    #[test]
    fn a_record_reads_back() {
        let mut record = Record {
            last: 7,
            ..Record::default()
        };
        record.roles.teacher = Numbered {
            logs: LogLength {
                life: u64::MAX,
                utterances: 1,
                events: 2,
            },
            last_final: Some(Span {
                start_ms: 1,
                end_ms: 2,
            }),
            partial: Some(SentPartial {
                partial: Partial {
                    text: "a".into(),
                    start_ms: 3,
                },
                at: EpochMs(4),
            }),
            next_partial: None,
            asr_state: Some(WsState::Running),
            next_state: Some(WsState::Error),
        };
        record.viewers = vec![
            Viewer {
                socket: "a".into(),
                wants: Wants::Viewer {
                    role: Some(StreamRole::Mixed),
                },
                place: Place::Next(3),
                asked: None,
                behind: Some(Behind {
                    since: EpochMs(1),
                    next: 3,
                }),
            },
            Viewer {
                socket: "b".into(),
                wants: Wants::Subscriber {
                    kinds: vec![LiveKind::Events],
                },
                place: Place::Waiting {
                    after: None,
                    came: ByRole::default(),
                },
                asked: Some(5),
                behind: None,
            },
        ];
        let text = to_json(&record);
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(
            record.listening(),
            Listening {
                utterances: true,
                partials: true,
                events: true
            }
        );
        record.viewers.remove(0);
        assert_eq!(
            record.listening(),
            Listening {
                utterances: false,
                partials: false,
                events: true
            }
        );
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let behind = r#"{"since":1,"least":1500}"#;
        let read: Behind = serde_json::from_str(behind).unwrap();
        assert_eq!((read.since, read.next), (EpochMs(1), 0));
    }

    /// Found by the fuzz target `stored_state`.
    #[test]
    fn a_record_whose_numbers_have_run_out_is_damaged() {
        let text = |last: u64| {
            let record = Record {
                last,
                ..Record::default()
            };
            to_json(&record)
        };
        assert!(serde_json::from_str::<Record>(&text(MAX_NUMBER)).is_ok());
        for last in [MAX_NUMBER + 1, u64::MAX] {
            let error = serde_json::from_str::<Record>(&text(last)).unwrap_err();
            assert!(error.to_string().contains("so many entries"), "{error}");
        }
    }
}
