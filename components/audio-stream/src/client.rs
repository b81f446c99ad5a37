//! The frames of a client and their answers. Nothing is sent from here: answers wait in the outbox
//! until what they say is stored.

use std::time::Instant;

use interview_doors::{AuthFrame, Denied, auth_ok};
use interview_session::capture::{CapturePatch, CaptureRecord, capture_by_stream};
use interview_session::config::ConfigPatch;
use interview_session::frame::{ChunkFrame, ClientFrame, Incoming, parse_frame};
use interview_session::ingest::{Decision, IngestRecord};
use interview_session::pace::{CONTROL_AHEAD_MS, control_cost_ms};
use interview_session::reply::{Ack, CaptureAck, Closing, ErrorReply, Pong, Ready, Status};
use interview_session::role::{ByRole, StreamRole};
use interview_session::seq::Seq;
use interview_session::stored::{self, Damaged, to_json};
use interview_session::storing::NotStored;

use crate::bindings::interview::gateway::finalization;
use crate::bindings::interview::gateway::session_state;
use crate::bindings::realtime::sockets::sockets;
use crate::bindings::realtime::sockets::types::Payload;
use crate::doors;
use crate::figures::ChunkStatus;
use crate::roles;
use crate::stream::Stream;

impl Stream<'_> {
    /// Serves one frame: exactly one answer, an error frame if need be.
    pub async fn client_frame(&mut self, socket: &str, payload: &Payload) -> Result<(), String> {
        if let Some(frame) = doors::auth_frame(payload)? {
            self.control_frames += 1;
            self.shown_again(socket, &frame)?;
            return Ok(());
        }
        let incoming = match payload {
            Payload::Text(text) => Incoming::Text(text),
            Payload::Binary(bytes) => Incoming::Binary(bytes),
        };
        let parsed = parse_frame(incoming, self.session, self.role);
        if !matches!(parsed, Ok(ClientFrame::Chunk(_))) {
            self.control_frames += 1;
        }
        // Before anything is made of it: a frame that is refused costs no less than one that is not.
        let is_paced = match &parsed {
            Ok(ClientFrame::Chunk(_)) | Err(_) => true,
            Ok(ClientFrame::Hello { config, .. }) => config.is_some(),
            Ok(_) => false,
        };
        if is_paced {
            self.wait_ms = self.ingest.paced(self.settings.pace, self.now);
        }
        let answer = match parsed {
            Err(error) => Err(error.to_string()),
            Ok(ClientFrame::Ping) => Ok(Pong::new(self.role, self.now).to_json()),
            Ok(ClientFrame::Status) => self
                .ingest_by_stream()
                .map(|ingest| Status::new(self.session, self.role, &ingest).to_json()),
            // What it asks for is the session's, not its stream's.
            Ok(ClientFrame::Hello { config, subscribe })
                if (config.is_some() || subscribe.is_some()) && self.clients.is_narrow(socket) =>
            {
                doors::count(Denied::Forbidden.reason());
                Err(Denied::Forbidden.to_string())
            }
            Ok(ClientFrame::Hello { config, subscribe }) => {
                if let Some(subscription) = subscribe {
                    self.nudges.subscribe(socket, subscription);
                }
                self.hello(config.as_ref())
            }
            Ok(ClientFrame::CaptureStatus(patch)) => self.capture(&patch),
            Ok(ClientFrame::Chunk(chunk)) => self.chunk(&chunk).await,
            Ok(ClientFrame::Close { reason }) => {
                let answer = Closing::new(self.role, &reason).to_json();
                self.outbox.push(socket, answer);
                self.outbox.close(socket, &reason);
                // One that is only lost is expected back, in the same task.
                self.has_ended = !self
                    .clients
                    .has_others(|other| self.outbox.is_closing(other));
                return Ok(());
            }
        };
        if is_paced {
            self.hold_back(socket, answer.is_ok());
        }
        let answer = answer.unwrap_or_else(|detail| ErrorReply::new(detail).to_json());
        self.outbox.push(socket, answer);
        Ok(())
    }

    /// One that is in shows a key all the same, as some clients always do.
    fn shown_again(&mut self, socket: &str, frame: &AuthFrame<'_>) -> Result<(), String> {
        let shown = doors::grant(frame)?;
        match shown.and_then(|grant| grant.allows_stream(self.session, self.role)) {
            Ok(()) => self.outbox.push(socket, auth_ok().to_owned()),
            Err(denied) => {
                self.clients.remove(socket);
                doors::count(denied.reason());
                // What it was before is acknowledged first.
                self.outbox.turn_away(socket);
            }
        }
        Ok(())
    }

    /// Leaves a client unread that sends faster than its stream may. What came is remembered, unless there is
    /// no session: a frame that is refused does not begin one.
    fn hold_back(&mut self, socket: &str, is_served: bool) {
        let is_kept = is_served || !self.changes.creates_session || self.changes.ingest.is_some();
        match is_kept {
            true => self.changes.ingest = Some(self.ingest.to_document()),
            false => {
                self.wait_ms = self.ingest.wait_ms(self.settings.pace.unkept(), self.now);
            }
        }
        let wait_ms = std::mem::take(&mut self.wait_ms);
        if wait_ms > 0 {
            self.counted.held_back();
            // One that is gone sends nothing more.
            let _ = sockets::pause(socket, wait_ms);
        }
    }

    /// Leaves a client unread for a while that sends more of what is no chunk than its stream is to be
    /// looked at for: answers are cheap, but each batch costs as much as one with audio.
    pub fn charge_control_frames(&mut self, socket: &str) {
        let cost_ms = control_cost_ms(std::mem::take(&mut self.control_frames));
        if cost_ms == 0 {
            return;
        }
        // One that is gone sends nothing more.
        if sockets::charge(socket, cost_ms, CONTROL_AHEAD_MS).is_ok_and(|pause| pause > 0) {
            self.counted.left_unread();
        }
    }

    async fn chunk(&mut self, chunk: &ChunkFrame<'_>) -> Result<String, String> {
        match self.ingest.decide(chunk.seq) {
            Decision::Refuse(refusal) => {
                self.counted.chunk(ChunkStatus::Refused);
                Err(refusal.to_string())
            }
            Decision::Duplicate(seq) => {
                self.ingest.duplicate(self.now);
                self.counted.chunk(ChunkStatus::Duplicate);
                Ok(Ack::duplicate(self.role, seq, &self.ingest).to_json())
            }
            Decision::Store(seq) => self.store(chunk, seq).await,
            Decision::FillGap(seq) => {
                let ack = self.store(chunk, seq).await?;
                self.windows.late(seq.get());
                Ok(ack)
            }
        }
    }

    async fn store(&mut self, chunk: &ChunkFrame<'_>, seq: Seq) -> Result<String, String> {
        let pcm = chunk.decode().map_err(|error| {
            self.counted.chunk(ChunkStatus::Refused);
            error.to_string()
        })?;
        if let Some(why) = self.storing.ends() {
            self.counted.chunk(ChunkStatus::Failed);
            return Err(why.detail(seq));
        }
        let fresh = self.settings.bridge.enabled.then(|| pcm.clone());
        let object = finalization::Chunk {
            session: self.session.as_str().into(),
            role: roles::wit(self.role),
            seq: seq.get(),
            meeting_id: chunk.meeting_id.to_string(),
            timestamp_ms: chunk.timestamp_ms,
        };
        let began = Instant::now();
        let put = finalization::put_chunk(object, pcm).await;
        self.storing.took(began.elapsed());
        let key = put.map_err(|error| {
            let why = match &error {
                finalization::Error::Full(_) => NotStored::Full,
                finalization::Error::Unavailable(_) | finalization::Error::Refused(_) => {
                    NotStored::Failed
                }
            };
            if !matches!(error, finalization::Error::Refused(_)) {
                self.storing.failed(why);
            }
            self.counted.chunk(ChunkStatus::Failed);
            self.log(&format!("chunk {seq} could not be stored: {error:?}"));
            why.detail(seq)
        })?;
        // Only now: what is not stored is not sent to the ASR service either.
        if let Some(pcm) = fresh {
            self.fresh.insert(seq, pcm);
        }
        self.put.push(seq);
        self.ingest.stored(seq, self.now);
        self.counted.chunk(ChunkStatus::Stored);
        self.stored.push(seq.get());
        Ok(Ack::stored(self.role, seq, &key, &self.ingest).to_json())
    }

    fn hello(&mut self, config: Option<&ConfigPatch>) -> Result<String, String> {
        if let Some(patch) = config {
            session_state::apply_config(self.session.as_str(), self.now.0, &to_json(patch))
                .map_err(|error| self.unavailable(&error))?;
            self.changes.creates_session = false;
        }
        let ingest = self.ingest_by_stream()?;
        Ok(Ready::new(self.session, self.role, &ingest).to_json())
    }

    fn capture(&mut self, patch: &CapturePatch) -> Result<String, String> {
        // Once for a batch.
        let mut stored = match self.captures.take() {
            Some(stored) => stored,
            None => ByRole::try_new(|role| self.stored_capture(role))?,
        };
        // What `mixed` says of itself is set in what the other two make of it.
        let mut record = capture_by_stream(stored.clone(), self.never)
            .get(self.role)
            .clone();
        patch.apply(&mut record, self.now);
        *stored.get_mut(self.role) = Some(record.clone());
        self.captures = Some(stored);
        self.changes.capture = Some(to_json(&record));
        Ok(CaptureAck::new(self.role, &record).to_json())
    }

    fn stored_capture(&self, role: StreamRole) -> Result<Option<CaptureRecord>, String> {
        let document = match &self.changes.capture {
            Some(document) if role == self.role => Some(document.clone()),
            _ => session_state::load_capture(self.session.as_str(), roles::wit(role))
                .map_err(|error| self.unavailable(&error))?,
        };
        let read = |text: String| {
            let record = stored::read("capture", &text);
            record.map_err(|error| self.damaged(&error))
        };
        document.map(read).transpose()
    }

    /// The records of all three streams: this one's as this batch has it, the others' as they were when it
    /// first asked.
    fn ingest_by_stream(&mut self) -> Result<ByRole<IngestRecord>, String> {
        let mut all = match self.others.take() {
            Some(others) => others,
            None => self.load_others()?,
        };
        *all.get_mut(self.role) = self.ingest.clone();
        self.others = Some(all.clone());
        Ok(all)
    }

    fn load_others(&self) -> Result<ByRole<IngestRecord>, String> {
        ByRole::try_new(|role: StreamRole| {
            if role == self.role {
                return Ok(self.ingest.clone());
            }
            let records = session_state::load_stream(self.session.as_str(), roles::wit(role))
                .map_err(|error| self.unavailable(&error))?;
            IngestRecord::load(records.ingest.as_deref(), self.never)
                .map_err(|error| self.damaged(&error))
        })
    }

    fn unavailable(&self, error: &session_state::Error) -> String {
        self.log(&format!("the session state: {error:?}"));
        "the session state is unavailable: try again".into()
    }

    fn damaged(&self, error: &Damaged) -> String {
        self.log(&error.to_string());
        "the session state is damaged: the gateway's operator finds in its log what it is".into()
    }
}
