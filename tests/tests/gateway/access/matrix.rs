//! The matrix: every operation of the OpenAPI document and every frame of the AsyncAPI document, with
//! every kind of credential. What is in a document and not in the table here fails.

use std::collections::BTreeMap;
use std::fmt;

use end_to_end::client::Refused;
use end_to_end::wait::eventually;
use end_to_end::{Asr, AudioSocket, Gateway, Received, chunk_frame};
use serde_json::{Value, json};

use super::{ADMIN, READ, WRITE, WRONG, ask, token, with_keys};

const OPENAPI: &str = include_str!("../../../../api/openapi.json");
const ASYNCAPI: &str = include_str!("../../../../api/asyncapi.json");

/// The session of the table.
const SESSION: &str = "matrix";

/// What an operation needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Nothing,
    Read,
    Write,
    Admin,
}

/// What an operation, asked as the table asks it, is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Gateway,
    Session,
    Teacher,
}

struct Row {
    url: &'static str,
    body: Value,
    needs: Needs,
    about: About,
    /// What it is answered to who may ask.
    status: u16,
}

fn row(url: &'static str, needs: Needs, about: About, status: u16) -> Row {
    Row {
        url,
        body: Value::Null,
        needs,
        about,
        status,
    }
}

/// By operation. A route that is new has to be thought of here.
fn table() -> BTreeMap<&'static str, Row> {
    use About::*;
    use Needs::*;
    let body = |body, row| Row { body, ..row };
    [
        ("getHealth", row("/health", Nothing, Gateway, 200)),
        ("getOpenApi", row("/openapi.json", Read, Gateway, 200)),
        ("getAsyncApi", row("/asyncapi.json", Read, Gateway, 200)),
        ("listSessions", row("/v1/sessions", Read, Gateway, 200)),
        (
            "openMixedStream",
            row("/v1/audio/ws/matrix", Write, Session, 426),
        ),
        (
            "openStream",
            row("/v1/audio/ws/matrix/teacher", Write, Teacher, 426),
        ),
        (
            "deleteSession",
            row("/v1/sessions/matrix", Admin, Session, 200),
        ),
        (
            "setConfig",
            body(
                json!({}),
                row("/v1/sessions/matrix/config", Write, Session, 200),
            ),
        ),
        (
            "getEvents",
            row(
                "/v1/sessions/matrix/events?stream_role=teacher",
                Read,
                Teacher,
                200,
            ),
        ),
        (
            "getState",
            row("/v1/sessions/matrix/state", Read, Session, 200),
        ),
        (
            "getUtterances",
            row(
                "/v1/sessions/matrix/utterances?stream_role=teacher",
                Read,
                Teacher,
                200,
            ),
        ),
        (
            "resolve",
            body(
                json!({}),
                row(
                    "/v1/sessions/matrix/resolve?stream_role=teacher",
                    Write,
                    Session,
                    400,
                ),
            ),
        ),
        (
            "runAsr",
            row(
                "/v1/sessions/matrix/asr-run?stream_role=teacher",
                Write,
                Teacher,
                200,
            ),
        ),
        (
            "resetAsr",
            row(
                "/v1/sessions/matrix/asr-reset?stream_role=teacher",
                Write,
                Teacher,
                200,
            ),
        ),
        (
            "finalize",
            body(
                json!({}),
                row("/v1/sessions/matrix/finalize", Write, Session, 200),
            ),
        ),
        (
            "getResult",
            row("/v1/sessions/matrix/result", Read, Session, 200),
        ),
        (
            "issueToken",
            body(
                json!({"scope": "read"}),
                row("/v1/sessions/matrix/tokens", Admin, Session, 200),
            ),
        ),
        (
            "watchSession",
            row(
                "/v1/sessions/matrix/live?stream_role=teacher",
                Read,
                Teacher,
                426,
            ),
        ),
    ]
    .into()
}

/// Kinds of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Wrong,
    Key(&'static str),
    Token {
        session: &'static str,
        role: Option<&'static str>,
        scope: &'static str,
    },
    Expired,
    Tampered,
}

