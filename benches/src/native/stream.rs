//! One batch of a stream's lane, natively: the same steps in the same order as the component's
//! `audio-stream/src/stream.rs`, with as many reads and writes of the stores.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use funasr::{Action, Input, Missing, Sentence, State};
use interview_session::asr::{AsrFigures, Emitted};
use interview_session::frame::{ClientFrame, Incoming, parse_frame};
use interview_session::id::SessionId;
use interview_session::ingest::{Decision, IngestRecord};
use interview_session::keys;
use interview_session::lane::Lane;
use interview_session::reply::Ack;
use interview_session::role::StreamRole;
use interview_session::seq::Seq;
use interview_session::stored::to_json;
use interview_session::time::EpochMs;
use interview_transcript::event::{KnownNames, teacher_event};
use interview_transcript::{FinalSentence, Merge, Utterance, merge_next};
use lanes::{Event, Payload, Target};

use super::Context;

/// The context of a client's socket.
pub const CLIENT: &str = "client";

struct Batch<'a> {
    context: &'a Context,
    session: SessionId,
    role: StreamRole,
    now: EpochMs,
    ingest: IngestRecord,
    writes: Vec<(String, Vec<u8>)>,
    answers: Vec<(lanes::SocketToken, Payload)>,
    fresh: BTreeMap<u32, Vec<u8>>,
    inputs: Vec<Input>,
}

