//! Leaf component: chunks and `result.json` in the blob store. It knows their keys, content types
//! and metadata; what is in `result.json` is decided by who asks for it.

use bindings::exports::interview::gateway::finalization as wit;
use bindings::interview::gateway::blob_store as blobs;
use bindings::interview::gateway::types as wit_types;
use interview_session::id::SessionId;
use interview_session::keys;
use interview_session::role::StreamRole;
use interview_session::seq::Seq;
use wit::Error;

#[allow(missing_docs, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/finalizer",
        generate_all,
    });
    use super::Finalizer;
    export!(Finalizer);
}

/// Bytes of `result.json` that are read at a time.
const MAX_READ: u32 = 1 << 20;

struct Finalizer;

/// `result.json` on its way.
struct ResultWriter {
    key: String,
    upload: blobs::Upload,
}

impl wit::GuestResultWriter for ResultWriter {
    async fn write(&self, text: String) -> Result<(), Error> {
        self.upload.write(text.into_bytes()).await.map_err(error)
    }

    async fn finish(&self) -> Result<String, Error> {
        self.upload.finish().await.map_err(error)?;
        Ok(self.key.clone())
    }
}

impl wit::Guest for Finalizer {
    async fn put_chunk(chunk: wit::Chunk, pcm: Vec<u8>) -> Result<String, Error> {
        let (session, role, seq) = (session(&chunk.session)?, role(chunk.role), seq(chunk.seq)?);
        let key = keys::chunk_key(&session, role, seq);
        let object = blobs::Object {
            content: pcm,
            content_type: keys::CHUNK_CONTENT_TYPE.into(),
            metadata: keys::chunk_metadata(
                &session,
                role,
                &chunk.meeting_id,
                seq,
                chunk.timestamp_ms,
            ),
        };
        blobs::put(key.clone(), object).await.map_err(error)?;
        Ok(key)
    }

    async fn delete_chunk(
        session_id: String,
        role: wit_types::StreamRole,
        seq: u32,
    ) -> Result<(), Error> {
        let key = keys::chunk_key(&session(&session_id)?, self::role(role), self::seq(seq)?);
        blobs::delete(key).await.map_err(error)
    }

    async fn get_chunk(
        session_id: String,
        role: wit_types::StreamRole,
        seq: u32,
    ) -> Result<Option<Vec<u8>>, Error> {
        let key = keys::chunk_key(&session(&session_id)?, self::role(role), self::seq(seq)?);
        blobs::get_content(key).await.map_err(error)
    }

    type ResultWriter = ResultWriter;

    async fn begin_result(session_id: String) -> Result<wit::ResultWriter, Error> {
        let key = keys::result_key(&session(&session_id)?);
        let content_type = keys::RESULT_CONTENT_TYPE.into();
        let upload = blobs::begin(key.clone(), content_type, Vec::new())
            .await
            .map_err(error)?;
        Ok(wit::ResultWriter::new(ResultWriter { key, upload }))
    }

    async fn find_result(session_id: String) -> Result<Option<wit::ResultFile>, Error> {
        let key = keys::result_key(&session(&session_id)?);
        let found = blobs::head(key).await.map_err(error)?;
        Ok(found.map(|stored| wit::ResultFile {
            size: stored.size,
            version: stored.version,
        }))
    }

    async fn read_result(
        session_id: String,
        version: String,
        offset: u64,
        length: u32,
    ) -> Result<Option<Vec<u8>>, Error> {
        let key = keys::result_key(&session(&session_id)?);
        let length = length.min(MAX_READ);
        blobs::get_range(key, version, offset, length)
            .await
            .map_err(error)
    }

    async fn delete_objects(session_id: String) -> Result<u32, Error> {
        let prefix = keys::session_prefix(&session(&session_id)?);
        blobs::delete_all(prefix).await.map_err(error)
    }
}

fn session(id: &str) -> Result<SessionId, Error> {
    SessionId::parse(id).map_err(|why| Error::Refused(why.to_string()))
}

fn seq(seq: u32) -> Result<Seq, Error> {
    Seq::new(seq).ok_or_else(|| Error::Refused("a chunk's seq counts from 1".into()))
}

fn role(role: wit_types::StreamRole) -> StreamRole {
    match role {
        wit_types::StreamRole::Mixed => StreamRole::Mixed,
        wit_types::StreamRole::Teacher => StreamRole::Teacher,
        wit_types::StreamRole::Students => StreamRole::Students,
    }
}

fn error(error: blobs::Error) -> Error {
    match error {
        blobs::Error::Unavailable(why) => Error::Unavailable(why),
        blobs::Error::Full(why) => Error::Full(why),
        blobs::Error::Refused(why) => Error::Refused(why),
    }
}
