//! What is stored beside an object's content.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use object_store::{Attribute, Attributes};
use s3_protocol::{MAX_MARK_BYTES, UPLOAD_MARK, encoded_word};
use serde::{Deserialize, Serialize};

use crate::BlobError;

/// The most bytes of an object's metadata, names and values together (S3's limit).
pub const MAX_METADATA_BYTES: usize = 2048;

/// The longest media type, in bytes.
pub const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// The media type of an object whose own was lost.
pub(crate) const UNKNOWN_CONTENT_TYPE: &str = "application/octet-stream";

/// Media type and metadata, in the form in which they are kept: a small JSON document.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Description {
    content_type: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl Description {
    /// What every store can keep of these: metadata that are too large or wrongly named are left
    /// out as a whole, with a warning, because the content is worth more than they are.
    ///
    /// # Errors
    /// The content type is none.
    pub(crate) fn new(
        key: &str,
        content_type: &str,
        metadata: &[(String, String)],
    ) -> Result<Self, BlobError> {
        if content_type.len() > MAX_CONTENT_TYPE_BYTES
            || HeaderValue::from_str(content_type).is_err()
        {
            return Err(BlobError::Refused(format!(
                "{content_type:?} is no content type"
            )));
        }
        let size: usize = metadata
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let named = metadata
            .iter()
            .all(|(name, _)| HeaderName::from_bytes(name.as_bytes()).is_ok());
        let kept = size <= MAX_METADATA_BYTES && named;
        if !kept {
            tracing::warn!(
                key,
                size,
                limit = MAX_METADATA_BYTES,
                "the object is stored without its metadata: they are too large, or a name has \
                 other characters than letters, digits, - and _"
            );
        }
        Ok(Self {
            content_type: content_type.to_owned(),
            metadata: metadata.iter().filter(|_| kept).cloned().collect(),
        })
    }

    pub(crate) fn lost() -> Self {
        Self {
            content_type: UNKNOWN_CONTENT_TYPE.to_owned(),
            metadata: BTreeMap::new(),
        }
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>, BlobError> {
        serde_json::to_vec(self).map_err(|error| BlobError::Refused(error.to_string()))
    }

    /// None if it is no such document: then it is as good as lost.
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// As S3 keeps them: headers, with values that no header can hold as encoded words. What is too
    /// large by that is left out as a whole.
    pub(crate) fn to_attributes(&self, key: &str) -> Attributes {
        self.within(MAX_METADATA_BYTES, key)
    }

    /// As [`Description::to_attributes`], with room left for the mark of an upload.
    pub(crate) fn to_attributes_beside_a_mark(&self, key: &str) -> Attributes {
        self.within(MAX_METADATA_BYTES - UPLOAD_MARK.len() - MAX_MARK_BYTES, key)
    }

    fn within(&self, limit: usize, key: &str) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, self.content_type.clone().into());
        let encoded: Vec<(String, String)> = self
            .metadata
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), encoded_word::encode(value)))
            .collect();
        let size: usize = encoded
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if size > limit {
            tracing::warn!(
                key,
                size,
                limit,
                "the object is stored without its metadata: they are too large for S3, which keeps \
                 ASCII only"
            );
            return attributes;
        }
        for (name, value) in encoded {
            attributes.insert(Attribute::Metadata(name.into()), value.into());
        }
        attributes
    }

    /// What S3 gave back.
    pub(crate) fn from_attributes(attributes: &Attributes) -> Self {
        let mut description = Self::lost();
        for (attribute, value) in attributes {
            match attribute {
                Attribute::ContentType => value.as_ref().clone_into(&mut description.content_type),
                Attribute::Metadata(name) if name != UPLOAD_MARK => {
                    let value = encoded_word::decode(value);
                    description
                        .metadata
                        .insert(name.clone().into_owned(), value);
                }
                _ => {}
            }
        }
        description
    }

    pub(crate) fn into_parts(self) -> (String, Vec<(String, String)>) {
        (self.content_type, self.metadata.into_iter().collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    fn describe(content_type: &str, metadata: &[(String, String)]) -> Option<Description> {
        Description::new("key", content_type, metadata).ok()
    }

    #[test]
    fn what_not_every_store_can_keep_is_left_out() {
        for kept in [
            vec![pair("session_id", "ü/\n")],
            vec![pair("n", &"v".repeat(2047))],
        ] {
            assert_eq!(describe("a/b", &kept).unwrap().into_parts().1, kept);
        }
        for lost in [
            vec![pair("n", &"v".repeat(MAX_METADATA_BYTES)), pair("m", "v")],
            vec![pair("", "v")],
            vec![pair("n n", "v"), pair("m", "v")],
        ] {
            assert_eq!(describe("a/b", &lost).unwrap().into_parts().1, []);
        }
    }

    #[test]
    fn the_content_type_is_one() {
        for right in ["audio/L16; rate=16000", &"a".repeat(MAX_CONTENT_TYPE_BYTES)] {
            assert_eq!(describe(right, &[]).unwrap().into_parts().0, right);
        }
        for wrong in ["a\nb", "a\0", &"a".repeat(MAX_CONTENT_TYPE_BYTES + 1)] {
            assert_eq!(describe(wrong, &[]), None);
        }
    }

    #[test]
    fn an_upload_has_room_for_its_mark() {
        let longest = MAX_METADATA_BYTES - UPLOAD_MARK.len() - MAX_MARK_BYTES;
        for (size, kept) in [(longest, 2), (longest + 1, 1)] {
            let description = describe("a/b", &[pair("n", &"v".repeat(size - 1))]).unwrap();
            let attributes = description.to_attributes_beside_a_mark("key");
            assert_eq!(attributes.len(), kept, "{size}");
        }
    }

    #[test]
    fn what_is_too_large_for_headers_only_is_left_out() {
        let wide = [pair("n", &"\u{fc}".repeat(900))];
        let description = describe("a/b", &wide).unwrap();
        assert_eq!(description.to_attributes("key").len(), 1);
        assert_eq!(description.into_parts().1, wide);
    }

    #[test]
    fn the_mark_of_an_upload_is_not_shown() {
        let mut attributes = describe("a/b", &[pair("n", "v")])
            .unwrap()
            .to_attributes("key");
        attributes.insert(Attribute::Metadata(UPLOAD_MARK.into()), "mark".into());
        let shown = Description::from_attributes(&attributes);
        assert_eq!(shown.into_parts().1, [pair("n", "v")]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            metadata in prop::collection::btree_map("[a-z_-]{1,8}", "\\PC{0,20}", 0..4),
        ) {
            let pairs: Vec<_> = metadata.into_iter().collect();
            let description = describe("a/b", &pairs).unwrap();
            let read = Description::from_json(&description.to_json().unwrap()).unwrap();
            prop_assert_eq!(read.into_parts(), ("a/b".to_owned(), pairs));
        }

        #[test]
        fn what_is_written_as_headers_is_read(
            metadata in prop::collection::btree_map("[a-z_-]{1,8}", "\\PC{0,20}|[ %\n\t]{0,3}", 0..4),
        ) {
            let pairs: Vec<_> = metadata.into_iter().collect();
            let attributes = describe("a/b", &pairs).unwrap().to_attributes("key");
            for (_, value) in &attributes {
                prop_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{value:?}");
            }
            let read = Description::from_attributes(&attributes);
            prop_assert_eq!(read.into_parts(), ("a/b".to_owned(), pairs));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Description::from_json(&bytes);
        }
    }
}
