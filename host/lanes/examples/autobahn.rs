//! Both ends of this crate's sockets for the Autobahn test suite (tools/autobahn/run): a server behind the
//! real listener, or a client that asks the suite's server for one case after the other. Every message is
//! answered with itself. The limits are wider than a host's, since some cases send 16 MiB.
#![allow(clippy::print_stdout)]

use std::env;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use lanes::{
    Batch, Event, HandleError, Lanes, Limits, Mailbox, OutboundPolicy, Payload, SocketError, Target,
};
use listener::{
    Admit, Body, CancellationToken, ClientSocket, Ended, Listener, RequestBody, Service,
};
use tokio::sync::mpsc;

const MIB: usize = 1024 * 1024;
/// The largest message of the suite.
const LARGEST: usize = 16 * MIB;
/// What the suite's reports call us.
const AGENT: &str = "lanes";
/// Long enough for any case.
const CONNECT: Duration = Duration::from_secs(30);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => serve(address.parse()?).await,
        ["connect", url] => connect(url).await,
        _ => Err("say `serve ADDRESS:PORT` or `connect ws://ADDRESS:PORT`".into()),
    }
}

fn limits() -> Limits {
    Limits {
        inbound_message_bytes: LARGEST,
        outbound_message_bytes: LARGEST,
        queue_bytes: 2 * LARGEST,
        queue_events: 4096,
        batch_bytes: LARGEST,
        outbox_bytes: 2 * LARGEST,
        outbox_messages: 16 * 1024,
        ..Limits::default()
    }
}

struct Anywhere;

impl OutboundPolicy for Anywhere {
    fn allows(&self, _url: &url::Url) -> bool {
        true
    }
}

/// Answers every message with itself, and passes on what an outbound socket is told.
struct Echo {
    lanes: Lanes,
    told: Option<mpsc::UnboundedSender<Told>>,
}

enum Told {
    Text(String),
    Ended,
}

impl Mailbox for Echo {
    fn handle(&self, batch: Batch) -> BoxFuture<'static, Result<(), HandleError>> {
        let mut handled = Ok(());
        for event in batch.events {
            let told = match event {
                Event::Frames {
                    socket, payloads, ..
                } => {
                    let text = payloads.iter().find_map(|payload| match payload {
                        Payload::Text(text) => Some(Told::Text(text.to_string())),
                        Payload::Binary(_) => None,
                    });
                    match self.lanes.send(&socket, payloads) {
                        Ok(()) | Err(SocketError::UnknownSocket) => {}
                        Err(error) => {
                            let reason = error.to_string();
                            handled = Err(HandleError::Failed(reason));
                        }
                    }
                    text
                }
                Event::Closed { .. } | Event::Failed { .. } => Some(Told::Ended),
                _ => None,
            };
            if let (Some(sender), Some(told)) = (&self.told, told) {
                // Nobody listens any more.
                let _ = sender.send(told);
            }
        }
        std::future::ready(handled).boxed()
    }
}

struct Port(Lanes);

impl Service for Port {
    fn admit(&self, _request: Parts) -> BoxFuture<'static, Admit> {
        let lanes = self.0.clone();
        let lane = uuid::Uuid::new_v4().to_string();
        let admit = Admit::Accept {
            protocol: None,
            is_known: true,
            serve: Box::new(move |socket: ClientSocket| {
                async move {
                    lanes.serve(socket, &lane, "").await;
                    Ended::Served
                }
                .boxed()
            }),
        };
        std::future::ready(admit).boxed()
    }

    fn http(&self, _request: Request<RequestBody>) -> BoxFuture<'static, Response<Body>> {
        let empty = Full::new(Bytes::new()).map_err(|never| match never {});
        std::future::ready(Response::new(empty.boxed_unsync())).boxed()
    }
}

async fn serve(address: SocketAddr) -> Result<(), Failure> {
    let lanes = Lanes::new(limits(), Arc::new(Anywhere))?;
    lanes.start(Arc::new(Echo {
        lanes: lanes.clone(),
        told: None,
    }));
    let listener = Listener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let limits = listener::Limits {
        websocket: limits().websocket_config(),
        ..listener::Limits::default()
    };
    let for_ever = CancellationToken::new();
    listener.run(Arc::new(Port(lanes)), limits, for_ever).await;
    Ok(())
}

async fn connect(url: &str) -> Result<(), Failure> {
    let lanes = Lanes::new(limits(), Arc::new(Anywhere))?;
    let (sender, mut told) = mpsc::unbounded_channel();
    lanes.start(Arc::new(Echo {
        lanes: lanes.clone(),
        told: Some(sender),
    }));
    let mut visit = async |path: String| {
        lanes.open(Target {
            url: format!("{url}{path}"),
            headers: Vec::new(),
            lane: "case".to_owned(),
            context: String::new(),
            connect_timeout: CONNECT,
        })?;
        let mut text = None;
        while let Some(Told::Text(said)) = told.recv().await {
            text = Some(said);
        }
        Ok::<_, SocketError>(text)
    };
    let count = visit("/getCaseCount".to_owned()).await?;
    let count: u32 = count.ok_or("the suite does not say how many")?.parse()?;
    for case in 1..=count {
        visit(format!("/runCase?case={case}&agent={AGENT}")).await?;
    }
    visit(format!("/updateReports?agent={AGENT}")).await?;
    println!("{count} cases");
    Ok(())
}
