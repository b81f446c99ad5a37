//! Speaker clusters and their names, as the inference service gives them.
//!
//! What it answers is merged field by field into what is stored and never replaces it: an answer may
//! be late, incomplete or wrong, and two answers may have been made from the same state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use unicode_text::normal;

use crate::js;

/// Most clusters of a session, and most bindings; new ones beyond it are left out.
pub const MAX_CLUSTERS: usize = 256;

/// Longest cluster id or name, in UTF-16 units; what is longer is ill-formed.
pub const MAX_NAME: usize = crate::config::MAX_NAME;

/// Most numbers in a centroid; a longer one is ill-formed.
pub const MAX_CENTROID: usize = 4096;

/// Most fields that the service may add to a cluster for itself; with more it is ill-formed.
pub const MAX_OTHER_FIELDS: usize = 32;

/// Bytes of all clusters together, as JSON: what an answer may bring, which repeats them all. A cluster
/// that would make them more is left out.
pub const MAX_CLUSTER_BYTES: usize = 1 << 20;

/// How often the clusters of an answer are gone through where there is little room.
const MAX_PASSES: usize = 8;

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
        let clusters: Vec<_> = clusters
            .into_iter()
            .flatten()
            .filter_map(read_cluster)
            .collect();
        // A cluster that becomes smaller makes room for one before it.
        for _ in 0..MAX_PASSES {
            let before = self.clusters.clone();
            let mut bytes = before.iter().map(json_bytes).sum();
            for cluster in &clusters {
                self.merge_cluster(cluster.clone(), &mut bytes);
            }
            if self.clusters == before {
                break;
            }
        }
        let bindings = updated_state.get("bindings").and_then(Value::as_object);
        for (id, name) in bindings.into_iter().flatten() {
            if let (Some(id), Some(name)) = (short(id), name.as_str().and_then(short)) {
                let is_known = self.bindings.contains_key(id);
                if is_known || self.bindings.len() < MAX_CLUSTERS {
                    self.bindings
                        .insert(id.to_owned(), normal(name).into_owned());
                }
            }
        }
        *self != before
    }

    /// `bytes` is what all clusters have. Those of a record that was stored when there was no limit stay,
    /// and may become smaller.
    fn merge_cluster(&mut self, new: Cluster, bytes: &mut usize) {
        let new_bytes = json_bytes(&new);
        let position = self
            .clusters
            .iter()
            .position(|known| known.cluster_id == new.cluster_id);
        let Some(known) = position.and_then(|at| self.clusters.get_mut(at)) else {
            if self.clusters.len() < MAX_CLUSTERS && *bytes + new_bytes <= MAX_CLUSTER_BYTES {
                *bytes += new_bytes;
                self.clusters.push(new);
            }
            return;
        };
        let known_bytes = json_bytes(known);
        let others = bytes.saturating_sub(known_bytes);
        let fits = new_bytes <= known_bytes || others + new_bytes <= MAX_CLUSTER_BYTES;
        if new.sample_count >= known.sample_count && fits {
            *bytes = others + new_bytes;
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

/// How long it is as JSON.
fn json_bytes(cluster: &Cluster) -> usize {
    serde_json::to_string(cluster).map_or(usize::MAX / 2, |json| json.len())
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
    let bound_name = cluster.bound_name.as_deref().and_then(short);
    is_sound.then(|| Cluster {
        bound_name: bound_name.map(|name| normal(name).into_owned()),
        ..cluster
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn merged(state: &mut SpeakerState, update: &Value) -> bool {
        let changed = state.merge(update);
        // What is stored reads back, and the same answer again changes nothing.
        let document = serde_json::to_string(state).unwrap();
        assert_eq!(*state, serde_json::from_str(&document).unwrap());
        assert!(!state.merge(update));
        changed
    }

    fn cluster(id: &str, samples: u64, name: Option<&str>) -> Value {
        json!({"cluster_id": id, "centroid": [0.5, -1, samples], "sample_count": samples, "bound_name": name})
    }

    #[test]
    fn answers_add_up() {
        let mut state = SpeakerState::default();
        assert!(merged(
            &mut state,
            &json!({"clusters": [cluster("c1", 1, None)], "bindings": {}})
        ));
        assert!(merged(
            &mut state,
            &json!({"clusters": [cluster("c1", 2, Some("Alice")), cluster("c2", 1, None)], "bindings": {"c1": "Alice"}})
        ));
        // A late answer that was made from the first state.
        assert!(merged(
            &mut state,
            &json!({"clusters": [cluster("c1", 1, None), cluster("c3", 1, Some("Bob"))], "bindings": {"c3": "Bob"}})
        ));
        assert_eq!(
            serde_json::to_value(&state).unwrap(),
            json!({"clusters": [cluster("c1", 2, Some("Alice")), cluster("c2", 1, None), cluster("c3", 1, Some("Bob"))],
                "bindings": {"c1": "Alice", "c3": "Bob"}})
        );
        assert_eq!(state.name_of("c1"), Some("Alice"));
        assert_eq!(state.name_of("c2"), None);
        // The absence of a name is no name.
        merged(&mut state, &json!({"clusters": [cluster("c1", 3, None)]}));
        assert_eq!(state.clusters[0].bound_name.as_deref(), Some("Alice"));
        assert_eq!(state.clusters[0].sample_count, 3);
    }

    #[test]
    fn what_is_no_state_changes_nothing() {
        let mut state = SpeakerState::default();
        state.merge(&json!({"clusters": [cluster("c1", 2, Some("A"))], "bindings": {"c1": "A"}}));
        let before = state.clone();
        for update in [
            json!(null),
            json!([]),
            json!("x"),
            json!({}),
            json!({"clusters": null, "bindings": null}),
            json!({"clusters": {"c1": {}}, "bindings": ["c1"]}),
            json!({"clusters": [null, 5, {}, {"cluster_id": "c1"}], "bindings": {"c1": null, "": "x", "c2": 5, "c3": " "}}),
            json!({"clusters": [{"cluster_id": "", "centroid": [], "sample_count": 9, "bound_name": null}]}),
            json!({"clusters": [{"cluster_id": "c1", "centroid": ["x"], "sample_count": 9, "bound_name": null}]}),
            json!({"clusters": [{"cluster_id": "c1", "centroid": [], "sample_count": -1, "bound_name": null}]}),
            json!({"clusters": [{"cluster_id": "c9", "centroid": vec![0; MAX_CENTROID + 1], "sample_count": 1, "bound_name": null}]}),
            json!({"roster": [{"name": "x"}], "config": {"interviewer_name": "x"}}),
        ] {
            assert!(!state.merge(&update), "{update}");
            assert_eq!(state, before);
        }
    }

    #[test]
    fn names_are_kept_in_normal_form() {
        let mut state = SpeakerState::default();
        let update = json!({"clusters": [cluster("c1", 1, Some("Jose\u{301}"))], "bindings": {"c1": "Jose\u{301}"}});
        merged(&mut state, &update);
        assert_eq!(state.clusters[0].bound_name.as_deref(), Some("José"));
        assert_eq!(state.bindings["c1"], "José");
    }

    #[test]
    fn bounded() {
        let mut state = SpeakerState::default();
        let clusters: Vec<_> = (0..1000)
            .map(|n| cluster(&n.to_string(), 1, None))
            .collect();
        let bindings: Map<_, _> = (0..1000).map(|n| (n.to_string(), json!("x"))).collect();
        merged(
            &mut state,
            &json!({"clusters": clusters, "bindings": bindings}),
        );
        assert_eq!(
            (state.clusters.len(), state.bindings.len()),
            (MAX_CLUSTERS, MAX_CLUSTERS)
        );
    }

    #[test]
    fn clusters_are_bounded_in_bytes_together() {
        let large = |id: &str, samples: u64, bytes: usize| {
            json!({"cluster_id": id, "centroid": [], "sample_count": samples, "bound_name": null,
                "model": "m".repeat(bytes)})
        };
        let mut state = SpeakerState::default();
        for n in 0..8 {
            let id = n.to_string();
            merged(&mut state, &json!({"clusters": [large(&id, 1, 200_000)]}));
        }
        assert_eq!(state.clusters.len(), 5, "five of 200 kB are within 1 MiB");
        // A known one may grow into what is left, and no further.
        assert!(!merged(
            &mut state,
            &json!({"clusters": [large("0", 2, 300_000)]})
        ));
        assert!(merged(
            &mut state,
            &json!({"clusters": [large("0", 2, 100_000)]})
        ));
        assert!(merged(
            &mut state,
            &json!({"clusters": [large("9", 1, 100_000)]})
        ));
        assert_eq!(state.clusters.len(), 6);
    }

    #[test]
    fn clusters_that_were_stored_when_there_was_no_limit_stay() {
        let long = "m".repeat(3 << 20);
        let old = json!({"cluster_id": "old", "centroid": [], "sample_count": 1, "bound_name": null, "model": long});
        let mut state: SpeakerState = serde_json::from_value(json!({"clusters": [old]})).unwrap();
        assert!(!state.merge(&json!({"clusters": [cluster("new", 1, None)]})));
        assert_eq!(serde_json::to_value(&state.clusters).unwrap(), json!([old]));
        // The service repeats it with more samples, and smaller: then there is room again.
        merged(
            &mut state,
            &json!({"clusters": [cluster("old", 2, Some("Ann")), cluster("new", 1, None)]}),
        );
        assert_eq!(state.clusters.len(), 2);
    }

    #[test]
    fn what_the_service_adds_is_kept() {
        let mut state = SpeakerState::default();
        let given = json!({"cluster_id": "c", "centroid": [1], "sample_count": 1, "bound_name": null, "model": "m2"});
        merged(&mut state, &json!({"clusters": [given]}));
        assert_eq!(serde_json::to_value(&state.clusters[0]).unwrap(), given);
    }

    proptest! {
        #[test]
        fn the_order_of_answers_loses_no_cluster_and_no_sample(
            answers in prop::collection::vec((0u8..4, 0u64..9), 0..12),
        ) {
            let mut state = SpeakerState::default();
            let mut most = BTreeMap::new();
            for (id, samples) in answers {
                state.merge(&json!({"clusters": [cluster(&id.to_string(), samples, None)]}));
                let best = most.entry(id.to_string()).or_insert(samples);
                *best = samples.max(*best);
            }
            let stored: BTreeMap<_, _> = state.clusters.iter().map(|c| (c.cluster_id.clone(), c.sample_count)).collect();
            prop_assert_eq!(stored, most);
        }
    }
}
