//! Outbound sockets: opened, failed, refused, encrypted, closed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use common::{Anywhere, PATIENCE, Server, server, text};
use futures::{FutureExt, SinkExt, StreamExt, future::BoxFuture};
use lanes::{Batch, Event, HandleError, Lanes, Limits, Mailbox, Payload, SocketError, Target};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

fn target(url: String) -> Target {
    Target {
        url,
        headers: vec![("authorization".to_owned(), "bearer key".to_owned())],
        lane: "lane".to_owned(),
        context: "asr".to_owned(),
        connect_timeout: PATIENCE,
    }
}

/// A peer that gives each connection to a function.
async fn peer<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(tcp));
        }
    });
    address
}

/// A peer that answers every message with itself.
async fn echoing_peer() -> SocketAddr {
    peer(|tcp| async {
        let mut ws = accept_async(tcp).await.unwrap();
        while let Some(Ok(message)) = ws.next().await {
            if (message.is_text() || message.is_binary()) && ws.send(message).await.is_err() {
                break;
            }
        }
    })
    .await
}

/// A peer that answers the handshake with these bytes and nothing more.
async fn answering_peer(answer: &'static [u8]) -> SocketAddr {
    peer(move |mut tcp| async move {
        let mut request = [0; 4096];
        let _ = tcp.read(&mut request).await;
        let _ = tcp.write_all(answer).await;
        let _ = tcp.read(&mut request).await;
    })
    .await
}

async fn plain_server() -> Server {
    server(Limits::default(), |_, _, _| Ok(())).await
}

/// The status and reason of the one event of a socket that could not be opened.
async fn failure(server: &Server) -> (Option<u16>, String) {
    server.wait_for("failed", |events| !events.is_empty()).await;
    let events = server.recorder.events("lane");
    let [
        Event::Failed {
            status,
            reason,
            context,
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(&**context, "asr");
    common::eventually("it is gone", || server.lanes.stats().lanes == 0).await;
    (*status, reason.to_string())
}

#[tokio::test]
async fn it_is_opened_used_and_closed() {
    let peer = echoing_peer().await;
    let server = plain_server().await;
    let url = format!("ws://{peer}/path");
    let socket = server.lanes.open(target(url)).unwrap();
    // Before it is open: it waits.
    server
        .lanes
        .send(&socket, vec![Payload::Text("hello".into())])
        .unwrap();
    server
        .wait_for("the echo", |events| {
            events
                .iter()
                .any(|event| text(event).contains(&"hello".into()))
        })
        .await;
    server.lanes.close(&socket, 1000, "done").unwrap();
    server
        .wait_for("closed", |events| events.iter().any(common::is_closed))
        .await;
    let events = server.recorder.events("lane");
    let token = &socket;
    assert!(
        matches!(&events[..], [Event::Opened { socket: a, context: x }, Event::Frames { socket: b, first: 1, .. }, Event::Closed { socket: c, code: 1000, clean: true, .. }]
            if [a, b, c] == [token; 3] && &**x == "asr"),
        "{events:?}"
    );
    assert_eq!(
        server.lanes.send(&socket, Vec::new()),
        Err(SocketError::UnknownSocket)
    );
    common::eventually("it is gone", || server.lanes.stats().lanes == 0).await;
}

#[tokio::test]
async fn a_refused_handshake_fails_with_its_status() {
    for (answer, status) in [
        (
            &b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"[..],
            401,
        ),
        (
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy",
            503,
        ),
        // A redirect is not followed: the policy would not have seen where it goes.
        (
            b"HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            302,
        ),
    ] {
        let peer = answering_peer(answer).await;
        let server = plain_server().await;
        server.lanes.open(target(format!("ws://{peer}/"))).unwrap();
        assert_eq!(failure(&server).await.0, Some(status));
    }
}

#[tokio::test]
async fn nobody_there_nonsense_and_no_answer_fail_without_status() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let nonsense = answering_peer(b"SSH-2.0-OpenSSH\r\n\r\n").await;
    let silent = answering_peer(b"").await;
    for peer in [nobody, nonsense, silent] {
        let server = plain_server().await;
        let mut target = target(format!("ws://{peer}/"));
        target.connect_timeout = Duration::from_millis(300);
        server.lanes.open(target).unwrap();
        assert_eq!(failure(&server).await.0, None);
    }
}

#[tokio::test]
async fn closing_before_it_is_open_fails_it() {
    let peer = answering_peer(b"").await;
    let server = plain_server().await;
    let socket = server.lanes.open(target(format!("ws://{peer}/"))).unwrap();
    server.lanes.close(&socket, 1000, "").unwrap();
    let (status, reason) = failure(&server).await;
    assert_eq!(
        (status, reason.as_str()),
        (None, "closed before it was open")
    );
}

#[tokio::test]
async fn the_policy_and_the_number_of_sockets_are_kept() {
    let peer = answering_peer(b"").await;
    let server = plain_server().await;
    let forbidden = server.lanes.open(target("ws://forbidden.test/".to_owned()));
    assert!(matches!(forbidden, Err(SocketError::NotAllowed(_))));
    let most = Limits::default().outbound_sockets_per_lane;
    for _ in 0..most {
        server.lanes.open(target(format!("ws://{peer}/"))).unwrap();
    }
    let one_more = server.lanes.open(target(format!("ws://{peer}/")));
    assert_eq!(one_more, Err(SocketError::TooMany));
    let mut large = target(format!("ws://{peer}/"));
    large.context = "x".repeat(2000);
    assert_eq!(server.lanes.open(large), Err(SocketError::TooLarge));
}

#[tokio::test]
async fn a_failed_batch_closes_the_outbound_sockets_of_its_lane() {
    let peer = echoing_peer().await;
    let server = server(Limits::default(), |_, _, events| {
        if events
            .iter()
            .any(|event| matches!(event, Event::Message { .. }))
        {
            return Err(HandleError::Failed("it traps".to_owned()));
        }
        Ok(())
    })
    .await;
    let socket = server.lanes.open(target(format!("ws://{peer}/"))).unwrap();
    server.wait_for("opened", |events| !events.is_empty()).await;
    server.lanes.post("lane", "x".into()).unwrap();
    server
        .wait_for("closed in a later batch", |events| {
            events.last().is_some_and(common::is_closed)
        })
        .await;
    assert_eq!(server.lanes.room(&socket), Err(SocketError::UnknownSocket));
}

struct Silent;

impl Mailbox for Silent {
    fn handle(&self, _: Batch) -> BoxFuture<'static, Result<(), HandleError>> {
        async { Ok(()) }.boxed()
    }
}

#[tokio::test]
async fn wss_needs_a_certificate_that_is_trusted() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], private.unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let peer = peer(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(tls) = acceptor.accept(tcp).await else {
                return;
            };
            let mut ws = accept_async(tls).await.unwrap();
            ws.send(Message::text("secret")).await.unwrap();
            while let Some(Ok(_)) = ws.next().await {}
        }
    })
    .await;
    let url = format!("wss://localhost:{}/", peer.port());

    // Mozilla's roots do not know it.
    let server = plain_server().await;
    server.lanes.open(target(url.clone())).unwrap();
    let (status, reason) = failure(&server).await;
    assert_eq!(status, None);
    assert!(reason.contains("certificate"), "{reason}");

    // These do.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let lanes = Lanes::with_tls(Limits::default(), Arc::new(Anywhere), Arc::new(trusting));
    lanes.start(Arc::new(Silent));
    lanes.open(target(url)).unwrap();
    common::eventually("its message", || lanes.stats().frames_in == 1).await;
}
