//! The app's component behind WebSockets: `realtime:sockets/upgrades` and `mailbox`. Here the plain
//! events of the lanes become WIT values, and the answers plain ones again.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use key_value_store::KvError;
use lanes::{Account, Batch, Event, HandleError, Lanes, Mailbox, Payload, Standing};
use listener::{Admit, ClientSocket, Ended};
use tokio::sync::Semaphore;
use wasmtime::component::Accessor;

use crate::bindings::App;
use crate::bindings::exports::realtime::sockets::startup::Errands;
use crate::bindings::exports::realtime::sockets::upgrades::{self, Admission, Refusal, Request};
use crate::bindings::realtime::sockets::types;
use crate::capability::Ctx;
use crate::capability::key_value::Hold;
use crate::errors;
use crate::instance_pool::{Call, InstancePool, MAX_MAILBOX_INSTANCES};
use crate::lane_claims::LaneClaims;

/// Batches that are handled at a time although nobody waits for them (no socket, no call): a quarter of
/// the instances, so that however many of these wait for a slow service, clients and calls do not.
pub const MAX_BACKGROUND_CALLS: usize = MAX_MAILBOX_INSTANCES / 4;

/// Batches of sockets that have yet to show a key that are handled at a time: however many of these come, those
/// who are known have instances left.
pub const MAX_STRANGERS_CALLS: usize = MAX_MAILBOX_INSTANCES / 4;

/// The mailbox component of the app.
#[derive(Clone)]
pub struct AppMailbox {
    pool: Arc<InstancePool>,
    background: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    claims: Option<Arc<LaneClaims>>,
}

impl AppMailbox {
    /// Calls go to instances of this pool. With claims, a lane's batches are handled under the lane's.
    pub fn new(pool: Arc<InstancePool>, claims: Option<Arc<LaneClaims>>) -> Self {
        Self {
            pool,
            claims,
            background: Arc::new(Semaphore::new(MAX_BACKGROUND_CALLS)),
            strangers: Arc::new(Semaphore::new(MAX_STRANGERS_CALLS)),
        }
    }

    /// Asks the component whether this upgrade request may become a WebSocket, for these lanes to serve.
    pub async fn admit(&self, request: Parts, lanes: Lanes) -> Admit {
        let since = self.pool.figures().map(|_| Instant::now());
        let admit = self.decide(request, lanes).await;
        if let (Some(figures), Some(since)) = (self.pool.figures(), since) {
            let status = match &admit {
                Admit::Refuse(answer) => answer.status(),
                Admit::Accept { .. } | Admit::NotWebSocket => StatusCode::SWITCHING_PROTOCOLS,
            };
            figures.requests.answered(status.as_u16(), since);
        }
        admit
    }

    async fn decide(&self, request: Parts, lanes: Lanes) -> Admit {
        match self.pool.call(AdmitCall(upgrade_request(&request))).await {
            Ok(Ok(admission)) => accept(admission, lanes),
            Ok(Err(refusal)) => Admit::Refuse(answer(refusal)),
            Err(error) => {
                tracing::error!(path = request.uri.path(), %error, "an upgrade was not decided");
                Admit::Refuse(errors::internal().map(Bytes::from))
            }
        }
    }
}

