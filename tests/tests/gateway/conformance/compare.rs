//! Where an answer differs from the recorded one. Times are compared by their form; the order of
//! fields is not compared.

use jiff::Timestamp;
use serde_json::Value;

/// One place in which two answers differ.
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// The names on the way to it, such as `body/state/config`.
    pub at: String,
    /// What was recorded; none when this gateway alone has it.
    pub recorded: Option<Value>,
    /// What this gateway answered; none when it has nothing there.
    pub ours: Option<Value>,
}

/// Everything in which `ours` differs from `recorded`.
pub fn compare(recorded: &Value, ours: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    descend("", Some(recorded), Some(ours), &mut differences);
    differences
}

fn descend(at: &str, recorded: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (recorded, ours) {
        // Frames of two types have nothing to compare: they differ as a whole.
        (Some(Value::Object(a)), Some(Value::Object(b))) if a.get("type") == b.get("type") => {
            let only_ours = b.keys().filter(|name| !a.contains_key(*name));
            for name in a.keys().chain(only_ours) {
                descend(&below(at, name), a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                descend(
                    &below(at, &index.to_string()),
                    a.get(index),
                    b.get(index),
                    found,
                );
            }
        }
        (Some(a), Some(b)) if equal(at, a, b) => {}
        _ => found.push(Difference {
            at: at.to_owned(),
            recorded: recorded.cloned(),
            ours: ours.cloned(),
        }),
    }
}

fn below(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}/{name}")
    }
}

fn equal(at: &str, recorded: &Value, ours: &Value) -> bool {
    match (recorded, ours) {
        (Value::String(a), Value::String(b)) => a == b || (is_time(a) && is_time(b)),
        // `ts` of a pong.
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64() || at == "frame/ts",
        _ => recorded == ours,
    }
}

/// As the gateway writes times: RFC 3339 in UTC with milliseconds. Times of clients have none.
fn is_time(text: &str) -> bool {
    text.len() == "2026-02-11T09:30:00.123Z".len()
        && text.ends_with('Z')
        && text.parse::<Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_found() {
        let recorded =
            json!({"a": 1, "t": "2026-02-11T09:30:00.123Z", "l": [1, {"x": null}], "g": 2});
        let ours =
            json!({"t": "2027-02-11T09:30:00.000Z", "a": 1.0, "l": [1, {"x": 0}, 3], "n": 4});
        let found = compare(&recorded, &ours);
        let at: Vec<_> = found
            .iter()
            .map(|difference| difference.at.as_str())
            .collect();
        assert_eq!(at, ["g", "l/1/x", "l/2", "n"]);
        assert_eq!(
            found[3],
            Difference {
                at: "n".into(),
                recorded: None,
                ours: Some(json!(4))
            }
        );
    }

    #[test]
    fn frames_of_two_types_differ_as_a_whole() {
        let (ack, error) = (
            json!({"f": {"type": "ack", "n": 1}}),
            json!({"f": {"type": "error"}}),
        );
        let found = compare(&ack, &error);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].ours, Some(error["f"].clone()));
    }

    #[test]
    fn a_time_of_a_client_is_no_form() {
        let recorded = json!({"t": "2026-01-01T00:00:00Z"});
        assert_eq!(
            compare(&recorded, &json!({"t": "2026-01-01T00:00:01Z"})).len(),
            1
        );
        let recorded = json!({"t": "2026-01-01T00:00:00.000Z"});
        assert_eq!(
            compare(&recorded, &json!({"t": "2026-01-01T00:00:00Z"})).len(),
            1
        );
    }
}
