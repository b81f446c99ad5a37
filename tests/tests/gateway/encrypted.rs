//! TLS as the operator has it: two files, which may be renewed while the gateway runs. And without keys
//! nobody but this machine is served.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, Gateway, Settings, chunk_frame};
use futures::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{Connector, client_async_tls_with_config};

struct Files(tempfile::TempDir);

impl Files {
    fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn write(&self, made: &CertifiedKey<KeyPair>) {
        fs::write(self.certificate(), made.cert.pem()).unwrap();
        fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
    }
}

fn made() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

async fn start(files: &Files, asr: &Asr) -> Gateway {
    let (certificate, key) = (text(&files.certificate()), text(&files.key()));
    let options = ["--tls-cert", &certificate, "--tls-key", &key];
    Gateway::start_with_options(Settings::with_asr(asr), &options).await
}

/// A client that trusts one certificate only.
fn trusting(certificate: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// `GET /health` over TLS: the whole answer.
async fn health(gateway: &Gateway, trusted: &CertificateDer<'static>) -> std::io::Result<String> {
    in_time("an answer over TLS", async {
        let tcp = TcpStream::connect(gateway.address()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(trusting(trusted))
            .connect(name, tcp)
            .await?;
        let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    })
    .await
}

#[tokio::test]
async fn https_and_wss_are_served_and_plain_http_is_told_so() {
    let files = Files(tempfile::tempdir().unwrap());
    let made = made();
    files.write(&made);
    let asr = Asr::start().await;
    let gateway = start(&files, &asr).await;
    let answer = health(&gateway, made.cert.der()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(r#""status":"ok""#), "{answer}");

    let session = "over-tls";
    let tcp = TcpStream::connect(gateway.address()).await.unwrap();
    let url = format!("wss://localhost/v1/audio/ws/{session}/teacher");
    let connector = Connector::Rustls(trusting(made.cert.der()));
    let (mut socket, _) = client_async_tls_with_config(url, tcp, None, Some(connector))
        .await
        .unwrap();
    let pcm = asr_simulator::mark::second(1, 1);
    let chunk = chunk_frame(session, "teacher", 1, &pcm);
    socket.send(Message::text(chunk.to_string())).await.unwrap();
    let ack = in_time("an ack", socket.next()).await.unwrap().unwrap();
    let ack: Value = serde_json::from_str(ack.to_text().unwrap()).unwrap();
    assert_eq!(ack["status"], "stored", "{ack}");

    let mut plain = TcpStream::connect(gateway.address()).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    plain.write_all(request).await.unwrap();
    let mut answer = String::new();
    in_time("an answer", plain.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.ends_with(r#"{"detail":"this port speaks TLS: use https:// or wss://"}"#),
        "{answer}"
    );
    gateway.says("listening on https://").await;
    let log = gateway.log();
    let secret = made.signing_key.serialize_pem();
    let secret = secret.lines().nth(1).unwrap();
    assert!(!log.contains(secret), "{log}");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_and_a_bad_one_is_named_in_the_log_and_not_used() {
    let files = Files(tempfile::tempdir().unwrap());
    let (first, second) = (made(), made());
    files.write(&first);
    let asr = Asr::start().await;
    let gateway = start(&files, &asr).await;
    health(&gateway, first.cert.der()).await.unwrap();

    fs::write(files.certificate(), second.cert.pem()).unwrap();
    eventually("half of a change is named in the log", async || {
        let log = gateway.log();
        let line = log
            .lines()
            .find(|line| line.contains("is not used"))
            .map(str::to_owned);
        line.filter(|line| line.contains("certificate.pem"))
            .ok_or(log)
    })
    .await;
    health(&gateway, first.cert.der()).await.unwrap();
    files.write(&second);
    eventually("the new one is used", async || {
        health(&gateway, second.cert.der()).await
    })
    .await;
    assert!(health(&gateway, first.cert.der()).await.is_err());
}
