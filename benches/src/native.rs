//! The native limit: one program that does for a chunk what the components do, with the same stores,
//! sockets, lanes and domain crates, but with plain calls between them. It serves audio streams only
//! and is no gateway: nothing but this benchmark runs it.

mod stream;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use interview_session::id::SessionId;
use interview_session::lane::Lane;
use interview_session::role::StreamRole;
use interview_session::route::Route;
use lanes::{Batch, HandleError, Lanes, Limits, Mailbox, OutboundPolicy};
use listener::{Admit, CancellationToken, ClientSocket, Listener, Service};
use url::Url;

/// What every batch needs.
pub struct Context {
    store: key_value_store::SqliteStore,
    blobs: blob_store::BlobStore,
    asr: funasr::Settings,
    lanes: Lanes,
}

/// Serves until the process is killed.
pub async fn run(listen: SocketAddr, state: &Path, asr_url: String) -> anyhow::Result<()> {
    std::fs::create_dir_all(state)?;
    let lanes = Lanes::new(Limits::default(), Arc::new(Anywhere))?;
    let durability = key_value_store::Durability::default();
    let database = state.join("sqlite_key_value.db");
    let context = Arc::new(Context {
        store: key_value_store::SqliteStore::open(&database, "default", durability)?,
        blobs: blob_store::BlobStore::directory(&state.join("blobs"))?,
        asr: asr_settings(asr_url),
        lanes: lanes.clone(),
    });
    lanes.start(Arc::new(Native(context)));
    let listener = Listener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let limits = listener::Limits::default();
    listener
        .run(Arc::new(Streams(lanes)), limits, CancellationToken::new())
        .await;
    Ok(())
}

fn asr_settings(url: String) -> funasr::Settings {
    funasr::Settings {
        enabled: true,
        url,
        api_key: "bench".into(),
        model: "fun-asr-realtime-2025-11-07".into(),
        start_timeout_ms: 15_000,
        catch_up_speed: 1_000.0,
        task_prefix: "asr-realtime-teacher-".into(),
        vocabulary_id: None,
        language_hint: None,
        max_sentence_silence_ms: None,
        semantic_punctuation: None,
        wants_partials: false,
        notes_events: false,
    }
}

struct Anywhere;

impl OutboundPolicy for Anywhere {
    fn allows(&self, _: &Url) -> bool {
        true
    }
}

struct Native(Arc<Context>);

impl Mailbox for Native {
    fn handle(&self, batch: Batch) -> BoxFuture<'static, Result<(), HandleError>> {
        let context = self.0.clone();
        async move {
            let handled = stream::handle(&context, &batch.lane, batch.events).await;
            handled.map_err(|error| HandleError::Failed(error.to_string()))
        }
        .boxed()
    }
}

struct Streams(Lanes);

impl Service for Streams {
    fn admit(&self, request: Parts) -> BoxFuture<'static, Admit> {
        let lane = match Route::parse(request.uri.path()) {
            Some(Route::Audio { session, role }) => {
                let (session, role) = (
                    SessionId::from_path_segment(session),
                    StreamRole::parse(role),
                );
                session
                    .ok()
                    .zip(role.ok())
                    .map(|(session, role)| Lane::Stream { session, role })
            }
            _ => None,
        };
        let lanes = self.0.clone();
        let admit = match lane {
            Some(lane) => Admit::Accept {
                protocol: None,
                is_known: true,
                serve: Box::new(move |socket: ClientSocket| {
                    async move {
                        lanes.serve(socket, &lane.to_string(), stream::CLIENT).await;
                        listener::Ended::Served
                    }
                    .boxed()
                }),
            },
            None => Admit::NotWebSocket,
        };
        async { admit }.boxed()
    }

    fn http(
        &self,
        _: Request<listener::RequestBody>,
    ) -> BoxFuture<'static, Response<listener::Body>> {
        let body = Full::new(Bytes::new())
            .map_err(|never| match never {})
            .boxed_unsync();
        async { Response::new(body) }.boxed()
    }
}
