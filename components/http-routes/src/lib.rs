//! Entry component: the HTTP API. Each route reads or changes a session through the leaves, or asks
//! a stream's lane; it never touches a stream's records itself and keeps nothing between requests.

mod answer;
mod body;
mod finalize;
mod health;
mod logs;
mod roles;
mod settings;
mod state;

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::query::Query;
use interview_session::route::{Route, SessionAction};
use interview_session::time::EpochMs;
use spin_sdk::http::{Method, Request};
use spin_sdk::http_service;

use answer::Answer;

#[allow(missing_docs, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/http-routes",
        generate_all,
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

#[http_service]
async fn handle(request: Request) -> Answer {
    match route(request).await {
        Ok(json) => answer::ok(json),
        Err(error) => answer::error(&error),
    }
}

/// Serves a request; the answer is JSON text.
async fn route(request: Request) -> Result<String, ApiError> {
    let (head, body) = request.into_parts();
    let get = head.method == Method::GET || head.method == Method::HEAD;
    match Route::parse(head.uri.path()).ok_or_else(ApiError::route_not_found)? {
        Route::Health if get => health::health(),
        Route::Health => Err(ApiError::method_not_allowed()),
        // An upgrade never comes here: it is the host's and the component audio-stream's.
        Route::Audio { .. } if get => Err(ApiError::upgrade_required()),
        Route::Audio { .. } => Err(ApiError::method_not_allowed()),
        Route::Session { session, action } => {
            let session = SessionId::from_path_segment(session)?;
            let allowed = match action.method() {
                "GET" => get,
                _ => head.method == Method::POST,
            };
            if !allowed {
                return Err(ApiError::method_not_allowed());
            }
            let query = Query::new(head.uri.query());
            match action {
                SessionAction::State => state::state(&session),
                SessionAction::Utterances => logs::utterances(&session, &query),
                SessionAction::Events => logs::events(&session, &query),
                SessionAction::Config => state::config(&session, &body::read(body).await?),
                SessionAction::Finalize => {
                    finalize::finalize(&session, &body::read(body).await?).await
                }
                SessionAction::Resolve => Err(later("resolve", &query)?),
                SessionAction::AsrRun => Err(later("asr-run", &query)?),
                SessionAction::AsrReset => Err(later("asr-reset", &query)?),
            }
        }
    }
}

/// What a route that this version lacks answers to a request that is right.
fn later(route: &str, query: &Query<'_>) -> Result<ApiError, ApiError> {
    query.stream_role()?;
    let detail = format!("{route} is not implemented in this version: it comes with the next one");
    Ok(ApiError::new(501, detail))
}

/// The host's clock.
fn now() -> EpochMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    EpochMs(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}
