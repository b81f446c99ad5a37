//! Holds everything that the gateway says in a test against its own description, `api/openapi.json`
//! and `api/asyncapi.json`: the clients of this harness pass every answer and every text frame through
//! here. It knows no test and no session; what an answer means is the tests' to say.
//!
//! Bad requests are no exception, there is a rule for them: a path that the document does not have is
//! its `NotFound`; a method that it does not have at a path is its `MethodNotAllowed`, with exactly the
//! other methods in `Allow`, or what the path answers to an id that is none; either is `Unauthorized` to
//! who shows no key where keys are set; HEAD is GET without the body. Everything else needs its status in the document. No test provokes a 500: it never passes.

mod documents;
mod paths;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde_json::Value;

use crate::http::Answer;
use documents::Documents;
use paths::Found;

/// The content type of every answer.
const JSON: &str = "application/json; charset=utf-8";

/// The description, with a compiled schema for whatever was asked for so far.
static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    Contract(Documents::new(
        include_str!("../../api/openapi.json"),
        include_str!("../../api/asyncapi.json"),
    ))
});

/// What the gateway may say.
struct Contract(Documents);

/// Whose frames a WebSocket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// `/v1/audio/ws/...`
    Audio,
    /// `/v1/sessions/.../live`
    Live,
}

impl Channel {
    /// That of a path that became a WebSocket.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match paths::without_query(path).ends_with("/live") && path.starts_with("/v1/sessions/") {
            true => Self::Live,
            false => Self::Audio,
        }
    }

    /// The schema that lists its frames.
    const fn frames(self) -> &'static str {
        match self {
            Self::Audio => "ServerFrame",
            Self::Live => "ViewerFrame",
        }
    }
}

/// Checks an answer to a request for `path`, which may have a query.
///
/// # Panics
/// It is none that the document has; the text says what is wrong, where, and with which value.
pub fn check_answer(method: &str, path: &str, answer: &Answer) {
    if let Err(why) = CONTRACT.answer(method, path, answer) {
        panic!("{method} {path} is answered as api/openapi.json does not say: {why}\n{answer:?}");
    }
}

/// Checks a text frame of the gateway.
///
/// # Panics
/// As [`check_answer`].
pub fn check_frame(channel: Channel, frame: &Value) {
    if let Err(why) = CONTRACT.frame(channel, frame) {
        panic!("a frame as api/asyncapi.json has none ({channel:?}): {why}\n{frame:#}");
    }
}

impl Contract {
    fn answer(&self, method: &str, path: &str, answer: &Answer) -> Result<(), String> {
        let status = answer.status;
        if status == 500 {
            return Err("a test provokes no 500".to_owned());
        }
        let wanted = if method == "HEAD" { "GET" } else { method };
        let response = match paths::find(self.0.paths(), path) {
            Found::Nothing if status == 404 => self.0.named_response("NotFound"),
            Found::Nothing if status == 401 => self.0.named_response("Unauthorized"),
            // A browser asked whether a page may send something.
            Found::Item(_) | Found::Nothing if method == "OPTIONS" && status == 204 => {
                return match answer.body.is_empty() {
                    true => Ok(()),
                    false => Err("a body where there is none".to_owned()),
                };
            }
            Found::Nothing => return Err(format!("{status} for a path that is not there")),
            Found::Item(item) => match (item.get(&wanted.to_ascii_lowercase()), status) {
                (Some(operation), _) if wanted == wanted.to_ascii_uppercase() => {
                    let responses = &operation["responses"];
                    let response = responses.get(status.to_string());
                    let response = response.ok_or_else(|| {
                        let documented = responses.as_object().into_iter().flat_map(|r| r.keys());
                        let documented: Vec<_> = documented.collect();
                        format!("status {status} is not one of {documented:?}")
                    })?;
                    self.0.response(response)
                }
                (_, 405) => {
                    allows(answer, &paths::methods(item))?;
                    self.0.named_response("MethodNotAllowed")
                }
                (_, 400) => self.0.named_response("BadRequest"),
                (_, 401) => self.0.named_response("Unauthorized"),
                (_, 403) => self.0.named_response("Forbidden"),
                (_, status) => {
                    return Err(format!("{status} for a method that the path does not have"));
                }
            },
        };
        self.headers(response, answer)?;
        self.body(method, response, answer)
    }

    fn headers(&self, response: &Value, answer: &Answer) -> Result<(), String> {
        let headers = response["headers"].as_object();
        for (name, header) in headers.into_iter().flatten() {
            let given = answer.headers.get(name.to_ascii_lowercase());
            match given.map(|value| value.to_str()) {
                Some(Ok(value)) => self
                    .0
                    .check(&header["schema"], &Value::from(value))
                    .map_err(|why| format!("header {name}: {why}"))?,
                Some(Err(_)) => return Err(format!("header {name} is no text")),
                None if header["required"] == true => {
                    return Err(format!("header {name} is missing"));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn body(&self, method: &str, response: &Value, answer: &Answer) -> Result<(), String> {
        let Some(content) = response.get("content") else {
            return match answer.body.is_empty() {
                true => Ok(()),
                false => Err("a body where there is none".to_owned()),
            };
        };
        let content_type = answer.headers.get("content-type");
        if content_type.is_none_or(|value| value != JSON) {
            return Err(format!("content-type is {content_type:?}, not {JSON}"));
        }
        if method == "HEAD" {
            return match answer.body.is_empty() {
                true => Ok(()),
                false => Err("HEAD with a body".to_owned()),
            };
        }
        let body = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("the body is no JSON: {error}"))?;
        self.0.check(&content["application/json"]["schema"], &body)
    }

    fn frame(&self, channel: Channel, frame: &Value) -> Result<(), String> {
        let kind = &frame["type"];
        let schema = self
            .0
            .frame_of_type(channel.frames(), kind)
            .ok_or_else(|| format!("/type: there is no frame of type {kind}"))?;
        self.0.check(schema, frame)
    }
}

/// `Allow` lists exactly these methods.
fn allows(answer: &Answer, methods: &[String]) -> Result<(), String> {
    let allow = answer.headers.get("allow");
    let allow = allow
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut listed: Vec<_> = allow.split(',').map(|method| method.trim()).collect();
    listed.sort_unstable();
    match listed == methods {
        true => Ok(()),
        false => Err(format!("header Allow is {allow:?}, not {methods:?}")),
    }
}
