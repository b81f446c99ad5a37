//! The normal form of a text, and comparison by it.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::is_nfc_quick;
use unicode_normalization::{IsNormalized, is_nfc};

/// The text in normal form C (NFC) of Unicode: `é` is one character, whether it came as one or as an `e`
/// with an accent behind it. Not copied where it is in that form already.
#[must_use]
pub fn normal(text: &str) -> Cow<'_, str> {
    match is_normal(text) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.nfc().collect()),
    }
}

fn is_normal(text: &str) -> bool {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => is_nfc(text),
    }
}

/// Whether two texts have the same normal form.
#[must_use]
pub fn is_same_text(one: &str, other: &str) -> bool {
    one == other || normal(one) == normal(other)
}

/// Whether two texts name one person: the same normal form without regard to letter case and to white space
/// around them.
#[must_use]
pub fn is_same_name(one: &str, other: &str) -> bool {
    one == other || folded(one) == folded(other)
}

/// The text with each character in lower, upper and again in lower case, which folds what has three forms
/// (`ẞ`, `ß`, `ss`; `Σ`, `σ`, `ς`), in normal form.
fn folded(text: &str) -> String {
    let text = normal(text.trim());
    let folded = text
        .chars()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    folded.nfc().collect()
}

/// Whether the character belongs to the letter before it, such as an accent or the virama of `र्म`.
#[must_use]
pub fn is_mark(character: char) -> bool {
    is_combining_mark(character)
}

/// Whether the character stands between letters of one word without being seen: the zero-width joiner and
/// non-joiner of Indic scripts and Persian.
#[must_use]
pub const fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn composed_and_decomposed_texts_are_the_same() {
        for (one, other) in [
            ("José", "Jose\u{301}"),
            ("한", "\u{1112}\u{1161}\u{11ab}"),
            // The marks of one letter in two orders.
            ("a\u{323}\u{302}", "a\u{302}\u{323}"),
            // Two characters for one letter.
            ("Å", "\u{212b}"),
        ] {
            assert!(is_same_text(one, other), "{one} {other}");
            assert_eq!(normal(one), normal(other));
        }
        assert!(!is_same_text("José", "Jose"));
        // Compatibility is not sameness.
        assert!(!is_same_text("ﬁ", "fi") && !is_same_text("²", "2"));
        assert!(matches!(normal("José 会"), Cow::Borrowed(_)));
    }

    #[test]
    fn names_are_the_same_in_any_letter_case() {
        for (one, other) in [
            ("José", " JOSE\u{301} "),
            ("Weiß", "WEISS"),
            ("Weiß", "weiẞ"),
            ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
            ("संजय", "संजय"),
        ] {
            assert!(is_same_name(one, other), "{one} {other}");
        }
        for (one, other) in [("Jose", "José"), ("Ann", "Anna"), ("संजय", "सजय"), ("", "a")]
        {
            assert!(!is_same_name(one, other), "{one} {other}");
        }
    }

    #[test]
    fn marks_and_joiners() {
        assert!(is_mark('\u{301}') && is_mark('\u{94d}') && is_mark('\u{93e}'));
        assert!(!is_mark('a') && !is_mark('र') && !is_mark('.'));
        assert!(is_joiner('\u{200d}') && !is_joiner(' '));
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own(text in any::<String>()) {
            let form = normal(&text).into_owned();
            prop_assert_eq!(normal(&form).into_owned(), form.clone());
            prop_assert!(is_same_text(&text, &form) && is_same_name(&text, &form));
            let apart: String = text.nfd().collect();
            prop_assert_eq!(normal(&apart), normal(&text));
        }

        #[test]
        fn letter_case_makes_no_other_name(text in "[a-zA-Zàéßﬂάς ]{0,12}") {
            prop_assert!(is_same_name(&text, &text.to_uppercase()));
            prop_assert!(is_same_name(&text.to_uppercase(), &text.to_lowercase().to_uppercase()));
        }
    }
}
