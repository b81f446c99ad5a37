//! Who is connected to a stream: the sockets of its clients. They are stored, so that a request can
//! ask whether a recording is going on; after a restart of the host they name nothing any more.

use interview_session::connected::Connected;

use crate::bindings::realtime::sockets::sockets;

/// The host takes no more clients in one lane at a time; more than this are left-overs.
const MAX_CLIENTS: usize = 16;

/// The sockets of a stream's clients.
#[derive(Default)]
pub struct Clients {
    clients: Vec<Connected>,
    changed: bool,
    /// Those that were connected to another host until now.
    elsewhere: u32,
}

impl Clients {
    pub fn load(stored: Option<&str>) -> Result<Clients, String> {
        let clients = stored.map_or(Ok(Vec::new()), |text| {
            serde_json::from_str(text).map_err(|error| format!("clients are damaged: {error}"))
        })?;
        Ok(Clients {
            clients,
            changed: false,
            elsewhere: 0,
        })
    }

    /// `narrow`: it may have to do with this stream only.
    pub fn add(&mut self, socket: String, narrow: bool) {
        if self.has(&socket) {
            return;
        }
        if self.clients.len() >= MAX_CLIENTS {
            self.clients.retain(is_connected);
        }
        self.clients.push(Connected { socket, narrow });
        self.changed = true;
    }

    pub fn remove(&mut self, socket: &str) {
        let before = self.clients.len();
        self.clients.retain(|known| known.socket != socket);
        self.changed |= self.clients.len() != before;
    }

    pub fn has(&self, socket: &str) -> bool {
        self.clients.iter().any(|known| known.socket == socket)
    }

    /// Whether it may have to do with this stream only.
    pub fn is_narrow(&self, socket: &str) -> bool {
        self.clients
            .iter()
            .any(|known| known.narrow && known.socket == socket)
    }

    /// How many are there now, and were there when the stream was taken in this batch.
    pub fn connected(&self) -> u32 {
        let connected = self.clients.iter().filter(|client| is_connected(client));
        let connected = u32::try_from(connected.count()).unwrap_or(u32::MAX);
        connected.saturating_add(self.elsewhere)
    }

    /// Whether a client is connected that `is_closing` does not name.
    pub fn has_others(&self, is_closing: impl Fn(&str) -> bool) -> bool {
        self.elsewhere > 0
            || self
                .clients
                .iter()
                .any(|client| !is_closing(&client.socket) && is_connected(client))
    }

    /// The stream was another host's until now: that one closes its clients, and they come again.
    pub fn taken(&mut self) {
        let (here, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.clients)
            .into_iter()
            .partition(is_connected);
        self.clients = here;
        self.changed |= !others.is_empty();
        let open = others
            .iter()
            .filter(|client| sockets::is_open(&client.socket));
        self.elsewhere = u32::try_from(open.count()).unwrap_or(u32::MAX);
    }

    /// Forgets them all.
    pub fn take_all(&mut self) -> Vec<Connected> {
        self.changed = false;
        std::mem::take(&mut self.clients)
    }

    /// What is to be stored, if anything changed. An empty list removes the record.
    pub fn take_change(&mut self) -> Option<String> {
        std::mem::take(&mut self.changed)
            .then(|| serde_json::to_string(&self.clients).unwrap_or_default())
    }
}

fn is_connected(client: &Connected) -> bool {
    sockets::room(&client.socket).is_ok()
}
