//! What an app may call its figures: names that no other figure's lines can be mistaken for.

use crate::limits::{MAX_LABEL_BYTES, MAX_LABELS, MAX_NAME_BYTES};

/// What the exposition itself puts behind names.
const SUFFIXES: [&str; 7] = [
    "_total", "_max", "_count", "_sum", "_bucket", "_created", "_info",
];

/// Labels that the exposition itself sets.
const LABELS: [&str; 2] = ["le", "quantile"];

/// Whether this is a name for a figure: `[a-z_]`, a letter at both ends, and nothing at its end that
/// the exposition adds.
pub(crate) fn is_name(name: &str) -> bool {
    is_word(name) && !SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether these are labels, sorted by name.
pub(crate) fn are_labels(labels: &[(String, String)]) -> bool {
    labels.len() <= MAX_LABELS
        && labels.is_sorted_by(|(one, _), (next, _)| one < next)
        && labels.iter().all(|(name, value)| {
            is_word(name)
                && !LABELS.contains(&name.as_str())
                && value.len() <= MAX_LABEL_BYTES
                && !value.chars().any(char::is_control)
        })
}

fn is_word(word: &str) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_lowercase);
    let bytes = word.as_bytes();
    word.len() <= MAX_NAME_BYTES
        && is_letter(bytes.first())
        && is_letter(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || *byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_that_nothing_is_added_to() {
        let longest = "a".repeat(MAX_NAME_BYTES);
        for name in ["a", "chunks", "utterance_latency_seconds", &longest] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for name in [
            "",
            "_a",
            "a_",
            "A",
            "a1",
            "a-b",
            "a b",
            "ü",
            "a\n",
            "a{",
            "x_total",
            "x_max",
            "x_sum",
            "x_count",
            "x_bucket",
            "x_created",
            "x_info",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn labels_are_few_short_and_different() {
        let labels = |of: &[(&str, &str)]| -> Vec<(String, String)> {
            of.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let ok = |of: &[(&str, &str)]| are_labels(&labels(of));
        assert!(ok(&[]));
        assert!(ok(&[("role", "teacher"), ("status", "a \"b\" \\ ü")]));
        assert!(ok(&[("a", &"x".repeat(MAX_LABEL_BYTES))]));
        assert!(ok(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]));
        assert!(!ok(&[
            ("a", ""),
            ("b", ""),
            ("c", ""),
            ("d", ""),
            ("e", "")
        ]));
        assert!(!ok(&[("a", "1"), ("a", "2")]), "twice");
        assert!(!ok(&[("a", &"x".repeat(MAX_LABEL_BYTES + 1))]));
        assert!(!ok(&[("le", "1")]));
        assert!(!ok(&[("a", "two\nlines")]));
        assert!(!ok(&[("__a", "")]));
    }
}
