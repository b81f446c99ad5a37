//! The JSON of the DashScope realtime protocol, from the service's side: what clients send is parsed
//! here once, and what they are sent is written here. No state.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::recognizer::{SILENCE_RANGE_MS, Sentence};

/// Longer task ids are refused, in bytes.
pub const MAX_TASK_ID_BYTES: usize = 128;

/// A text frame of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin a task.
    Run(Box<RunTask>),
    /// Context for the task; the simulator has no use for it.
    Continue {
        /// The task it is meant for.
        task_id: String,
    },
    /// All audio was sent.
    Finish {
        /// The task it is meant for.
        task_id: String,
    },
}

/// `run-task`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RunTask {
    /// 1 to [`MAX_TASK_ID_BYTES`] bytes.
    pub task_id: String,
    /// Not blank.
    pub model: String,
    /// How the audio is wrapped.
    pub format: Format,
    /// In ms; within [`SILENCE_RANGE_MS`].
    pub max_sentence_silence: Option<u32>,
    /// All of them, as sent.
    pub parameters: Value,
}

/// How the audio is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// s16le, nothing around it.
    Pcm,
    /// A WAV file, header first.
    Wav,
}

impl Format {
    /// As the protocol spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pcm => "pcm",
            Self::Wav => "wav",
        }
    }
}

/// Why a task fails: the code and message of `task-failed`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// Of the few that the service uses.
    pub code: &'static str,
    /// What the client can do about it.
    pub message: String,
    /// The task that the client meant, if it could be read.
    pub task_id: String,
}

/// A frame or a parameter is not as documented.
pub const INVALID_PARAMETER: &str = "InvalidParameter";
/// Right in itself, but not now.
pub const CLIENT_ERROR: &str = "CLIENT_ERROR";
/// Not the client's fault.
pub const INTERNAL_ERROR: &str = "InternalError";

#[derive(Deserialize)]
struct Frame {
    header: Header,
    #[serde(default)]
    payload: Value,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    action: String,
    #[serde(default)]
    task_id: String,
    #[serde(default)]
    streaming: String,
}

#[derive(Deserialize)]
struct RunPayload {
    #[serde(default)]
    task_group: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    function: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    parameters: Value,
}

#[derive(Deserialize)]
struct Parameters {
    format: Format,
    sample_rate: u32,
    max_sentence_silence: Option<u32>,
    #[serde(rename = "vocabulary_id")]
    _vocabulary_id: Option<String>,
    #[serde(rename = "language_hints")]
    _language_hints: Option<Vec<String>>,
    #[serde(rename = "semantic_punctuation_enabled")]
    _semantic_punctuation_enabled: Option<bool>,
    #[serde(rename = "multi_threshold_mode_enabled")]
    _multi_threshold_mode_enabled: Option<bool>,
    #[serde(rename = "heartbeat")]
    _heartbeat: Option<bool>,
}

/// Reads a text frame of a client.
///
/// # Errors
/// The failure to answer with when it is not JSON, not of this protocol, or has bad parameters.
pub fn parse(text: &str) -> Result<Command, Failure> {
    let invalid = |task_id: &str, message: String| Failure {
        code: INVALID_PARAMETER,
        message,
        task_id: task_id.to_owned(),
    };
    let Frame { header, payload } = serde_json::from_str(text)
        .map_err(|error| invalid("", format!("the message is not of this protocol: {error}")))?;
    let id_length = header.task_id.len();
    if !(1..=MAX_TASK_ID_BYTES).contains(&id_length) {
        let message = format!("header.task_id must have 1 to {MAX_TASK_ID_BYTES} bytes");
        return Err(invalid("", message));
    }
    let task_id = header.task_id;
    match &*header.action {
        "run-task" if header.streaming != "duplex" => Err(invalid(
            &task_id,
            "header.streaming must be duplex".to_owned(),
        )),
        "run-task" => parse_run(&task_id, payload)
            .map(|run| Command::Run(Box::new(run)))
            .map_err(|message| invalid(&task_id, message)),
        "continue-task" => Ok(Command::Continue { task_id }),
        "finish-task" => Ok(Command::Finish { task_id }),
        other => Err(invalid(
            &task_id,
            format!("header.action must be run-task, continue-task or finish-task, not {other:?}"),
        )),
    }
}

