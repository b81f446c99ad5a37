//! Texts of others as a terminal may show them: control characters and marks that turn the direction
//! of writing are written as escapes. It must not know whose text it is.

use std::borrow::Cow;

/// The text with every character that a terminal obeys, instead of showing it, as `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_obeyed(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// The same for JSON text, which stays JSON: there only strings can hold such characters.
#[must_use]
pub fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if is_obeyed(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn control_characters_become_escapes_and_other_texts_stay() {
        assert!(matches!(printable("Grüße, 会议 👋🏽"), Cow::Borrowed(_)));
        assert_eq!(
            printable("a\u{1b}]0;x\u{7}b\r\n\u{9b}2J\u{202e}c"),
            "a\\u{1b}]0;x\\u{7}b\\u{d}\\u{a}\\u{9b}2J\\u{202e}c"
        );
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({"a": "\u{1b}[2J\u{9b}\u{7f}\u{202e}é"});
        let shown = printable_json(&value.to_string());
        assert!(!shown.contains(is_obeyed), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
