//! What a gateway keeps of its sessions, seen from outside: the list, the key-value store, the
//! blob store's directory.

use end_to_end::Gateway;
use serde_json::Value;

/// How often [`stays_gone`] looks: what is left to do in the background has its turn meanwhile.
const LOOKS: u32 = 20;

/// The sessions of the list, all pages, the newest first.
pub async fn sessions(gateway: &Gateway) -> Vec<Value> {
    let mut sessions = Vec::new();
    let mut path = "/v1/sessions?limit=200".to_owned();
    loop {
        let mut page = gateway.get(&path).await.ok();
        sessions.append(page["items"].as_array_mut().expect("items"));
        match page["cursor"].as_str() {
            Some(cursor) => path = format!("/v1/sessions?limit=200&cursor={cursor}"),
            None => return sessions,
        }
    }
}

/// Their ids.
pub async fn listed(gateway: &Gateway) -> Vec<String> {
    let id = |session: Value| session["session_id"].as_str().expect("an id").to_owned();
    sessions(gateway).await.into_iter().map(id).collect()
}

/// All keys of the key-value store that name `part`, or whose values do, with their values. An empty
/// `part` means all there is.
pub fn entries(gateway: &Gateway, part: &str) -> Vec<(String, String)> {
    gateway.store().entries(part)
}

/// The objects of the blob store below the folder of a safe id.
pub fn objects(gateway: &Gateway, safe_id: &str) -> Vec<String> {
    gateway.blobs().names(&format!("sessions/{safe_id}/"))
}

/// Nothing of the session is there, and nothing comes back. Its id is its safe id.
pub async fn stays_gone(gateway: &Gateway, session: &str) {
    for look in 0..LOOKS {
        let listed = listed(gateway).await;
        assert!(!listed.iter().any(|id| id == session), "look {look}");
        let left = entries(gateway, session);
        assert_eq!(left, Vec::<(String, String)>::new(), "look {look}");
        let left = objects(gateway, session);
        assert_eq!(left, Vec::<String>::new(), "look {look}");
        let state = gateway.state(session).await;
        assert_eq!(state["phase"], "idle", "look {look}: {state:#}");
        assert_eq!(state["event_count"], 0, "look {look}: {state:#}");
    }
    let result = gateway.get(&format!("/v1/sessions/{session}/result")).await;
    assert_eq!(result.status, 404, "{result:?}");
}
