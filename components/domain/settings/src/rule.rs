//! What a setting's value may be. A rule parses and says in words what it takes, so that the two
//! cannot differ. Values come trimmed.

use std::net::Ipv6Addr;

use http::Uri;
use interview_doors::{Keys, Origins};

use crate::secret::Secret;

/// Characters of a text such as a model's name.
pub const MAX_LINE_CHARS: usize = 200;
/// Characters of a key.
pub const MAX_KEY_CHARS: usize = 512;
/// Characters of an URL or a path.
pub const MAX_URL_CHARS: usize = 1_000;

/// What is allowed.
pub trait Rule {
    /// What a text becomes.
    type Value;

    /// What to write, to go on after "write".
    fn words(&self) -> String;

    /// None: that is not allowed.
    fn parse(&self, text: &str) -> Option<Self::Value>;

    /// Where in a text that is not allowed it is wrong, for rules of long texts. Shows nothing of it.
    fn why(&self, _text: &str) -> Option<String> {
        None
    }
}

/// Yes or no.
pub struct Flag;

impl Rule for Flag {
    type Value = bool;

    fn words(&self) -> String {
        "true or false (or 1/0, yes/no, on/off)".into()
    }

    fn parse(&self, text: &str) -> Option<bool> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

/// A whole number, both ends included.
pub struct Whole {
    pub min: u32,
    pub max: u32,
}

impl Rule for Whole {
    type Value = u32;

    fn words(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn parse(&self, text: &str) -> Option<u32> {
        let number = text.parse().ok()?;
        (self.min..=self.max).contains(&number).then_some(number)
    }
}

/// A whole number that two divides: PCM samples have two bytes.
pub struct Even(pub Whole);

impl Rule for Even {
    type Value = u32;

    fn words(&self) -> String {
        format!("an even whole number from {} to {}", self.0.min, self.0.max)
    }

    fn parse(&self, text: &str) -> Option<u32> {
        self.0.parse(text).filter(|number| number.is_multiple_of(2))
    }
}

/// A number that need not be whole, both ends included.
pub struct Decimal {
    pub min: f64,
    pub max: f64,
}

impl Rule for Decimal {
    type Value = f64;

    fn words(&self) -> String {
        format!("a number from {} to {}", self.min, self.max)
    }

    fn parse(&self, text: &str) -> Option<f64> {
        let number = text.parse().ok()?;
        (self.min..=self.max).contains(&number).then_some(number)
    }
}

/// A name of somebody else's: a model, a list, a provider.
pub struct Line;

impl Rule for Line {
    type Value = String;

    fn words(&self) -> String {
        format!("text of at most {MAX_LINE_CHARS} characters on one line")
    }

    fn parse(&self, text: &str) -> Option<String> {
        let fits = 1..=MAX_LINE_CHARS;
        (fits.contains(&text.chars().count()) && !text.chars().any(char::is_control))
            .then(|| text.to_owned())
    }
}

/// A key that goes into a header, or none.
pub struct Key;

impl Rule for Key {
    type Value = Secret;

    fn words(&self) -> String {
        format!(
            "nothing, or a key of at most {MAX_KEY_CHARS} visible ASCII characters, not beginning with `@`"
        )
    }

    fn parse(&self, text: &str) -> Option<Secret> {
        // What begins with @ names a file that nobody has read.
        (text.len() <= MAX_KEY_CHARS
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && !text.starts_with('@'))
        .then(|| Secret::new(text))
    }
}

/// Keys of this gateway, or none: what they look like is `interview-doors`' to say.
pub struct ApiKeys;

impl Rule for ApiKeys {
    type Value = Keys;

    fn words(&self) -> String {
        format!("nothing, or {}", Keys::SYNTAX)
    }

    fn parse(&self, text: &str) -> Option<Keys> {
        Keys::parse(text).ok()
    }

