//! `GET result`: `result.json` as it was written; that of a long session piece by piece.

use bytes::Bytes;
use futures::stream::{Stream, unfold};
use interview_session::error::ApiError;
use interview_session::id::SessionId;

use crate::answer::{self, Answer};
use crate::bindings::interview::gateway::finalization::{self, ResultFile};

/// Bytes that are read at a time.
const PIECE: u32 = 1 << 20;

/// How often it is looked for when it is written again while it is read.
const TRIES: u32 = 3;

pub async fn result(id: &SessionId) -> Result<Answer, ApiError> {
    for _ in 0..TRIES {
        let found = finalization::find_result(id.as_str().into()).await;
        let Some(file) = found.map_err(|error| unreadable(id, error))? else {
            return Err(ApiError::no_result());
        };
        let first = read(id, &file, 0).await;
        let Some(first) = first.map_err(|error| unreadable(id, error))? else {
            continue;
        };
        let size = file.size;
        let rest = pieces(id.clone(), file, first);
        return Ok(answer::streamed_whole(size, rest));
    }
    Err(ApiError::new(
        503,
        "result.json is being written: try again",
    ))
}

/// The first piece and those after it. When one cannot be read the body ends, short of the length that
/// was announced: the client sees that it is not whole.
fn pieces(id: SessionId, file: ResultFile, first: Bytes) -> impl Stream<Item = Bytes> {
    unfold((0, Some(first)), move |(offset, ready)| {
        let (id, file) = (id.clone(), file.clone());
        async move {
            let piece = match ready {
                Some(piece) => piece,
                None if offset >= file.size => return None,
                None => match read(&id, &file, offset).await {
                    Ok(Some(piece)) => piece,
                    Ok(None) => {
                        eprintln!("session={id} result.json was written again while it was sent");
                        return None;
                    }
                    Err(error) => {
                        eprintln!("session={id} result.json cannot be read on: {error:?}");
                        return None;
                    }
                },
            };
            let next = offset + piece.len() as u64;
            (!piece.is_empty()).then_some((piece, (next, None)))
        }
    })
}

async fn read(
    id: &SessionId,
    file: &ResultFile,
    offset: u64,
) -> Result<Option<Bytes>, finalization::Error> {
    let session = id.as_str().into();
    let version = file.version.clone();
    let piece = finalization::read_result(session, version, offset, PIECE).await?;
    Ok(piece.map(Bytes::from))
}

fn unreadable(id: &SessionId, error: finalization::Error) -> ApiError {
    match error {
        finalization::Error::Unavailable(why) | finalization::Error::Full(why) => {
            eprintln!("session={id} result.json cannot be read: {why}");
            ApiError::new(503, "result.json cannot be read: try again")
        }
        finalization::Error::Refused(why) => {
            let detail = "the blob store refuses to give result.json, and asking again does not help: the \
                          gateway's operator finds in its log why";
            ApiError::failed(detail, format!("session={id} {why}"))
        }
    }
}
