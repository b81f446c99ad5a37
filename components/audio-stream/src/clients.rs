//! Who is connected to a stream: the sockets of its clients. They are stored, so that a request can
//! ask whether a recording is going on; after a restart of the host they name nothing any more.

use crate::bindings::realtime::sockets::sockets;

/// The host takes no more clients in one lane at a time; more than this are left-overs.
const MAX_CLIENTS: usize = 16;

/// The sockets of a stream's clients.
#[derive(Default)]
pub struct Clients {
    sockets: Vec<String>,
    changed: bool,
}

impl Clients {
    pub fn load(stored: Option<&str>) -> Result<Clients, String> {
        let sockets = stored.map_or(Ok(Vec::new()), |text| {
            serde_json::from_str(text).map_err(|error| format!("clients are damaged: {error}"))
        })?;
        Ok(Clients {
            sockets,
            changed: false,
        })
    }

    pub fn add(&mut self, socket: String) {
        if self.has(&socket) {
            return;
        }
        if self.sockets.len() >= MAX_CLIENTS {
            self.sockets.retain(|socket| is_connected(socket));
        }
        self.sockets.push(socket);
        self.changed = true;
    }

    pub fn remove(&mut self, socket: &str) {
        let before = self.sockets.len();
        self.sockets.retain(|known| known != socket);
        self.changed |= self.sockets.len() != before;
    }

    pub fn has(&self, socket: &str) -> bool {
        self.sockets.iter().any(|known| known == socket)
    }

    /// How many are there now.
    pub fn connected(&self) -> u32 {
        let connected = self.sockets.iter().filter(|socket| is_connected(socket));
        u32::try_from(connected.count()).unwrap_or(u32::MAX)
    }

    /// Forgets them all.
    pub fn take_all(&mut self) -> Vec<String> {
        self.changed = false;
        std::mem::take(&mut self.sockets)
    }

    /// What is to be stored, if anything changed. An empty list removes the record.
    pub fn take_change(&mut self) -> Option<String> {
        std::mem::take(&mut self.changed)
            .then(|| serde_json::to_string(&self.sockets).unwrap_or_default())
    }
}

fn is_connected(socket: &str) -> bool {
    sockets::room(socket).is_ok()
}
