//! May a request become a WebSocket: its path names a session and a role, or a session that is to be
//! watched, or says what is wrong; and whoever asks may do that, or has yet to say who he is.

use std::sync::Mutex;

use interview_doors::{
    Asker, Credential, Denied, Grant, NO_STORE, PROTOCOL, Seldom, offers_gateway,
};
use interview_live::Ask;
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::Lane;
use interview_session::query::Query;
use interview_session::role::StreamRole;
use interview_session::route::{Route, SessionAction};

use crate::bindings::exports::realtime::sockets::upgrades::{
    Admission, Refusal, Request, Standing,
};
use crate::doors::{self, NARROW, UNKNOWN};
use crate::settings;

/// When this instance may write the next line of who was refused by origin.
static REFUSALS: Mutex<Seldom> = Mutex::new(Seldom::new());

/// The context of a client's socket. That of an ASR socket is its task id, which is longer.
pub const CLIENT: &str = "client";

pub fn admit(request: &Request) -> Result<Admission, Refusal> {
    decide(request).map_err(|no| {
        let mut refusal = match no {
            No::Denied(denied) => turned_away(denied),
            No::Wrong(error) => refusal(&error),
        };
        if settings::all().is_ok_and(|settings| !settings.doors.keys.is_empty()) {
            let no_store = ("cache-control".into(), NO_STORE.into());
            refusal.headers.push(no_store);
        }
        refusal
    })
}

fn turned_away(denied: Denied) -> Refusal {
    doors::count(denied.reason());
    let mut refusal = refusal(&denied.to_error());
    if denied == Denied::Unauthorized {
        let bearer = ("www-authenticate".into(), "Bearer".into());
        refusal.headers.push(bearer);
    }
    refusal
}

/// Why not.
enum No {
    Denied(Denied),
    Wrong(ApiError),
}

fn refusal(error: &ApiError) -> Refusal {
    Refusal {
        status: error.status,
        headers: vec![(
            "content-type".into(),
            "application/json; charset=utf-8".into(),
        )],
        body: error.body().into_bytes(),
    }
}

fn decide(request: &Request) -> Result<Admission, No> {
    let doors = &settings::all()
        .map_err(|error| {
            eprintln!("the settings are wrong:\n{error}");
            let detail = "the gateway's settings are wrong: its log names them";
            No::Wrong(ApiError::new(500, detail))
        })?
        .doors;
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let header = |wanted: &str| {
        let mut named = headers.iter().filter(|(name, _)| *name == wanted);
        named.next().map(|(_, value)| *value)
    };
    let has_keys = !doors.keys.is_empty();
    let shown = Credential::of_upgrade(&headers);
    let asker = Asker {
        origin: header("origin"),
        host: header("host"),
        fetch_site: None,
        shows_credential: shown.is_some(),
    };
    doors
        .origins
        .check_upgrade(&asker, has_keys)
        .inspect_err(|_| {
            if let Ok(mut refusals) = REFUSALS.lock()
                && let Some(line) = refusals.line(crate::now(), || doors.origins.explain(&asker))
            {
                eprintln!("a WebSocket of a web page was refused: {line}");
            }
        })
        .map_err(No::Denied)?;
    let route = Route::parse(&request.path);
    let query = Query::new(Some(&request.query));
    let protocol = offers_gateway(&headers).then(|| PROTOCOL.to_owned());
    if !has_keys {
        let (lane, context) = place(route, &query).map_err(No::Wrong)?;
        return Ok(Admission {
            lane: lane.to_string(),
            context,
            protocol,
            standing: Standing::Plain,
        });
    }
    let Some(shown) = shown else {
        // Its first frame has to say who it is. What is wrong with the request is not told before.
        let (lane, context) = place(route, &query).map_err(|_| No::Denied(Denied::Unauthorized))?;
        return Ok(Admission {
            lane: lane.to_string(),
            context: format!("{UNKNOWN}{context}"),
            protocol,
            standing: Standing::Unknown,
        });
    };
    let grant = Grant::of(&doors.keys, Some(&shown), crate::now()).map_err(No::Denied)?;
    grant.allows(route.as_ref(), &query).map_err(No::Denied)?;
    let (lane, context) = place(route, &query).map_err(No::Wrong)?;
    let is_narrow_client = grant.is_narrow() && context == CLIENT;
    Ok(Admission {
        context: match is_narrow_client {
            true => NARROW.to_owned(),
            false => context,
        },
        protocol,
        standing: Standing::Counted(doors::account(doors, &grant, lane.session())),
        lane: lane.to_string(),
    })
}

/// Whose socket it is, and its context.
fn place(route: Option<Route<'_>>, query: &Query<'_>) -> Result<(Lane, String), ApiError> {
    match route {
        Some(Route::Audio { session, role }) => {
            let session = SessionId::from_path_segment(session)?;
            let role = StreamRole::parse(role)?;
            Ok((Lane::Stream { session, role }, CLIENT.into()))
        }
        Some(Route::Session {
            session,
            action: SessionAction::Live,
        }) => {
            let session = SessionId::from_path_segment(session)?;
            let ask =
                Ask::from_query(query).map_err(|error| ApiError::bad_request(error.to_string()))?;
            Ok((Lane::Live { session }, ask.to_context()))
        }
        _ => Err(ApiError::route_not_found()),
    }
}
