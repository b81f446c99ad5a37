//! The fields of a client frame, as raw JSON that borrows from the frame's text.

use std::borrow::Cow;
use std::fmt;

use bounded_json::{OF_CLIENTS, Refused, TooMuch};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::FrameError;
use crate::js;

/// What frames can carry, unparsed. Of a name that comes twice the last one counts, as in JavaScript.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub kind: Option<&'a RawValue>,
    pub stream_role: Option<&'a RawValue>,
    pub meeting_id: Option<&'a RawValue>,
    pub seq: Option<&'a RawValue>,
    pub timestamp_ms: Option<&'a RawValue>,
    pub sample_rate: Option<&'a RawValue>,
    pub channels: Option<&'a RawValue>,
    pub format: Option<&'a RawValue>,
    pub content_b64: Option<&'a RawValue>,
    pub payload: Option<&'a RawValue>,
    pub reason: Option<&'a RawValue>,
    pub interviewer_name: Option<&'a RawValue>,
    pub teams_interviewer_name: Option<&'a RawValue>,
    pub teams_participants: Option<&'a RawValue>,
    pub subscribe: Option<&'a RawValue>,
    pub after: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    pub fn parse(text: &'a str) -> Result<Self, FrameError> {
        let first = text
            .bytes()
            .find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        if first == Some(b'{') {
            let fields = serde_json::from_str(text).map_err(|_| FrameError::NotJson)?;
            // In what nobody reads, serde_json lets half a pair pass.
            return match js::has_lone_surrogate(text) {
                true => Err(FrameError::NotJson),
                false => Ok(fields),
            };
        }
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| FrameError::NotJson)?;
        if js::has_lone_surrogate(text) {
            return Err(FrameError::NotJson);
        }
        match first {
            // An array is an object without fields.
            Some(b'[') => Ok(Self::default()),
            _ => Err(FrameError::NotObject),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
            type Value = Fields<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'a>, M::Error> {
                let mut fields = Fields::default();
                while let Some(Name(name)) = map.next_key()? {
                    let field = match &*name {
                        "type" => &mut fields.kind,
                        "stream_role" => &mut fields.stream_role,
                        "meeting_id" => &mut fields.meeting_id,
                        "seq" => &mut fields.seq,
                        "timestamp_ms" => &mut fields.timestamp_ms,
                        "sample_rate" => &mut fields.sample_rate,
                        "channels" => &mut fields.channels,
                        "format" => &mut fields.format,
                        "content_b64" => &mut fields.content_b64,
                        "payload" => &mut fields.payload,
                        "reason" => &mut fields.reason,
                        "interviewer_name" => &mut fields.interviewer_name,
                        "teams_interviewer_name" => &mut fields.teams_interviewer_name,
                        "teams_participants" => &mut fields.teams_participants,
                        "subscribe" => &mut fields.subscribe,
                        "after" => &mut fields.after,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *field = Some(map.next_value()?);
                }
                Ok(fields)
            }
        }

        from.deserialize_map(Object(std::marker::PhantomData))
    }
}

/// A name, borrowed unless it is written with escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Text<'a> {
            type Value = Name<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'a>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'a>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_str(Text(std::marker::PhantomData))
    }
}

pub(super) fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// The inside of a JSON string, escapes and all; none for any other value.
pub(super) fn quoted(raw: &RawValue) -> Option<&str> {
    raw.get().strip_prefix('"')?.strip_suffix('"')
}

/// A JSON string's text, copied only if it is written with escapes; none for any other value.
pub(super) fn string(raw: &RawValue) -> Result<Option<Cow<'_, str>>, FrameError> {
    match quoted(raw) {
        None => Ok(None),
        Some(inside) if !inside.as_bytes().contains(&b'\\') => Ok(Some(Cow::Borrowed(inside))),
        Some(_) => serde_json::from_str(raw.get())
            .map(|text: String| Some(Cow::Owned(text)))
            .map_err(|_| FrameError::NotJson),
    }
}

/// The whole value, if it holds no more than a client may send. serde_json refuses half a surrogate pair
/// and 128 levels of nesting.
pub(super) fn value(raw: &RawValue) -> Result<Value, FrameError> {
    match bounded_json::from_slice(raw.get().as_bytes(), OF_CLIENTS) {
        Ok(value) => Ok(value),
        Err(Refused::TooMuch(TooMuch::Depth) | Refused::NotJson(_)) => Err(FrameError::NotJson),
        Err(Refused::TooMuch(too_much)) => Err(FrameError::TooMuch(too_much)),
    }
}
