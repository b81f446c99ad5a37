//! The windows of a stream: backfill that a request asks for, and the windowed mode, in which arriving
//! chunks drive them. Each window is an ASR task of its own with a WAV file made from stored chunks.

use interview_session::frame::CHUNK_BYTES;
use interview_session::lane::{FlushAnswer, LaneAnswer, WindowAnswer};
use interview_transcript::wav;

use crate::bindings::interview::gateway::asr_bridge::{
    self, Input, Ran, Run, SendPiece, WindowAction, WindowInput,
};
use crate::bindings::realtime::sockets::sockets;
use crate::bindings::realtime::sockets::types::Payload;
use crate::recognition::room;
use crate::stream::Stream;

/// The one timer of a stream's windows.
pub const WINDOW_TIMER: &str = "windows";
/// Begins the names of the windows' tasks; those of the realtime path begin with `asr-realtime-`.
pub const WINDOW_TASK: &str = "asr-run-";

/// Whether a task is a window's.
pub fn is_window_task(task: &str) -> bool {
    task.starts_with(WINDOW_TASK)
}

/// Who waits for windows: a call that asked for one, or one that wants all to be covered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Run,
    Flush,
}

impl Caller {
    /// What tells them apart in the ids that the machine gives back.
    const fn mark(self) -> &'static str {
        match self {
            Caller::Run => "run:",
            Caller::Flush => "flush:",
        }
    }

    fn read(id: &str) -> Option<(Caller, &str)> {
        let run = id.strip_prefix(Caller::Run.mark());
        let flush = id.strip_prefix(Caller::Flush.mark());
        run.map(|call| (Caller::Run, call))
            .or(flush.map(|call| (Caller::Flush, call)))
    }
}

/// The windows' stored state, and what they have not been told yet.
pub struct Windows {
    pub state: Option<String>,
    inputs: Vec<WindowInput>,
    look: bool,
    /// As the bridge's.
    is_resumed: bool,
}

impl Windows {
    pub fn new(state: Option<String>) -> Windows {
        Windows {
            state,
            inputs: Vec::new(),
            look: false,
            is_resumed: false,
        }
    }

    /// Timers and sockets of whoever had the stream before are gone.
    pub fn resume(&mut self) {
        self.is_resumed = true;
        self.ring();
    }

    /// Something of a window's task.
    pub fn push(&mut self, input: Input) {
        self.inputs.push(match input {
            Input::Opened(opened) => WindowInput::Opened(opened),
            Input::OpenFailed(failed) => WindowInput::OpenFailed(failed),
            Input::Text(text) => WindowInput::Text(text),
            Input::Closed(closed) => WindowInput::Closed(closed),
            Input::SendFailed(why) => WindowInput::SendFailed(why),
            // Nothing else is of a task.
            Input::Stored(_)
            | Input::Timer
            | Input::Gone
            | Input::Flush(_)
            | Input::Ended
            | Input::Reset
            | Input::Covered(_)
            | Input::Recovered(_) => return,
        });
    }

    /// The timer rang, or may have been lost.
    pub fn ring(&mut self) {
        if self.state.is_some() {
            self.inputs.push(WindowInput::Timer);
        }
    }

    /// There may be a new window.
    pub fn look(&mut self) {
        self.look = true;
    }

    /// A call wants one window.
    pub fn run(&mut self, call: &str, flush: bool) {
        let id = format!("{}{call}", Caller::Run.mark());
        self.inputs.push(WindowInput::Run(Run { id, flush }));
    }

    /// A call wants all that is stored to be covered.
    pub fn flush(&mut self, call: &str) {
        let id = format!("{}{call}", Caller::Flush.mark());
        self.inputs.push(WindowInput::Flush(id));
    }

    /// A second came behind others; where there was never a window none has missed it.
    pub fn late(&mut self, seq: u32) {
        if self.state.is_some() {
            self.inputs.push(WindowInput::Late(seq));
        }
    }

    pub fn reset(&mut self) {
        self.inputs.push(WindowInput::Reset);
    }

    pub fn is_asked(&self) -> bool {
        self.look || !self.inputs.is_empty()
    }
}