const ALL: [Shown; 13] = [
    Shown::Nothing,
    Shown::Wrong,
    Shown::Key(READ),
    Shown::Key(WRITE),
    Shown::Key(ADMIN),
    own(None, "read"),
    own(None, "write"),
    own(Some("teacher"), "read"),
    own(Some("teacher"), "write"),
    own(Some("students"), "write"),
    Shown::Token {
        session: "another",
        role: None,
        scope: "write",
    },
    Shown::Expired,
    Shown::Tampered,
];

const fn own(role: Option<&'static str>, scope: &'static str) -> Shown {
    Shown::Token {
        session: SESSION,
        role,
        scope,
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What is allowed; none: 401.
struct Allows {
    most: Needs,
    session: bool,
    gateway: bool,
    teacher: bool,
}

impl Shown {
    fn allows(self) -> Option<Allows> {
        let key = |most| {
            Some(Allows {
                most,
                session: true,
                gateway: true,
                teacher: true,
            })
        };
        match self {
            Shown::Nothing | Shown::Wrong | Shown::Expired | Shown::Tampered => None,
            Shown::Key(READ) => key(Needs::Read),
            Shown::Key(WRITE) => key(Needs::Write),
            Shown::Key(_) => key(Needs::Admin),
            Shown::Token {
                session,
                role,
                scope,
            } => {
                let is_own = session == SESSION;
                Some(Allows {
                    most: match scope {
                        "read" => Needs::Read,
                        _ => Needs::Write,
                    },
                    session: is_own && role.is_none(),
                    gateway: false,
                    teacher: is_own && role != Some("students"),
                })
            }
        }
    }

    /// The status that it gets for a row; `ok` where it may.
    fn status(self, needs: Needs, about: About, ok: u16) -> u16 {
        if needs == Needs::Nothing {
            return ok;
        }
        let Some(allows) = self.allows() else {
            return 401;
        };
        let is_about = match about {
            About::Gateway => allows.gateway,
            About::Session => allows.session,
            About::Teacher => allows.teacher,
        };
        match allows.most >= needs && is_about {
            true => ok,
            false => 403,
        }
    }
}

/// All credentials, the tokens being made and one of them run out.
struct Credentials(Vec<(Shown, Option<String>)>);

impl Credentials {
    async fn of(gateway: &Gateway) -> Self {
        let short = json!({"scope": "write", "expires_in_seconds": 1});
        let expired = token(gateway, SESSION, &short).await;
        let mut all = Vec::new();
        for shown in ALL {
            let text = match shown {
                Shown::Nothing => None,
                Shown::Wrong => Some(WRONG.to_owned()),
                Shown::Key(key) => Some(key.to_owned()),
                Shown::Expired => Some(expired.clone()),
                Shown::Token {
                    session,
                    role,
                    scope,
                } => {
                    let body = match role {
                        Some(role) => json!({"scope": scope, "roles": [role]}),
                        None => json!({"scope": scope}),
                    };
                    Some(token(gateway, session, &body).await)
                }
                Shown::Tampered => {
                    // Another payload under the same signature.
                    let read = token(gateway, SESSION, &json!({"scope": "read"})).await;
                    let write = token(gateway, SESSION, &json!({"scope": "write"})).await;
                    let (payload, _) = write.split_once('.').unwrap();
                    let (_, signature) = read.split_once('.').unwrap();
                    Some(format!("{payload}.{signature}"))
                }
            };
            all.push((shown, text));
        }
        eventually("a token runs out", async || {
            let path = "/v1/sessions/matrix/state";
            let answer = ask(gateway, Some(&expired), "GET", path, None).await;
            match answer.status {
                401 => Ok(()),
                status => Err(status),
            }
        })
        .await;
        Self(all)
    }
}

#[tokio::test]
async fn every_route_with_every_credential() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let credentials = Credentials::of(&gateway).await;
    // There is something to be read, until it is deleted.
    let (path, body) = ("/v1/sessions/matrix/finalize", json!({}));
    let _ = ask(&gateway, Some(ADMIN), "POST", path, Some(&body))
        .await
        .ok();
    let mut table = table();
    let openapi: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut last = Vec::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let row = table
                .remove(id)
                .unwrap_or_else(|| panic!("{id} is not in the table: {method} {path}"));
            let method = method.to_ascii_uppercase();
            match method.as_str() {
                "DELETE" => last.push((method, row)),
                _ => every_credential(&gateway, &credentials, &method, &row).await,
            }
        }
    }
    for (method, row) in last {
        every_credential(&gateway, &credentials, &method, &row).await;
    }
    let left: Vec<_> = table.keys().collect();
    assert!(left.is_empty(), "there are no such operations: {left:?}");
}

