//! Config and roster: what `POST config` and `hello` say of a session's people.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;
use unicode_text::{is_same_text, normal};

use crate::id::SessionId;
use crate::js;

/// Most people in a roster: it is stored in one record and shown whole in every state.
pub const MAX_ROSTER: usize = 1000;

/// Longest name of a person, in UTF-16 units: each event of a teacher's stream repeats it.
pub const MAX_NAME: usize = 200;

/// Longest address of a person, in UTF-16 units: more than a mail server takes.
pub const MAX_EMAIL: usize = 320;

/// Names of the interviewer. As JSON only what is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionConfig {
    /// The interviewer's name in the meeting.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub teams_interviewer_name: Option<String>,
    /// The interviewer's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interviewer_name: Option<String>,
}

/// One of the people in a meeting. `{"name"}` when it was given as a name, `{"name","email"}` when
/// it was given as an object, with `null` for no email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterEntry {
    /// Trimmed, not empty, in normal form.
    pub name: String,
    /// None: given as a name. `Some(None)`: given without an email.
    pub email: Option<Option<String>>,
}

impl Serialize for RosterEntry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        if let Some(email) = &self.email {
            map.serialize_entry("email", email)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RosterEntry {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Stored {
            name: String,
            #[serde(default, deserialize_with = "present")]
            email: Option<Option<String>>,
        }
        fn present<'de, D: serde::Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Option<String>>, D::Error> {
            Option::deserialize(from).map(Some)
        }
        let stored = Stored::deserialize(from)?;
        Ok(Self {
            name: stored.name,
            email: stored.email,
        })
    }
}

/// Config and roster together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConfigState {
    /// The names that are set.
    #[serde(default)]
    pub config: SessionConfig,
    /// None until one was set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roster: Option<Vec<RosterEntry>>,
}

/// A body that is refused, with status 400; nothing was changed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BadConfig {
    /// Not JSON (or JSON with half a surrogate pair or 128 levels of nesting, which no text is).
    #[error("request body must be valid JSON")]
    NotJson,
    /// `null`: the original fell over it. Other values that are no objects name no field and change
    /// nothing, as they always did.
    #[error("request body must be a JSON object")]
    Null,
    /// Over [`MAX_ROSTER`].
    #[error("teams_participants must have at most {MAX_ROSTER} entries")]
    RosterTooLong,
    /// Over [`MAX_NAME`] or [`MAX_EMAIL`].
    #[error("{field} must have at most {most} characters, not {units}")]
    TextTooLong {
        /// Which field.
        field: &'static str,
        /// What it may have.
        most: usize,
        /// What it has.
        units: usize,
    },
}

/// What a body or a frame sets. Only what is valid in it; the rest is ignored, as in the original.
///
/// As JSON a body that reads back as the same patch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ConfigPatch {
    #[serde(
        rename = "teams_participants",
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "participants"
    )]
    roster: Vec<RosterEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    teams_interviewer_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interviewer_name: Option<String>,
}

