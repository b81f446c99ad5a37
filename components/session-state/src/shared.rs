//! What several writers share: config with roster, and clusters with bindings. Each record carries
//! the time of its last change and is changed by field, inside a compare-and-swap.

use interview_session::config::{ConfigPatch, ConfigState};
use interview_session::session_document::session_document;
use interview_session::speakers::SpeakerState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::exports::interview::gateway::session_state::Error;
use crate::damaged;

/// A shared record and when it was last changed, epoch ms.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    updated_at: u64,
    value: T,
}

/// A record to store, if any, and what to tell the caller.
type Change<T> = Result<(Option<String>, T), Error>;

/// Both records as one document, and when either was last changed.
pub fn document(
    config: Option<&str>,
    speakers: Option<&str>,
) -> Result<(String, Option<u64>), Error> {
    let people = read::<ConfigState>("config", config)?;
    let speakers = read::<SpeakerState>("speakers", speakers)?;
    let changed_at = people
        .iter()
        .map(|r| r.updated_at)
        .chain(speakers.iter().map(|r| r.updated_at));
    let changed_at = changed_at.max();
    let people = people.map(|record| record.value).unwrap_or_default();
    let speakers = speakers.map(|record| record.value).unwrap_or_default();
    Ok((session_document(people, speakers).to_document(), changed_at))
}

/// Sets the fields that `patch` names; the answer is `{config, roster}` as it is now.
pub fn apply_config(current: Option<&str>, patch: &str, now: u64) -> Change<String> {
    let patch = ConfigPatch::from_body(patch.as_bytes()).map_err(|e| damaged("patch", e))?;
    let mut people = read::<ConfigState>("config", current)?
        .map(|r| r.value)
        .unwrap_or_default();
    let before = people.clone();
    patch.apply(&mut people);
    let answer = write(&people)?;
    if people == before && current.is_some() {
        return Ok((None, answer));
    }
    Ok((
        Some(write(&Record {
            updated_at: now,
            value: people,
        })?),
        answer,
    ))
}

/// Merges the clusters and bindings of an answer of the inference service.
pub fn merge_speakers(current: Option<&str>, updated_state: &str, now: u64) -> Change<()> {
    let updated: Value =
        serde_json::from_str(updated_state).map_err(|e| damaged("updated state", e))?;
    let stored = read::<SpeakerState>("speakers", current)?;
    let mut speakers = stored.map(|record| record.value).unwrap_or_default();
    if !speakers.merge(&updated) {
        return Ok((None, ()));
    }
    Ok((
        Some(write(&Record {
            updated_at: now,
            value: speakers,
        })?),
        (),
    ))
}

fn read<T: serde::de::DeserializeOwned>(
    what: &str,
    stored: Option<&str>,
) -> Result<Option<Record<T>>, Error> {
    let parse = |text| serde_json::from_str(text).map_err(|error| damaged(what, error));
    stored.map(parse).transpose()
}

fn write<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| damaged("record", error))
}
