//! TLS on the port: who speaks it is served, who does not is told so, and a renewed certificate is used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{fs, path::Path, sync::Arc, time::Duration};

use common::{PATIENCE, Server, eventually, run, upload};
use futures::{SinkExt, StreamExt};
use listener::{Limits, Listener, Over, Tls};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{Connector, client_async_tls_with_config, tungstenite::Message};

type Made = CertifiedKey<KeyPair>;

fn made() -> Made {
    generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

fn write(folder: &Path, made: &Made) {
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

fn limits() -> Limits {
    Limits {
        tls_reload: Duration::from_millis(10),
        ..Limits::default()
    }
}

async fn server(folder: &Path, limits: Limits) -> Server {
    let tls = Tls::load(&folder.join("cert.pem"), &folder.join("key.pem")).unwrap();
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    run(listener.with_tls(tls), limits)
}

/// A client that trusts one certificate only.
fn client(
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    Arc::new(config)
}

async fn connect(
    server: &Server,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(config).connect(name, tcp);
    tokio::time::timeout(PATIENCE, connecting).await.unwrap()
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    // Its end is told by TLS: nobody can cut it off unseen.
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn requests_and_websockets_come_encrypted_in_both_versions() {
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    write(folder.path(), &made);
    let server = server(folder.path(), limits()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client(made.cert.der(), &[version], &[b"h2", b"http/1.1"]);
        let mut stream = connect(&server, config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let answer = ask(&mut stream).await;
        assert!(answer.ends_with("GET /x "), "{answer}");
    }
    let only_h2 = client(made.cert.der(), rustls::ALL_VERSIONS, &[b"h2"]);
    assert!(connect(&server, only_h2).await.is_err());

    let tcp = TcpStream::connect(server.address).await.unwrap();
    let connector = Connector::Rustls(client(made.cert.der(), rustls::ALL_VERSIONS, &[]));
    let (mut socket, _) =
        client_async_tls_with_config("wss://localhost/ws?a=b", tcp, None, Some(connector))
            .await
            .unwrap();
    let hello = socket.next().await.unwrap().unwrap();
    assert_eq!(hello, Message::text("lane a=b"));
    let large = Message::text("x".repeat(500_000));
    socket.send(large.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), large);
}

#[tokio::test]
async fn plain_http_is_told_to_use_tls_and_nothing_is_served() {
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    write(folder.path(), &made);
    let server = server(folder.path(), limits()).await;
    let answer = server.raw("GET /x HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("this port speaks TLS"), "{answer}");
    // It begins like TLS and is none.
    server.raw("\u{16}\u{3}\u{1}\0\u{5}hello").await;
    eventually("both are counted", || {
        server.connections.over(Over::Tls) == 2
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_is_not_ended_is_not_waited_for() {
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    write(folder.path(), &made);
    let limits = Limits {
        tls_handshake: Duration::from_millis(100),
        ..limits()
    };
    let server = server(folder.path(), limits).await;
    for begun in ["", "\u{16}\u{3}\u{1}"] {
        server.raw(begun).await;
    }
    eventually("both are counted", || {
        server.connections.over(Over::TlsHandshakeTime) == 2 && server.connections.open() == 0
    })
    .await;
}

#[tokio::test]
async fn a_renewed_certificate_is_used_for_new_connections_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (made(), made());
    write(folder.path(), &first);
    let server = server(folder.path(), limits()).await;
    let (old, new) = [&first, &second]
        .map(|made| client(made.cert.der(), rustls::ALL_VERSIONS, &[]))
        .into();
    let mut open = connect(&server, Arc::clone(&old)).await.unwrap();
    assert!(connect(&server, Arc::clone(&new)).await.is_err());

    // A certificate without its key is not used.
    fs::write(folder.path().join("cert.pem"), second.cert.pem()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    connect(&server, Arc::clone(&old)).await.unwrap();
    write(folder.path(), &second);
    let used = async {
        while connect(&server, Arc::clone(&new)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, used).await.unwrap();
    assert!(connect(&server, old).await.is_err());
    let answer = ask(&mut open).await;
    assert!(answer.ends_with("GET /x "), "an open one goes on: {answer}");
}

#[tokio::test]
async fn who_finds_no_place_is_told_so_over_tls() {
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    write(folder.path(), &made);
    let limits = Limits {
        connections: 1,
        ..limits()
    };
    let server = server(folder.path(), limits).await;
    let config = client(made.cert.der(), rustls::ALL_VERSIONS, &[]);
    let _held = connect(&server, Arc::clone(&config)).await.unwrap();
    let mut refused = connect(&server, config).await.unwrap();
    let answer = ask(&mut refused).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn an_answer_before_the_body_is_read_arrives_over_tls() {
    let (folder, made) = (tempfile::tempdir().unwrap(), made());
    write(folder.path(), &made);
    let server = server(folder.path(), limits()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (path, status) in [("/refused", 403), ("/halfway", 413), ("/known", 200)] {
            let config = client(made.cert.der(), &[version], &[]);
            let stream = connect(&server, config).await.unwrap();
            let length = common::UPLOAD;
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            let answer = upload(stream, &head).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{path}: {answer}");
            assert!(answer.ends_with("\r\n\r\nten bytes."), "{path}: {answer}");
        }
    }
}
