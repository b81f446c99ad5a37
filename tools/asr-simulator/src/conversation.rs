//! One connection as a state machine: frames go in, frames to answer with come out, and faults are
//! done on the way. It does no I/O and reads no clock: whoever drives it waits no longer than
//! [`Conversation::patience`] and then calls [`Conversation::expired`].

mod reply;
mod task;

use std::sync::Arc;
use std::time::Duration;

pub use reply::{End, Ending, Frame, Outgoing, Reply};

use crate::fault_control::Lease;
use crate::faults::{CloseWith, Faults};
use crate::protocol::{self, CLIENT_ERROR, Command, Failure, RunTask};
use crate::task_log::{Outcome, TaskKey, TaskLog};
use task::Task;

/// How long a connection whose task is never started is kept.
pub const MAX_MUTE: Duration = Duration::from_secs(300);
const BYTES_PER_SECOND: u64 = crate::mark::SECOND_BYTES as u64;

/// How long to wait and how to cut sentences.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// See [`crate::Options::idle_timeout`].
    pub idle_timeout: Duration,
    /// See [`crate::Options::audio_timeout`].
    pub audio_timeout: Duration,
    /// See [`crate::Options::sentence_seconds`].
    pub sentence_seconds: u32,
    /// See [`crate::Options::sentences_per_second`].
    pub sentences_per_second: u32,
}

#[derive(Debug)]
enum State {
    Idle,
    /// A task was asked for and is never started.
    Mute(TaskKey),
    Running(Box<Task>),
    /// The end of a task is on its way out.
    Finishing(TaskKey),
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Conversation {
    number: u64,
    rules: Rules,
    log: TaskLog,
    lease: Lease,
    state: State,
}

impl Conversation {
    /// A new connection, with the number that its tasks are logged under, and the faults that apply
    /// to it.
    #[must_use]
    pub fn new(number: u64, rules: Rules, log: TaskLog, lease: Lease) -> Self {
        Self {
            number,
            rules,
            log,
            lease,
            state: State::Idle,
        }
    }

