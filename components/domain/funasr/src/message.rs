//! The text frames of the protocol: what is sent, and what the service's frames mean.
//!
//! Field names and events are those of the DashScope WebSocket API for FunASR
//! (`run-task`, `finish-task`; `task-started`, `result-generated`, `task-finished`, `task-failed`).

use bounded_json::{OF_SERVICES, Refused};
use quoted_text::quote;
use serde_json::{Value, json};

use crate::settings::{MAX_ERROR_CHARS, MAX_EVIDENCE_CHARS, Settings};

/// A frame of the service, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceEvent {
    /// Audio may be sent now.
    Started,
    /// A final sentence; `None` for a keep-alive and what says nothing.
    Result(Option<Heard>),
    /// A sentence that is still being heard; its text is not empty.
    Partial(Heard),
    /// All audio is recognised; a last text may come with it.
    Finished(Option<Heard>),
    /// The task is over, and the service heard no speech in it: an end like any other.
    NoSpeech,
    /// The task is over; the service closes the connection.
    Failed(String),
    /// Not an event of this protocol; the text says why, for the log.
    Unknown(String),
}

/// A sentence in the task's own time.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// From the start of the task's audio; where the service did not say, the begin of its first word.
    pub begin_ms: Option<u64>,
    /// As `begin_ms`; where the service did not say, the end of its last word.
    pub end_ms: Option<u64>,
    /// As the service gave it, trimmed; may be empty.
    pub text: String,
}

/// How the audio of a task is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioFormat {
    /// Samples only, as long as they come.
    Pcm,
    /// One WAV file.
    Wav,
}

impl AudioFormat {
    const fn name(self) -> &'static str {
        match self {
            AudioFormat::Pcm => "pcm",
            AudioFormat::Wav => "wav",
        }
    }
}

/// The first frame on a new connection.
pub fn run_task(task: &str, format: AudioFormat, settings: &Settings) -> String {
    let mut parameters = json!({"format": format.name(), "sample_rate": 16000});
    if let Some(id) = &settings.vocabulary_id {
        parameters["vocabulary_id"] = json!(id);
    }
    if let Some(language) = &settings.language_hint {
        parameters["language_hints"] = json!([language]);
    }
    if let Some(ms) = settings.max_sentence_silence_ms {
        parameters["max_sentence_silence"] = json!(ms);
    }
    if let Some(on) = settings.semantic_punctuation {
        parameters["semantic_punctuation_enabled"] = json!(on);
    }
    json!({
        "header": {"action": "run-task", "task_id": task, "streaming": "duplex"},
        "payload": {
            "task_group": "audio",
            "task": "asr",
            "function": "recognition",
            "model": settings.model,
            "parameters": parameters,
            "input": {},
        },
    })
    .to_string()
}

/// The frame after the last audio.
pub fn finish_task(task: &str) -> String {
    json!({
        "header": {"action": "finish-task", "task_id": task, "streaming": "duplex"},
        "payload": {"input": {}},
    })
    .to_string()
}

