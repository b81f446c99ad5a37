//! Entry component: the HTTP API. Each route reads or changes a session through the leaves, or asks
//! a stream's lane; it never touches a stream's records itself and keeps nothing between requests.

mod answer;
mod asr_reset;
mod asr_run;
mod body;
mod claim;
mod deletion;
mod doors;
mod finalize;
mod health;
mod lane_call;
mod log_pages;
mod logs;
mod merged_view;
mod resolve;
mod result;
mod sessions;
mod settings;
mod state;
mod tokens;

use http::request::Parts;
use interview_doors::Grant;
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::query::Query;
use interview_session::route::{Route, SessionAction};
use interview_session::time::EpochMs;
use spin_sdk::http::Request;
use spin_sdk::http_service;
use spin_sdk::wasip3::http_compat::IncomingRequestBody;

use answer::Answer;
use body::MAX_BODY;

#[allow(missing_docs, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/http-routes",
        generate_all,
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

/// The HTTP API, described.
const OPENAPI: &str = include_str!("../../../api/openapi.json");

/// The WebSocket frames, described.
const ASYNCAPI: &str = include_str!("../../../api/asyncapi.json");

#[http_service]
async fn handle(request: Request) -> Answer {
    // Where it is not known who may come in, nobody may.
    let doors = match settings::doors() {
        Ok(doors) => doors,
        Err(error) => return answer::error(&error),
    };
    let (head, body) = request.into_parts();
    let origin = doors::origin(&head);
    let route = Route::parse(head.uri.path());
    let answer = match doors::preflight(&doors.origins, &head, route.as_ref()) {
        Some(answer) => answer,
        None if head.method == http::Method::OPTIONS && head.uri.path() == "/" => answer::options(),
        None => match doors::enter(doors, &head, route.as_ref()) {
            Ok(grant) => serve(&head, body, route, grant.as_ref())
                .await
                .unwrap_or_else(|error| answer::error(&error)),
            Err(denied) => doors::denied(denied),
        },
    };
    let answer = doors::tell_origin(&doors.origins, origin, answer);
    match doors.keys.is_empty() {
        true => answer,
        false => answer::not_kept(answer),
    }
}

/// Serves a request that may be made.
async fn serve(
    head: &Parts,
    body: IncomingRequestBody,
    route: Option<Route<'_>>,
    grant: Option<&Grant<'_>>,
) -> Result<Answer, ApiError> {
    let route = route.ok_or_else(ApiError::route_not_found)?;
    let query = Query::new(head.uri.query());
    let is_taken = route.takes(head.method.as_str());
    let not_allowed = || Ok(answer::method_not_allowed(route.allowed()));
    // An id that is none is told before a method that is not allowed, as in the original.
    match route {
        Route::WholeSession { session } => {
            let session = SessionId::from_path_segment(session)?;
            match is_taken {
                true => deletion::delete(&session, &query).await.map(answer::ok),
                false => not_allowed(),
            }
        }
        Route::Session { session, action } => {
            let session = SessionId::from_path_segment(session)?;
            if !is_taken {
                return not_allowed();
            }
            let json = match action {
                SessionAction::State => state::state(&session),
                SessionAction::Utterances => return logs::utterances(&session, &query),
                SessionAction::Events => return logs::events(&session, &query),
                SessionAction::Config => {
                    state::config(&session, &body::read_json(body, MAX_BODY).await?)
                }
                SessionAction::Finalize => {
                    finalize::finalize(&session, &body::read_json(body, MAX_BODY).await?).await
                }
                SessionAction::AsrReset => asr_reset::reset(&session, &query).await,
                SessionAction::AsrRun => return asr_run::run(&session, &query),
                SessionAction::Tokens => {
                    let body = body::read_json(body, MAX_BODY).await?;
                    tokens::issue(session, grant, &body)
                }
                SessionAction::Result => return result::result(&session).await,
                SessionAction::Resolve => {
                    return resolve::resolve(&session, &query, &head.headers, body).await;
                }
                // An upgrade never comes here: it is the host's and the component audio-stream's.
                SessionAction::Live => Err(ApiError::upgrade_required()),
            };
            json.map(answer::ok)
        }
        _ if !is_taken => not_allowed(),
        Route::Health => health::health().map(answer::ok),
        Route::OpenApi => Ok(answer::ok(OPENAPI.to_owned())),
        Route::AsyncApi => Ok(answer::ok(ASYNCAPI.to_owned())),
        Route::Sessions => sessions::sessions(&query).map(answer::ok),
        // As for live.
        Route::Audio { .. } => Err(ApiError::upgrade_required()),
    }
}

/// The host's clock.
fn now() -> EpochMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    EpochMs(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}
