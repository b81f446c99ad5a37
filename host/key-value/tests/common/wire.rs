//! A wire to a server that a test can hold, and cut in either direction.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to what goes one way, on the connections that exist when it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Kept, and delivered when the way is open again, whatever has become of the sender.
    Held,
    /// The connection ends where this way leads to, with what was on it.
    Cut,
}

/// Stands before a server; connections that are made later have a [`Ways`] of their own.
pub struct Wire {
    pub address: SocketAddr,
    ways: watch::Receiver<Option<Ways>>,
}

/// The two ways of one connection.
#[derive(Clone)]
pub struct Ways {
    pub to_server: watch::Sender<Way>,
    pub to_client: watch::Sender<Way>,
}

impl Wire {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (newest, ways) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                let made = Ways {
                    to_server: watch::Sender::new(Way::Open),
                    to_client: watch::Sender::new(Way::Open),
                };
                let (client_in, client_out) = client.into_split();
                let (server_in, server_out) = server.into_split();
                tokio::spawn(carry(client_in, server_out, made.to_server.subscribe()));
                tokio::spawn(carry(server_in, client_out, made.to_client.subscribe()));
                newest.send_replace(Some(made));
            }
        });
        Self { address, ways }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The newest connection's.
    pub fn newest(&self) -> Ways {
        self.ways.borrow().clone().expect("a connection")
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut cut = way.clone();
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = cut.wait_for(|way| *way == Way::Cut) => return,
        };
        let read = read.unwrap_or_default();
        let Ok(way) = way.wait_for(|way| *way != Way::Held).await.map(|way| *way) else {
            return;
        };
        if way == Way::Cut || to.write_all(&buffer[..read]).await.is_err() || read == 0 {
            return;
        }
    }
}
