//! The session state of the HTTP API: what is shared by the streams of a session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capture::CaptureView;
use crate::config::{ConfigState, RosterEntry, SessionConfig};
use crate::role::ByRole;
use crate::speakers::{Cluster, SpeakerState};
use crate::stored::{self, Damaged};

/// Clusters, bindings, config and roster: `state` without its `capture_by_stream`, and which session
/// it is of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SessionDocument {
    /// Clusters and bindings.
    #[serde(flatten)]
    pub speakers: SpeakerState,
    /// Config and roster.
    #[serde(flatten)]
    pub people: ConfigState,
    /// The session's place among all sessions; none if it was never written. A session that is
    /// deleted and written again has another one: an answer made from the older is known by it. No
    /// client and no service sees it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<u64>,
}

/// `state`, in the order of the original.
#[derive(Debug, Serialize)]
pub struct SessionState<'a> {
    clusters: &'a [Cluster],
    bindings: &'a BTreeMap<String, String>,
    capture_by_stream: ByRole<CaptureView<'a>>,
    config: &'a SessionConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    roster: Option<&'a [RosterEntry]>,
}

/// Puts the stored records of a session together.
pub const fn session_document(people: ConfigState, speakers: SpeakerState) -> SessionDocument {
    SessionDocument {
        speakers,
        people,
        place: None,
    }
}

impl SessionDocument {
    /// Reads what [`SessionDocument::to_document`] wrote.
    pub fn read(document: &str) -> Result<Self, Damaged> {
        stored::read("session document", document)
    }

    /// The same, of the session at this place.
    #[must_use]
    pub fn at(self, place: Option<u64>) -> Self {
        Self { place, ..self }
    }

    /// As JSON text.
    pub fn to_document(&self) -> String {
        stored::to_json(self)
    }

    /// `state` as clients and the inference service see it.
    pub fn with_capture<'a>(&'a self, capture: ByRole<CaptureView<'a>>) -> SessionState<'a> {
        SessionState {
            clusters: &self.speakers.clusters,
            bindings: &self.speakers.bindings,
            capture_by_stream: capture,
            config: &self.people.config,
            roster: self.people.roster.as_deref(),
        }
    }
}
