use interview_session::config::{BadConfig, ConfigAnswer, ConfigPatch, ConfigState, MAX_ROSTER};
use serde_json::{Value, json};

use super::session;

fn post(state: &mut ConfigState, body: &str) -> Result<Value, String> {
    let patch = ConfigPatch::from_body(body.as_bytes()).map_err(|error| error.to_string())?;
    // What travels between components reads back as the same patch.
    let sent = serde_json::to_string(&patch).unwrap();
    assert_eq!(ConfigPatch::from_body(sent.as_bytes()), Ok(patch.clone()));
    patch.apply(state);
    let document = serde_json::to_string(state).unwrap();
    assert_eq!(*state, serde_json::from_str(&document).unwrap());
    Ok(serde_json::to_value(ConfigAnswer::new(&session("g-config"), state)).unwrap())
}

fn answer(config: Value, roster: Value) -> Value {
    json!({"session_id": "g-config", "roster_count": roster.as_array().unwrap().len(),
        "config": config, "roster": roster})
}

#[test]
fn config_in_order() {
    let mut state = ConfigState::default();
    let full = r#"{"teams_participants":[{"name":"Ada Lovelace","email":"ada@example.com"},{"name":"Bob"}],"teams_interviewer_name":"Ada Lovelace","interviewer_name":"Ada"}"#;
    let ada = json!({"teams_interviewer_name": "Ada Lovelace", "interviewer_name": "Ada"});
    assert_eq!(
        post(&mut state, full).unwrap(),
        answer(
            ada.clone(),
            json!([{"name": "Ada Lovelace", "email": "ada@example.com"},
            {"name": "Bob", "email": null}])
        )
    );
    let names = r#"{"teams_participants":["  Carol  ","","Dan",7,null,{"email":"x@y"},{"name":"  "},{"name":" Eve ","email":" "}]}"#;
    let roster = json!([{"name": "Carol"}, {"name": "Dan"}, {"name": "Eve", "email": null}]);
    for (case, body) in [
        ("names-as-strings", names),
        ("empty-roster-keeps-old", r#"{"teams_participants":[]}"#),
        ("roster-not-array", r#"{"teams_participants":"Frank"}"#),
    ] {
        assert_eq!(
            post(&mut state, body).unwrap(),
            answer(ada.clone(), roster.clone()),
            "{case}"
        );
    }
    let grace = json!({"teams_interviewer_name": "Grace", "interviewer_name": "Grace"});
    assert_eq!(
        post(&mut state, r#"{"interviewer_name":" Grace "}"#).unwrap(),
        answer(grace, roster.clone())
    );
    let heidi = json!({"teams_interviewer_name": "Heidi", "interviewer_name": "Grace"});
    for (case, body) in [
        ("teams-only", r#"{"teams_interviewer_name":"Heidi"}"#),
        (
            "blank-values-ignored",
            r#"{"interviewer_name":"  ","teams_interviewer_name":""}"#,
        ),
        (
            "wrong-types-ignored",
            r#"{"interviewer_name":5,"teams_interviewer_name":{}}"#,
        ),
        ("unknown-fields", r#"{"foo":1}"#),
        ("empty-object", "{}"),
        ("array-body", "[]"),
        ("string-body", "\"x\""),
        ("number-body", "3"),
    ] {
        assert_eq!(
            post(&mut state, body).unwrap(),
            answer(heidi.clone(), roster.clone()),
            "{case}"
        );
    }
    // The original answers 500.
    assert_eq!(
        post(&mut state, "null").unwrap_err(),
        "request body must be a JSON object"
    );
    for bad in ["", "{nope", "\u{0}", "{\"interviewer_name\":\"\\ud800\"}"] {
        assert_eq!(
            post(&mut state, bad).unwrap_err(),
            "request body must be valid JSON"
        );
    }
    let deep = "[".repeat(100_000);
    assert!(post(&mut state, &deep).is_err());
    let ivan = json!({"teams_interviewer_name": "Ivan", "interviewer_name": "Ivan"});
    assert_eq!(
        post(&mut state, r#"{"interviewer_name":"Ivan"}"#).unwrap(),
        answer(ivan, roster)
    );
}

#[test]
fn fresh_session() {
    let mut state = ConfigState::default();
    assert_eq!(serde_json::to_string(&state).unwrap(), r#"{"config":{}}"#);
    let judy = json!({"interviewer_name": "Judy", "teams_interviewer_name": "Judy"});
    assert_eq!(
        post(&mut state, r#"{"interviewer_name":"Judy"}"#).unwrap(),
        answer(judy.clone(), json!([]))
    );
    assert_eq!(
        post(
            &mut state,
            r#"{"teams_participants":["Judy","Judy",{"name":"Judy","email":"j@x"}]}"#
        )
        .unwrap(),
        answer(
            judy,
            json!([{"name": "Judy"}, {"name": "Judy"}, {"name": "Judy", "email": "j@x"}])
        )
    );
}

#[test]
fn names_are_kept_in_normal_form_and_compared_by_it() {
    let mut state = ConfigState::default();
    let body = "{\"interviewer_name\":\" Jose\u{301} \",\"teams_participants\":[\"Jose\u{301}\",\
         {\"name\":\"A\u{30a}sa\",\"email\":\"a@x\"}]}";
    let jose = json!({"interviewer_name": "José", "teams_interviewer_name": "José"});
    let people = json!([{"name": "José"}, {"name": "Åsa", "email": "a@x"}]);
    assert_eq!(post(&mut state, body).unwrap(), answer(jose, people));
    // What an older gateway stored as it came, and a service repeats in normal form, has not changed.
    let stored = r#"{"config":{"interviewer_name":"Jose\u0301"},"roster":[{"name":"Jose\u0301"}]}"#;
    let stored: ConfigState = serde_json::from_str(stored).unwrap();
    let mut merged = stored.clone();
    let same = json!({"config": {"interviewer_name": "José"}, "roster": [{"name": "José"}]});
    assert!(!merged.merge(&stored, &same));
    assert_eq!(merged, stored);
    // A new name is kept in normal form.
    let new =
        json!({"config": {"interviewer_name": "Rene\u{301}"}, "roster": [{"name": "Rene\u{301}"}]});
    assert!(merged.merge(&stored, &new));
    assert_eq!(merged.config.interviewer_name.as_deref(), Some("René"));
    assert_eq!(merged.roster.unwrap()[0].name, "René");
}

#[test]
fn a_roster_is_bounded() {
    let body = json!({"teams_participants": vec!["x"; MAX_ROSTER]}).to_string();
    assert!(ConfigPatch::from_body(body.as_bytes()).is_ok());
    let body = json!({"teams_participants": vec!["x"; MAX_ROSTER + 1]}).to_string();
    assert_eq!(
        ConfigPatch::from_body(body.as_bytes()),
        Err(BadConfig::RosterTooLong)
    );
}