fn parse_run(task_id: &str, payload: Value) -> Result<RunTask, String> {
    let run: RunPayload =
        serde_json::from_value(payload).map_err(|error| format!("payload: {error}"))?;
    for (name, value, expected) in [
        ("task_group", &run.task_group, "audio"),
        ("task", &run.task, "asr"),
        ("function", &run.function, "recognition"),
    ] {
        if value != expected {
            return Err(format!("payload.{name} must be {expected}"));
        }
    }
    if run.model.trim().is_empty() {
        return Err("payload.model is required".to_owned());
    }
    let parameters = Parameters::deserialize(&run.parameters)
        .map_err(|error| format!("payload.parameters: {error}"))?;
    if parameters.sample_rate != 16_000 {
        return Err("payload.parameters.sample_rate must be 16000".to_owned());
    }
    if let Some(silence) = parameters.max_sentence_silence
        && !SILENCE_RANGE_MS.contains(&silence)
    {
        return Err(format!(
            "payload.parameters.max_sentence_silence must be {} to {}",
            SILENCE_RANGE_MS.start(),
            SILENCE_RANGE_MS.end()
        ));
    }
    Ok(RunTask {
        task_id: task_id.to_owned(),
        model: run.model,
        format: parameters.format,
        max_sentence_silence: parameters.max_sentence_silence,
        parameters: run.parameters,
    })
}

/// `task-started`.
#[must_use]
pub fn started(task_id: &str) -> String {
    event(task_id, "task-started", json!({}))
}

/// `result-generated`; `duration_seconds` is the audio so far, which a final sentence is billed by.
#[must_use]
pub fn result(task_id: &str, sentence: &Sentence, duration_seconds: u64) -> String {
    let last = sentence.words.len().saturating_sub(1);
    let mut text = String::new();
    let mut words = Vec::with_capacity(sentence.words.len());
    for (index, word) in sentence.words.iter().enumerate() {
        let punctuation = if sentence.is_final && index == last {
            "."
        } else {
            ""
        };
        if index > 0 {
            text.push(' ');
        }
        text.push_str(&word.text);
        text.push_str(punctuation);
        words.push(json!({
            "begin_time": word.begin_ms(),
            "end_time": word.end_ms(),
            "text": word.text,
            "punctuation": punctuation,
        }));
    }
    let begin = sentence.words.first().map_or(0, |word| word.begin_ms());
    let end = sentence.words.last().filter(|_| sentence.is_final);
    let output = json!({"sentence": {
        "begin_time": begin,
        "end_time": end.map(|word| word.end_ms()),
        "text": text,
        "words": words,
        "heartbeat": false,
        "sentence_end": sentence.is_final,
        "sentence_id": sentence.id,
    }});
    let usage = sentence
        .is_final
        .then(|| json!({"duration": duration_seconds}));
    event(
        task_id,
        "result-generated",
        json!({"output": output, "usage": usage}),
    )
}

/// `task-finished`.
#[must_use]
pub fn finished(task_id: &str) -> String {
    // The SDK takes an empty output, not an empty payload, for the end.
    event(
        task_id,
        "task-finished",
        json!({"output": {}, "usage": null}),
    )
}

/// `task-failed`.
#[must_use]
pub fn failed(failure: &Failure) -> String {
    json!({
        "header": {
            "task_id": failure.task_id,
            "event": "task-failed",
            "error_code": failure.code,
            "error_message": failure.message,
            "attributes": {},
        },
        "payload": {},
    })
    .to_string()
}