async fn every_credential(gateway: &Gateway, credentials: &Credentials, method: &str, row: &Row) {
    let body = (!row.body.is_null()).then_some(&row.body);
    for (shown, text) in &credentials.0 {
        let answer = ask(gateway, text.as_deref(), method, row.url, body).await;
        let expected = shown.status(row.needs, row.about, row.status);
        assert_eq!(answer.status, expected, "{method} {} {shown}", row.url);
        // Another method is no way around, nor is a question without a body or one that no browser asks.
        let of_head = if method == "GET" { row.status } else { 405 };
        for (other, ok) in [("PATCH", 405), ("OPTIONS", 405), ("HEAD", of_head)] {
            let answer = ask(gateway, text.as_deref(), other, row.url, None).await;
            let expected = shown.status(row.needs, row.about, ok);
            assert_eq!(answer.status, expected, "{other} {} {shown}", row.url);
        }
        another_spelling(gateway, *shown, text.as_deref(), method, row).await;
    }
}

/// The same id, written with escapes, is the same to a token; what only looks like it is another one.
async fn another_spelling(
    gateway: &Gateway,
    shown: Shown,
    text: Option<&str>,
    method: &str,
    row: &Row,
) {
    if row.about == About::Gateway {
        return;
    }
    let body = (!row.body.is_null()).then_some(&row.body);
    // What was deleted a moment ago is not there to be deleted.
    let is_gone = method == "DELETE";
    for same in ["%6Datrix", "m%61tri%78"] {
        let url = row.url.replace(SESSION, same);
        let expected = shown.status(row.needs, row.about, row.status);
        let answer = ask(gateway, text, method, &url, body).await;
        assert!(
            answer.status == expected || is_gone && expected == 200 && answer.status == 404,
            "{method} {url} {shown}: {answer:?}"
        );
    }
    let expected = match shown {
        Shown::Token { .. } => 403,
        Shown::Key(_) => return,
        _ => 401,
    };
    for other in ["%256Datrix", "Matrix", "matrix%2F", "matrix%00", "matri"] {
        let url = row.url.replace(SESSION, other);
        let answer = ask(gateway, text, method, &url, body).await;
        assert_eq!(answer.status, expected, "{method} {url} {shown}");
    }
}

/// An upgrade with a credential in its handshake.
async fn open(gateway: &Gateway, url: &str, text: Option<&str>) -> Result<AudioSocket, Refused> {
    match text {
        Some(text) => gateway.open_with(url, &[("x-api-key", text)]).await,
        None => gateway.open_path(url).await,
    }
}

#[tokio::test]
async fn every_websocket_with_every_credential_in_its_handshake_or_first_frame() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let credentials = Credentials::of(&gateway).await;
    let rows: Vec<Row> = table()
        .into_values()
        .filter(|row| row.status == 426)
        .collect();
    assert_eq!(rows.len(), 3);
    for row in rows {
        for (shown, text) in &credentials.0 {
            let expected = match shown {
                // It may still say who it is.
                Shown::Nothing => 101,
                shown => shown.status(row.needs, row.about, 101),
            };
            let status = match open(&gateway, row.url, text.as_deref()).await {
                Ok(_) => 101,
                Err(refused) => refused.status,
            };
            assert_eq!(status, expected, "{} {shown}", row.url);

            let mut socket = gateway.open_path(row.url).await.unwrap();
            socket
                .send(&json!({"type": "auth", "key": text.clone().unwrap_or_default()}))
                .await;
            let expected = match shown.status(row.needs, row.about, 101) {
                101 => Received::Frame(json!({"type": "auth_ok"})),
                _ => turned_away(),
            };
            assert_eq!(socket.next().await, expected, "{} {shown}", row.url);
        }
    }
}

