//! What keys and tokens allow, and what becomes of a token that was tampered with.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use interview_doors::{
    Credential, Denied, Grant, Issued, Keys, MAX_CREDENTIAL_BYTES, Scope, TokenRequest,
    needed_scope,
};
use interview_session::id::SessionId;
use interview_session::query::Query;
use interview_session::route::Route;
use interview_session::time::EpochMs;
use proptest::prelude::*;

const ADMIN: &str = "the-admin-key-0123456789";
const WRITE: &str = "the-write-key-0123456789";
const READ: &str = "the-read-key-0123456789";
const NOW: EpochMs = EpochMs(1_800_000_000_000);

fn keys() -> Keys {
    let keys = format!("{ADMIN} desk:write:{WRITE} look:read:{READ}");
    Keys::parse(&keys).unwrap()
}

fn grant<'k>(keys: &'k Keys, shown: &str, now: EpochMs) -> Result<Grant<'k>, Denied> {
    Grant::of(keys, Some(&Credential::new(shown.to_owned())), now)
}

fn issue(keys: &Keys, session: &str, body: &str) -> Issued {
    let admin = grant(keys, ADMIN, NOW).unwrap();
    let request = TokenRequest::parse(body.as_bytes()).unwrap();
    Issued::new(&admin, SessionId::parse(session).unwrap(), request, NOW).unwrap()
}

/// Whether a path, with its query, is allowed to what is shown.
fn allows(keys: &Keys, shown: &str, url: &str) -> Result<(), Denied> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    grant(keys, shown, NOW)?.allows(Route::parse(path).as_ref(), &Query::new(Some(query)))
}

const ROUTES: [(&str, Option<Scope>); 19] = [
    ("/health", None),
    ("/openapi.json", Some(Scope::Read)),
    ("/asyncapi.json", Some(Scope::Read)),
    ("/v1/sessions", Some(Scope::Read)),
    ("/v1/sessions/s", Some(Scope::Admin)),
    ("/v1/sessions/s/tokens", Some(Scope::Admin)),
    ("/v1/audio/ws/s", Some(Scope::Write)),
    ("/v1/audio/ws/s/teacher", Some(Scope::Write)),
    ("/v1/sessions/s/config", Some(Scope::Write)),
    ("/v1/sessions/s/resolve", Some(Scope::Write)),
    ("/v1/sessions/s/asr-run", Some(Scope::Write)),
    ("/v1/sessions/s/asr-reset", Some(Scope::Write)),
    ("/v1/sessions/s/finalize", Some(Scope::Write)),
    ("/v1/sessions/s/events", Some(Scope::Read)),
    ("/v1/sessions/s/state", Some(Scope::Read)),
    ("/v1/sessions/s/utterances", Some(Scope::Read)),
    ("/v1/sessions/s/result", Some(Scope::Read)),
    ("/v1/sessions/s/live", Some(Scope::Read)),
    ("/v1/sessions/s/live?stream_role=teacher", Some(Scope::Read)),
];

#[test]
fn each_scope_allows_what_needs_it_or_less() {
    let keys = keys();
    for (url, needed) in ROUTES {
        let path = url.split('?').next().unwrap();
        assert_eq!(needed_scope(&Route::parse(path).unwrap()), needed, "{url}");
        for (key, scope) in [
            (READ, Scope::Read),
            (WRITE, Scope::Write),
            (ADMIN, Scope::Admin),
        ] {
            let is_enough = needed.is_none_or(|needed| scope >= needed);
            assert_eq!(
                allows(&keys, key, url).is_ok(),
                is_enough,
                "{scope:?} {url}"
            );
        }
    }
    // That there is no such route is told to whoever may come in.
    assert_eq!(allows(&keys, READ, "/nothing"), Ok(()));
}

