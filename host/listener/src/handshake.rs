//! The opening handshake of a WebSocket, RFC 6455 section 4.2. No I/O.

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{Body, answer};

/// Some clients leave bits set after the 16th byte; nothing depends on them.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

const VERSION: &str = "13";

/// Why a handshake cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Version,
    Key,
    Body,
}

/// Whether a request asks to become a WebSocket: `GET`, `Upgrade: websocket`, `Connection: upgrade`.
pub(crate) fn is_asked_for<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && has_token(request.headers(), header::UPGRADE, "websocket")
        && has_token(request.headers(), header::CONNECTION, "upgrade")
}

/// Checks the rest and gives the value for `Sec-WebSocket-Accept`.
pub(crate) fn check(headers: &HeaderMap) -> Result<String, Refusal> {
    if one(headers, header::SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(Refusal::Version);
    }
    let has_length = headers
        .get(header::CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    if has_length || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refusal::Body);
    }
    let key = one(headers, header::SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?;
    match KEY.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(derive_accept_key(key.as_bytes())),
        _ => Err(Refusal::Key),
    }
}

/// The answer that ends a handshake which cannot go on.
pub(crate) fn refuse(refusal: Refusal) -> Response<Body> {
    match refusal {
        Refusal::Version => {
            let mut response = answer::error(
                StatusCode::UPGRADE_REQUIRED,
                "only version 13 of WebSocket is spoken: send `Sec-WebSocket-Version: 13`",
            );
            let headers = response.headers_mut();
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static(VERSION),
            );
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            response
        }
        Refusal::Key => answer::error(
            StatusCode::BAD_REQUEST,
            "send one `Sec-WebSocket-Key` with 16 bytes in base64",
        ),
        Refusal::Body => answer::error(
            StatusCode::BAD_REQUEST,
            "a WebSocket handshake has no body: leave it out",
        ),
    }
}

/// The answer with which the handshake is done.
pub(crate) fn accept(accept_key: &str, protocol: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(answer::whole(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    // Base64 is always a header value.
    if let Ok(value) = HeaderValue::from_str(accept_key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, value);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The value of a header that must be there once.
fn one(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok().map(str::trim)
}

/// Whether a comma-separated header has a token, in whatever case.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn tokens_are_found_in_lists_and_in_any_case() {
        let yes = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
        ];
        assert!(is_asked_for(&request("GET", &yes)));
        assert!(!is_asked_for(&request("POST", &yes)));
        assert!(!is_asked_for(&request("GET", &yes[..1])));
        assert!(!is_asked_for(&request("GET", &yes[1..])));
        let other = [("upgrade", "h2c"), ("connection", "upgrade")];
        assert!(!is_asked_for(&request("GET", &other)));
    }

    #[test]
    fn the_example_of_the_standard() {
        let headers = [
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(
            check(request("GET", &headers).headers()).unwrap(),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn what_the_standard_does_not_allow_is_refused() {
        let good = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let version = ("sec-websocket-version", "13");
        for (headers, refusal) in [
            (&[good][..], Refusal::Version),
            (&[good, ("sec-websocket-version", "8")], Refusal::Version),
            (&[good, version, version], Refusal::Version),
            (&[version], Refusal::Key),
            (&[version, good, good], Refusal::Key),
            (&[version, ("sec-websocket-key", "")], Refusal::Key),
            (&[version, ("sec-websocket-key", "c2hvcnQ=")], Refusal::Key),
            (
                &[version, ("sec-websocket-key", "not base64!")],
                Refusal::Key,
            ),
            (&[version, good, ("content-length", "1")], Refusal::Body),
            (
                &[version, good, ("transfer-encoding", "chunked")],
                Refusal::Body,
            ),
        ] {
            assert_eq!(
                check(request("GET", headers).headers()),
                Err(refusal),
                "{headers:?}"
            );
        }
    }
}
