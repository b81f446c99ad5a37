//! The doors of the HTTP API: who may come in, and what web pages of elsewhere are told. What is allowed is
//! `interview-doors`' to say; here are its inputs and its answers.

use std::sync::Mutex;

use http::Method;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE,
};
use http::request::Parts;
use interview_doors::{Asker, Credential, Denied, Grant, Origins, Seldom};
use interview_session::query::Query;
use interview_session::route::Route;
use interview_settings::Doors;

use crate::answer::{self, Answer};
use crate::bindings::realtime::sockets::metrics;

/// Which site a page is of, as its browser says.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// When this instance may write the next line of who was refused by origin.
static REFUSALS: Mutex<Seldom> = Mutex::new(Seldom::new());

/// What the request's credential allows; none where nobody is asked for one, and for /health.
///
/// # Errors
/// It does not allow this request; or a web page of elsewhere makes it, and it would change something.
pub fn enter(
    doors: &'static Doors,
    head: &Parts,
    route: Option<&Route<'_>>,
) -> Result<Option<Grant<'static>>, Denied> {
    let headers = texts(&head.headers);
    let shown = Credential::of_request(&headers);
    check_origin(doors, head, shown.is_some())?;
    if doors.keys.is_empty() || route == Some(&Route::Health) {
        return Ok(None);
    }
    let grant = Grant::of(&doors.keys, shown.as_ref(), crate::now())?;
    grant.allows(route, &Query::new(head.uri.query()))?;
    Ok(Some(grant))
}

/// Keeps out pages of elsewhere that would change something, whether or not they could read the answer.
fn check_origin(doors: &Doors, head: &Parts, shows_credential: bool) -> Result<(), Denied> {
    if matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    // What is no text is no origin, but something is said.
    let text = |name| {
        let value = head.headers.get(name);
        value.map(|value| value.to_str().unwrap_or_default())
    };
    let asker = Asker {
        origin: text(ORIGIN),
        // Where the host puts the header `host`.
        host: head.uri.authority().map(http::uri::Authority::as_str),
        fetch_site: text(SEC_FETCH_SITE),
        shows_credential,
    };
    let checked = doors.origins.check_change(&asker, !doors.keys.is_empty());
    if checked.is_err()
        && let Ok(mut refusals) = REFUSALS.lock()
        && let Some(line) = refusals.line(crate::now(), || doors.origins.explain(&asker))
    {
        eprintln!("a request of a web page was refused: {line}");
    }
    checked
}

/// The answer to who may not come in.
pub fn denied(denied: Denied) -> Answer {
    metrics::add(
        "access_failures",
        &[("reason".into(), denied.reason().into())],
        1,
    );
    let mut answer = answer::error(&denied.to_error());
    if denied == Denied::Unauthorized {
        let bearer = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(WWW_AUTHENTICATE, bearer);
    }
    answer
}

/// The page that asks, as its browser says.
pub fn origin(head: &Parts) -> Option<HeaderValue> {
    head.headers.get(ORIGIN).cloned()
}

/// The answer to a browser that asks before it sends a page's request. It needs no key: the browser sends
/// none. None: it is no such question, or of a page that may not ask.
pub fn preflight(origins: &Origins, head: &Parts, route: Option<&Route<'_>>) -> Option<Answer> {
    let is_preflight =
        head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let is_allowed = head
        .headers
        .get(ORIGIN)
        .is_some_and(|origin| allow(origins, origin));
    (is_preflight && is_allowed).then(|| answer::preflight(route))
}

/// Tells the browser whether the page may read the answer.
pub fn tell_origin(origins: &Origins, origin: Option<HeaderValue>, answer: Answer) -> Answer {
    if origins.is_empty() {
        return answer;
    }
    let allowed = origin.filter(|origin| allow(origins, origin));
    answer::for_origin(answer, allowed)
}

fn allow(origins: &Origins, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| origins.allow(origin))
}

/// Names and values; what is no text is no key, but something is shown.
fn texts(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()))
        .collect()
}
