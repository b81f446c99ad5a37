//! The PCM of stored seconds for the ASR service: from this batch where it just came in, else from
//! the blob store; silence where the client never sent it or where its text is final already.

use std::collections::BTreeMap;

use interview_session::frame::CHUNK_BYTES;
use interview_session::id::SessionId;
use interview_session::ingest::IngestRecord;
use interview_session::role::StreamRole;
use interview_session::seq::Seq;

use crate::bindings::interview::gateway::finalization;
use crate::roles;

/// Bytes of one millisecond: 16 samples of 2 bytes.
const BYTES_PER_MS: usize = 32;

/// Chunks that were stored in this batch.
#[derive(Default)]
pub struct FreshAudio(BTreeMap<u32, Vec<u8>>);

impl FreshAudio {
    pub fn insert(&mut self, seq: Seq, pcm: Vec<u8>) {
        self.0.insert(seq.get(), pcm);
    }

    /// One second, its first `mute_ms` silenced.
    pub async fn second(
        &mut self,
        session: &SessionId,
        role: StreamRole,
        ingest: &IngestRecord,
        second: u32,
        mute_ms: u32,
    ) -> Result<Vec<u8>, String> {
        let mut pcm = match self.0.remove(&second) {
            Some(pcm) => pcm,
            None => stored(session, role, ingest, second).await?,
        };
        let muted = (mute_ms as usize * BYTES_PER_MS).min(pcm.len());
        pcm[..muted].fill(0);
        Ok(pcm)
    }
}

async fn stored(
    session: &SessionId,
    role: StreamRole,
    ingest: &IngestRecord,
    second: u32,
) -> Result<Vec<u8>, String> {
    let silence = || vec![0; CHUNK_BYTES];
    if !Seq::new(second).is_some_and(|seq| ingest.is_stored(seq)) {
        return Ok(silence());
    }
    let chunk = finalization::get_chunk(session.as_str().into(), roles::wit(role), second).await;
    match chunk {
        Ok(Some(pcm)) => Ok(pcm),
        Ok(None) => {
            // Somebody removed it. The clock must stay true all the same.
            eprintln!(
                "session={session} role={role} chunk {second} is recorded but not in the blob store"
            );
            Ok(silence())
        }
        Err(error) => Err(format!("chunk {second} cannot be read: {error:?}")),
    }
}
