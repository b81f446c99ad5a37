//! What each operation of S3 does with the buckets: those that this workspace uses; the others are
//! answered 501.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object as ListedObject, PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::objects::{Buckets, Condition, Object, Refusal};

/// Objects on a page of a list, at most.
const PAGE: i32 = 1000;

pub(crate) struct Operations(pub(crate) Arc<Buckets>);

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchBucket => s3_error!(NoSuchBucket),
            Refusal::NoSuchKey => s3_error!(NoSuchKey),
            Refusal::NoSuchUpload => s3_error!(NoSuchUpload),
            Refusal::PreconditionFailed => s3_error!(PreconditionFailed),
            Refusal::InvalidPart => s3_error!(InvalidPart),
            Refusal::EntityTooSmall => s3_error!(EntityTooSmall),
        }
    }
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.0.has_bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let condition = match (&input.if_none_match, &input.if_match) {
            (None, None) => Condition::Nothing,
            (Some(ETagCondition::Any), None) => Condition::Absent,
            (None, Some(ETagCondition::ETag(etag))) => Condition::Etag(etag.value().to_owned()),
            _ => return Err(s3_error!(NotImplemented)),
        };
        let object = Object {
            content: content(input.body, input.content_length).await?,
            content_type: input.content_type,
            metadata: input.metadata.into_iter().flatten().collect(),
        };
        let etag = self
            .0
            .put_if(&input.bucket, &input.key, object, &condition)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let object = self.0.find(&input.bucket, &input.key)?;
        check_match(input.if_match.as_ref(), &object)?;
        let size = object.content.len() as u64;
        let (content, content_range) = match input.range {
            None => (object.content.clone(), None),
            Some(range) => {
                let range = range.check(size)?;
                let shown = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                let (start, end) = (range.start as usize, range.end as usize);
                (object.content.slice(start..end), Some(shown))
            }
        };
        let length = i64::try_from(content.len()).map_err(|_| s3_error!(InternalError))?;
        let body = futures::stream::once(async move { Ok::<_, std::io::Error>(content) });
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(body)),
            content_length: Some(length),
            content_range,
            content_type: object.content_type.clone(),
            e_tag: Some(ETag::Strong(object.etag())),
            last_modified: Some(Timestamp::from(std::time::SystemTime::UNIX_EPOCH)),
            metadata: Some(object.metadata.into_iter().collect()),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let object = self.0.find(&input.bucket, &input.key)?;
        check_match(input.if_match.as_ref(), &object)?;
        let length = i64::try_from(object.content.len()).map_err(|_| s3_error!(InternalError))?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(length),
            content_type: object.content_type.clone(),
            e_tag: Some(ETag::Strong(object.etag())),
            last_modified: Some(Timestamp::from(std::time::SystemTime::UNIX_EPOCH)),
            metadata: Some(object.metadata.into_iter().collect()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.0.remove_objects(&input.bucket, &[input.key])?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let keys: Vec<String> = input
            .delete
            .objects
            .into_iter()
            .map(|object| object.key)
            .collect();
        if keys.len() > PAGE as usize {
            return Err(s3_error!(MalformedXML));
        }
        self.0.remove_objects(&input.bucket, &keys)?;
        let deleted = keys.into_iter().map(|key| DeletedObject {
            key: Some(key),
            ..DeletedObject::default()
        });
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted.collect()),
            ..DeleteObjectsOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        let is_encoded = input.encoding_type.is_some();
        let shown = |key: String| match is_encoded {
            true => utf8_percent_encode(&key, NON_ALPHANUMERIC).to_string(),
            false => key,
        };
        let limit = input.max_keys.unwrap_or(PAGE).clamp(0, PAGE);
        let prefix = input.prefix.clone().unwrap_or_default();
        // A page's token is the last key of the page before.
        let after = input.continuation_token.as_deref();
        let after = after.or(input.start_after.as_deref());
        let (found, more) = self.0.list(&input.bucket, &prefix, after, limit as usize)?;
        let next = found.last().map(|(key, _)| key.clone()).filter(|_| more);
        let contents: Vec<ListedObject> = found
            .into_iter()
            .map(|(key, size)| ListedObject {
                key: Some(shown(key)),
                size: i64::try_from(size).ok(),
                last_modified: Some(Timestamp::from(std::time::SystemTime::UNIX_EPOCH)),
                ..ListedObject::default()
            })
            .collect();
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len()).ok(),
            contents: Some(contents),
            encoding_type: input.encoding_type,
            is_truncated: Some(more),
            max_keys: Some(limit),
            name: Some(input.bucket),
            next_continuation_token: next,
            prefix: Some(prefix),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let description = Object {
            content: Bytes::new(),
            content_type: input.content_type,
            metadata: input.metadata.into_iter().flatten().collect(),
        };
        let id = self
            .0
            .begin_upload(&input.bucket, &input.key, description)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let content = content(input.body, input.content_length).await?;
        let etag = self
            .0
            .put_part(&input.upload_id, input.part_number, content)?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            ..UploadPartOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let parts = input.multipart_upload.and_then(|upload| upload.parts);
        let named: Option<Vec<(i32, String)>> = parts
            .unwrap_or_default()
            .into_iter()
            .map(|part| Some((part.part_number?, part.e_tag?.into_value())))
            .collect();
        let named = named.ok_or_else(|| s3_error!(MalformedXML))?;
        let (bucket, key, etag) = self.0.complete(&input.upload_id, &named)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(ETag::Strong(etag)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.0.abort(&request.input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

fn check_match(condition: Option<&ETagCondition>, object: &Object) -> S3Result<()> {
    match condition {
        None | Some(ETagCondition::Any) => Ok(()),
        Some(ETagCondition::ETag(etag)) if etag.value() == object.etag() => Ok(()),
        Some(ETagCondition::ETag(_)) => Err(s3_error!(PreconditionFailed)),
    }
}

/// The whole content of a request; one that was cut off is none.
async fn content(body: Option<StreamingBlob>, length: Option<i64>) -> S3Result<Bytes> {
    let mut content = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(piece) = body
            .try_next()
            .await
            .map_err(|_| s3_error!(IncompleteBody))?
        {
            content.extend_from_slice(&piece);
        }
    }
    let missing = length.is_some_and(|length| usize::try_from(length) != Ok(content.len()));
    if missing {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(content.freeze())
}
