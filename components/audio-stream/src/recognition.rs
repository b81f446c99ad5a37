//! The realtime path of a stream: what happened goes to the bridge, and what the bridge wants is
//! carried out once its new state is stored.

use interview_session::lane::{FlushAnswer, LaneAnswer};

use crate::bindings::interview::gateway::asr_bridge::{
    self, Action, Connection, Failed, Failure, Input, Open, OpenFailed, SendSeconds,
};
use crate::bindings::interview::gateway::types::Seconds;
use crate::bindings::realtime::sockets::types::Payload;
use crate::bindings::realtime::sockets::{lanes, sockets, timers};
use crate::figures;
use crate::stream::Stream;

/// The one timer of a stream's realtime recognition.
pub const ASR_TIMER: &str = "asr";
/// Room in a socket's queue that audio leaves for control frames.
pub const CONTROL_ROOM: u32 = 2;

/// The bridge's stored state, and what it has not been told yet.
pub struct Bridge {
    pub state: Option<String>,
    inputs: Vec<Input>,
    /// Sockets that the host does not know died with an earlier process, or are another host's.
    is_resumed: bool,
}

impl Bridge {
    pub fn new(state: Option<String>) -> Bridge {
        Bridge {
            state,
            inputs: Vec::new(),
            is_resumed: false,
        }
    }

    /// Timers and sockets of whoever had the stream before are gone.
    pub fn resume(&mut self) {
        self.is_resumed = true;
        self.ring();
    }

    pub fn push(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// The timer rang, or may have been lost.
    pub fn ring(&mut self) {
        if self.state.is_some() {
            self.inputs.push(Input::Timer);
        }
    }

    pub fn is_asked(&self) -> bool {
        !self.inputs.is_empty()
    }
}

impl Stream<'_> {
    /// Gives the bridge what happened. Sentences go into the commit, the rest is done after it.
    pub fn recognise(&mut self) -> Result<Vec<Action>, String> {
        let mut inputs = std::mem::take(&mut self.bridge.inputs);
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let status = asr_bridge::inspect(self.bridge.state.as_deref())?;
        let room = room(status.socket.as_deref()).unwrap_or_else(|| {
            inputs.push(match self.bridge.is_resumed {
                true => Input::SendFailed("it is gone".into()),
                false => Input::Gone,
            });
            0
        });
        let outcome = asr_bridge::step(
            self.bridge.state.as_deref(),
            &self.missing(),
            &self.settings.bridge,
            self.now.0,
            crate::random()?,
            room,
            &inputs,
        )?;
        // A stored second begins a stream. What is left of the sockets of a deleted one, or of who
        // waited for it, must not bring it back.
        let begins = |input: &Input| matches!(input, Input::Stored(_));
        let is_leftover = self.bridge.state.is_none() && !inputs.iter().any(begins);
        // Much of what a service says, such as a sentence that is still growing, changes nothing.
        if !is_leftover && self.bridge.state.as_ref() != Some(&outcome.state) {
            if self.nudges.is_listened_to() {
                self.note_connection(status.connection, &outcome.state)?;
            }
            self.counted.recognition_changed();
            self.bridge.state = Some(outcome.state.clone());
            self.changes.bridge = Some(outcome.state);
        }
        self.take_up(outcome.actions)
    }

    /// The seconds that are not stored.
    pub fn missing(&self) -> Vec<Seconds> {
        let seconds = |&(first, last): &(u32, u32)| Seconds { first, last };
        self.ingest.gaps().iter().map(seconds).collect()
    }

    fn note_connection(&mut self, before: Connection, state: &str) -> Result<(), String> {
        let after = asr_bridge::inspect(Some(state))?.connection;
        if after != before {
            self.nudges.asr_state(after);
        }
        Ok(())
    }

