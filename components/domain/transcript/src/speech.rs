//! Self-introductions: the name somebody gives in an utterance. It guesses little: no name is
//! better than a wrong one.

/// The fewest and most characters of a name.
pub const NAME_CHARS: std::ops::RangeInclusive<usize> = 2..=80;

/// The name in `my name is X`, `I am X` or `I'm X`, if there is one.
pub fn introduced_name(text: &str) -> Option<String> {
    let _ = text;
    None
}
