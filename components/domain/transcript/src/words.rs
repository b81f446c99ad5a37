//! How two texts are compared: by their letters and digits in lower case, of any script. Nothing
//! here knows of time or of utterances.

use std::collections::BTreeSet;

use unicode_text::{is_joiner, is_mark, normal};

/// The letters and digits of a text in lower case, without all else. A text and its normal form have the
/// same.
pub fn norm(text: &str) -> String {
    normal(text)
        .chars()
        .flat_map(char::to_lowercase)
        .filter(|character| character.is_alphanumeric())
        .collect()
}

/// A run of letters and digits, with the marks that belong to them (`र्म`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// In lower case.
    pub text: String,
    /// Where it begins in the text, in bytes.
    pub start: usize,
    /// Where it ends in the text, in bytes.
    pub end: usize,
}

/// The runs of letters and digits of a text, in order.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(char::is_alphanumeric).map(|at| from + at) {
        let end = text[start..]
            .find(|c: char| !c.is_alphanumeric() && !is_mark(c) && !is_joiner(c))
            .map_or(text.len(), |at| start + at);
        tokens.push(Token {
            text: norm(&text[start..end]),
            start,
            end,
        });
        from = end;
    }
    tokens
}

/// What of `text` comes after its first `count` tokens: from the next word on, or, when the next
/// token is in the same word (`well-known`), from that token on. Empty when there is no more token.
pub fn after<'a>(text: &'a str, tokens: &[Token], count: usize) -> &'a str {
    let Some(next) = tokens.get(count) else {
        return "";
    };
    let Some(last) = count.checked_sub(1).and_then(|last| tokens.get(last)) else {
        return text;
    };
    let between = &text[last.end..next.start];
    let start = between
        .find(char::is_whitespace)
        .map_or(next.start, |space| last.end + space);
    &text[start..]
}

/// The most tokens that an overlap has.
pub const MAX_OVERLAP: usize = 32;

/// The largest `k` up to [`MAX_OVERLAP`] for which the last `k` tokens of `a` are the first `k` of
/// `b`.
pub fn overlap(a: &[Token], b: &[Token]) -> usize {
    let same = |k: &usize| {
        let tail = &a[a.len() - k..];
        tail.iter().zip(b).all(|(x, y)| x.text == y.text)
    };
    (1..=MAX_OVERLAP.min(a.len()).min(b.len()))
        .rev()
        .find(same)
        .unwrap_or(0)
}

/// Whether the token sets have at least nine tenths of their union in common; two empty sets do.
pub fn are_nearly_equal_sets(a: &[Token], b: &[Token]) -> bool {
    // Ordered sets: hashed ones would ask the host for randomness.
    let a: BTreeSet<&str> = a.iter().map(|token| token.text.as_str()).collect();
    let b: BTreeSet<&str> = b.iter().map(|token| token.text.as_str()).collect();
    let shared = a.intersection(&b).count();
    let all = a.len() + b.len() - shared;
    10 * shared >= 9 * all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn norms_cover_every_script() {
        assert_eq!(norm("Hello, World 2!"), "helloworld2");
        assert_eq!(norm("Ça va? 你好。 Привет!"), "çava你好привет");
        assert_eq!(norm("٣ ते"), "٣ते");
        assert_eq!(norm(" … 🙂 —"), "");
        assert_eq!(norm("Jose\u{301}!"), norm("José"));
    }

    #[test]
    fn tokens_are_runs_of_letters_and_digits() {
        assert_eq!(
            texts("I don't — know, 你好!"),
            ["i", "don", "t", "know", "你好"]
        );
        assert!(texts("… 🙂").is_empty());
        assert_eq!(texts("İx"), ["ix"]);
        // A mark ends no word: else the end of one that is another would be its beginning.
        assert_eq!(texts("शर्मा, x"), ["शरमा", "x"]);
        assert_eq!(overlap(&tokens("का शर"), &tokens("शर्मा है")), 0);
    }

    #[test]
    fn overlap_is_the_largest_end_that_is_a_beginning() {
        let overlap_of = |a, b| overlap(&tokens(a), &tokens(b));
        assert_eq!(overlap_of("a b c d", "B, C, D, e"), 3);
        assert_eq!(overlap_of("a a a", "a a a a"), 3);
        assert_eq!(overlap_of("a b", "c d"), 0);
        assert_eq!(overlap_of("", "a"), 0);
        let long = "a ".repeat(40);
        assert_eq!(overlap_of(&long, &long), MAX_OVERLAP);
    }

    #[test]
    fn nearly_equal_sets() {
        let near = |a, b| are_nearly_equal_sets(&tokens(a), &tokens(b));
        assert!(near("", "…"));
        assert!(near("a b a", "b a"));
        assert!(near("a b c d e f g h i", "a b c d e f g h i j"));
        assert!(!near("a b c d e f g h", "a b c d e f g h i"));
        assert!(!near("a", ""));
    }

    #[test]
    fn after_the_shared_words() {
        let text = "so, it's well-known — \"that\" is";
        let after = |count| after(text, &tokens(text), count);
        assert_eq!(after(0), text);
        assert_eq!(after(1), " it's well-known — \"that\" is");
        assert_eq!(after(2), "s well-known — \"that\" is");
        assert_eq!(after(4), "known — \"that\" is");
        assert_eq!(after(5), " — \"that\" is");
        assert_eq!(after(7), "");
        assert_eq!(after(9), "");
    }

    proptest! {
        #[test]
        fn tokens_make_the_norm(text in "\\PC{0,40}") {
            prop_assert_eq!(texts(&text).concat(), norm(&text));
            let tokens = tokens(&text);
            for count in 0..=tokens.len() {
                let rest = after(&text, &tokens, count);
                prop_assert_eq!(texts(rest).len(), tokens.len() - count);
            }
        }
    }
}