impl AppMailbox {
    /// Handles a batch under the lane's claim, which is taken from another host if need be.
    async fn handle_claimed(&self, batch: Batch, claims: &LaneClaims) -> Result<(), HandleError> {
        // Who has yet to show a key takes no lane from anybody: of what he sends the component says whether
        // there is anything to write.
        if batch.is_of_strangers && !claims.has(&batch.lane) {
            let hold = Hold::nothing();
            let handled = self.call(batch.clone(), false, Some(hold.clone())).await;
            if !hold.is_lost() {
                return handled;
            }
        }
        let lane = Arc::clone(&batch.lane);
        // What another host has gone on with meanwhile is not to be taken from it for that.
        let is_retry = batch.events.iter().all(|event| *event == Event::Retry);
        if is_retry && !claims.has(&lane) {
            match claims.take_abandoned(&lane).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(unclaimed(&error)),
            }
        }
        let holding = claims
            .hold(&lane)
            .await
            .map_err(|error| unclaimed(&error))?;
        let hold = Hold::new(holding.claim.clone());
        let handled = self.call(batch, holding.is_new, Some(hold.clone())).await;
        // Whatever the component makes of it: what it wanted to write is another host's to write.
        if hold.is_lost() {
            claims.lost(&lane, &holding.claim);
            return Err(HandleError::Moved);
        }
        handled?;
        match claims.handled(&lane, &holding) {
            true => Ok(()),
            false => Err(HandleError::Moved),
        }
    }

    async fn call(
        &self,
        batch: Batch,
        is_taken: bool,
        hold: Option<Hold>,
    ) -> Result<(), HandleError> {
        let taken = is_taken.then_some(types::Event::Taken);
        let events = batch.events.into_iter().map(wit_event);
        let call = HandleCall {
            lane: batch.lane.to_string(),
            events: taken.into_iter().chain(events).collect(),
            hold,
        };
        match self.pool.call(call).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(HandleError::Failed(reason)),
            Err(error) => Err(HandleError::Failed(error.to_string())),
        }
    }
}

impl Mailbox for AppMailbox {
    fn handle(&self, batch: Batch) -> BoxFuture<'static, Result<(), HandleError>> {
        let mailbox = self.clone();
        Box::pin(async move {
            let places = match (batch.is_awaited, batch.is_of_strangers) {
                (false, _) => Some(&mailbox.background),
                (true, true) => Some(&mailbox.strangers),
                (true, false) => None,
            };
            let _permit = match places {
                Some(places) => Arc::clone(places).acquire_owned().await.ok(),
                None => None,
            };
            match &mailbox.claims {
                Some(claims) => mailbox.handle_claimed(batch, claims).await,
                None => mailbox.call(batch, false, None).await,
            }
        })
    }
}

impl crate::resume::App for AppMailbox {
    async fn resume(&self, cursor: Option<u64>) -> Result<Errands, String> {
        match self.pool.call(ResumeCall(cursor)).await {
            Ok(answer) => answer,
            Err(error) => Err(error.to_string()),
        }
    }
}

fn unclaimed(error: &KvError) -> HandleError {
    HandleError::Failed(format!("the lane cannot be claimed: {error}"))
}

struct ResumeCall(Option<u64>);

impl Call for ResumeCall {
    type Answer = Result<Errands, String>;

    async fn run(self, accessor: &Accessor<Ctx>, app: &App) -> wasmtime::Result<Self::Answer> {
        app.realtime_sockets_startup()
            .call_resume(accessor, self.0)
            .await
    }
}

struct HandleCall {
    lane: String,
    events: Vec<types::Event>,
    hold: Option<Hold>,
}

impl Call for HandleCall {
    const EXPORT: &'static str = "handle";
    type Answer = Result<(), String>;

    async fn run(self, accessor: &Accessor<Ctx>, app: &App) -> wasmtime::Result<Self::Answer> {
        accessor.with(|mut access| access.get().hold(self.hold));
        app.realtime_sockets_mailbox()
            .call_handle(accessor, self.lane, self.events)
            .await
    }
}

struct AdmitCall(Request);

impl Call for AdmitCall {
    const EXPORT: &'static str = "admit";
    type Answer = Result<Admission, Refusal>;

    async fn run(self, accessor: &Accessor<Ctx>, app: &App) -> wasmtime::Result<Self::Answer> {
        app.realtime_sockets_upgrades()
            .call_admit(accessor, self.0)
            .await
    }
}

fn upgrade_request(request: &Parts) -> Request {
    Request {
        path: request.uri.path().to_owned(),
        query: request.uri.query().unwrap_or_default().to_owned(),
        headers: request
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
    }
}

