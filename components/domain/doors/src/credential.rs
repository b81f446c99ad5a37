//! What a request shows: a key or a token, in one of the places where there can be one.

use std::borrow::Cow;
use std::fmt;

/// Most bytes of what is looked at: a token for the longest session id is shorter.
pub const MAX_CREDENTIAL_BYTES: usize = 4096;

/// The WebSocket protocol that is answered. A browser cannot set headers, but can offer protocols.
pub const PROTOCOL: &str = "gateway";

/// Behind it, in base64url, a key or a token: the protocol that is offered beside [`PROTOCOL`].
const KEY_PROTOCOL: &str = "gateway-key.";

/// A key or a token that is shown, right or wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential<'a>(Cow<'a, str>);

impl<'a> Credential<'a> {
    /// One that came in a frame.
    #[must_use]
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// What is shown in a request's headers; their names come in lower case. The first of these that is
    /// there counts, be it right or wrong: `authorization: Bearer`, `x-api-key`. None: nothing is shown.
    #[must_use]
    pub fn of_request(headers: &[(&'a str, &'a str)]) -> Option<Self> {
        let bearer = named(headers, "authorization").find_map(|value| {
            let (scheme, rest) = value.trim().split_once(' ')?;
            // Another scheme is somebody else's business, such as a proxy's.
            scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
        });
        let shown = bearer.or_else(|| named(headers, "x-api-key").next().map(str::trim))?;
        Some(Self(Cow::Borrowed(shown)))
    }

    /// As [`Credential::of_request`], of one that is to become a WebSocket: `sec-websocket-protocol` comes
    /// after the others.
    #[must_use]
    pub fn of_upgrade(headers: &[(&'a str, &'a str)]) -> Option<Self> {
        Self::of_request(headers).or_else(|| {
            let encoded = protocols(headers).find_map(|offer| offer.strip_prefix(KEY_PROTOCOL))?;
            // What is no base64 is no key either, but something is shown.
            let decoded = base64_simd::URL_SAFE_NO_PAD
                .decode_to_vec(encoded.trim_end_matches('='))
                .unwrap_or_default();
            Some(Self(Cow::Owned(
                String::from_utf8(decoded).unwrap_or_default(),
            )))
        })
    }

    /// The text, if it can be one at all.
    pub(crate) fn text(&self) -> Option<&str> {
        (self.0.len() <= MAX_CREDENTIAL_BYTES).then_some(&self.0)
    }
}

/// Whether [`PROTOCOL`] is offered: then the answer names it.
#[must_use]
pub fn offers_gateway(headers: &[(&str, &str)]) -> bool {
    protocols(headers).any(|offer| offer == PROTOCOL)
}

fn protocols<'a>(headers: &[(&'a str, &'a str)]) -> impl Iterator<Item = &'a str> {
    named(headers, "sec-websocket-protocol")
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn named<'a>(headers: &[(&'a str, &'a str)], name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(given, _)| *given == name)
        .map(|(_, value)| *value)
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn shown<'a>(headers: &'a [(&'a str, &'a str)]) -> Option<String> {
        Credential::of_upgrade(headers).map(|shown| shown.text().unwrap().to_owned())
    }

    #[test]
    fn a_key_is_where_it_can_be() {
        for (headers, key) in [
            (&[][..], None),
            (&[("host", "x")], None),
            (&[("authorization", "Bearer a-key")], Some("a-key")),
            (&[("authorization", "bEARER   a-key ")], Some("a-key")),
            (&[("authorization", "Basic YTpi")], None),
            (&[("authorization", "a-key")], None),
            (&[("x-api-key", " a-key ")], Some("a-key")),
            // Something is shown.
            (&[("x-api-key", "")], Some("")),
            (
                &[("x-api-key", "b"), ("authorization", "Bearer a")],
                Some("a"),
            ),
            (
                &[("x-api-key", "b"), ("authorization", "Basic a")],
                Some("b"),
            ),
            (
                &[("sec-websocket-protocol", "gateway, gateway-key.YS1rZXk")],
                Some("a-key"),
            ),
            (
                &[
                    ("sec-websocket-protocol", "gateway"),
                    ("sec-websocket-protocol", "gateway-key.YS1rZXk="),
                ],
                Some("a-key"),
            ),
            (&[("sec-websocket-protocol", "gateway-key.*")], Some("")),
            (&[("sec-websocket-protocol", "gateway-key.")], Some("")),
            (&[("sec-websocket-protocol", "gateway")], None),
            (
                &[
                    ("sec-websocket-protocol", "gateway-key.YS1rZXk"),
                    ("x-api-key", "b"),
                ],
                Some("b"),
            ),
        ] {
            assert_eq!(shown(headers).as_deref(), key, "{headers:?}");
        }
        let plain = [("sec-websocket-protocol", "gateway-key.YS1rZXk")];
        assert_eq!(Credential::of_request(&plain), None);
    }

    #[test]
    fn the_protocol_is_answered_to_whom_it_is_offered() {
        let offers = |value| offers_gateway(&[("sec-websocket-protocol", value)]);
        assert!(offers("gateway") && offers("x, gateway ,y"));
        assert!(!offers("gateway-key.x") && !offers("Gateway") && !offers(""));
        assert!(!offers_gateway(&[]));
    }

    #[test]
    fn it_is_not_shown_and_not_without_end() {
        let long = "x".repeat(MAX_CREDENTIAL_BYTES + 1);
        let headers = [("x-api-key", long.as_str())];
        let credential = Credential::of_request(&headers).unwrap();
        assert_eq!(credential.text(), None);
        assert_eq!(format!("{credential:?}"), "<secret>");
    }
}
