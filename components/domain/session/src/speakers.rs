//! Speaker clusters and their names, as the inference service gives them.
//!
//! What it answers is merged field by field into what is stored and never replaces it: an answer may
//! be late, incomplete or wrong, and two answers may have been made from the same state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::js;

/// Most clusters of a session, and most bindings; new ones beyond it are left out.
pub const MAX_CLUSTERS: usize = 256;

/// Longest cluster id or name, in UTF-16 units; what is longer is ill-formed.
pub const MAX_NAME: usize = 200;

/// Most numbers in a centroid; a longer one is ill-formed.
pub const MAX_CENTROID: usize = 4096;

/// Most fields that the service may add to a cluster for itself; with more it is ill-formed.
pub const MAX_OTHER_FIELDS: usize = 32;

/// One voice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The service's name for it. Not empty.
    pub cluster_id: String,
    /// Where it lies.
    pub centroid: Vec<Number>,
    /// From how many pieces of audio it was made.
    pub sample_count: u64,
    /// Whose voice it is, if that is known.
    pub bound_name: Option<String>,
    /// What else the service keeps in it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// All that the service knows of a session.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpeakerState {
    /// In the order in which they were found.
    #[serde(default)]
    pub clusters: Vec<Cluster>,
    /// Names by cluster id.
    #[serde(default)]
    pub bindings: BTreeMap<String, String>,
}

impl SpeakerState {
    /// Merges `updated_state` of an answer; true if that changed anything.
    ///
    /// By cluster id: new ones are added; of a known one the highest `sample_count` wins, the later
    /// answer when they are equal. A name is replaced by a name, never by its absence, and an answer
    /// with fewer samples only names what has no name. Bindings are set one by one. What is missing,
    /// null, ill-formed or too much changes nothing.
    pub fn merge(&mut self, updated_state: &Value) -> bool {
        let before = self.clone();
        let clusters = updated_state.get("clusters").and_then(Value::as_array);
        for cluster in clusters.into_iter().flatten().filter_map(read_cluster) {
            self.merge_cluster(cluster);
        }
        let bindings = updated_state.get("bindings").and_then(Value::as_object);
        for (id, name) in bindings.into_iter().flatten() {
            if let (Some(id), Some(name)) = (short(id), name.as_str().and_then(short)) {
                let is_known = self.bindings.contains_key(id);
                if is_known || self.bindings.len() < MAX_CLUSTERS {
                    self.bindings.insert(id.to_owned(), name.to_owned());
                }
            }
        }
        *self != before
    }

    fn merge_cluster(&mut self, new: Cluster) {
        let position = self
            .clusters
            .iter()
            .position(|known| known.cluster_id == new.cluster_id);
        let Some(known) = position.and_then(|at| self.clusters.get_mut(at)) else {
            if self.clusters.len() < MAX_CLUSTERS {
                self.clusters.push(new);
            }
            return;
        };
        if new.sample_count >= known.sample_count {
            let bound_name = new.bound_name.or(known.bound_name.take());
            *known = Cluster { bound_name, ..new };
        } else if known.bound_name.is_none() {
            known.bound_name = new.bound_name;
        }
    }

    /// The name bound to a cluster: in `bindings`, else in the cluster itself.
    pub fn name_of(&self, cluster_id: &str) -> Option<&str> {
        self.bindings.get(cluster_id).map_or_else(
            || {
                self.clusters
                    .iter()
                    .find(|cluster| cluster.cluster_id == cluster_id)
                    .and_then(|cluster| cluster.bound_name.as_deref())
            },
            |name| Some(name.as_str()),
        )
    }
}

fn short(text: &str) -> Option<&str> {
    (js::non_blank(text).is_some() && js::utf16_len(text) <= MAX_NAME).then_some(text)
}

/// A well-formed cluster.
fn read_cluster(value: &Value) -> Option<Cluster> {
    let cluster: Cluster = serde_json::from_value(value.clone()).ok()?;
    let is_sound = short(&cluster.cluster_id).is_some()
        && cluster.centroid.len() <= MAX_CENTROID
        && cluster.other.len() <= MAX_OTHER_FIELDS;
    is_sound.then(|| Cluster {
        bound_name: cluster.bound_name.filter(|name| short(name).is_some()),
        ..cluster
    })
}
