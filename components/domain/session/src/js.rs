//! The coercions of the original gateway, which was JavaScript: its clients rely on some of them
//! (counts sent as strings) and its error texts show them (`[object Object]`).

use std::borrow::Cow;

use serde::Serializer;
use serde_json::Value;
use unicode_text::at_most_utf16;

/// The largest integer that a JSON number keeps exactly in JavaScript.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Longest piece of a client's text that an error repeats, in UTF-16 units: an answer must not grow
/// with what was sent.
pub(crate) const MAX_ECHO: usize = 200;

/// `String.prototype.trim`: white space of Unicode and the byte order mark, but not U+0085.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}')
}

/// The text without white space around it; none when nothing is left.
pub(crate) fn non_blank(text: &str) -> Option<&str> {
    let text = trim(text);
    (!text.is_empty()).then_some(text)
}

/// The trimmed text of a JSON string that is not blank; none for any other value.
pub(crate) fn non_blank_string(value: &Value) -> Option<&str> {
    value.as_str().and_then(non_blank)
}

/// Whether a string of a JSON text holds half a surrogate pair, which is written as an escape and stands
/// for no character. Of a text that is no JSON the answer means nothing.
pub(crate) fn has_lone_surrogate(json: &str) -> bool {
    let bytes = json.as_bytes();
    let unit = |at: usize| {
        let digits = json.get(at + 2..at + 6)?;
        let is_escape = bytes.get(at..at + 2)? == br"\u";
        is_escape.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let mut at = 0;
    // Few texts hold an escape at all, and the search for one is quick.
    while let Some(next) = json.get(at..).and_then(|rest| rest.find('\\')) {
        at += next;
        at += match unit(at) {
            Some(0xD800..=0xDBFF) => match unit(at + 6) {
                Some(0xDC00..=0xDFFF) => 12,
                _ => return true,
            },
            Some(0xDC00..=0xDFFF) => return true,
            Some(_) => 6,
            // `\\` is one escape: what follows it is not its second half.
            None => 2,
        };
    }
    false
}

/// Length in UTF-16 units, as JavaScript counts.
pub(crate) fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// `String(value)`, cut to [`MAX_ECHO`].
pub(crate) fn to_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed("null"),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Number(number) => match number.as_f64() {
            Some(number) => Cow::Owned(number_text(number)),
            None => Cow::Owned(number.to_string()),
        },
        Value::String(text) => Cow::Borrowed(at_most_utf16(text, MAX_ECHO)),
        Value::Array(items) => {
            let mut joined = String::new();
            for (index, item) in items.iter().enumerate() {
                if joined.len() > MAX_ECHO {
                    break;
                }
                if index > 0 {
                    joined.push(',');
                }
                if !item.is_null() {
                    joined.push_str(&to_text(item));
                }
            }
            let end = at_most_utf16(&joined, MAX_ECHO).len();
            joined.truncate(end);
            Cow::Owned(joined)
        }
        Value::Object(_) => Cow::Borrowed("[object Object]"),
    }
}

/// `String(number)`: integers without a fraction, an exponent from 1e21 on and below 1e-6.
pub(crate) fn number_text(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return format!("{}", number + 0.0);
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// `Number(text)` where that is finite: decimal with a fraction and an exponent (`1e1`, `1.0`, `.5`), or whole
/// in hexadecimal, octal or binary behind `0x`, `0o`, `0b`; white space around it does not count. A blank
/// text is no number here: in JavaScript it is 0, but a client that sends a blank number has nothing to say.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let text = trim(text);
    let number = match text.as_bytes() {
        [
            b'0',
            base @ (b'x' | b'X' | b'o' | b'O' | b'b' | b'B'),
            digits @ ..,
        ] => {
            let radix = match base.to_ascii_lowercase() {
                b'x' => 16,
                b'o' => 8,
                _ => 2,
            };
            whole_number(digits, radix)?
        }
        // Rust also reads `inf` and `nan`.
        bytes if bytes.iter().all(is_of_a_decimal) => text.parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn is_of_a_decimal(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

fn whole_number(digits: &[u8], radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0.0, |number, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        Some(number * f64::from(radix) + f64::from(digit))
    })
}

/// `Number(text)` where that is a whole number above 0; one that is not kept exactly may be rounded.
pub(crate) fn parse_positive_integer(text: &str) -> Option<u64> {
    let number = parse_number(text).filter(|number| *number >= 1.0 && number.fract() == 0.0)?;
    // A float casts saturating.
    Some(number as u64)
}

/// `Number(value)` where that is finite; of a string as [`parse_number`].
pub(crate) fn to_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::String(text) => parse_number(text)?,
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

/// A count: floored, at most [`MAX_SAFE_INTEGER`]; none for what is negative or no number.
pub(crate) fn to_count(value: &Value) -> Option<u64> {
    let number = to_number(value).filter(|number| *number >= 0.0)?;
    // A float casts saturating.
    Some((number.floor() as u64).min(MAX_SAFE_INTEGER))
}

/// Writes a number as `JSON.stringify` does: `1`, not `1.0`.
pub(crate) fn serialize_number<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER as f64 {
        to.serialize_i64(*number as i64)
    } else {
        to.serialize_f64(*number)
    }
}

