//! A mailbox that records and answers, a server and clients on loopback, and bounded waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use lanes::{
    Batch, Event, HandleError, Lanes, Limits, Mailbox, OutboundPolicy, Payload, SocketError,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, accept_async_with_config, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

pub type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The longest that any test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

type Script = dyn Fn(&Lanes, &str, &[Event]) -> Result<(), HandleError> + Send + Sync;

/// Records every batch, then does what the test wants.
pub struct Recorder {
    lanes: Lanes,
    pub batches: Mutex<Vec<(String, Vec<Event>)>>,
    /// A batch needs a permit: a test can hold the lanes up.
    pub gate: Arc<Semaphore>,
    pub running: AtomicUsize,
    /// Batches that nobody waited for.
    pub unawaited: AtomicUsize,
    /// Batches that were of nobody who is known.
    pub of_strangers: AtomicUsize,
    script: Box<Script>,
}

impl Mailbox for Recorder {
    fn handle(&self, batch: Batch) -> BoxFuture<'static, Result<(), HandleError>> {
        let Batch {
            lane,
            events,
            is_awaited,
            is_of_strangers,
        } = batch;
        if is_of_strangers {
            self.of_strangers.fetch_add(1, Ordering::SeqCst);
        }
        if !is_awaited {
            self.unawaited.fetch_add(1, Ordering::SeqCst);
        }
        self.running.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&self.gate);
        let result = {
            self.batches
                .lock()
                .unwrap()
                .push((lane.to_string(), events.clone()));
            (self.script)(&self.lanes, &lane, &events)
        };
        async move {
            gate.acquire().await.unwrap().forget();
            gate.add_permits(1);
            result
        }
        .boxed()
    }
}

impl Recorder {
    /// Every event of a lane so far.
    pub fn events(&self, lane: &str) -> Vec<Event> {
        let batches = self.batches.lock().unwrap();
        let of_lane = batches.iter().filter(|(name, _)| name == lane);
        of_lane.flat_map(|(_, events)| events.clone()).collect()
    }
}

/// Lanes behind a port of their own: the path of the URL is the lane.
pub struct Server {
    pub lanes: Lanes,
    pub recorder: Arc<Recorder>,
    pub address: SocketAddr,
}

pub struct Anywhere;

impl OutboundPolicy for Anywhere {
    fn allows(&self, url: &url::Url) -> bool {
        url.host_str() != Some("forbidden.test")
    }
}

pub async fn server(
    limits: Limits,
    script: impl Fn(&Lanes, &str, &[Event]) -> Result<(), HandleError> + Send + Sync + 'static,
) -> Server {
    let lanes = Lanes::new(limits.clone(), Arc::new(Anywhere)).unwrap();
    let recorder = Arc::new(Recorder {
        lanes: lanes.clone(),
        batches: Mutex::default(),
        gate: Arc::new(Semaphore::new(1000)),
        running: AtomicUsize::new(0),
        unawaited: AtomicUsize::new(0),
        of_strangers: AtomicUsize::new(0),
        script: Box::new(script),
    });
    lanes.start(Arc::clone(&recorder) as Arc<dyn Mailbox>);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = lanes.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let (lanes, config) = (serving.clone(), limits.websocket_config());
            tokio::spawn(async move {
                if let Ok(ws) = accept_async_with_config(tcp, Some(config)).await {
                    lanes.serve(ws, "lane", "context").await;
                }
            });
        }
    });
    Server {
        lanes,
        recorder,
        address,
    }
}

impl Server {
    pub async fn client(&self) -> Client {
        let url = format!("ws://{}/", self.address);
        connect_async(url).await.unwrap().0
    }

    /// Waits until the events of the lane are as wanted.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&[Event]) -> bool) {
        let events = || self.recorder.events("lane");
        eventually(what, || wanted(&events())).await;
    }
}

/// Waits, within a bound, until something is so.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!("it did not come to this: {what}");
    }
}

/// Answers every frame with itself. A socket that is gone needs no answer.
pub fn echo(lanes: &Lanes, _lane: &str, events: &[Event]) -> Result<(), HandleError> {
    for event in events {
        if let Event::Frames {
            socket, payloads, ..
        } = event
        {
            match lanes.send(socket, payloads.clone()) {
                Ok(()) | Err(SocketError::UnknownSocket) => {}
                Err(error) => {
                    return Err(HandleError::Failed(error.to_string()));
                }
            }
        }
    }
    Ok(())
}

/// The next text or binary message.
pub async fn next(client: &mut Client) -> Option<Message> {
    loop {
        let message = tokio::time::timeout(PATIENCE, client.next())
            .await
            .expect("a message in time");
        match message {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(message)) => return Some(message),
            Some(Err(_)) | None => return None,
        }
    }
}

/// Reads until the close frame.
pub async fn close_frame(client: &mut Client) -> CloseFrame {
    loop {
        match next(client).await {
            Some(Message::Close(frame)) => return frame.expect("a close frame with a code"),
            Some(_) => {}
            None => panic!("the connection ended without a close frame"),
        }
    }
}

pub fn text(event: &Event) -> Vec<String> {
    match event {
        Event::Frames { payloads, .. } => payloads
            .iter()
            .map(|payload| match payload {
                Payload::Text(text) => text.to_string(),
                Payload::Binary(bytes) => format!("{} bytes", bytes.len()),
            })
            .collect(),
        _ => Vec::new(),
    }
}

pub fn is_closed(event: &Event) -> bool {
    matches!(event, Event::Closed { .. })
}