/// What a text frame means, and the task it names, if it names one.
pub fn parse(text: &str) -> (Option<String>, ServiceEvent) {
    let frame: Value = match bounded_json::from_slice(text.as_bytes(), OF_SERVICES) {
        Ok(frame) => frame,
        Err(Refused::TooMuch(too_much)) => {
            return (
                None,
                ServiceEvent::Unknown(format!("a frame holds {too_much}")),
            );
        }
        Err(Refused::NotJson(_)) => {
            return (None, ServiceEvent::Unknown("a frame is not JSON".into()));
        }
    };
    let header = &frame["header"];
    let task = header["task_id"].as_str().map(str::to_owned);
    let event = match header["event"].as_str() {
        Some("task-started") => ServiceEvent::Started,
        Some("result-generated") => match sentence(&frame["payload"]) {
            Some(Said::Partial(heard)) if !heard.text.is_empty() => ServiceEvent::Partial(heard),
            Some(Said::Final(heard)) => ServiceEvent::Result(Some(heard)),
            Some(Said::Nowhere) => {
                ServiceEvent::Unknown("a sentence has times that are no numbers of ms".into())
            }
            Some(Said::Partial(_)) | None => ServiceEvent::Result(None),
        },
        Some("task-finished") => ServiceEvent::Finished(match sentence(&frame["payload"]) {
            Some(Said::Final(heard)) if !heard.text.is_empty() => Some(heard),
            _ => None,
        }),
        Some("task-failed") if header["error_code"] == NO_SPEECH => ServiceEvent::NoSpeech,
        Some("task-failed") => ServiceEvent::Failed(failure(header)),
        Some(other) => ServiceEvent::Unknown(format!("unknown event {other}")),
        None => ServiceEvent::Unknown("a frame has no header.event".into()),
    };
    (task, event)
}

/// The names under which a service may say whether a sentence is final; `false` under the first one
/// that is present means intermediate.
const FINAL_FLAGS: [&str; 5] = [
    "is_final",
    "final",
    "sentence_end",
    "sentenceEnd",
    "end_of_sentence",
];

/// A sentence, over or not.
enum Said {
    Partial(Heard),
    Final(Heard),
    /// It has times, and they say nothing.
    Nowhere,
}

/// The sentence of a payload. Only `output.sentence` is one: no other string of the payload is
/// taken for text.
fn sentence(payload: &Value) -> Option<Said> {
    let sentence = payload["output"]["sentence"].as_object()?;
    if sentence.get("heartbeat").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let flag = FINAL_FLAGS
        .iter()
        .find_map(|name| sentence.get(*name)?.as_bool());
    let is_no_time = |name| {
        let time = sentence.get(name).filter(|time| !time.is_null());
        time.is_some_and(|time| millis(time).is_none())
    };
    if is_no_time("begin_time") || is_no_time("end_time") {
        return Some(Said::Nowhere);
    }
    let end_ms = sentence.get("end_time").and_then(millis);
    // When nothing says that it is final, and it has no end, it is still being heard.
    let is_final = flag.unwrap_or(end_ms.is_some());
    let words = sentence.get("words").and_then(Value::as_array);
    let of_words = |name| {
        let words = words.into_iter().flatten();
        words.filter_map(move |word| word.get(name).and_then(millis))
    };
    let end_ms = end_ms.or_else(|| of_words("end_time").max());
    let text = sentence
        .get("text")
        .and_then(Value::as_str)?
        .trim()
        .to_owned();
    let begin_ms = sentence.get("begin_time").and_then(millis);
    let begin_ms = begin_ms.or_else(|| of_words("begin_time").min());
    let heard = |end_ms| Heard {
        begin_ms,
        end_ms,
        text,
    };
    if is_final {
        return Some(Said::Final(heard(end_ms)));
    }
    Some(Said::Partial(heard(end_ms)))
}

/// The code of a failure that is none.
const NO_SPEECH: &str = "NO_VALID_AUDIO_ERROR";

/// Codes of failures that trying again does not mend: somebody has to pay, or to change a setting.
const LASTING: [&str; 6] = [
    "Arrearage",
    "InvalidParameter",
    "InvalidApiKey",
    "AccessDenied",
    "ModelNotFound",
    "DataInspectionFailed",
];

/// Whether a failure, as [`ServiceEvent::Failed`] tells it, will be the same when it is tried again.
pub fn is_lasting(why: &str) -> bool {
    let code = why.split(':').next().unwrap_or_default();
    // Some have a group before them: `Model.AccessDenied`.
    let code = code.rsplit('.').next().unwrap_or_default();
    LASTING.contains(&code)
}

