//! Frames of the ASR service, right ones and wrong ones, made from what the fuzzer gives.

use arbitrary::Arbitrary;
use serde_json::{Map, Value, json};

/// A text frame.
#[derive(Debug, Arbitrary)]
pub enum Frame<'a> {
    /// `task-started`.
    Started,
    /// `result-generated` with this sentence.
    Result(Said<'a>),
    /// The same with all fields as the service writes them.
    Sentence {
        /// From the start of the task's audio.
        begin_ms: u16,
        /// How long it is.
        length_ms: u16,
        /// Final or not.
        is_final: bool,
    },
    /// `task-finished`, maybe with a last text.
    Finished(Option<Said<'a>>),
    /// `task-failed`.
    Failed {
        /// `error_code`.
        code: &'a str,
        /// `error_message`.
        message: &'a str,
    },
    /// An event that there is not.
    Event(&'a str),
    /// Any text: mostly no JSON.
    Text(&'a str),
}

/// A sentence as a service may write it.
#[derive(Debug, Arbitrary)]
pub struct Said<'a> {
    begin: Time<'a>,
    end: Time<'a>,
    text: Option<&'a str>,
    flag: Option<(Flag, bool)>,
    is_heartbeat: bool,
    last_word: Option<Time<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Flag {
    IsFinal,
    Final,
    SentenceEnd,
    CamelSentenceEnd,
    EndOfSentence,
}

#[derive(Debug, Arbitrary)]
enum Time<'a> {
    Missing,
    Null,
    Ms(u32),
    Near(u16),
    Number(f64),
    Text(&'a str),
    Flag(bool),
}

impl Time<'_> {
    fn put(&self, into: &mut Map<String, Value>, name: &str) {
        let value = match self {
            Time::Missing => return,
            Time::Null => Value::Null,
            Time::Ms(ms) => json!(ms),
            Time::Near(ms) => json!(ms),
            // What is no number of JSON becomes null.
            Time::Number(number) => json!(number),
            Time::Text(text) => json!(text),
            Time::Flag(flag) => json!(flag),
        };
        into.insert(name.to_owned(), value);
    }
}

impl Said<'_> {
    fn payload(&self) -> Value {
        let mut sentence = Map::new();
        self.begin.put(&mut sentence, "begin_time");
        self.end.put(&mut sentence, "end_time");
        if let Some(text) = self.text {
            sentence.insert("text".to_owned(), json!(text));
        }
        if let Some((flag, value)) = &self.flag {
            let name = match flag {
                Flag::IsFinal => "is_final",
                Flag::Final => "final",
                Flag::SentenceEnd => "sentence_end",
                Flag::CamelSentenceEnd => "sentenceEnd",
                Flag::EndOfSentence => "end_of_sentence",
            };
            sentence.insert(name.to_owned(), json!(value));
        }
        if self.is_heartbeat {
            sentence.insert("heartbeat".to_owned(), json!(true));
        }
        if let Some(last) = &self.last_word {
            let mut word = Map::new();
            last.put(&mut word, "end_time");
            sentence.insert("words".to_owned(), json!([{"text": "a"}, word]));
        }
        json!({"output": {"sentence": sentence}, "usage": {"duration": 1}})
    }
}

impl Frame<'_> {
    /// The frame's text; `task` is what it names as its task.
    pub fn text(&self, task: Option<&str>) -> String {
        let mut header = Map::new();
        if let Some(task) = task {
            header.insert("task_id".to_owned(), json!(task));
        }
        let (event, payload) = match self {
            Frame::Text(text) => return (*text).to_owned(),
            Frame::Started => ("task-started", json!({})),
            Frame::Result(said) => ("result-generated", said.payload()),
            Frame::Sentence {
                begin_ms,
                length_ms,
                is_final,
            } => {
                let end_ms = u32::from(*begin_ms) + u32::from(*length_ms);
                let end_time = is_final.then_some(end_ms);
                let sentence = json!({"begin_time": begin_ms, "end_time": end_time,
                    "text": "one two", "sentence_end": is_final});
                (
                    "result-generated",
                    json!({"output": {"sentence": sentence}}),
                )
            }
            Frame::Finished(None) => ("task-finished", json!({"output": {}})),
            Frame::Finished(Some(said)) => ("task-finished", said.payload()),
            Frame::Failed { code, message } => {
                header.insert("error_code".to_owned(), json!(code));
                header.insert("error_message".to_owned(), json!(message));
                ("task-failed", json!({}))
            }
            Frame::Event(event) => (*event, json!({})),
        };
        header.insert("event".to_owned(), json!(event));
        json!({"header": header, "payload": payload}).to_string()
    }
}
