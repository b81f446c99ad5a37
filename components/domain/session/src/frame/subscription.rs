//! What a `hello` wants to be told: live frames of the whole session on this connection.

use serde_json::Value;
use serde_json::value::RawValue;

use super::FrameError;
use super::fields::{self, Fields};
use crate::lane::LiveKind;

/// What a client subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Each once. Empty: the client wants no live frames any more.
    pub kinds: Vec<LiveKind>,
    /// The last `live_seq` that the client has; none: from now on.
    pub after: Option<u64>,
}

impl Subscription {
    /// From the fields of a `hello`; null is as good as left out. None: it says nothing of live
    /// frames, and what was subscribed to stays. `after` is checked even then.
    pub(super) fn from_fields(fields: &Fields<'_>) -> Result<Option<Self>, FrameError> {
        let after = given(fields.after)?
            .map(|value| whole_number(&value).ok_or(FrameError::HelloAfter))
            .transpose()?;
        let kinds = given(fields.subscribe)?
            .map(|value| kinds(&value).ok_or(FrameError::HelloSubscribe))
            .transpose()?;
        Ok(kinds.map(|kinds| Self { kinds, after }))
    }
}

fn given(raw: Option<&RawValue>) -> Result<Option<Value>, FrameError> {
    raw.filter(|raw| !fields::is_null(raw))
        .map(fields::value)
        .transpose()
}

fn kinds(value: &Value) -> Option<Vec<LiveKind>> {
    let mut kinds = Vec::new();
    for name in value.as_array()? {
        let kind = match name.as_str()? {
            "utterances" => LiveKind::Utterances,
            "partials" => LiveKind::Partials,
            "events" => LiveKind::Events,
            _ => return None,
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Some(kinds)
}

/// As JavaScript has it: `5.0` and `1e3` are whole. One that does not fit is larger than any
/// `live_seq`, as the largest that fits is.
fn whole_number(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let number = value.as_f64()?;
    // The cast saturates.
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
}