    /// How long the next text or audio frame may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self.state {
            State::Running(_) => self.rules.audio_timeout,
            State::Mute(_) => MAX_MUTE,
            State::Idle | State::Finishing(_) | State::Closed => self.rules.idle_timeout,
        }
    }

    /// Whether the end of a task is on its way out: the client has nothing to do until it has it.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        matches!(self.state, State::Finishing(_))
    }

    /// The faults that apply now.
    #[must_use]
    pub fn faults(&mut self) -> Arc<Faults> {
        self.lease.faults()
    }

    /// A text frame came.
    pub fn text(&mut self, text: &str) -> Reply {
        if matches!(self.state, State::Mute(_)) {
            return Reply::default();
        }
        match protocol::parse(text).and_then(|command| self.obey(command)) {
            Ok(reply) => reply,
            Err(failure) => self.fail(failure),
        }
    }

    /// A binary frame came.
    pub fn audio(&mut self, bytes: &[u8]) -> Reply {
        let faults = self.lease.task_runs();
        let task = match &mut self.state {
            State::Running(task) => task,
            State::Mute(_) => return Reply::default(),
            State::Idle | State::Finishing(_) | State::Closed => {
                return self.fail(Failure {
                    code: CLIENT_ERROR,
                    message: "audio without a task; send run-task first".to_owned(),
                    task_id: String::new(),
                });
            }
        };
        let sentences = match task.hear(bytes, &self.log) {
            Ok(sentences) => sentences,
            Err(failure) => return self.fail(failure),
        };
        let audio_bytes = task.audio_bytes;
        let is_reached = |seconds: Option<u32>| {
            seconds.is_some_and(|n| audio_bytes >= u64::from(n) * BYTES_PER_SECOND)
        };
        if is_reached(faults.half_open_after_seconds) {
            let key = task.key;
            self.log.update(key, |record| record.mute = true);
            self.state = State::Mute(key);
            return Reply::from(Ending::HalfOpen);
        }
        let mut send = task.say(&sentences, &faults);
        for outgoing in &mut send {
            outgoing.delay = faults.delay_results();
        }
        let end = if is_reached(faults.fail_after_seconds) {
            let failure = Failure {
                code: protocol::INTERNAL_ERROR,
                message: "the simulator was told to fail".to_owned(),
                task_id: task.id.clone(),
            };
            self.fail(failure)
        } else if is_reached(faults.close_after_seconds) {
            self.break_off(&faults)
        } else {
            return Reply { send, end: None };
        };
        // What is late by then is never said.
        send.retain(|outgoing| outgoing.delay.is_zero());
        send.extend(end.send);
        Reply { send, ..end }
    }

    /// The patience is at its end.
    pub fn expired(&mut self) -> Reply {
        match &self.state {
            State::Running(task) => {
                let message = format!(
                    "request timeout after {} seconds.",
                    self.rules.audio_timeout.as_secs_f64()
                );
                let task_id = task.id.clone();
                self.fail(Failure {
                    code: CLIENT_ERROR,
                    message,
                    task_id,
                })
            }
            State::Mute(_) => self.close(Ending::Close("silent for too long")),
            State::Idle | State::Finishing(_) | State::Closed => {
                self.close(Ending::Close("idle for too long"))
            }
        }
    }

    /// The end of the task goes out now.
    pub fn finished(&mut self) {
        if let State::Finishing(key) = self.state {
            self.log.end(key, Outcome::Finished);
            self.state = State::Idle;
        }
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Running(task) => self.log.end(task.key, Outcome::Lost),
            State::Mute(key) | State::Finishing(key) => self.log.end(key, Outcome::Lost),
            State::Idle | State::Closed => {}
        }
    }

    fn obey(&mut self, command: Command) -> Result<Reply, Failure> {
        match (command, &mut self.state) {
            (Command::Run(run), State::Idle) => Ok(self.run(*run)),
            (Command::Run(run), _) => Err(Failure {
                code: CLIENT_ERROR,
                message: "a task is running; send finish-task and await task-finished".to_owned(),
                task_id: run.task_id,
            }),
            (Command::Continue { task_id }, State::Running(task)) if task.id == task_id => {
                Ok(Reply::default())
            }
            (Command::Finish { task_id }, State::Running(task)) if task.id == task_id => {
                let faults = self.lease.task_runs();
                let reply = task.finish(&faults, &self.log);
                self.state = State::Finishing(task.key);
                Ok(reply)
            }
            (Command::Continue { task_id } | Command::Finish { task_id }, _) => Err(Failure {
                code: protocol::INVALID_PARAMETER,
                message: "no task of this task_id is running".to_owned(),
                task_id,
            }),
        }
    }

    fn run(&mut self, run: RunTask) -> Reply {
        let faults = self.lease.task_begins();
        let id = run.task_id.clone();
        let task = Task::begin(run, self.number, self.rules, &self.log);
        if faults.never_start {
            self.log.update(task.key, |record| record.mute = true);
            self.state = State::Mute(task.key);
            return Reply::default();
        }
        self.state = State::Running(Box::new(task));
        if faults.close_before_start {
            return self.break_off(&faults);
        }
        Reply::from(protocol::started(&id))
    }

    /// Ends the running task, if there is one, and the connection.
    fn fail(&mut self, failure: Failure) -> Reply {
        let late = self.lease.faults().late_close();
        let mut send = vec![Outgoing::from(protocol::failed(&failure))];
        let outcome = Outcome::Failed(failure.to_string());
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Running(mut task) => {
                self.log.end(task.key, outcome);
                send.extend(task.stale_final(late));
            }
            State::Finishing(key) | State::Mute(key) => self.log.end(key, outcome),
            State::Idle | State::Closed => {}
        }
        let how = Ending::Close("task failed");
        Reply {
            send,
            end: Some(End {
                how,
                delay: late,
                is_abrupt: true,
            }),
        }
    }

    /// The connection breaks off in the middle of a task.
    fn break_off(&mut self, faults: &Faults) -> Reply {
        self.lost();
        self.close(match faults.close_with {
            CloseWith::InternalError => Ending::InternalError("the simulator was told to close"),
            CloseWith::Reset => Ending::Reset,
        })
    }

    fn close(&mut self, how: Ending) -> Reply {
        self.lost();
        Reply::from(how)
    }
}

#[cfg(test)]
mod tests;
