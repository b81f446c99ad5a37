//! What requests and other lanes ask of a stream: messages to its lane. Its records are its own, so
//! whoever wants them changed asks here.

use interview_session::lane::{ClientsAnswer, Done, LaneAnswer, LaneMessage, ResetAnswer};
use interview_session::stored::to_json;

use crate::bindings::interview::gateway::asr_bridge::{Connection, Input};
use crate::bindings::interview::gateway::session_state::{self, Identified, SpeakerEvent};
use crate::bindings::realtime::sockets::sockets;
use crate::bindings::realtime::sockets::types::Message;
use crate::changes::no_changes;
use crate::recognition::Bridge;
use crate::roles;
use crate::stream::Stream;
use crate::windows::Windows;

/// An orderly end.
const NORMAL: u16 = 1000;

impl Stream<'_> {
    pub async fn message(&mut self, message: Message) -> Result<(), String> {
        let parsed = LaneMessage::parse(&message.body);
        let Some(call) = message.call else {
            match parsed {
                Ok(LaneMessage::Resume {}) => self.resume(),
                Ok(LaneMessage::TakeBack { of, seconds }) => self.take_back(of, seconds).await,
                other => self.log(&format!("nobody awaits a message of a stream: {other:?}")),
            }
            return Ok(());
        };
        match parsed {
            Ok(LaneMessage::Flush {}) if self.settings.is_windowed() => self.windows.flush(&call),
            Ok(LaneMessage::Flush {}) => self.bridge.push(Input::Flush(call)),
            Ok(LaneMessage::RunWindow { flush }) => self.windows.run(&call, flush),
            Ok(LaneMessage::Clients {}) => {
                let connected = self.clients.connected();
                self.replies
                    .push(&call, ClientsAnswer { connected }.to_body());
            }
            // Of an utterance of a session that was deleted meanwhile.
            Ok(LaneMessage::SpeakerEvent {
                identified: Some(_),
                ..
            }) if self.changes.creates_session => self.replies.push(&call, Done {}.to_body()),
            Ok(LaneMessage::SpeakerEvent { event, identified }) => {
                self.changes.events.push(SpeakerEvent {
                    event: to_json(&event),
                    identified: identified.map(|identified| Identified {
                        life: identified.life,
                        index: identified.index,
                    }),
                });
                self.replies.push(&call, Done {}.to_body());
            }
            Ok(LaneMessage::Reset {}) => self.reset(&call).await?,
            Ok(LaneMessage::Delete {}) => self.delete(&call).await?,
            other => self.log(&format!("a message is not for a stream: {other:?}")),
        }
        Ok(())
    }

    /// Does what the timers of an earlier process, or of another host, would have done.
    pub fn resume(&mut self) {
        self.bridge.resume();
        self.windows.resume();
        if self.settings.is_windowed() {
            self.windows.look();
        }
    }

    /// Forgets transcript, backlog and connections; what came before in this batch is done first.
    async fn reset(&mut self, call: &str) -> Result<(), String> {
        self.turn().await?;
        self.bridge.push(Input::Reset);
        self.windows.reset();
        let actions = self.recognise()?;
        let window_actions = self.step_windows()?;
        self.set_timers(&actions, &window_actions);
        let removed = session_state::reset_stream(
            self.session.as_str(),
            roles::wit(self.role),
            self.now.0,
            self.bridge.state.as_deref(),
        )
        .map_err(|error| format!("the stream cannot be reset: {error:?}"))?;
        self.changes.bridge = None;
        self.changes.windows = None;
        self.windows = Windows::new(None);
        self.transcript = None;
        self.nudges.emptied();
        self.carry_out(actions).await;
        self.carry_out_windows(window_actions).await;
        self.nudges.send(self.session, self.role);
        let answer = ResetAnswer {
            removed_raw: removed.utterances,
            removed_merged: removed.merged,
            removed_events: removed.events,
        };
        self.replies.push(call, answer.to_body());
        Ok(())
    }

    /// Closes every socket and removes every record.
    async fn delete(&mut self, call: &str) -> Result<(), String> {
        self.turn().await?;
        self.bridge.push(Input::Reset);
        self.windows.reset();
        let actions = self.recognise()?;
        let window_actions = self.step_windows()?;
        self.carry_out(actions).await;
        self.carry_out_windows(window_actions).await;
        for client in self.clients.take_all() {
            let _ = sockets::close(&client.socket, NORMAL, "session deleted");
        }
        session_state::delete_stream(self.session.as_str(), roles::wit(self.role))
            .map_err(|error| format!("the stream cannot be deleted: {error:?}"))?;
        self.changes = no_changes();
        self.changes.creates_session = true;
        self.ingest = interview_session::ingest::IngestRecord::new(self.now);
        self.never = self.now;
        self.bridge = Bridge::new(None);
        self.windows = Windows::new(None);
        self.transcript = None;
        self.nudges.emptied();
        self.nudges.asr_state(Connection::Disconnected);
        self.replies.push(call, Done {}.to_body());
        Ok(())
    }
}
