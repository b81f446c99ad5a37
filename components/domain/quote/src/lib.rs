//! Texts of other services, as they may be repeated: to clients, in records, in the log. An error page may
//! show the request that it is about, and with it the key that the gateway sent; so the key is taken out,
//! also as it looks in an URL, in JSON and in base64, and what is left is cut.
//!
//! Texts in, texts out: it knows neither the services nor their protocols. What a service does to the key on
//! purpose, such as to spell it backwards, it does not see.

use unicode_text::at_most_chars;

/// What stands where the key was.
pub const HIDDEN: &str = "<secret>";

/// The shortest key that is looked for, in bytes. A shorter one is in any text by chance, and taking it out
/// would tell it rather than hide it.
pub const MIN_KEY_BYTES: usize = 6;

/// The shortest key that is looked for in base64, too, in bytes: of a shorter one too little is left to know
/// it by, since what is beside it in the text changes its first and last digits.
const MIN_BASE64_KEY_BYTES: usize = 12;

/// The first `max_chars` characters of the text, without the key; fewer where the cut would part a letter
/// from its accent.
#[must_use]
pub fn quote(text: &str, key: &str, max_chars: usize) -> String {
    if key.len() < MIN_KEY_BYTES {
        return at_most_chars(text, max_chars).to_owned();
    }
    let encoded = base64_forms(key.as_bytes());
    let mut quoted = String::new();
    let (mut rest, mut chars) = (text, 0);
    // What comes later is cut anyway, but for one character: it may belong to the last one before the cut.
    while chars <= max_chars
        && let Some(first) = rest.chars().next()
    {
        let found = form_at(rest, key, &encoded);
        match found.and_then(|length| rest.get(length..)) {
            Some(behind) => {
                quoted.push_str(HIDDEN);
                chars += HIDDEN.len();
                rest = behind;
            }
            None => {
                quoted.push(first);
                chars += 1;
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    at_most_chars(&quoted, max_chars).to_owned()
}

/// How many bytes at the beginning of the text are the key.
fn form_at(text: &str, key: &str, encoded: &[String]) -> Option<usize> {
    let (bytes, key) = (text.as_bytes(), key.as_bytes());
    let plain = bytes.starts_with(key).then_some(key.len());
    plain
        .or_else(|| escaped(bytes, key, percent))
        .or_else(|| escaped(bytes, key, backslash))
        .or_else(|| {
            let form = encoded.iter().find(|form| text.starts_with(form.as_str()));
            form.map(String::len)
        })
}

/// One byte that is written as several, and how many they are.
type Unescape = fn(&[u8]) -> Option<(u8, usize)>;

/// How many bytes are the key, each of its bytes being written as it is or escaped.
fn escaped(text: &[u8], key: &[u8], unescape: Unescape) -> Option<usize> {
    let mut at = 0;
    for byte in key {
        let rest = text.get(at..)?;
        let (read, length) = unescape(rest).or_else(|| Some((*rest.first()?, 1)))?;
        if read != *byte {
            return None;
        }
        at += length;
    }
    Some(at)
}

/// `%2F`, as in an URL or a form.
fn percent(text: &[u8]) -> Option<(u8, usize)> {
    let digits = text.strip_prefix(b"%")?.get(..2)?;
    Some((hex(digits)?, 3))
}

/// `\/` or `\u002f`, as in JSON.
fn backslash(text: &[u8]) -> Option<(u8, usize)> {
    let rest = text.strip_prefix(b"\\")?;
    match rest.first()? {
        b'u' => Some((hex(rest.strip_prefix(b"u00")?.get(..2)?)?, 6)),
        byte @ (b'"' | b'\\' | b'/') => Some((*byte, 2)),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// What is in base64 wherever the key is in what was encoded, such as behind `user:`: the digits that are
/// made of its bytes alone, for each place that it may have in a group of three, in both alphabets.
fn base64_forms(key: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    if key.len() < MIN_BASE64_KEY_BYTES {
        return forms;
    }
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend(key);
        for alphabet in [base64_simd::STANDARD_NO_PAD, base64_simd::URL_SAFE_NO_PAD] {
            let digits = alphabet.encode_to_string(&bytes);
            // A digit is 6 bits.
            let (first, end) = ((8 * before).div_ceil(6), 8 * bytes.len() / 6);
            if let Some(form) = digits.get(first..end).map(str::to_owned)
                && !forms.contains(&form)
            {
                forms.push(form);
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "sk-a/b+c\"d%e?f>";

    fn quoted(text: &str) -> String {
        quote(text, KEY, 1000)
    }

    #[test]
    fn the_key_is_taken_out_however_it_is_written() {
        for written in [
            KEY,
            // In an URL, with what has to be escaped, or all of it, in either case.
            "sk-a%2Fb%2Bc%22d%25e%3Ff%3E",
            "sk-a%2fb%2bc%22d%25e%3ff%3e",
            "%73k-a/b+c\"d%25e?f>",
            // In JSON, as most write it and as some do.
            r#"sk-a/b+c\"d%e?f>"#,
            r#"sk-a\/b\u002bc\u0022d%e?f\u003E"#,
        ] {
            let text = format!("no such key: {written}, ask");
            assert_eq!(quoted(&text), "no such key: <secret>, ask", "{written}");
            let twice = format!("{written}{written}");
            assert_eq!(quoted(&twice), "<secret><secret>", "{written}");
        }
        let almost = &KEY[..KEY.len() - 1];
        assert_eq!(quoted(almost), almost);
    }

    #[test]
    fn the_key_is_taken_out_of_base64() {
        for before in ["", "u", "me", "user:", "\u{e9}"] {
            for after in ["", "\n", "!?", " as it came"] {
                for alphabet in [base64_simd::STANDARD, base64_simd::URL_SAFE] {
                    let digits = alphabet.encode_to_string(format!("{before}{KEY}{after}"));
                    let said = quoted(&format!("Basic {digits}"));
                    assert!(said.contains(HIDDEN), "{before:?} {after:?}: {said}");
                }
            }
        }
    }

    #[test]
    fn what_is_left_is_cut_and_a_key_at_the_end_is_not_cut_in_two() {
        assert_eq!(quote("a text", KEY, 3), "a t");
        assert_eq!(quote("été", "", 2), "ét");
        assert_eq!(quote("Jose\u{301}", "", 4), "Jos");
        assert_eq!(quote("Jose\u{301}", KEY, 4), "Jos");
        let text = format!("{}{KEY}", "x".repeat(10));
        assert_eq!(quote(&text, KEY, 18), "xxxxxxxxxx<secret>");
        assert_eq!(quote(&text, KEY, 13), "xxxxxxxxxx<se");
    }

    #[test]
    fn a_key_that_is_hardly_one_is_left_where_it_is() {
        assert_eq!(quote("the key is wrong", "key", 100), "the key is wrong");
        assert_eq!(
            quote("the secret is wrong", "is wro", 100),
            "the secret <secret>ng"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_around_it_the_key_is_gone(
            before in "\\PC{0,12}", after in "\\PC{0,12}", key in "[A-Z0-9/+=%\\\\-]{12,40}", max in 0_usize..90,
        ) {
            let said = quote(&format!("{before}{key}{after}"), &key, max);
            prop_assert!(!said.contains(&key), "{said}");
            prop_assert!(said.chars().count() <= max);
        }

        #[test]
        fn a_text_without_it_stays_as_it_is(text in "\\PC{0,60}", key in "[a-z]{20}") {
            prop_assume!(!text.contains(&key));
            prop_assert_eq!(quote(&text, &key, 60), text);
        }
    }
}