fn accept(admission: Admission, lanes: Lanes) -> Admit {
    let Admission {
        lane,
        context,
        protocol,
        standing,
    } = admission;
    let protocol = protocol.and_then(|protocol| {
        HeaderValue::try_from(&protocol)
            .inspect_err(|_| tracing::error!("an upgrade names a protocol that HTTP forbids"))
            .ok()
    });
    let standing = match standing {
        upgrades::Standing::Plain => Standing::Plain,
        upgrades::Standing::Counted(counted) => Standing::Counted(account(counted)),
        upgrades::Standing::Unknown => Standing::Unknown,
    };
    let is_known = standing != Standing::Unknown;
    let serve = move |socket: ClientSocket| -> BoxFuture<'static, Ended> {
        Box::pin(async move {
            match lanes.serve_as(socket, &lane, &context, &standing).await {
                true => Ended::Served,
                false => Ended::Refused,
            }
        })
    };
    Admit::Accept {
        protocol,
        is_known,
        serve: Box::new(serve),
    }
}

/// Of the component's, for the lanes.
pub fn account(account: types::Account) -> Account {
    Account {
        name: account.name,
        max_sockets: account.max_sockets,
        group: account.group,
        max_groups: account.max_groups,
    }
}

fn answer(refusal: Refusal) -> Response<Bytes> {
    let Refusal {
        status,
        headers,
        body,
    } = refusal;
    let mut response = Response::new(Bytes::from(body));
    // 1xx would leave the client waiting for the real answer.
    *response.status_mut() = match StatusCode::from_u16(status) {
        Ok(status) if status.as_u16() >= 200 => status,
        _ => {
            tracing::error!(
                status,
                "an upgrade was refused with a status that HTTP does not have"
            );
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    for (name, value) in headers {
        match (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().append(name, value);
            }
            _ => tracing::error!(
                name,
                "an upgrade was refused with a header that HTTP forbids"
            ),
        }
    }
    response
}

fn wit_event(event: Event) -> types::Event {
    match event {
        Event::Accepted { socket, context } => types::Event::Accepted(types::Accepted {
            socket: socket.to_string(),
            context: context.to_string(),
        }),
        Event::Frames {
            socket,
            context,
            first,
            payloads,
        } => types::Event::Frames(types::Frames {
            socket: socket.to_string(),
            context: context.to_string(),
            first,
            payloads: payloads.into_iter().map(wit_payload).collect(),
        }),
        Event::Closed {
            socket,
            context,
            code,
            reason,
            clean,
        } => types::Event::Closed(types::Closed {
            socket: socket.to_string(),
            context: context.to_string(),
            code,
            reason: reason.to_string(),
            clean,
        }),
        Event::Opened { socket, context } => types::Event::Opened(types::Opened {
            socket: socket.to_string(),
            context: context.to_string(),
        }),
        Event::Failed {
            socket,
            context,
            status,
            reason,
        } => types::Event::Failed(types::Failed {
            socket: socket.to_string(),
            context: context.to_string(),
            status,
            reason: reason.to_string(),
        }),
        Event::Retry => types::Event::Retry,
        Event::Timer { name } => types::Event::Timer(types::Fired {
            name: name.to_string(),
        }),
        Event::Message { call, body } => types::Event::Message(types::Message {
            call: call.map(|call| call.to_string()),
            body: body.into(),
        }),
    }
}

fn wit_payload(payload: Payload) -> types::Payload {
    match payload {
        // One copy: the lane keeps the bytes until the batch is handled.
        Payload::Text(text) => types::Payload::Text(text.as_str().to_owned()),
        Payload::Binary(bytes) => types::Payload::Binary(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_http_answer_whatever_it_says() {
        let refusal = Refusal {
            status: 99,
            headers: vec![("ok".into(), "1".into()), ("not ok".into(), "2".into())],
            body: b"x".to_vec(),
        };
        let response = answer(refusal);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.body().as_ref(), b"x");
    }

    #[test]
    fn a_request_keeps_its_path_and_query_as_they_came() {
        let request = http::Request::get("/v1/audio/ws/a%2Fb?x=%20")
            .header("X-One", "1")
            .body(());
        let (parts, ()) = request.unwrap_or_default().into_parts();
        let request = upgrade_request(&parts);
        assert_eq!(request.path, "/v1/audio/ws/a%2Fb");
        assert_eq!(request.query, "x=%20");
        assert_eq!(request.headers, [("x-one".to_owned(), "1".to_owned())]);
    }
}
