use interview_session::config::{
    BadConfig, ConfigAnswer, ConfigPatch, ConfigState, MAX_EMAIL, MAX_NAME, MAX_ROSTER,
};
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

#[test]
fn names_and_addresses_have_a_limit() {
    let longest = "名".repeat(MAX_NAME);
    let longer = format!("{longest}x");
    let address = "a".repeat(MAX_EMAIL);
    for field in ["interviewer_name", "teams_interviewer_name"] {
        let body = json!({ field: format!("  {longest} ") }).to_string();
        assert!(ConfigPatch::from_body(body.as_bytes()).is_ok(), "{field}");
        let body = json!({ field: longer }).to_string();
        assert_eq!(
            ConfigPatch::from_body(body.as_bytes())
                .unwrap_err()
                .to_string(),
            format!("{field} must have at most 200 characters, not 201")
        );
    }
    let roster = |entry: &Value| {
        let body = json!({"teams_participants": ["Ann", entry]}).to_string();
        ConfigPatch::from_body(body.as_bytes())
    };
    assert!(roster(&json!(longest)).is_ok());
    assert!(roster(&json!({"name": longest, "email": address})).is_ok());
    let name_too_long = "teams_participants[].name must have at most 200 characters, not 201";
    for entry in [json!(longer), json!({"name": longer, "email": null})] {
        assert_eq!(roster(&entry).unwrap_err().to_string(), name_too_long);
    }
    assert_eq!(
        roster(&json!({"name": "Ann", "email": format!("{address}b")}))
            .unwrap_err()
            .to_string(),
        "teams_participants[].email must have at most 320 characters, not 321"
    );
}

#[test]
fn names_that_were_stored_when_there_was_no_limit_are_read_and_replaced() {
    let long = "n".repeat(1_000_000);
    let stored = json!({
        "config": {"interviewer_name": long, "teams_interviewer_name": long},
        "roster": [{"name": long, "email": long}, {"name": "Ann"}],
    });
    let mut state: ConfigState = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(&state).unwrap(), stored);
    post(&mut state, r#"{"interviewer_name":"Ivan"}"#).unwrap();
    assert_eq!(state.config.interviewer_name.as_deref(), Some("Ivan"));
    assert_eq!(state.roster.unwrap().len(), 2, "what is not named stays");
}

#[test]
fn an_answer_with_names_that_are_too_long_changes_nothing() {
    let long = "n".repeat(MAX_NAME + 1);
    let mut state = ConfigState::default();
    for update in [
        json!({"roster": ["Ann", long]}),
        json!({"roster": [{"name": "Ann", "email": "e".repeat(MAX_EMAIL + 1)}]}),
        json!({"config": {"interviewer_name": long}}),
    ] {
        assert!(!state.merge(&ConfigState::default(), &update), "{update}");
    }
    assert_eq!(state, ConfigState::default());
}
