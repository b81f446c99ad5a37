//! Accepting connections, within a limit, until the shutdown.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    DrainReport, Limits, Over, Service, Tls,
    connection::{self, Shared},
    connections::Connections,
    linger::tell,
    penalties::Penalties,
};

/// From one line of the log about accept errors to the next: they last as long as others want them to.
const ACCEPT_WARNINGS: Duration = Duration::from_secs(60);
/// For telling a connection that there is no place.
pub(crate) const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    connections: Connections,
    tls: Option<Tls>,
}

impl Listener {
    /// Binds a port; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken, not of this machine, or not permitted.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
            connections: Connections::default(),
            tls: None,
        })
    }

    /// Speaks TLS, and nothing else.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// How many connections there are, also while it runs.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// Serves until `shutdown` is cancelled, then closes the port and lets open connections end:
    /// requests under way are answered, WebSockets end when the service ends them. After
    /// [`Limits::drain`] those that are left are cut off.
    pub async fn run(
        self,
        service: Arc<dyn Service>,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> DrainReport {
        let drain = limits.drain;
        let watching = self
            .tls
            .clone()
            .map(|tls| AbortOnDropHandle::new(tokio::spawn(tls.watch(limits.tls_reload))));
        let shared = Arc::new(Shared {
            service,
            tasks: TaskTracker::new(),
            shutdown,
            cut_off: CancellationToken::new(),
            connections: self.connections.clone(),
            penalties: Penalties::new(limits.refusals_per_second),
            limits,
            tls: self.tls.clone(),
        });
        self.accept(&shared).await;
        drop(watching);

        let start = Instant::now();
        shared.tasks.close();
        let open = shared.tasks.len() as u64;
        let in_time = timeout(drain, shared.tasks.wait()).await.is_ok();
        let cut_off = if in_time {
            0
        } else {
            shared.tasks.len() as u64
        };
        shared.cut_off.cancel();
        shared.tasks.wait().await;
        DrainReport {
            open,
            cut_off,
            took: start.elapsed(),
        }
    }

    /// Accepts connections until the shutdown, then closes the port.
    async fn accept(self, shared: &Arc<Shared>) {
        let limits = &shared.limits;
        let mut last_warning = None::<Instant>;
        let refusals = Arc::new(Semaphore::new(limits.refusals.min(Semaphore::MAX_PERMITS)));
        loop {
            let accepted = tokio::select! {
                () = shared.shutdown.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let (tcp, address) = match accepted {
                Ok((tcp, address)) => (tcp, address.ip()),
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    // Too many open files, most likely: it does not go away by asking again at once.
                    if last_warning.is_none_or(|last| last.elapsed() >= ACCEPT_WARNINGS) {
                        tracing::warn!(%error, "no connection can be accepted for now");
                        last_warning = Some(Instant::now());
                    }
                    tokio::time::sleep(shared.limits.accept_pause).await;
                    continue;
                }
            };
            // Without it small answers wait for the peer's delayed acknowledgement, 40 ms.
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!(%error, "a connection was gone at once");
                continue;
            }
            let place =
                self.connections
                    .place(address, limits.connections, limits.connections_per_address);
            let over = match place {
                Ok(place) => {
                    let serving = connection::begin(Arc::clone(shared), tcp, place);
                    shared.tasks.spawn(serving);
                    continue;
                }
                Err(over) => over,
            };
            self.connections.count(over);
            if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                let (tls, of_all) = (self.tls.clone(), Arc::clone(shared));
                shared.tasks.spawn(async move {
                    let refusing = refuse(tcp, tls, over, &of_all.limits);
                    let _ = timeout(REFUSAL_TIME, refusing).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Tells a connection that there is no place for it, and lets it read that.
async fn refuse(tcp: TcpStream, tls: Option<Tls>, over: Over, limits: &Limits) -> io::Result<()> {
    let answer = connection::no_place(over);
    match tls {
        Some(tls) => tell(tls.acceptor().accept(tcp).await?, &answer, limits).await,
        None => tell(tcp, &answer, limits).await,
    }
}

/// Whether an accept error says only that this one connection is gone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_is_paused_for() {
        let of_one = |code| is_of_one_connection(&io::Error::from_raw_os_error(code));
        // EMFILE and ENFILE; ECONNABORTED.
        assert!(!of_one(24) && !of_one(23));
        assert!(of_one(103));
    }
}