/// A roster in the form in which it came: names, and objects.
fn participants<S: Serializer>(roster: &[RosterEntry], to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Given<'a> {
        Name(&'a str),
        Object(&'a RosterEntry),
    }
    to.collect_seq(roster.iter().map(|entry| match entry.email {
        None => Given::Name(&entry.name),
        Some(_) => Given::Object(entry),
    }))
}

impl ConfigPatch {
    /// Reads the body of `POST config`.
    pub fn from_body(body: &[u8]) -> Result<Self, BadConfig> {
        match serde_json::from_slice(body).map_err(|_| BadConfig::NotJson)? {
            Value::Null => Err(BadConfig::Null),
            value => Self::from_value(&value),
        }
    }

    /// Reads the fields of any JSON value; one that is no object has none.
    pub fn from_value(value: &Value) -> Result<Self, BadConfig> {
        Self::from_fields(
            value.get("teams_participants"),
            value.get("teams_interviewer_name"),
            value.get("interviewer_name"),
        )
    }

    pub(crate) fn from_fields(
        participants: Option<&Value>,
        teams_interviewer_name: Option<&Value>,
        interviewer_name: Option<&Value>,
    ) -> Result<Self, BadConfig> {
        let name = |field, value: Option<&Value>| {
            let given = value.and_then(js::non_blank_string).map(normal);
            given
                .map(|name| bounded(field, &name, MAX_NAME).map(str::to_owned))
                .transpose()
        };
        let entries = participants.and_then(Value::as_array);
        if entries.is_some_and(|entries| entries.len() > MAX_ROSTER) {
            return Err(BadConfig::RosterTooLong);
        }
        let people = entries.into_iter().flatten().filter_map(roster_entry);
        Ok(Self {
            roster: people
                .map(|entry| entry.bounded())
                .collect::<Result<_, _>>()?,
            teams_interviewer_name: name("teams_interviewer_name", teams_interviewer_name)?,
            interviewer_name: name("interviewer_name", interviewer_name)?,
        })
    }

    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets the names; a lone `interviewer_name` also becomes the name in the meeting.
    pub fn apply_config(&self, config: &mut SessionConfig) {
        let teams = self
            .teams_interviewer_name
            .as_ref()
            .or(self.interviewer_name.as_ref());
        if let Some(name) = teams {
            config.teams_interviewer_name = Some(name.clone());
        }
        if let Some(name) = &self.interviewer_name {
            config.interviewer_name = Some(name.clone());
        }
    }

    /// Replaces the roster, when it names anybody.
    pub fn apply_roster(&self, roster: &mut Option<Vec<RosterEntry>>) {
        if !self.roster.is_empty() {
            *roster = Some(self.roster.clone());
        }
    }

    /// Both.
    pub fn apply(&self, state: &mut ConfigState) {
        self.apply_config(&mut state.config);
        self.apply_roster(&mut state.roster);
    }
}

impl ConfigState {
    /// Merges config and roster of `updated_state`, an answer of the inference service to a request
    /// that was made when `sent` was stored; true if that changed anything.
    ///
    /// Field by field: one is taken over if the answer changed it and nobody else did meanwhile, so
    /// that a late answer never undoes what somebody set while it was made. `sent` is what was stored,
    /// not what the request said instead of it: a request's own roster that the answer repeats is a
    /// change, and stays. What is missing, null, blank, ill-formed or too much changes nothing. A
    /// roster is taken whole or not at all, and is never emptied.
    pub fn merge(&mut self, sent: &Self, updated_state: &Value) -> bool {
        let mut has_changed = false;
        if let Some(roster) = updated_state.get("roster").and_then(whole_roster) {
            let stored = self.roster.as_deref().unwrap_or_default();
            let sent = sent.roster.as_deref().unwrap_or_default();
            if same_people(stored, sent) && !same_people(&roster, sent) {
                self.roster = Some(roster);
                has_changed = true;
            }
        }
        let config = updated_state.get("config");
        let fields = [
            (
                "teams_interviewer_name",
                &mut self.config.teams_interviewer_name,
                &sent.config.teams_interviewer_name,
            ),
            (
                "interviewer_name",
                &mut self.config.interviewer_name,
                &sent.config.interviewer_name,
            ),
        ];
        for (field, stored, sent) in fields {
            let answered = config
                .and_then(|config| js::non_blank_string(config.get(field)?))
                .filter(|name| js::utf16_len(&normal(name)) <= MAX_NAME);
            let is_sent = |name: &str| sent.as_deref().is_some_and(|sent| is_same_text(sent, name));
            let is_new = answered.is_some_and(|name| !is_sent(name));
            if is_new && *stored == *sent {
                *stored = answered.map(|name| normal(name).into_owned());
                has_changed = true;
            }
        }
        has_changed
    }
}

/// A roster of an answer; none if it is empty, too long or has an entry that names nobody or is too long.
fn whole_roster(given: &Value) -> Option<Vec<RosterEntry>> {
    let entries = given.as_array()?;
    if entries.is_empty() || entries.len() > MAX_ROSTER {
        return None;
    }
    entries
        .iter()
        .map(|given| {
            let entry = roster_entry(given)?.bounded().ok()?;
            // An answer keeps the form in which the entry is stored or came with the request.
            let email = entry.email.filter(|_| given.get("email").is_some());
            Some(RosterEntry { email, ..entry })
        })
        .collect()
}

/// Whether two rosters say the same: a service that answers `"email":null` for a lone name changed
/// nothing.
fn same_people(some: &[RosterEntry], others: &[RosterEntry]) -> bool {
    let email = |entry: &RosterEntry| entry.email.clone().flatten();
    some.len() == others.len()
        && some
            .iter()
            .zip(others)
            .all(|(one, other)| is_same_text(&one.name, &other.name) && email(one) == email(other))
}

/// The text, if it is no longer than `most` UTF-16 units.
fn bounded<'a>(field: &'static str, text: &'a str, most: usize) -> Result<&'a str, BadConfig> {
    match js::utf16_len(text) {
        units if units <= most => Ok(text),
        units => Err(BadConfig::TextTooLong { field, most, units }),
    }
}

impl RosterEntry {
    /// The entry, if its texts are no longer than they may be.
    fn bounded(self) -> Result<Self, BadConfig> {
        bounded("teams_participants[].name", &self.name, MAX_NAME)?;
        if let Some(Some(email)) = &self.email {
            bounded("teams_participants[].email", email, MAX_EMAIL)?;
        }
        Ok(self)
    }
}

fn roster_entry(given: &Value) -> Option<RosterEntry> {
    if let Some(name) = js::non_blank_string(given) {
        return Some(RosterEntry {
            name: normal(name).into_owned(),
            email: None,
        });
    }
    Some(RosterEntry {
        name: normal(js::non_blank_string(given.get("name")?)?).into_owned(),
        email: Some(
            given
                .get("email")
                .and_then(js::non_blank_string)
                .map(std::borrow::ToOwned::to_owned),
        ),
    })
}

/// The answer to `POST config`.
#[derive(Debug, Serialize)]
pub struct ConfigAnswer<'a> {
    session_id: &'a str,
    roster_count: usize,
    config: &'a SessionConfig,
    roster: &'a [RosterEntry],
}

impl<'a> ConfigAnswer<'a> {
    /// From what is stored after the change.
    pub fn new(session: &'a SessionId, state: &'a ConfigState) -> Self {
        let roster = state.roster.as_deref().unwrap_or_default();
        Self {
            session_id: session.as_str(),
            roster_count: roster.len(),
            config: &state.config,
            roster,
        }
    }
}
