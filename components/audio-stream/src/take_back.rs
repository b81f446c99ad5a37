//! Seconds that were put into the blob store for a session that was deleted meanwhile, by way of another host:
//! no record names them, and they are to go. That is seen in a batch that may write nothing any more, and
//! done in one that may: the stream is taken back first. What another host is putting under the same keys
//! at that moment, for a session that has the id now, is in no record yet; its commit is then refused,
//! and nobody is told that it is stored.

use interview_session::lane::LaneMessage;
use interview_session::seq::Seq;

use crate::bindings::interview::gateway::{finalization, session_state};
use crate::bindings::realtime::sockets::lanes;
use crate::roles;
use crate::stream::Stream;

impl Stream<'_> {
    /// Asks for the seconds to be removed that this batch, which failed, has put, if the session that they were
    /// put for is not there any more. One that is there keeps them, to be written over with the same when they
    /// are sent again. Where there was no session yet, nobody deleted one.
    pub fn ask_to_take_back(&self) {
        let Some(of) = self.created_at else {
            return;
        };
        if self.put.is_empty() {
            return;
        }
        let records = match session_state::load_stream(self.session.as_str(), roles::wit(self.role))
        {
            Ok(records) => records,
            Err(error) => {
                return self.log(&format!("seconds stay that no record names: {error:?}"));
            }
        };
        if records.created_at == Some(of) {
            return;
        }
        let seconds = self.put.iter().map(|seq| seq.get()).collect();
        let message = LaneMessage::TakeBack { of, seconds };
        if let Err(error) = lanes::post(&self.lane(), &message.to_body()) {
            self.log(&format!(
                "seconds of a deleted session stay, which a DELETE of the session removes: {error:?}"
            ));
        }
    }

    /// Removes these seconds of a session that began then, but those that a session has that is there now.
    pub async fn take_back(&self, of: u64, seconds: Vec<u32>) {
        if self.created_at == Some(of) {
            return;
        }
        for seq in seconds.into_iter().filter_map(Seq::new) {
            if self.ingest.is_stored(seq) {
                self.log(&format!(
                    "second {seq} of a deleted session was stored over one of the session that has its id now"
                ));
                continue;
            }
            let (session, role) = (self.session.as_str().into(), roles::wit(self.role));
            if let Err(error) = finalization::delete_chunk(session, role, seq.get()).await {
                self.log(&format!(
                    "second {seq} of a deleted session stays, which a DELETE of the session removes: {error:?}"
                ));
            }
        }
    }
}