/// [`serialize_number`], `null` where there is none.
pub(crate) fn serialize_optional_number<S: Serializer>(
    number: &Option<f64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serialize_number(number, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn numbers_read_as_in_javascript() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (5.0, "5"),
            (1.5, "1.5"),
            (1_760_000_001_000.0, "1760000001000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e303, "1.5e+303"),
            (1e-7, "1e-7"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn text_of_odd_values() {
        assert_eq!(to_text(&json!({"a": 1})), "[object Object]");
        assert_eq!(to_text(&json!(["a", null, [1, 2]])), "a,,1,2");
        assert_eq!(to_text(&json!(true)), "true");
        assert_eq!(to_text(&json!("x".repeat(1000))).len(), MAX_ECHO);
        assert_eq!(to_text(&json!(vec!["ab"; 1000])).len(), MAX_ECHO);
    }

    #[test]
    fn numbers_are_parsed_as_by_javascript() {
        for (text, number) in [
            ("1e1", 10.0),
            ("1.0", 1.0),
            (" 7\n", 7.0),
            ("\u{feff}7", 7.0),
            ("+3", 3.0),
            ("-2.5E-1", -0.25),
            (".5", 0.5),
            ("5.", 5.0),
            ("007", 7.0),
            ("0x1F", 31.0),
            ("0b101", 5.0),
            ("0O17", 15.0),
        ] {
            assert_eq!(parse_number(text), Some(number), "{text:?}");
        }
        for text in [
            "",
            " ",
            "x",
            "1x",
            "1 2",
            "1_000",
            "1,5",
            "inf",
            "Infinity",
            "-Infinity",
            "NaN",
            "nan",
            "1e999",
            "0x",
            "0xg",
            "-0x1",
            "0b2",
            ".",
            "e1",
            "1e",
            "+",
            "٣",
            "1n",
        ] {
            assert_eq!(parse_number(text), None, "{text:?}");
        }
        for (text, number) in [
            ("1e1", Some(10)),
            ("1.0", Some(1)),
            ("0x10", Some(16)),
            ("1e300", Some(u64::MAX)),
            ("0", None),
            ("-1", None),
            ("0.5", None),
            ("1.5", None),
        ] {
            assert_eq!(parse_positive_integer(text), number, "{text:?}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(to_count(&json!(2.7)), Some(2));
        assert_eq!(to_count(&json!("3")), Some(3));
        assert_eq!(to_count(&json!("3e1")), Some(30));
        assert_eq!(to_count(&json!("0x1f")), Some(31));
        assert_eq!(to_count(&json!(true)), Some(1));
        assert_eq!(to_count(&json!(-1)), None);
        assert_eq!(to_count(&json!("")), None);
        assert_eq!(to_count(&json!("inf")), None);
        assert_eq!(to_count(&json!([7])), None);
        assert_eq!(to_count(&json!(1e300)), Some(MAX_SAFE_INTEGER));
    }

    #[test]
    fn half_a_surrogate_pair_is_found_anywhere() {
        for lone in [
            r#""\ud800""#,
            r#""\uDFFF""#,
            r#"{"a":"\ud83d\u0041"}"#,
            r#"{"\udc00":1}"#,
            r#""\ude00\ud83d""#,
            r#""\\\ud800""#,
            r#""\ud83d\ude00\ud83d""#,
        ] {
            assert!(has_lone_surrogate(lone), "{lone}");
        }
        for fine in [
            r#""\ud83d\ude00""#,
            r#""\\ud800""#,
            r#""\u00e9\n\\""#,
            r#"{"a":"ud800"}"#,
            "\"é😀\"",
            "",
            r"\",
            r"\u",
            r"\ud8",
        ] {
            assert!(!has_lone_surrogate(fine), "{fine}");
        }
    }

    proptest! {
        #[test]
        fn half_a_pair_is_what_serde_refuses(units in proptest::collection::vec(
            prop_oneof![0xD7FEu16..0xE002, Just(0x41), Just(0x5C)], 0..8)
        ) {
            let escape = |unit: &u16| format!("\\u{unit:04x}");
            let json = format!("\"{}\"", units.iter().map(escape).collect::<String>());
            let refused = serde_json::from_str::<String>(&json).is_err();
            prop_assert_eq!(has_lone_surrogate(&json), refused, "{}", json);
        }

        #[test]
        fn no_text_confuses_the_search(text in any::<String>()) {
            let _ = has_lone_surrogate(&text);
            let json = serde_json::to_string(&text).unwrap();
            prop_assert!(!has_lone_surrogate(&json));
        }

        #[test]
        fn number_text_reads_back(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            prop_assert_eq!(number_text(number).parse::<f64>().unwrap(), number);
        }
    }
}
