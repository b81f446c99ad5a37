//! The clients of a stream, as they are stored: their sockets. After a restart of the host they name
//! nothing any more.

use serde::{Deserialize, Serialize};

/// A client of a stream. As JSON its socket's token alone, unless it is narrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Connected {
    /// Its socket.
    pub socket: String,
    /// It may have to do with this stream only, not with the session as a whole.
    pub narrow: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Plain(String),
    Narrow { narrow: String },
}

impl From<Stored> for Connected {
    fn from(stored: Stored) -> Self {
        let (socket, narrow) = match stored {
            Stored::Plain(socket) => (socket, false),
            Stored::Narrow { narrow } => (narrow, true),
        };
        Self { socket, narrow }
    }
}

impl From<Connected> for Stored {
    fn from(Connected { socket, narrow }: Connected) -> Self {
        match narrow {
            false => Self::Plain(socket),
            true => Self::Narrow { narrow: socket },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_list_reads_back() {
        let text = r#"["a",{"narrow":"b"}]"#;
        let clients: Vec<Connected> = serde_json::from_str(text).unwrap();
        let named: Vec<_> = clients
            .iter()
            .map(|client| (client.socket.as_str(), client.narrow))
            .collect();
        assert_eq!(named, [("a", false), ("b", true)]);
        assert_eq!(crate::stored::to_json(&clients), text);
        assert!(serde_json::from_str::<Vec<Connected>>("[1]").is_err());
    }
}
