//! Frames that the service would never send when it is well. Their texts, where they have one, begin
//! with the word `garbage` and name no second of audio: found in a transcript, they tell on who took
//! them for speech.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::conversation::Frame;

/// How much text [`Garbage::Huge`] has, in bytes.
pub const HUGE_BYTES: usize = 512 * 1024;
/// How deep the arrays of [`Garbage::OtherJson`] are.
const DEEP: usize = 1000;

/// A kind of garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// Half a frame, an empty one, and JSON with a bare `NaN` as a time.
    NotJson,
    /// JSON of other shapes: no objects, wrong types in the header and the payload, deep nesting.
    OtherJson,
    /// Events that the protocol does not have, with a sentence in them.
    UnknownEvent,
    /// An intermediate result with [`HUGE_BYTES`] of text.
    Huge,
    /// A final sentence that begins after it ends.
    BeginAfterEnd,
    /// Final sentences whose times are words, negative, or beyond all numbers of ms.
    BadTimes,
    /// A final sentence of a task that never was, in the time of a true one.
    OtherTask,
    /// A result without `sentence_end`, and with a null `end_time`: an intermediate one.
    OpenEnd,
    /// A final sentence with an empty text and with other strings around it.
    EmptyText,
    /// A binary frame.
    Binary,
}

impl Garbage {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::NotJson,
        Self::OtherJson,
        Self::UnknownEvent,
        Self::Huge,
        Self::BeginAfterEnd,
        Self::BadTimes,
        Self::OtherTask,
        Self::OpenEnd,
        Self::EmptyText,
        Self::Binary,
    ];

    /// The frames of this kind, for a task and the times of a sentence in it, in ms.
    #[must_use]
    pub fn frames(self, task_id: &str, begin_ms: u64, end_ms: u64) -> Vec<Frame> {
        let (begin, end) = (json!(begin_ms), json!(end_ms));
        let said = |text: &str| sentence(text, &begin, &end);
        let result = |sentence: &Value| result(task_id, sentence);
        let texts = match self {
            Self::NotJson => vec![
                r#"{"header": {"event": "result-gen"#.to_owned(),
                String::new(),
                result(&said("garbage not a number")).replacen(
                    &format!(r#""end_time":{end_ms}"#),
                    r#""end_time":NaN"#,
                    1,
                ),
            ],
            Self::OtherJson => other_json(task_id),
            Self::UnknownEvent => ["result-regenerated", "RESULT-GENERATED", ""]
                .map(|event| frame(task_id, event, &said("garbage event")))
                .to_vec(),
            Self::Huge => {
                let mut huge = said(&"garbage ".repeat(HUGE_BYTES / 8));
                huge["sentence_end"] = false.into();
                huge["end_time"] = Value::Null;
                vec![result(&huge)]
            }
            Self::BeginAfterEnd => {
                vec![result(&sentence(
                    "garbage backwards",
                    &json!(end_ms + 1),
                    &begin,
                ))]
            }
            Self::BadTimes => [
                (json!("soon"), json!("later")),
                (json!("NaN"), json!("inf")),
                (json!(-5000), json!(-1)),
                (json!(1e300), json!(1e308)),
                (json!([0]), json!({"ms": 1})),
            ]
            .iter()
            .map(|(begin, end)| result(&sentence("garbage times", begin, end)))
            .collect(),
            Self::OtherTask => vec![frame(
                &format!("no-{task_id}"),
                "result-generated",
                &said("garbage of another task"),
            )],
            Self::OpenEnd => {
                let mut open = sentence("garbage without an end", &begin, &Value::Null);
                if let Some(fields) = open.as_object_mut() {
                    fields.remove("sentence_end");
                }
                vec![result(&open)]
            }
            Self::EmptyText => {
                let mut empty = said("");
                empty["hint"] = "garbage hint".into();
                empty["words"] = json!([{"text": "garbage word"}]);
                let mut event: Value = json!({
                    "header": {"task_id": task_id, "event": "result-generated"},
                    "payload": {"output": {"sentence": empty, "text": "garbage output"}},
                });
                event["payload"]["text"] = "garbage payload".into();
                vec![event.to_string()]
            }
            Self::Binary => return vec![Frame::Binary((0..=255).collect())],
        };
        texts.into_iter().map(Frame::Text).collect()
    }
}