/// A frame that means nothing here, as a state and a log line may show it: raw and cut, but for one that has
/// a sentence in it.
pub fn evidence(text: &str, settings: &Settings) -> String {
    let says_something = serde_json::from_str::<Value>(text)
        .is_ok_and(|frame| frame.pointer("/payload/output").is_some());
    if says_something {
        return describe(text);
    }
    let cut = quote(text, &settings.api_key, MAX_EVIDENCE_CHARS);
    let more = if text.chars().nth(MAX_EVIDENCE_CHARS).is_some() {
        "..."
    } else {
        ""
    };
    format!("{cut:?}{more}")
}

/// The events of the protocol.
const EVENTS: [&str; 4] = [
    "task-started",
    "result-generated",
    "task-finished",
    "task-failed",
];

/// A frame for the log: its event, task and times, but nothing of what was said.
pub fn describe(text: &str) -> String {
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        return format!("frame: not JSON, {} bytes", text.len());
    };
    let (header, sentence) = (&frame["header"], &frame["payload"]["output"]["sentence"]);
    let named = header["event"].as_str();
    let event = EVENTS.into_iter().find(|event| Some(*event) == named);
    let event = event.unwrap_or("unknown");
    let mut line = format!("frame: event={event}");
    if let Some(task) = header["task_id"].as_str() {
        line += &format!(" task={task}");
    }
    for (name, field) in [("begin_ms", "begin_time"), ("end_ms", "end_time")] {
        if let Some(ms) = sentence.get(field).and_then(millis) {
            line += &format!(" {name}={ms}");
        }
    }
    line
}

/// A time of the service: a finite number that is not negative, or a text of one.
fn millis(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(n) => n.as_f64()?,
        Value::String(s) => s.trim().parse().ok()?,
        _ => return None,
    };
    // Ten years in milliseconds: anything over it is garbage and would overflow later sums.
    (number.is_finite() && (0.0..=3.2e11).contains(&number)).then_some(number as u64)
}

fn failure(header: &Value) -> String {
    let code = header["error_code"].as_str().unwrap_or("unknown error");
    let message = header["error_message"].as_str().unwrap_or("no message");
    format!("{code}: {message}")
}

