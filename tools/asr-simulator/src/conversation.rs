//! One connection as a state machine: frames go in, frames to answer with come out. It does no I/O
//! and reads no clock: whoever drives it waits no longer than [`Conversation::patience`] and then
//! calls [`Conversation::expired`].

use std::time::Duration;

use crate::protocol::{self, CLIENT_ERROR, Command, Failure, Format, RunTask};
use crate::recognizer::{DEFAULT_SILENCE_MS, Recognizer, Results, Settings};
use crate::task_log::{Outcome, TaskKey, TaskLog, TaskRecord};
use crate::wav::Wav;

/// How long to wait and how to cut sentences.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// See [`crate::Options::idle_timeout`].
    pub idle_timeout: Duration,
    /// See [`crate::Options::audio_timeout`].
    pub audio_timeout: Duration,
    /// See [`crate::Options::sentence_seconds`].
    pub sentence_seconds: u32,
}

/// What to do after an input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Text frames to send, in this order.
    pub send: Vec<String>,
    /// Then close, for this reason.
    pub close: Option<&'static str>,
}

#[derive(Debug)]
enum State {
    Idle,
    Running(Box<Task>),
    Closed,
}

#[derive(Debug)]
struct Task {
    id: String,
    key: TaskKey,
    wav: Option<Wav>,
    recognizer: Recognizer,
}

/// One connection.
#[derive(Debug)]
pub struct Conversation {
    number: u64,
    rules: Rules,
    log: TaskLog,
    state: State,
}

impl Conversation {
    /// A new connection, with the number that its tasks are logged under.
    #[must_use]
    pub fn new(number: u64, rules: Rules, log: TaskLog) -> Self {
        Self {
            number,
            rules,
            log,
            state: State::Idle,
        }
    }

    /// How long the next text or audio frame may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self.state {
            State::Running(_) => self.rules.audio_timeout,
            State::Idle | State::Closed => self.rules.idle_timeout,
        }
    }

    /// A text frame came.
    pub fn text(&mut self, text: &str) -> Reply {
        match protocol::parse(text).and_then(|command| self.obey(command)) {
            Ok(reply) => reply,
            Err(failure) => self.fail(failure),
        }
    }

    /// A binary frame came.
    pub fn audio(&mut self, bytes: &[u8]) -> Reply {
        let State::Running(task) = &mut self.state else {
            return self.fail(Failure {
                code: CLIENT_ERROR,
                message: "audio without a task; send run-task first".to_owned(),
                task_id: String::new(),
            });
        };
        match task.hear(bytes, &self.log) {
            Ok(send) => Reply { send, close: None },
            Err(failure) => self.fail(failure),
        }
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
            State::Idle | State::Closed => self.close("idle for too long"),
        }
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        if let State::Running(task) = std::mem::replace(&mut self.state, State::Closed) {
            self.log.end(task.key, Outcome::Lost);
        }
    }

    fn obey(&mut self, command: Command) -> Result<Reply, Failure> {
        let reply = |send| Reply { send, close: None };
        match (command, &mut self.state) {
            (Command::Run(run), State::Idle) => {
                let send = vec![protocol::started(&run.task_id)];
                self.state = State::Running(Box::new(self.begin(*run)));
                Ok(reply(send))
            }
            (Command::Run(run), _) => Err(Failure {
                code: CLIENT_ERROR,
                message: "a task is running; send finish-task and await task-finished".to_owned(),
                task_id: run.task_id,
            }),
            (Command::Continue { task_id }, State::Running(task)) if task.id == task_id => {
                Ok(Reply::default())
            }
            (Command::Finish { task_id }, State::Running(task)) if task.id == task_id => {
                let send = task.finish(&self.log);
                self.state = State::Idle;
                Ok(reply(send))
            }
            (Command::Continue { task_id } | Command::Finish { task_id }, _) => Err(Failure {
                code: protocol::INVALID_PARAMETER,
                message: "no task of this task_id is running".to_owned(),
                task_id,
            }),
        }
    }

    fn begin(&self, run: RunTask) -> Task {
        let key = self.log.begin(TaskRecord {
            connection: self.number,
            task_id: run.task_id.clone(),
            model: run.model,
            format: run.format.as_str().to_owned(),
            parameters: run.parameters,
            outcome: Outcome::Running,
            audio_bytes: 0,
            heard: Vec::new(),
            heard_unlisted: 0,
            finals: 0,
            intermediates: 0,
        });
        Task {
            id: run.task_id,
            key,
            wav: (run.format == Format::Wav).then(Wav::default),
            recognizer: Recognizer::new(Settings {
                max_silence_ms: run.max_sentence_silence.unwrap_or(DEFAULT_SILENCE_MS),
                sentence_seconds: self.rules.sentence_seconds,
            }),
        }
    }

    /// Ends the running task, if there is one, and the connection.
    fn fail(&mut self, failure: Failure) -> Reply {
        if let State::Running(task) = &self.state {
            let outcome = Outcome::Failed(failure.to_string());
            self.log.end(task.key, outcome);
        }
        let send = vec![protocol::failed(&failure)];
        Reply {
            send,
            ..self.close("task failed")
        }
    }

    fn close(&mut self, reason: &'static str) -> Reply {
        self.state = State::Closed;
        Reply {
            send: Vec::new(),
            close: Some(reason),
        }
    }
}

impl Task {
    fn hear(&mut self, bytes: &[u8], log: &TaskLog) -> Result<Vec<String>, Failure> {
        let unwrapped = match &mut self.wav {
            Some(wav) => Some(wav.push(bytes).map_err(|error| Failure {
                code: protocol::INVALID_PARAMETER,
                message: error.to_string(),
                task_id: self.id.clone(),
            })?),
            None => None,
        };
        let pcm = unwrapped.as_deref().unwrap_or(bytes);
        let results = self.recognizer.push(pcm);
        Ok(self.report(results, pcm.len(), log))
    }

    fn finish(&mut self, log: &TaskLog) -> Vec<String> {
        let results = self.recognizer.finish();
        let mut send = self.report(results, 0, log);
        log.end(self.key, Outcome::Finished);
        send.push(protocol::finished(&self.id));
        send
    }

    fn report(&self, results: Results, bytes: usize, log: &TaskLog) -> Vec<String> {
        let Results { sentences, heard } = results;
        log.update(self.key, |record| {
            record.audio_bytes += bytes as u64;
            record.hear(heard);
            for sentence in &sentences {
                if sentence.is_final {
                    record.finals += 1;
                } else {
                    record.intermediates += 1;
                }
            }
        });
        let duration = self.recognizer.duration_seconds();
        sentences
            .iter()
            .map(|sentence| protocol::result(&self.id, sentence, duration))
            .collect()
    }
}

#[cfg(test)]
mod tests;