impl Stream<'_> {
    /// Gives the windows what happened. What they found goes into the commit.
    pub fn step_windows(&mut self) -> Result<Vec<WindowAction>, String> {
        if !self.windows.is_asked() {
            return Ok(Vec::new());
        }
        self.windows.look = false;
        let mut inputs = std::mem::take(&mut self.windows.inputs);
        let status = asr_bridge::inspect_windows(self.windows.state.as_deref())?;
        let room = room(status.socket.as_deref()).unwrap_or_else(|| {
            inputs.push(match self.windows.is_resumed {
                true => WindowInput::SendFailed("it is gone".into()),
                false => WindowInput::Gone,
            });
            0
        });
        let outcome = asr_bridge::step_windows(
            self.windows.state.as_deref(),
            self.bridge.state.as_deref(),
            self.settings.bridge.enabled,
            &self.missing(),
            &self.settings.windows,
            self.now.0,
            crate::random()?,
            room,
            &inputs,
        )?;
        // Nothing is stored of the stream: what is left of the sockets of a deleted one, or of who
        // waited for it, must not bring it back.
        let is_leftover = self.bridge.state.is_none();
        if !is_leftover && self.windows.state.as_ref() != Some(&outcome.state) {
            if self.settings.is_windowed() && self.nudges.is_listened_to() {
                let after = asr_bridge::inspect_windows(Some(&outcome.state))?.connection;
                if after != status.connection {
                    self.nudges.asr_state(after);
                }
            }
            self.counted.recognition_changed();
            self.windows.state = Some(outcome.state.clone());
            self.changes.windows = Some(outcome.state);
        }
        let mut later = Vec::new();
        for action in outcome.actions {
            match action {
                WindowAction::Window(window) => {
                    self.bridge.push(Input::Recovered(window.range));
                    if self.settings.is_windowed() {
                        self.bridge.push(Input::Covered(window.range.last));
                    }
                    self.window(&window)?;
                }
                action => later.push(action),
            }
        }
        Ok(later)
    }

    pub async fn carry_out_windows(&mut self, actions: Vec<WindowAction>) {
        let mut refused_once = false;
        for action in actions {
            let done = match action {
                WindowAction::SendText(_) | WindowAction::SendPiece(_) if refused_once => Ok(()),
                WindowAction::Open(open) => {
                    let task = open.task.clone();
                    self.open(open).map_err(|reason| {
                        WindowInput::OpenFailed(asr_bridge::OpenFailed {
                            task,
                            status: None,
                            reason,
                        })
                    })
                }
                WindowAction::SendText(send) => {
                    sockets::send(&send.socket, &[Payload::Text(send.text)])
                        .map_err(|error| WindowInput::SendFailed(format!("{error:?}")))
                }
                WindowAction::SendPiece(piece) => self
                    .send_piece(&piece)
                    .await
                    .map_err(WindowInput::SendFailed),
                WindowAction::Close(close) => {
                    let _ = sockets::close(&close.socket, 1000, "");
                    Ok(())
                }
                // Done before the commit.
                WindowAction::SetTimer(_) => Ok(()),
                WindowAction::Ran(ran) => {
                    self.answer_run(ran);
                    Ok(())
                }
                WindowAction::Failed(failed) => {
                    self.log_failure(&failed);
                    Ok(())
                }
                WindowAction::Note(text) => {
                    self.log(&text);
                    Ok(())
                }
                WindowAction::Window(_) => Ok(()),
            };
            if let Err(input) = done {
                refused_once = true;
                self.windows.inputs.push(input);
            }
        }
    }

    fn answer_run(&mut self, ran: Ran) {
        let body = match Caller::read(&ran.id) {
            Some((Caller::Run, call)) => {
                let answer = WindowAnswer {
                    windows: ran.windows,
                    generated: ran.generated,
                    at_end: ran.at_end,
                    failed: ran.failed,
                };
                (call, answer.to_body())
            }
            Some((Caller::Flush, call)) => {
                let untranscribed = self.uncovered_seconds();
                (call, FlushAnswer { untranscribed }.to_body())
            }
            None => return self.log("a window was run for nobody"),
        };
        // Whoever called may have given up.
        self.replies.push(body.0, body.1);
        self.replies.send();
    }

    fn uncovered_seconds(&self) -> u32 {
        let (bridge, windows) = (self.bridge.state.as_deref(), self.windows.state.as_deref());
        match asr_bridge::uncovered(bridge, windows, &self.missing()) {
            Ok(ranges) => ranges
                .iter()
                .map(|range| range.last.saturating_sub(range.first).saturating_add(1))
                .sum(),
            Err(error) => {
                self.log(&error);
                0
            }
        }
    }

    /// Sends a part of a window's WAV file, in frames of the size that is set.
    async fn send_piece(&mut self, piece: &SendPiece) -> Result<(), String> {
        let file = self.wav_part(piece).await?;
        let frame_bytes = (self.settings.windows.piece_bytes as usize).max(1);
        let payloads: Vec<_> = file
            .chunks(frame_bytes)
            .map(|frame| Payload::Binary(frame.to_vec()))
            .collect();
        sockets::send(&piece.socket, &payloads).map_err(|error| format!("{error:?}"))
    }

    /// Bytes `first_byte..first_byte + bytes` of the file: only the seconds in it are read.
    async fn wav_part(&mut self, piece: &SendPiece) -> Result<Vec<u8>, String> {
        let seconds = (piece.range.last.saturating_sub(piece.range.first) as usize) + 1;
        let pcm_bytes = seconds * CHUNK_BYTES;
        let from = piece.first_byte as usize;
        let to = (from + piece.bytes as usize).min(wav::HEADER_BYTES + pcm_bytes);
        let mut part = Vec::with_capacity(to.saturating_sub(from));
        if from < wav::HEADER_BYTES {
            let header = wav::header(u32::try_from(pcm_bytes).unwrap_or(u32::MAX));
            part.extend_from_slice(&header[from..to.min(wav::HEADER_BYTES)]);
        }
        let from = from.saturating_sub(wav::HEADER_BYTES);
        let to = to.saturating_sub(wav::HEADER_BYTES);
        let mut at = from;
        while at < to {
            let index = at / CHUNK_BYTES;
            let second = piece.range.first + u32::try_from(index).unwrap_or(u32::MAX);
            let pcm = self.second(second, 0).await?;
            let start = at - index * CHUNK_BYTES;
            let end = (to - index * CHUNK_BYTES).min(CHUNK_BYTES);
            // A chunk that is shorter than it should be ends in silence.
            let mut second = pcm;
            second.resize(CHUNK_BYTES, 0);
            part.extend_from_slice(&second[start..end]);
            at = index * CHUNK_BYTES + end;
        }
        Ok(part)
    }
}