/// A text with words of the service in it, as a state and a log line may hold it: cut, and without the key
/// that the service was sent, should it have repeated it.
pub fn repeatable(text: &str, settings: &Settings) -> String {
    quote(text, &settings.api_key, MAX_ERROR_CHARS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn result(sentence: Value) -> ServiceEvent {
        let frame = json!({"header": {"event": "result-generated", "task_id": "t"},
            "payload": {"output": {"sentence": sentence}, "text": "not this"}});
        parse(&frame.to_string()).1
    }

    #[test]
    fn a_final_sentence_has_text_and_times() {
        let heard = result(
            json!({"begin_time": 100, "end_time": 2500, "text": " hi ", "sentence_end": true}),
        );
        assert_eq!(
            heard,
            ServiceEvent::Result(Some(Heard {
                begin_ms: Some(100),
                end_ms: Some(2500),
                text: "hi".into()
            }))
        );
    }

    #[test]
    fn only_what_the_service_calls_a_sentence_is_final() {
        for sentence in [
            json!({"begin_time": 1, "end_time": null, "text": "  "}),
            json!({"begin_time": 1, "end_time": 5, "text": "", "heartbeat": true, "sentence_end": true}),
            json!({"begin_time": 1, "end_time": 5}),
            json!("hi"),
            json!(null),
        ] {
            assert_eq!(
                result(sentence.clone()),
                ServiceEvent::Result(None),
                "{sentence}"
            );
        }
    }

    #[test]
    fn what_is_not_final_is_a_partial_that_ends_with_its_last_word() {
        let words = json!([{"end_time": 3}, {"end_time": 4}]);
        for (sentence, end_ms) in [
            (
                json!({"begin_time": 1, "end_time": null, "text": " hi "}),
                None,
            ),
            (
                json!({"begin_time": 1, "end_time": 5, "text": "hi", "sentence_end": false}),
                Some(5),
            ),
            (
                json!({"begin_time": 1, "end_time": 5, "text": "hi", "is_final": false}),
                Some(5),
            ),
            (
                json!({"begin_time": 1, "text": "hi", "words": words}),
                Some(4),
            ),
            (json!({"begin_time": 1, "text": "hi", "words": []}), None),
        ] {
            let heard = Heard {
                begin_ms: Some(1),
                end_ms,
                text: "hi".into(),
            };
            assert_eq!(result(sentence), ServiceEvent::Partial(heard));
        }
    }

    #[test]
    fn a_frame_is_described_without_its_text() {
        let frame = json!({"header": {"event": "result-generated", "task_id": "t"}, "payload":
            {"output": {"sentence": {"begin_time": 100, "end_time": 250, "text": "secret"}}}});
        assert_eq!(
            describe(&frame.to_string()),
            "frame: event=result-generated task=t begin_ms=100 end_ms=250"
        );
        assert_eq!(describe("secret"), "frame: not JSON, 6 bytes");
        assert_eq!(
            describe(r#"{"header":{"event":"secret"}}"#),
            "frame: event=unknown"
        );
        assert_eq!(describe("[1]"), "frame: event=unknown");
    }

    #[test]
    fn an_end_without_a_flag_is_final_and_a_sentence_with_garbage_times_is_none() {
        let heard = result(json!({"end_time": 5, "text": "x"}));
        let expected = Heard {
            begin_ms: None,
            end_ms: Some(5),
            text: "x".into(),
        };
        assert_eq!(heard, ServiceEvent::Result(Some(expected)));
        // Taken as "up to all that was sent", it would swallow the true sentences after it.
        for (begin, end) in [
            (json!(-4), json!(5)),
            (json!(0), json!("NaN")),
            (json!("1e999"), json!(5)),
            (json!(0), json!(1e300)),
        ] {
            let heard = result(
                json!({"begin_time": begin, "end_time": end, "text": "x", "sentence_end": true}),
            );
            assert!(matches!(heard, ServiceEvent::Unknown(_)), "{heard:?}");
        }
    }

    #[test]
    fn failures_and_unknown_events_are_told_apart() {
        let failed =
            json!({"header": {"event": "task-failed", "error_code": "E", "error_message": "m"}});
        assert_eq!(
            parse(&failed.to_string()).1,
            ServiceEvent::Failed("E: m".into())
        );
        for text in ["", "[]", "{}", "nope", r#"{"header":{"event":"weather"}}"#] {
            assert!(matches!(parse(text).1, ServiceEvent::Unknown(_)), "{text}");
        }
        let finished = json!({"header": {"event": "task-finished", "task_id": "t"}, "payload": {"output": {}}});
        assert_eq!(
            parse(&finished.to_string()),
            (Some("t".into()), ServiceEvent::Finished(None))
        );
    }

    #[test]
    fn options_are_sent_only_when_they_are_set() {
        let mut settings = crate::machine::tests_support::settings();
        let plain: Value =
            serde_json::from_str(&run_task("t", AudioFormat::Pcm, &settings)).unwrap();
        assert_eq!(
            plain["payload"]["parameters"],
            json!({"format": "pcm", "sample_rate": 16000})
        );
        settings.language_hint = Some("zh".into());
        settings.max_sentence_silence_ms = Some(700);
        let full: Value =
            serde_json::from_str(&run_task("t", AudioFormat::Wav, &settings)).unwrap();
        assert_eq!(
            full["payload"]["parameters"]["language_hints"],
            json!(["zh"])
        );
        assert_eq!(
            full["payload"]["parameters"]["max_sentence_silence"],
            json!(700)
        );
        assert_eq!(full["payload"]["parameters"]["format"], json!("wav"));
        assert_eq!(full["header"]["action"], "run-task");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = parse(&text);
            let _ = describe(&text);
        }
    }
}
