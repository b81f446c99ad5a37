//! JSON from outside, looked at before anything is built of it. A text of three megabytes can hold a
//! million objects, each of which takes hundreds of bytes as a value: the limit of a text's bytes is no
//! limit of memory. [`check`] counts what a text holds in one pass, without allocating, and
//! [`from_slice`] reads it only if that is within [`Limits`].
//!
//! It does not know what a text means, nor who sent it. Whether the text is JSON at all is serde_json's to
//! say: of a text that is none the counts mean nothing, but never too little.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

/// Deepest nesting of arrays and objects. serde_json reads no deeper text.
pub const MAX_DEPTH: usize = 127;

/// What a text may hold. As a `serde_json::Value` it takes at most some 64 bytes for each value, 640 for
/// each array or object (an object of one entry takes that much), and its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Values of all kinds, names of fields included.
    pub values: usize,
    /// Arrays and objects among them.
    pub containers: usize,
}

/// Of the body of a request and of the fields of a frame: a roster of a thousand people with their
/// addresses has 5,000 values in 1,000 objects.
pub const OF_CLIENTS: Limits = Limits {
    values: 20_000,
    containers: 4_000,
};

/// Of an answer of a service: hundreds of voices with hundreds of numbers each.
pub const OF_SERVICES: Limits = Limits {
    values: 200_000,
    containers: 8_000,
};

/// What a text holds too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMuch {
    /// Values; at most so many.
    Values(usize),
    /// Arrays and objects; at most so many.
    Containers(usize),
    /// Arrays and objects in each other, more than [`MAX_DEPTH`].
    Depth,
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(most) => write!(f, "more than {most} JSON values"),
            Self::Containers(most) => write!(f, "more than {most} JSON arrays and objects"),
            Self::Depth => write!(f, "JSON that is nested more than {MAX_DEPTH} levels deep"),
        }
    }
}

/// Why a text is not read.
#[derive(Debug, Error)]
pub enum Refused {
    /// Nothing was built of it.
    #[error("it holds {0}")]
    TooMuch(TooMuch),
    /// It is no JSON, or not what was to be read.
    #[error(transparent)]
    NotJson(serde_json::Error),
}

/// Counts what a text holds.
///
/// # Errors
/// It is over a limit.
pub fn check(json: &[u8], limits: Limits) -> Result<(), TooMuch> {
    let (mut values, mut containers, mut depth) = (0_usize, 0_usize, 0_usize);
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => continue,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                containers += 1;
            }
            b'"' => at = end_of_string(json, at),
            _ => at = end_of_word(json, at),
        }
        values += 1;
        // First: however deep a text is, it is not JSON to serde_json either.
        if depth > MAX_DEPTH {
            return Err(TooMuch::Depth);
        }
        if containers > limits.containers {
            return Err(TooMuch::Containers(limits.containers));
        }
        if values > limits.values {
            return Err(TooMuch::Values(limits.values));
        }
    }
    Ok(())
}

/// Reads a text that is within the limits.
///
/// # Errors
/// It is over one of them, or no JSON, or no `T`.
pub fn from_slice<'a, T: Deserialize<'a>>(json: &'a [u8], limits: Limits) -> Result<T, Refused> {
    check(json, limits).map_err(Refused::TooMuch)?;
    serde_json::from_slice(json).map_err(Refused::NotJson)
}

/// After the quotation mark that ends the string which begins at `from`, or the end of the text.
fn end_of_string(json: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(rest) = json.get(at..) {
        let Some(next) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            break;
        };
        at += next + 1;
        if rest.get(next) == Some(&b'"') {
            return at;
        }
        // What follows a backslash ends nothing.
        at += 1;
    }
    json.len()
}