fn event(task_id: &str, event: &str, payload: Value) -> String {
    json!({
        "header": {"task_id": task_id, "event": event, "attributes": {}},
        "payload": payload,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::recognizer::Word;
    use proptest::prelude::*;

    fn run(change: impl FnOnce(&mut Value)) -> Result<Command, Failure> {
        let mut frame = json!({
            "header": {"action": "run-task", "task_id": "t", "streaming": "duplex"},
            "payload": {
                "task_group": "audio", "task": "asr", "function": "recognition", "model": "m",
                "parameters": {"format": "pcm", "sample_rate": 16000},
                "input": {},
            },
        });
        change(&mut frame);
        parse(&frame.to_string())
    }

    #[test]
    fn run_task_is_read() {
        let command = run(|frame| {
            frame["payload"]["parameters"]["max_sentence_silence"] = 200.into();
            frame["payload"]["parameters"]["unknown"] = "kept".into();
        });
        let Ok(Command::Run(run)) = command else {
            panic!("{command:?}");
        };
        assert_eq!(
            (&*run.task_id, &*run.model, run.format),
            ("t", "m", Format::Pcm)
        );
        assert_eq!(run.max_sentence_silence, Some(200));
        assert_eq!(run.parameters["unknown"], "kept");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let message = |change: fn(&mut Value)| run(change).unwrap_err().message;
        for (found, part) in [
            (
                message(|f| f["header"]["action"] = "stop".into()),
                "header.action",
            ),
            (
                message(|f| f["header"]["task_id"] = "".into()),
                "header.task_id",
            ),
            (
                message(|f| f["header"]["task_id"] = "x".repeat(129).into()),
                "header.task_id",
            ),
            (
                message(|f| f["header"]["streaming"] = "out".into()),
                "header.streaming",
            ),
            (message(|f| f["header"] = 1.into()), "not of this protocol"),
            (message(|f| f["payload"] = Value::Null), "payload"),
            (
                message(|f| f["payload"]["task"] = "tts".into()),
                "payload.task",
            ),
            (
                message(|f| f["payload"]["model"] = " ".into()),
                "payload.model",
            ),
            (
                message(|f| f["payload"]["parameters"]["format"] = "opus".into()),
                "opus",
            ),
            (
                message(|f| f["payload"]["parameters"]["sample_rate"] = 8000.into()),
                "sample_rate",
            ),
            (
                message(|f| f["payload"]["parameters"]["max_sentence_silence"] = 199.into()),
                "max_sentence_silence",
            ),
            (
                message(|f| f["payload"]["parameters"]["language_hints"] = "en".into()),
                "payload.parameters",
            ),
        ] {
            assert!(found.contains(part), "{found:?} lacks {part:?}");
        }
    }

    #[test]
    fn results_look_as_documented() {
        let word = |begin, end, text: &str| Word {
            begin,
            end,
            text: text.to_owned(),
        };
        let mut sentence = Sentence {
            id: 2,
            words: vec![word(3200, 6400, "a"), word(6400, 32_000, "b")],
            is_final: false,
        };
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let open = read(result("t", &sentence, 1));
        let spoken = &open["payload"]["output"]["sentence"];
        assert_eq!(open["header"]["event"], "result-generated");
        assert_eq!(
            (&spoken["text"], &spoken["begin_time"]),
            (&json!("a b"), &json!(100))
        );
        assert_eq!(
            (&spoken["end_time"], &spoken["sentence_end"]),
            (&Value::Null, &json!(false))
        );
        assert_eq!(open["payload"]["usage"], Value::Null);
        sentence.is_final = true;
        let closed = read(result("t", &sentence, 1));
        let spoken = &closed["payload"]["output"]["sentence"];
        assert_eq!(
            (&spoken["text"], &spoken["end_time"]),
            (&json!("a b."), &json!(1000))
        );
        assert_eq!(spoken["words"][1]["punctuation"], ".");
        assert_eq!(closed["payload"]["usage"]["duration"], 1);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            prop_assert!(parse(&text).is_err());
        }
    }
}
