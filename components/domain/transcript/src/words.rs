//! How two texts are compared: by their letters and digits in lower case, of any script. Nothing
//! here knows of time or of utterances.

use std::collections::HashSet;

/// The letters and digits of a text in lower case, without all else.
pub fn norm(text: &str) -> String {
    text.chars()
        .flat_map(char::to_lowercase)
        .filter(|character| character.is_alphanumeric())
        .collect()
}

/// A run of letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    /// In lower case.
    pub text: String,
    /// The text from this run on, as written.
    pub rest: &'a str,
}

/// The runs of letters and digits of a text, in order.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        rest = &rest[start..];
        let end = rest
            .find(|character: char| !character.is_alphanumeric())
            .unwrap_or(rest.len());
        tokens.push(Token {
            // Lower case may bring marks with it (`İ`), which are no letters.
            text: norm(&rest[..end]),
            rest,
        });
        rest = &rest[end..];
    }
    tokens
}

/// The most tokens that an overlap has.
pub const MAX_OVERLAP: usize = 32;

/// The largest `k` up to [`MAX_OVERLAP`] for which the last `k` tokens of `a` are the first `k` of
/// `b`.
pub fn overlap(a: &[Token<'_>], b: &[Token<'_>]) -> usize {
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
pub fn are_nearly_equal_sets(a: &[Token<'_>], b: &[Token<'_>]) -> bool {
    let set = |tokens: &[Token<'_>]| -> HashSet<String> {
        tokens.iter().map(|token| token.text.clone()).collect()
    };
    let (a, b) = (set(a), set(b));
    let shared = a.intersection(&b).count();
    let all = a.len() + b.len() - shared;
    10 * shared >= 9 * all
}
