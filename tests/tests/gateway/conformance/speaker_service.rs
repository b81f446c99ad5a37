//! The inference service as it was when the records were made: voices and names follow from the text
//! alone, and some texts ask for a failure.

use end_to_end::Reply;
use serde_json::{Value, json};

/// For `INFERENCE_API_KEY`.
pub const KEY: &str = "test-inference-key";

/// Before a name.
const INTRODUCTION: &str = "my name is ";

/// The answer to a question.
pub fn answer(question: &Value) -> Reply {
    match question["asr_text"].as_str().unwrap_or_default() {
        "upstream-500" => fails_with(500),
        "upstream-422" => fails_with(422),
        "upstream-500-long-body" => Reply::text(500, "e".repeat(1000)),
        "upstream-not-json" => Reply::text(200, "<html>no JSON</html>"),
        "upstream-empty" => Reply::text(200, ""),
        "upstream-null" => Reply::ok(Value::Null),
        "upstream-array" => Reply::ok(json!([])),
        "upstream-empty-object" => Reply::ok(json!({})),
        text => Reply::ok(resolved(text, &question["session_id"], &question["state"])),
    }
}

fn fails_with(status: u16) -> Reply {
    let detail = format!("fake inference status {status}");
    Reply::status(status, json!({"detail": detail}))
}

fn resolved(text: &str, session_id: &Value, state: &Value) -> Value {
    let (cluster_id, centroid) = if text.contains("speaker two") {
        ("c2", json!([-0.2624, 0.6702, 0.9866, 0.3959]))
    } else {
        ("c1", json!([-0.9538, -0.2624, 0.6702, 0.9866]))
    };
    let mut clusters = state["clusters"].as_array().cloned().unwrap_or_default();
    let known = clusters
        .iter()
        .position(|cluster| cluster["cluster_id"] == cluster_id);
    let at = known.unwrap_or_else(|| {
        clusters.push(json!({
            "cluster_id": cluster_id, "centroid": centroid, "sample_count": 0, "bound_name": null,
        }));
        clusters.len() - 1
    });
    let cluster = &mut clusters[at];
    cluster["sample_count"] = (cluster["sample_count"].as_u64().unwrap() + 1).into();

    let mut bindings = state["bindings"].clone();
    let name_hit = text.strip_prefix(INTRODUCTION);
    let roster_hit = name_hit.map(|name| {
        let roster = state["roster"].as_array();
        roster.is_some_and(|roster| roster.iter().any(|entry| entry["name"] == name))
    });
    if let Some(name) = name_hit {
        cluster["bound_name"] = name.into();
        bindings[cluster_id] = name.into();
    }
    let speaker_name = cluster["bound_name"].clone();
    let decision = match (roster_hit, speaker_name.is_string()) {
        (Some(false), _) => "confirm",
        (_, true) => "auto",
        (_, false) => "unknown",
    };
    let mut answer = json!({
        "session_id": session_id,
        "cluster_id": cluster_id,
        "speaker_name": speaker_name,
        "decision": decision,
        "evidence": {
            "sv_score": 0.8125, "threshold_low": 0.6, "threshold_high": 0.7, "segment_count": 1,
            "name_hit": name_hit, "roster_hit": roster_hit,
        },
    });
    // This text got an answer without it.
    if text != "x" {
        answer["updated_state"] = json!({
            "clusters": clusters, "bindings": bindings, "roster": state["roster"],
            "config": state["config"],
        });
    }
    answer
}