fn sentence(text: &str, begin: &Value, end: &Value) -> Value {
    json!({
        "begin_time": begin, "end_time": end, "text": text, "words": [],
        "heartbeat": false, "sentence_end": true, "sentence_id": 1,
    })
}

fn result(task_id: &str, sentence: &Value) -> String {
    frame(task_id, "result-generated", sentence)
}

fn frame(task_id: &str, event: &str, sentence: &Value) -> String {
    json!({
        "header": {"task_id": task_id, "event": event, "attributes": {}},
        "payload": {"output": {"sentence": sentence}, "usage": null},
    })
    .to_string()
}

fn other_json(task_id: &str) -> Vec<String> {
    let header = json!({"task_id": task_id, "event": "result-generated"});
    let mut texts: Vec<String> = [
        json!(null),
        json!(7),
        json!("task-finished"),
        json!([]),
        json!({}),
        json!({"header": null, "payload": []}),
        json!({"header": {"event": 7, "task_id": {}}, "payload": {}}),
        json!({"header": header, "payload": null}),
        json!({"header": header, "payload": {"output": "garbage output"}}),
        json!({"header": header, "payload": {"output": {"sentence": ["garbage"]}}}),
        json!({"header": header, "payload": {"output": {"sentence": {"text": 7}}}}),
    ]
    .iter()
    .map(Value::to_string)
    .collect();
    texts.push("[".repeat(DEEP) + &"]".repeat(DEEP));
    texts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn texts(kind: Garbage) -> Vec<String> {
        let frames = kind.frames("t", 1000, 2000).into_iter();
        frames
            .map(|frame| match frame {
                Frame::Text(text) => text,
                Frame::Binary(_) => panic!("{kind:?}"),
            })
            .collect()
    }

    fn sentences(kind: Garbage) -> Vec<Value> {
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let all = texts(kind).into_iter().map(read);
        all.map(|event| event["payload"]["output"]["sentence"].clone())
            .collect()
    }

    #[test]
    fn each_kind_is_what_it_says() {
        let all_json = |text: &String| serde_json::from_str::<Value>(text).is_ok();
        assert!(!texts(Garbage::NotJson).iter().any(all_json));
        assert!(texts(Garbage::NotJson)[2].contains("\"end_time\":NaN"));
        assert!(texts(Garbage::Huge)[0].len() > HUGE_BYTES);
        assert_eq!(sentences(Garbage::Huge)[0]["sentence_end"], false);
        let backwards = &sentences(Garbage::BeginAfterEnd)[0];
        assert!(backwards["begin_time"].as_u64() > backwards["end_time"].as_u64());
        for sentence in sentences(Garbage::BadTimes) {
            assert!(sentence["begin_time"].as_u64().is_none(), "{sentence}");
        }
        assert!(texts(Garbage::OtherTask)[0].contains("\"task_id\":\"no-t\""));
        let open = &sentences(Garbage::OpenEnd)[0];
        assert!(open.get("sentence_end").is_none() && open["end_time"].is_null());
        assert_eq!(sentences(Garbage::EmptyText)[0]["text"], "");
        let binary = Garbage::Binary.frames("t", 0, 1);
        assert!(matches!(&binary[..], [Frame::Binary(_)]));
    }

    #[test]
    fn no_garbage_names_a_second() {
        for kind in Garbage::ALL {
            for frame in kind.frames("t", 1000, 2000) {
                if let Frame::Text(text) = frame {
                    assert!(crate::mark::seconds_in(&text).is_empty(), "{kind:?}");
                }
            }
        }
    }
}
