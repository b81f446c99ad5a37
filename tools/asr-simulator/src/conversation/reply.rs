//! What a conversation answers: frames, when they go out, and how the connection ends. Values only.

use std::time::Duration;

/// What to do after an input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What to send, in this order, after all that earlier replies have left.
    pub send: Vec<Outgoing>,
    /// Then the connection ends. Nothing is read any more.
    pub end: Option<End>,
}

/// A frame to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What.
    pub frame: Frame,
    /// Not before this long after the input.
    pub delay: Duration,
    /// With it the task is finished: [`super::Conversation::finished`] is to be called before.
    pub is_task_end: bool,
}

/// A message of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// All that it sends when it is well.
    Text(String),
    /// What it never sends when it is well.
    Binary(Vec<u8>),
}

impl Frame {
    /// The payload's length in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// The end of a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// In which way.
    pub how: Ending,
    /// So long after the input, and after all was sent.
    pub delay: Duration,
    /// What earlier replies have left is not sent.
    pub is_abrupt: bool,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A close frame with code 1000 and this reason.
    Close(&'static str),
    /// A close frame with code 1011 and this reason.
    InternalError(&'static str),
    /// TCP reset.
    Reset,
    /// Nothing is said any more, and all is read, until the client goes.
    HalfOpen,
}

impl From<String> for Outgoing {
    fn from(text: String) -> Self {
        Self::from(Frame::Text(text))
    }
}

impl From<Frame> for Outgoing {
    fn from(frame: Frame) -> Self {
        Self {
            frame,
            delay: Duration::ZERO,
            is_task_end: false,
        }
    }
}

impl Outgoing {
    /// The same, not before so long.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self {
            send: vec![Outgoing::from(text)],
            end: None,
        }
    }
}

impl From<Ending> for Reply {
    fn from(how: Ending) -> Self {
        Self {
            send: Vec::new(),
            end: Some(End {
                how,
                delay: Duration::ZERO,
                is_abrupt: true,
            }),
        }
    }
}