    fn why(&self, text: &str) -> Option<String> {
        Keys::parse(text).err().map(|bad| bad.to_string())
    }
}

/// Origins of web pages, or none: as for keys.
pub struct AllowedOrigins;

impl Rule for AllowedOrigins {
    type Value = Origins;

    fn words(&self) -> String {
        format!("nothing, or {}", Origins::SYNTAX)
    }

    fn parse(&self, text: &str) -> Option<Origins> {
        Origins::parse(text).ok()
    }

    fn why(&self, text: &str) -> Option<String> {
        Origins::parse(text).err().map(|bad| bad.to_string())
    }
}

/// A language code; its parts are letters and digits.
pub struct Language;

impl Rule for Language {
    type Value = String;

    fn words(&self) -> String {
        "one language code, such as zh or en".into()
    }

    fn parse(&self, text: &str) -> Option<String> {
        let mut parts = text.split('-');
        let language = parts.next()?;
        let is_code =
            (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic());
        let is_part = |part: &str| {
            (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        (is_code && parts.clone().count() <= 2 && parts.all(is_part)).then(|| text.to_owned())
    }
}

/// Where a service is.
pub struct Url {
    pub schemes: [&'static str; 2],
    /// Something is put behind it: it has no query.
    pub is_base: bool,
}

impl Rule for Url {
    type Value = String;

    fn words(&self) -> String {
        let [plain, secure] = self.schemes;
        format!(
            "an URL that begins with {plain}:// or {secure}://, without user, password{} or fragment",
            if self.is_base { ", query" } else { "" }
        )
    }

    fn parse(&self, text: &str) -> Option<String> {
        let uri = uri(text)?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let authority = uri.authority()?.as_str();
        let host = uri.host()?;
        // What `host` does not cover is a port that can be read, or it is wrong.
        let port_is_right = authority == host || uri.port_u16().is_some_and(|port| port > 0);
        let is_allowed = self.schemes.contains(&scheme.as_str())
            && port_is_right
            && is_host(host)
            && !(self.is_base && uri.query().is_some());
        let rest = text.get(scheme.len()..)?;
        is_allowed.then(|| format!("{scheme}{rest}"))
    }
}

fn is_host(host: &str) -> bool {
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match in_brackets {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    }
}

/// What is put behind a base URL.
pub struct Path;

impl Rule for Path {
    type Value = String;

    fn words(&self) -> String {
        "a path, such as /speaker/resolve".into()
    }

    fn parse(&self, text: &str) -> Option<String> {
        let path = format!("/{}", text.trim_start_matches('/'));
        uri(&path).map(|_| path)
    }
}

/// An URI without a fragment, which would be dropped without a word.
fn uri(text: &str) -> Option<Uri> {
    if text.len() > MAX_URL_CHARS || text.contains('#') {
        return None;
    }
    text.parse().ok()
}

/// Nothing is allowed too.
pub struct Optional<R>(pub R);

impl<R: Rule> Rule for Optional<R> {
    type Value = Option<R::Value>;

    fn words(&self) -> String {
        format!("nothing, or {}", self.0.words())
    }

    fn parse(&self, text: &str) -> Option<Self::Value> {
        if text.is_empty() {
            return Some(None);
        }
        self.0.parse(text).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WS: Url = Url {
        schemes: ["ws", "wss"],
        is_base: false,
    };
    const BASE: Url = Url {
        schemes: ["http", "https"],
        is_base: true,
    };

    #[test]
    fn flags_have_a_few_spellings() {
        for (text, value) in [
            ("true", Some(true)),
            ("ON", Some(true)),
            ("1", Some(true)),
            ("Yes", Some(true)),
            ("false", Some(false)),
            ("0", Some(false)),
            ("no", Some(false)),
            ("off", Some(false)),
            ("", None),
            ("2", None),
            ("tru", None),
        ] {
            assert_eq!(Flag.parse(text), value, "{text}");
        }
    }

    #[test]
    fn numbers_end_where_they_say() {
        let whole = Whole { min: 5, max: 7 };
        let allowed = |text| whole.parse(text).is_some();
        assert!(allowed("5") && allowed("7"));
        for text in ["4", "8", "6.0", "6s", "-6", "", "99999999999999999999"] {
            assert!(!allowed(text), "{text}");
        }
        let even = Even(whole);
        assert_eq!(even.parse("6"), Some(6));
        assert_eq!(even.parse("7"), None);
        let decimal = Decimal { min: 1.0, max: 2.0 };
        assert_eq!(decimal.parse("1.5"), Some(1.5));
        for text in ["0.9", "2.1", "NaN", "inf", "x", ""] {
            assert_eq!(decimal.parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_url_is_whole_and_shows_no_password() {
        for text in [
            "ws://h",
            "wss://dashscope.example/api-ws/v1/inference/",
            "ws://127.0.0.1:8000/x?model=a",
            "ws://[::1]:8000/",
        ] {
            assert_eq!(WS.parse(text).as_deref(), Some(text));
        }
        assert_eq!(WS.parse("WSS://Host/X").as_deref(), Some("wss://Host/X"));
        for text in [
            "",
            "h",
            "/x",
            "http://h",
            "ws://",
            "ws:///x",
            "ws://h:",
            "ws://h:0",
            "ws://h:65536",
            "ws://user:password@h/",
            "ws://h/#x",
            "ws://h /x",
            "ws://[h]/",
            "ws://[1::2::3]/",
            "ws://h*/",
            "ws:h",
        ] {
            assert_eq!(WS.parse(text), None, "{text}");
        }
        assert_eq!(BASE.parse("https://h/a").as_deref(), Some("https://h/a"));
        assert_eq!(BASE.parse("https://h/a?b"), None);
        assert_eq!(BASE.parse("ws://h"), None);
        let long = format!("ws://h/{}", "x".repeat(MAX_URL_CHARS));
        assert_eq!(WS.parse(&long), None);
    }

    #[test]
    fn a_path_has_one_slash_in_front() {
        for text in ["/speaker/resolve", "speaker/resolve", "//speaker/resolve"] {
            assert_eq!(Path.parse(text).as_deref(), Some("/speaker/resolve"));
        }
        assert_eq!(Path.parse("/a b"), None);
        assert_eq!(Path.parse("/a#b"), None);
    }

    #[test]
    fn one_language_and_not_a_list() {
        for text in ["zh", "en", "yue", "zh-CN", "zh-Hans-CN"] {
            assert_eq!(Language.parse(text).as_deref(), Some(text));
        }
        for text in ["", "z", "zh,en", "[\"zh\"]", "chinese", "zh-", "zh_CN"] {
            assert_eq!(Language.parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_and_keys_are_bounded_and_on_one_line() {
        assert_eq!(Line.parse("").as_deref(), None);
        assert_eq!(Line.parse("a\nb").as_deref(), None);
        assert!(Line.parse(&"é".repeat(MAX_LINE_CHARS)).is_some());
        assert!(Line.parse(&"é".repeat(MAX_LINE_CHARS + 1)).is_none());
        assert!(Key.parse("").is_some_and(|key| key.is_empty()));
        assert!(Key.parse("sk-1").is_some_and(|key| key.expose() == "sk-1"));
        assert!(Key.parse("a b").is_none() && Key.parse("clé").is_none());
        assert!(Key.parse("@/run/secrets/key").is_none() && Key.parse("a@b").is_some());
        assert!(Key.parse(&"k".repeat(MAX_KEY_CHARS)).is_some());
        assert!(Key.parse(&"k".repeat(MAX_KEY_CHARS + 1)).is_none());
    }

    #[test]
    fn nothing_is_allowed_where_it_says_so() {
        assert_eq!(Optional(Flag).parse(""), Some(None));
        assert_eq!(Optional(Flag).parse("on"), Some(Some(true)));
        assert_eq!(Optional(Flag).parse("x"), None);
    }
}