/// The end of a number, `true`, `false`, `null`, or of what is none of these.
fn end_of_word(json: &[u8], from: usize) -> usize {
    let ends = |byte: &u8| {
        matches!(
            byte,
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"'
        )
    };
    let rest = json.get(from..).unwrap_or_default();
    from + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const SMALL: Limits = Limits {
        values: 8,
        containers: 3,
    };

    /// Values, names included, and arrays and objects.
    fn count(value: &Value) -> (usize, usize) {
        let add = |(values, containers), inner: &Value| {
            let (more, more_containers) = count(inner);
            (values + more, containers + more_containers)
        };
        match value {
            Value::Array(items) => items.iter().fold((1, 1), add),
            Value::Object(fields) => fields.values().fold((1 + fields.len(), 1), add),
            _ => (1, 0),
        }
    }

    /// What is counted exactly: within limits of just that much, and over those of one less.
    fn assert_counted(json: &str, values: usize, containers: usize) {
        let exact = Limits { values, containers };
        assert_eq!(check(json.as_bytes(), exact), Ok(()), "{json}");
        let fewer = Limits {
            values: values - 1,
            ..exact
        };
        assert_eq!(
            check(json.as_bytes(), fewer),
            Err(TooMuch::Values(values - 1)),
            "{json}"
        );
        if containers > 0 {
            let fewer = Limits {
                containers: containers - 1,
                ..exact
            };
            assert_eq!(
                check(json.as_bytes(), fewer),
                Err(TooMuch::Containers(containers - 1)),
                "{json}"
            );
        }
    }

    #[test]
    fn values_and_containers_are_counted() {
        for (json, values, containers) in [
            ("1", 1, 0),
            (" null ", 1, 0),
            (r#""a,[{\"b\\""#, 1, 0),
            ("[]", 1, 1),
            ("[1,-2.5e3, true]", 4, 1),
            (r#"{"a":{"b":[{}]},"c":"]}"}"#, 8, 4),
            (r#"["\\","\"",[]]"#, 4, 2),
        ] {
            assert_counted(json, values, containers);
        }
    }

    #[test]
    fn many_empty_objects_are_refused_before_anything_is_built() {
        let many = format!("[{}{{}}]", "{},".repeat(450_000));
        let refused = from_slice::<Value>(many.as_bytes(), OF_CLIENTS).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it holds more than 4000 JSON arrays and objects"
        );
        let many = format!("[{}0]", "0,".repeat(450_000));
        let refused = from_slice::<Value>(many.as_bytes(), OF_CLIENTS).unwrap_err();
        assert_eq!(refused.to_string(), "it holds more than 20000 JSON values");
    }

    #[test]
    fn deep_texts_are_refused_where_serde_refuses_them() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let limits = OF_CLIENTS;
        assert!(from_slice::<Value>(nested(MAX_DEPTH).as_bytes(), limits).is_ok());
        let deeper = nested(MAX_DEPTH + 1);
        assert_eq!(check(deeper.as_bytes(), limits), Err(TooMuch::Depth));
        assert!(serde_json::from_str::<Value>(&deeper).is_err());
        // Texts that are not even closed.
        for open in ["[", "{\"a\":", "[{\"audio\":"] {
            let text = open.repeat(20_000);
            assert_eq!(check(text.as_bytes(), limits), Err(TooMuch::Depth));
        }
    }

    #[test]
    fn what_is_no_json_is_told_by_the_parser() {
        for text in ["", "{nope", "\"open", "\\", "\"\\", "]]]]", "{\"a\":NaN}"] {
            let refused = from_slice::<Value>(text.as_bytes(), SMALL).unwrap_err();
            assert!(matches!(refused, Refused::NotJson(_)), "{text}: {refused}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            "[\\PC\"\\\\{}\\[\\],:\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map("[a\"\\\\{,]{0,3}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_counted_as_it_is(value in any_json(), pretty in any::<bool>()) {
            let (values, containers) = count(&value);
            let json = match pretty {
                true => serde_json::to_string_pretty(&value).unwrap(),
                false => value.to_string(),
            };
            assert_counted(&json, values, containers);
        }

        /// Whatever it is: what is let through is no more than the limits when it is built.
        #[test]
        fn nothing_over_the_limits_is_built(text in "[\\[\\]{}\",:0\\\\ a]{0,60}") {
            if let Ok(value) = from_slice::<Value>(text.as_bytes(), SMALL) {
                let (values, containers) = count(&value);
                prop_assert!(values <= SMALL.values && containers <= SMALL.containers);
            }
        }
    }
}