    pub async fn carry_out(&mut self, actions: Vec<Action>) {
        let mut refused_once = false;
        for action in actions {
            let done = match action {
                // For the socket that takes nothing more; timers and answers are not its business.
                Action::SendText(_) | Action::SendSeconds(_) if refused_once => Ok(()),
                Action::Open(open) => {
                    let task = open.task.clone();
                    self.open(open).map_err(|reason| {
                        Input::OpenFailed(OpenFailed {
                            task,
                            status: None,
                            reason,
                        })
                    })
                }
                Action::SendText(send) => {
                    sockets::send(&send.socket, &[Payload::Text(send.text)]).map_err(refused)
                }
                Action::SendSeconds(send) => self.send_seconds(send).await,
                Action::Close(close) => {
                    let _ = sockets::close(&close.socket, 1000, "");
                    Ok(())
                }
                Action::Flushed(flushed) => {
                    let answer = FlushAnswer {
                        untranscribed: flushed.untranscribed,
                    };
                    // Whoever called may have given up.
                    let _ = lanes::reply(&flushed.id, &answer.to_body());
                    Ok(())
                }
                Action::Failed(failed) => {
                    self.log_failure(&failed);
                    Ok(())
                }
                Action::Note(text) => {
                    self.log(&text);
                    Ok(())
                }
                // Done before the commit.
                Action::SetTimer(_) | Action::Sentence(_) | Action::Partial(_) => Ok(()),
            };
            if let Err(input) = done {
                refused_once = true;
                self.bridge.push(input);
            }
        }
    }

    /// Of either path.
    pub fn log_failure(&self, failed: &Failed) {
        figures::failed(self.role, name(failed.failure));
        self.log(&format!("{} reason={}", failed.why, name(failed.failure)));
    }

    pub fn open(&self, open: Open) -> Result<(), String> {
        figures::connecting(self.role);
        let target = sockets::Target {
            url: open.url,
            headers: open.headers,
            lane: self.lane(),
            context: open.task,
            connect_timeout_ms: open.timeout_ms,
        };
        sockets::open(&target)
            .map(|_| ())
            .map_err(|error| match error {
                sockets::Error::NotAllowed(why) => why,
                error => format!("{error:?}"),
            })
    }

    pub fn set_timer(&self, name: &str, delay_ms: u64) {
        if let Err(error) = timers::set(&self.lane(), name, delay_ms) {
            self.log(&format!("no timer: {error:?}"));
        }
    }

    async fn send_seconds(&mut self, send: SendSeconds) -> Result<(), Input> {
        let mut payloads = Vec::new();
        for second in send.range.first..=send.range.last {
            let mute_ms = if second == send.range.first {
                send.mute_ms
            } else {
                0
            };
            let pcm = self
                .second(second, mute_ms)
                .await
                .map_err(Input::SendFailed)?;
            payloads.push(Payload::Binary(pcm));
        }
        sockets::send(&send.socket, &payloads).map_err(refused)
    }

    /// The PCM of one second.
    pub async fn second(&mut self, second: u32, mute_ms: u32) -> Result<Vec<u8>, String> {
        self.fresh
            .second(self.session, self.role, &self.ingest, second, mute_ms)
            .await
    }
}

/// How much audio an open socket takes; none when it is gone.
pub fn room(socket: Option<&str>) -> Option<u32> {
    let room = socket.map_or(Ok(0), sockets::room).ok()?;
    Some(room.saturating_sub(CONTROL_ROOM))
}

/// As it is written in logs and metrics.
const fn name(failure: Failure) -> &'static str {
    match failure {
        Failure::Unauthorized => "unauthorized",
        Failure::Refused => "refused",
        Failure::Unreachable => "unreachable",
        Failure::StartTimeout => "start-timeout",
        Failure::FinishTimeout => "finish-timeout",
        Failure::Failed => "failed",
        Failure::Rejected => "rejected",
        Failure::Closed => "closed",
        Failure::SendRefused => "send-refused",
        Failure::Unasked => "unasked",
    }
}

fn refused(error: sockets::Error) -> Input {
    Input::SendFailed(format!("{error:?}"))
}
