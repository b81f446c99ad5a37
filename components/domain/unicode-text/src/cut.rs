//! The beginning of a text that is too long. It ends where a reader sees a character end (a grapheme cluster
//! of Unicode): not between a letter and its accent, in a flag or in a family of emoji.

use unicode_segmentation::GraphemeCursor;

/// The longest beginning of at most `max` UTF-16 units.
#[must_use]
pub fn at_most_utf16(text: &str, max: usize) -> &str {
    at_most(text, max, char::len_utf16)
}

/// The longest beginning of at most `max` characters (Unicode scalar values).
#[must_use]
pub fn at_most_chars(text: &str, max: usize) -> &str {
    at_most(text, max, |_| 1)
}

/// The longest beginning of at most `max` bytes.
#[must_use]
pub fn at_most_bytes(text: &str, max: usize) -> &str {
    at_most(text, max, char::len_utf8)
}

/// The longest beginning whose characters together have at most `max` of `size`.
fn at_most(text: &str, max: usize, size: impl Fn(char) -> usize) -> &str {
    // No size of a text is larger than its bytes.
    if text.len() <= max {
        return text;
    }
    let mut left = max;
    for (at, character) in text.char_indices() {
        match left.checked_sub(size(character)) {
            Some(rest) => left = rest,
            None => return text.get(..boundary(text, at)).unwrap_or_default(),
        }
    }
    text
}

/// The last end of a grapheme cluster up to `at`. A first cluster that is longer, such as a letter with a
/// hundred accents, is cut all the same: something of the text is left.
fn boundary(text: &str, at: usize) -> usize {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    // The whole text is given at once, so the cursor asks for no more of it.
    if cursor.is_boundary(text, 0) == Ok(true) {
        return at;
    }
    match cursor.prev_boundary(text, 0) {
        Ok(Some(before)) if before > 0 => before,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_segmentation::UnicodeSegmentation;

    use super::*;

    const FAMILY: &str = "👨‍👩‍👧";

    #[test]
    fn a_cut_is_where_a_reader_sees_a_character_end() {
        // The 7th character is the first of the cluster `र्मा`, the 6th a cluster of its own.
        assert_eq!(at_most_chars("संजय शर्मा", 7), "संजय श");
        assert_eq!(at_most_chars("संजय शर्मा", 10), "संजय शर्मा");
        assert_eq!(at_most_utf16("Jose\u{301}", 4), "Jos");
        assert_eq!(at_most_utf16("Jose\u{301}", 5), "Jose\u{301}");
        assert_eq!(at_most_bytes(&format!("a{FAMILY}"), 12), "a");
        assert_eq!(at_most_utf16("🇩🇪🇫🇷", 6), "🇩🇪");
        assert_eq!(at_most_utf16("a😀", 2), "a");
        assert_eq!(at_most_bytes("会议", 5), "会");
        assert_eq!(at_most_chars("", 0), "");
        assert_eq!(at_most_chars("a\r\nb", 2), "a");
    }

    #[test]
    fn a_first_character_that_is_too_long_is_cut() {
        let accents = format!("e{}", "\u{301}".repeat(200));
        assert_eq!(at_most_chars(&accents, 5).chars().count(), 5);
        assert_eq!(at_most_utf16(FAMILY, 1), "");
    }

    proptest! {
        #[test]
        fn a_beginning_that_fits(text in "(\\PC|e\u{301}|👨‍👩‍👧|🇩🇪|\u{94d}){0,20}", max in 0usize..40) {
            let beginning = at_most_utf16(&text, max);
            prop_assert!(text.starts_with(beginning));
            prop_assert!(beginning.encode_utf16().count() <= max);
            let ends: Vec<usize> = text
                .grapheme_indices(true)
                .map(|(at, cluster)| at + cluster.len())
                .collect();
            let first_fits = ends.first().is_none_or(|end| text[..*end].encode_utf16().count() <= max);
            if first_fits {
                // Every end that fits is at or before the cut.
                let longest = ends.iter().copied().filter(|end| text[..*end].encode_utf16().count() <= max);
                prop_assert_eq!(beginning.len(), longest.max().unwrap_or(0));
            }
        }
    }
}
