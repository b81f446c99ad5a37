//! Rules of HTTP that a request must keep whatever it asks for: RFC 9110 and 9112. No I/O.
//!
//! hyper checks the syntax. What it lets through, and two readers of the same request could take for
//! different things, is refused here: a proxy that checks one host and a server that serves another.

use http::header::{CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, UPGRADE};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Response, StatusCode, Version};

use crate::{Body, answer};

/// The one expectation that there is.
const CONTINUE: &str = "100-continue";

/// The answer to a request that breaks a rule, or that is about the server as a whole.
pub(crate) fn answer(request: &Parts) -> Option<Response<Body>> {
    let wrong_host = host(request).err();
    if let Some(detail) = wrong_host {
        return Some(answer::error(StatusCode::BAD_REQUEST, detail));
    }
    if let Some(other) = request.headers.get(EXPECT)
        && !other.as_bytes().eq_ignore_ascii_case(CONTINUE.as_bytes())
    {
        return Some(answer::error(
            StatusCode::EXPECTATION_FAILED,
            "the only expectation that can be met is `100-continue`: leave others out",
        ));
    }
    // RFC 9110, section 9.3.7: a ping of the server, which has no route.
    if request.method == Method::OPTIONS && request.uri.path() == "*" {
        return Some(answer::empty(StatusCode::NO_CONTENT));
    }
    None
}

/// RFC 9112, section 3.2: one valid `Host`, which HTTP/1.0 may leave out.
fn host(request: &Parts) -> Result<(), &'static str> {
    let mut values = request.headers.get_all(HOST).iter();
    let Some(host) = values.next() else {
        return match request.version {
            Version::HTTP_11 => Err("a request of HTTP/1.1 needs the header `host`: send it"),
            _ => Ok(()),
        };
    };
    if values.next().is_some() {
        return Err("a request has one header `host`: send only one");
    }
    let is_valid = Authority::try_from(host.as_bytes()).is_ok_and(|host| is_host(host.as_str()));
    match host.is_empty() || is_valid {
        true => Ok(()),
        false => Err("the header `host` is no host: send `name` or `name:port`"),
    }
}

/// Whether an authority is a host with or without a port. A comma joins what were two headers.
fn is_host(authority: &str) -> bool {
    let (name, rest) = match authority.rsplit_once(']') {
        Some((name, rest)) => (name, rest),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or(rest);
    !name.contains(['@', ',']) && port.bytes().all(|digit| digit.is_ascii_digit())
}

/// Completes an answer by what its status asks for and no component can set: RFC 9110, section 15.5.22.
pub(crate) fn complete(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    if headers.contains_key(UPGRADE) {
        return;
    }
    if response.status() == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        headers
            .entry(HeaderName::from_static("sec-websocket-version"))
            .or_insert(HeaderValue::from_static("13"));
    }
}

/// Says that the connection ends with this answer.
pub(crate) fn close(response: &mut Response<Body>) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().append(CONNECTION, close);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use http::Request;

    use super::*;

    fn status(version: Version, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        answer(&parts).map_or(0, |answer| answer.status().as_u16())
    }

    #[test]
    fn a_request_names_one_host() {
        let get = |headers: &[(&str, &str)]| status(Version::HTTP_11, "GET", "/x", headers);
        assert_eq!(get(&[]), 400);
        for host in [
            "",
            "gw",
            "gw.example:443",
            "127.0.0.1:80",
            "[::1]:80",
            "a_b",
        ] {
            assert_eq!(get(&[("host", host)]), 0, "{host}");
        }
        for host in ["a b", "a/b", "user@gw", "a,b", "gw:port", "http://gw"] {
            assert_eq!(get(&[("host", host)]), 400, "{host}");
        }
        assert_eq!(get(&[("host", "a"), ("host", "b")]), 400);
        assert_eq!(get(&[("host", "a"), ("host", "a")]), 400);

        let old = |headers: &[(&str, &str)]| status(Version::HTTP_10, "GET", "/x", headers);
        assert_eq!(old(&[]), 0);
        assert_eq!(old(&[("host", "a"), ("host", "a")]), 400);
    }

    #[test]
    fn only_100_continue_can_be_expected() {
        let expects = |what| {
            let headers = [("host", "x"), ("expect", what)];
            status(Version::HTTP_11, "POST", "/x", &headers)
        };
        assert_eq!(expects("100-continue"), 0);
        assert_eq!(expects("100-Continue"), 0);
        assert_eq!(expects("200-ok"), 417);
    }

    #[test]
    fn the_server_as_a_whole_answers_options() {
        let host = [("host", "x")];
        assert_eq!(status(Version::HTTP_11, "OPTIONS", "*", &host), 204);
        assert_eq!(status(Version::HTTP_11, "OPTIONS", "/x", &host), 0);
        assert_eq!(status(Version::HTTP_11, "GET", "*", &host), 0);
    }

    #[test]
    fn a_426_says_what_to_upgrade_to() {
        let mut response = answer::error(StatusCode::UPGRADE_REQUIRED, "x");
        complete(&mut response);
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert_eq!(response.headers()["connection"], "upgrade");
        assert_eq!(response.headers()["sec-websocket-version"], "13");
        let mut response = answer::error(StatusCode::NOT_FOUND, "x");
        complete(&mut response);
        assert!(!response.headers().contains_key("upgrade"));
    }
}