pub async fn handle(context: &Context, lane: &str, events: Vec<Event>) -> anyhow::Result<()> {
    let Lane::Stream { session, role } = Lane::parse(lane)? else {
        return Ok(());
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = EpochMs(u64::try_from(since.as_millis())?);
    let wanted = ["created", "ingest", "bridge"].map(|kind| key(&session, role, kind));
    let mut records = texts(context.store.get_many(&wanted)?).into_iter();
    let (created, ingest, bridge) = (
        records.next().flatten(),
        records.next().flatten(),
        records.next().flatten(),
    );
    let mut batch = Batch {
        context,
        now,
        ingest: IngestRecord::load(ingest.as_deref(), now)?,
        writes: Vec::new(),
        answers: Vec::new(),
        fresh: BTreeMap::new(),
        inputs: Vec::new(),
        session,
        role,
    };
    if created.is_none() {
        batch.write("created", now.0.to_string());
    }
    for event in events {
        batch.take(event).await?;
    }
    batch.finish(lane, bridge.as_deref()).await
}

impl Batch<'_> {
    fn write(&mut self, kind: &str, document: String) {
        self.writes
            .push((key(&self.session, self.role, kind), document.into_bytes()));
    }

    async fn take(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Frames {
                socket,
                context,
                payloads,
                ..
            } if &*context == CLIENT => {
                for payload in payloads {
                    let answer = self.client_frame(&payload).await?;
                    self.answers
                        .push((socket.clone(), Payload::Text(answer.into())));
                }
            }
            Event::Frames {
                context, payloads, ..
            } => {
                for payload in payloads {
                    if let Payload::Text(text) = payload {
                        let task = context.to_string();
                        self.inputs.push(Input::Text {
                            task,
                            text: text.to_string(),
                        });
                    }
                }
            }
            Event::Opened { socket, context } => self.inputs.push(Input::Opened {
                task: context.to_string(),
                socket: socket.to_string(),
            }),
            Event::Closed { context, code, .. } if &*context != CLIENT => {
                let reason = String::new();
                self.inputs.push(Input::Closed {
                    task: context.to_string(),
                    code,
                    reason,
                });
            }
            Event::Timer { .. } => self.inputs.push(Input::Timer),
            _ => {}
        }
        Ok(())
    }

    async fn client_frame(&mut self, payload: &Payload) -> anyhow::Result<String> {
        let Payload::Text(text) = payload else {
            return Err(anyhow!("not text"));
        };
        let frame = parse_frame(Incoming::Text(text), &self.session, self.role)?;
        let ClientFrame::Chunk(chunk) = frame else {
            return Err(anyhow!("not a chunk"));
        };
        let Decision::Store(seq) = self.ingest.decide(chunk.seq) else {
            return Err(anyhow!("not the next chunk"));
        };
        let pcm = chunk.decode()?;
        let key = keys::chunk_key(&self.session, self.role, seq);
        let metadata = keys::chunk_metadata(
            &self.session,
            self.role,
            &chunk.meeting_id,
            seq,
            chunk.timestamp_ms,
        );
        let content = Bytes::from(pcm.clone());
        self.context
            .blobs
            .put(&key, content, keys::CHUNK_CONTENT_TYPE, &metadata)
            .await?;
        self.fresh.insert(seq.get(), pcm);
        self.ingest.stored(seq, self.now);
        Ok(Ack::stored(self.role, seq, &key, &self.ingest).to_json())
    }

    async fn finish(mut self, lane: &str, bridge: Option<&str>) -> anyhow::Result<()> {
        if !self.fresh.is_empty() {
            let document = self.ingest.to_document();
            self.write("ingest", document);
            let arrived = self.now.0;
            let stored = self.fresh.keys().map(|&seq| Input::Stored { seq, arrived });
            self.inputs.extend(stored);
        }
        let mut later = Vec::new();
        if !self.inputs.is_empty() {
            let state: State = bridge
                .map(serde_json::from_str)
                .transpose()?
                .unwrap_or_default();
            let socket = state.status().socket;
            let room = socket.map_or(0, |socket| self.context.lanes.room(&socket).unwrap_or(0));
            let inputs = std::mem::take(&mut self.inputs);
            let (state, actions) = funasr::step(
                state,
                Missing::new(self.ingest.gaps()),
                &self.context.asr,
                self.now.0,
                self.now.0,
                room,
                inputs,
            );
            let state = serde_json::to_string(&state)?;
            if bridge != Some(state.as_str()) {
                self.write("bridge", state);
            }
            for action in actions {
                match action {
                    Action::Sentence(sentence) => self.sentence(&sentence)?,
                    action => later.push(action),
                }
            }
        }
        self.context.store.set_many(&self.writes)?;
        for (socket, answer) in std::mem::take(&mut self.answers) {
            let _ = self.context.lanes.send(&socket, vec![answer]);
        }
        for action in later {
            self.carry_out(lane, action).await?;
        }
        Ok(())
    }

    fn sentence(&mut self, sentence: &Sentence) -> anyhow::Result<()> {
        let wanted =
            ["figures", "last-merged", "log"].map(|kind| key(&self.session, self.role, kind));
        let mut records = texts(self.context.store.get_many(&wanted)?)
            .into_iter()
            .flatten();
        let (figures, merged, count) = (records.next(), records.next(), records.next());
        let mut figures = AsrFigures::load(figures.as_deref())?;
        let count: u32 = count.map(|text| text.parse()).transpose()?.unwrap_or(0);
        let created_at = self.now.rfc3339();
        let utterance = Utterance::realtime(&FinalSentence {
            session_id: self.session.as_str(),
            stream_role: self.role.as_str(),
            text: &sentence.text,
            start_ms: sentence.start_ms,
            end_ms: sentence.end_ms,
            asr_model: &self.context.asr.model,
            asr_provider: "bench",
            confidence: None,
            created_at: &created_at,
            latency_ms: sentence
                .arrived
                .map(|arrived| self.now.since(EpochMs(arrived))),
            suffix: "0",
        })?;
        let last = merged.map(|text| serde_json::from_str(&text)).transpose()?;
        if let Merge::Append(entry) | Merge::Extend(entry) = merge_next(last.as_ref(), &utterance) {
            self.write("last-merged", to_json(&entry));
        }
        let (start, end) = (Seq::new(utterance.start_seq), Seq::new(utterance.end_seq));
        let (start, end) = start.zip(end).context("a sentence without seconds")?;
        figures.push(Emitted {
            start,
            end,
            latency_ms: utterance.latency_ms,
            at: self.now,
        });
        let event = teacher_event(&utterance, &KnownNames::default(), &created_at);
        self.write("figures", figures.to_document());
        self.write(&format!("u/{count:010}"), to_json(&utterance));
        self.write(&format!("e/{count:010}"), to_json(&event));
        self.write("log", (count + 1).to_string());
        Ok(())
    }

    async fn carry_out(&mut self, lane: &str, action: Action) -> anyhow::Result<()> {
        let lanes = &self.context.lanes;
        match action {
            Action::Open {
                task,
                url,
                headers,
                timeout_ms,
            } => {
                let connect_timeout = std::time::Duration::from_millis(timeout_ms);
                lanes.open(Target {
                    url,
                    headers,
                    lane: lane.into(),
                    context: task,
                    connect_timeout,
                })?;
            }
            Action::SendText { socket, text } => {
                lanes.send(&socket, vec![Payload::Text(text.into())])?;
            }
            Action::SendSeconds {
                socket,
                first,
                last,
                ..
            } => {
                let mut payloads = Vec::new();
                for second in first..=last {
                    payloads.push(Payload::Binary(self.second(second).await?));
                }
                lanes.send(&socket, payloads)?;
            }
            Action::Close { socket } => drop(lanes.close(&socket, 1000, "")),
            Action::SetTimer(ms) => {
                lanes.set_timer(lane, "asr", std::time::Duration::from_millis(ms))?;
            }
            Action::Sentence(_)
            | Action::Partial { .. }
            | Action::Flushed { .. }
            | Action::Failed { .. }
            | Action::Note(_) => {}
        }
        Ok(())
    }

    async fn second(&mut self, second: u32) -> anyhow::Result<Bytes> {
        if let Some(pcm) = self.fresh.remove(&second) {
            return Ok(pcm.into());
        }
        let seq = Seq::new(second).context("seconds count from 1")?;
        let key = keys::chunk_key(&self.session, self.role, seq);
        self.context
            .blobs
            .get_content(&key)
            .await?
            .context("a chunk is gone")
    }
}

fn key(session: &SessionId, role: StreamRole, kind: &str) -> String {
    format!("{}{kind}/{role}", keys::session_prefix(session))
}

fn texts(entries: Vec<key_value_store::Entry>) -> Vec<Option<String>> {
    entries
        .into_iter()
        .map(|(_, value)| value.map(|value| String::from_utf8_lossy(&value).into_owned()))
        .collect()
}
