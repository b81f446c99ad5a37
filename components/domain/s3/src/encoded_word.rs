//! Text in header values, which are ASCII: RFC 2047's encoded words, as S3 and R2 show metadata that are
//! more than that. What a header can hold stays as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "=?";
const END: &str = "?=";

/// Text as the value of a header.
#[must_use]
pub fn encode(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    format!("{BEGIN}UTF-8?B?{}{END}", STANDARD.encode(text))
}

/// The text of a header's value; what is no encoded word stands for itself.
#[must_use]
pub fn decode(value: &str) -> String {
    // Long texts are several words: space between them does not count.
    let words: Option<Vec<Vec<u8>>> = value.split(' ').map(word).collect();
    words
        .and_then(|words| String::from_utf8(words.concat()).ok())
        .unwrap_or_else(|| value.to_owned())
}

/// Nothing changes it on its way: neither servers that trim, nor signatures that take several spaces
/// for one.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !text.contains("  ")
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains(BEGIN)
}

fn word(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let mut parts = inner.splitn(3, '?');
    let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    match encoding {
        "B" | "b" => STANDARD.decode(text).ok(),
        "Q" | "q" => quoted(text),
        _ => None,
    }
}

fn quoted(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    Some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_header_can_hold_is_not_changed() {
        for plain in ["", "17", "100%", "s-1 of 3", "%C3%BC", "a=b?c"] {
            assert_eq!(encode(plain), plain);
        }
        assert_eq!(encode("ü"), "=?UTF-8?B?w7w=?=");
        assert_eq!(encode(" a"), "=?UTF-8?B?IGE=?=");
    }

    #[test]
    fn words_of_others_are_read() {
        assert_eq!(decode("=?utf-8?q?a_=C3=BC=3f?="), "a ü?");
        assert_eq!(decode("=?UTF-8?Q?=C3?= =?UTF-8?Q?=BC?="), "ü");
        for none in [
            "=?utf-8?q?=C?=",
            "=?latin1?q?a?=",
            "=?utf-8?x?a?=",
            "=?",
            "=?=",
            "a =?utf-8?q?a?=",
        ] {
            assert_eq!(decode(none), none);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "\\PC{0,20}|[ =?%\n\t]{0,9}") {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(decode(&encoded), text);
        }

        #[test]
        fn no_value_panics(value in "\\PC{0,20}|=[?]utf-8[?][qbQB][?][=a-f0-9_]{0,9}[?]=") {
            let _ = decode(&value);
        }
    }
}