/// How a socket ends that may not come in.
pub fn turned_away() -> Received {
    Received::Closed {
        code: 1008,
        reason: "unauthorized".to_owned(),
    }
}

#[tokio::test]
async fn every_frame_before_and_after_a_key() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(with_keys(&asr)).await;
    let credentials = Credentials::of(&gateway).await;
    let pcm = vec![0; 32_000];
    let mut table: BTreeMap<&str, (Value, &str)> = [
        ("auth", (json!({"type": "auth", "key": WRITE}), "auth_ok")),
        ("hello", (json!({"type": "hello"}), "ready")),
        ("status", (json!({"type": "status"}), "status")),
        ("ping", (json!({"type": "ping"}), "pong")),
        (
            "capture_status",
            (
                json!({"type": "capture_status", "payload": {"capture_state": "running"}}),
                "capture_status_ack",
            ),
        ),
        ("chunk", (chunk_frame(SESSION, "teacher", 1, &pcm), "ack")),
        ("close", (json!({"type": "close"}), "closing")),
    ]
    .into();
    let asyncapi: Value = serde_json::from_str(ASYNCAPI).unwrap();
    let schemas = &asyncapi["components"]["schemas"];
    for listed in schemas["ClientFrame"]["oneOf"].as_array().unwrap() {
        let name = listed["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let kind = schemas[name]["properties"]["type"]["const"]
            .as_str()
            .unwrap();
        let (frame, answered) = table
            .remove(kind)
            .unwrap_or_else(|| panic!("{kind} is not in the table"));
        let url = "/v1/audio/ws/matrix/teacher";
        if kind != "auth" {
            // Nothing but a key is taken first, and nothing is answered. What is too long to be one is not
            // even read whole.
            let mut socket = gateway.open_path(url).await.unwrap();
            socket.send(&frame).await;
            let end = socket.next().await;
            match kind {
                "chunk" => assert!(
                    matches!(end, Received::Closed { code: 1009, .. }),
                    "{end:?}"
                ),
                _ => assert_eq!(end, turned_away(), "{kind}"),
            }
        }
        for (shown, text) in &credentials.0 {
            let may = shown.status(Needs::Write, About::Teacher, 101) == 101;
            let mut socket = gateway.open_path(url).await.unwrap();
            let key = text.clone().unwrap_or_default();
            socket.send(&json!({"type": "auth", "key": key})).await;
            socket.send(&frame).await;
            if !may {
                assert_eq!(socket.next().await, turned_away(), "{kind} {shown}");
                continue;
            }
            assert_eq!(socket.answer().await["type"], "auth_ok", "{kind} {shown}");
            assert_eq!(socket.answer().await["type"], answered, "{kind} {shown}");
            let mut socket = open(&gateway, url, text.as_deref()).await.unwrap();
            assert_eq!(socket.ask(&frame).await["type"], answered, "{kind} {shown}");
            if kind == "hello" {
                // Names are the whole session's.
                let named = json!({"type": "hello", "interviewer_name": "Ann"});
                let expected = match shown.status(Needs::Write, About::Session, 101) {
                    101 => "ready",
                    _ => "error",
                };
                assert_eq!(socket.ask(&named).await["type"], expected, "{shown}");
            }
        }
        let mut viewer = gateway
            .open_with("/v1/sessions/matrix/live", &[("x-api-key", READ)])
            .await
            .unwrap();
        let expected = match kind {
            // Of a writer, who may read too.
            "auth" => "auth_ok",
            _ => "error",
        };
        assert_eq!(viewer.ask(&frame).await["type"], expected, "{kind}");
    }
    assert!(table.is_empty(), "there are no such frames: {table:?}");
}