#[test]
fn nothing_and_something_wrong_are_told_the_same() {
    let keys = keys();
    let nothing = Grant::of(&keys, None, NOW).unwrap_err();
    for wrong in [
        "",
        "x",
        "the-admin-key-012345678",
        &format!("{ADMIN}9"),
        "a.b",
        "..",
        ".",
    ] {
        assert_eq!(grant(&keys, wrong, NOW).unwrap_err(), nothing);
    }
    let error = nothing.to_error();
    assert_eq!(
        (error.status, error.detail.as_str()),
        (401, "a valid API key is required")
    );
    let none = Keys::parse("").unwrap();
    assert!(
        grant(&none, ADMIN, NOW).is_err(),
        "without keys nothing is right"
    );
}

#[test]
fn a_token_is_for_its_session_and_scope() {
    let keys = keys();
    for (scope, is_write) in [("read", false), ("write", true)] {
        let token = issue(&keys, "s", &format!(r#"{{"scope":"{scope}"}}"#));
        for (url, needed) in ROUTES {
            let is_of_session = url.contains("/s");
            let is_open = url.starts_with("/v1/sessions/s") || url.starts_with("/v1/audio");
            let expected = match needed {
                None => true,
                Some(Scope::Read) => is_open,
                Some(Scope::Write) => is_write,
                Some(Scope::Admin) => false,
            };
            let _ = is_of_session;
            assert_eq!(
                allows(&keys, token.expose(), url).is_ok(),
                expected,
                "{scope} {url}"
            );
            let foreign = url.replace("/s/", "/t/").replace("/ws/s", "/ws/t");
            if foreign != url {
                assert_eq!(
                    allows(&keys, token.expose(), &foreign),
                    Err(Denied::Forbidden)
                );
            }
        }
    }
    let token = issue(&keys, "a/b", r#"{"scope":"read"}"#);
    let is_own = |path: &str| allows(&keys, token.expose(), path).is_ok();
    assert!(is_own("/v1/sessions/a%2Fb/state") && is_own("/v1/sessions/a%2fb/state/"));
    for other in ["a_b", "a", "a%2FB", "%FF", "%", "a%252Fb"] {
        assert!(!is_own(&format!("/v1/sessions/{other}/state")), "{other}");
    }
}

#[test]
fn a_token_for_some_roles_allows_what_is_about_them_alone() {
    let keys = keys();
    let token = issue(
        &keys,
        "s",
        r#"{"scope":"write","roles":["teacher","students"]}"#,
    );
    for (url, expected) in [
        ("/v1/audio/ws/s/teacher", true),
        ("/v1/audio/ws/s/STUDENTS", true),
        ("/v1/audio/ws/s/mixed", false),
        ("/v1/audio/ws/s", false),
        ("/v1/audio/ws/s/x", false),
        ("/v1/sessions/s/utterances?stream_role=teacher", true),
        ("/v1/sessions/s/utterances?stream_role=mixed", false),
        ("/v1/sessions/s/utterances?stream_role=x", false),
        ("/v1/sessions/s/utterances", false),
        ("/v1/sessions/s/events?stream_role=students", true),
        (
            "/v1/sessions/s/events?stream_role=&stream_role=teacher",
            false,
        ),
        ("/v1/sessions/s/events", false),
        ("/v1/sessions/s/live?stream_role=teacher", true),
        ("/v1/sessions/s/live", false),
        ("/v1/sessions/s/live?stream_role=x", false),
        // Its answer holds all speakers, and changes them.
        ("/v1/sessions/s/resolve?stream_role=students", false),
        ("/v1/sessions/s/asr-run?stream_role=students", true),
        ("/v1/sessions/s/asr-reset?stream_role=mixed", false),
        ("/v1/sessions/s/state", false),
        ("/v1/sessions/s/config", false),
        ("/v1/sessions/s/finalize", false),
        ("/v1/sessions/s/result", false),
    ] {
        assert_eq!(
            allows(&keys, token.expose(), url).is_ok(),
            expected,
            "{url}"
        );
    }
    assert!(grant(&keys, token.expose(), NOW).unwrap().is_narrow());
    let all = issue(
        &keys,
        "s",
        r#"{"scope":"write","roles":["mixed","teacher","students"]}"#,
    );
    assert!(!grant(&keys, all.expose(), NOW).unwrap().is_narrow());
    assert_eq!(
        allows(&keys, all.expose(), "/v1/sessions/s/finalize"),
        Ok(())
    );
    assert_eq!(
        allows(
            &keys,
            all.expose(),
            "/v1/sessions/s/resolve?stream_role=students"
        ),
        Ok(())
    );
}

#[test]
fn a_token_ends_by_itself_with_its_key_and_with_the_key_s_scope() {
    let keys = keys();
    let token = issue(&keys, "s", r#"{"scope":"read","expires_in_seconds":60}"#);
    assert!(
        token
            .to_json()
            .contains(r#""expires_at":"2027-01-15T08:01:00.000Z""#),
        "{}",
        token.to_json()
    );
    let good = |keys: &Keys, at| grant(keys, token.expose(), EpochMs(at)).is_ok();
    assert!(good(&keys, NOW.0 + 59_999));
    assert!(!good(&keys, NOW.0 + 60_000));
    let without = Keys::parse(&format!("desk:write:{WRITE}")).unwrap();
    assert!(!good(&without, NOW.0));
    let lowered = Keys::parse(&format!("x:write:{ADMIN}")).unwrap();
    assert!(!good(&lowered, NOW.0));
    let rotated = Keys::parse(&format!("new:admin:another-admin-key-1 old:admin:{ADMIN}")).unwrap();
    assert!(good(&rotated, NOW.0));
    let grant = grant(&rotated, token.expose(), NOW).unwrap();
    assert_eq!(
        grant.account(),
        "old",
        "its sockets are counted with its key's"
    );
}

#[test]
fn only_an_admin_s_key_makes_tokens() {
    let keys = keys();
    let token = issue(&keys, "s", r#"{"scope":"write"}"#);
    for shown in [READ, WRITE, token.expose()] {
        let request = TokenRequest::parse(br#"{"scope":"read"}"#).unwrap();
        let session = SessionId::parse("s").unwrap();
        let issued = Issued::new(&grant(&keys, shown, NOW).unwrap(), session, request, NOW);
        assert_eq!(issued.unwrap_err(), Denied::Forbidden);
    }
}

#[test]
fn the_longest_token_is_looked_at() {
    let keys = keys();
    let longest = "\u{20000}\"".repeat(42);
    let token = issue(&keys, &longest, r#"{"scope":"write"}"#);
    assert!(token.expose().len() <= MAX_CREDENTIAL_BYTES);
    let longest = "会".repeat(128);
    let token = issue(&keys, &longest, r#"{"scope":"write"}"#);
    assert!(token.expose().len() <= MAX_CREDENTIAL_BYTES);
    assert!(grant(&keys, token.expose(), NOW).is_ok());
}

#[test]
fn nothing_shows_a_key_or_a_token() {
    let keys = keys();
    let token = issue(&keys, "s", r#"{"scope":"read"}"#);
    let credential = Credential::new(token.expose().to_owned());
    let grant = grant(&keys, token.expose(), NOW);
    let shown = format!("{keys:?} {token:?} {credential:?} {grant:?}");
    for secret in [
        ADMIN,
        WRITE,
        READ,
        token.expose(),
        token.expose().split('.').next().unwrap(),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

proptest! {
    /// A token in which anything is changed is none any more.
    #[test]
    fn a_token_that_was_tampered_with_is_none(at in any::<prop::sample::Index>(), with in "[ -~]|\\PC") {
        let keys = keys();
        let token = issue(&keys, "s", r#"{"scope":"read"}"#).expose().to_owned();
        let mut changed: Vec<char> = token.chars().collect();
        let at = at.index(changed.len());
        changed[at] = with.chars().next().unwrap();
        let changed: String = changed.into_iter().collect();
        prop_assert_eq!(grant(&keys, &changed, NOW).is_ok(), changed == token);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,80}|[a-zA-Z0-9_-]{0,60}\\.[a-zA-Z0-9_-]{43}") {
        prop_assert_eq!(grant(&keys(), &text, NOW).unwrap_err(), Denied::Unauthorized);
    }
}
