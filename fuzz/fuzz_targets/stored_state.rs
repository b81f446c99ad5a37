//! Whatever the key-value store gives back: a record is read or refused, and one that is read can be
//! gone on with. Damage must not take a lane down, which would fail at every batch. The ASR bridge's records
//! have a target of their own, `stored_bridge`.
//!
//! The input is a letter that names the record, and the record.
#![no_main]

use interview_live::{self as live, LiveLane, LogLength};
use interview_session::asr::{AsrFigures, Emitted, WindowDone, WsState};
use interview_session::capture::{CapturePatch, CaptureRecord};
use interview_session::id::SessionId;
use interview_session::ingest::{Decision, IngestRecord};
use interview_session::lane::LiveKind;
use interview_session::role::{ByRole, StreamRole};
use interview_session::seq::Seq;
use interview_session::session_document::SessionDocument;
use interview_session::time::EpochMs;
use interview_transcript::{MergedEntry, Utterance, merge_all, merge_next};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const NOW: EpochMs = EpochMs(1_760_000_000_000);

fuzz_target!(|input: &str| {
    let Some(kind) = input.chars().next() else {
        return;
    };
    let document = &input[kind.len_utf8()..];
    match kind {
        'i' => ingest(document),
        'l' => live_lane(document),
        'f' => figures(document),
        'c' => capture(document),
        's' => session(document),
        'u' => utterances(document),
        _ => {}
    }
});

fn ingest(document: &str) {
    let Ok(mut record) = IngestRecord::load(Some(document), NOW) else {
        return;
    };
    let read = IngestRecord::load(Some(&record.to_document()), NOW);
    assert_eq!(read.as_ref(), Ok(&record));
    let first_gap = record.gaps().first().map_or(0, |gap| gap.0);
    let last = record.last_seq();
    let next = [
        1,
        first_gap,
        last,
        last.saturating_add(1),
        last.saturating_add(3),
        u32::MAX,
    ];
    for seq in next.into_iter().filter_map(Seq::new) {
        let is_new = matches!(
            record.decide(seq.into()),
            Decision::Store(_) | Decision::FillGap(_)
        );
        assert_eq!(record.stored(seq, NOW), is_new);
        record.duplicate(NOW);
        assert_eq!(
            u64::from(record.received_chunks()) + u64::from(record.missing_chunks()),
            u64::from(record.last_seq())
        );
    }
    let session = SessionId::parse("g").expect("an id");
    let _ = serde_json::to_string(&record.status(&session, StreamRole::Mixed));
}

fn figures(document: &str) {
    let Ok(mut figures) = AsrFigures::load(Some(document)) else {
        return;
    };
    assert_eq!(
        AsrFigures::load(Some(&figures.to_document())).as_ref(),
        Ok(&figures)
    );
    let (Some(start), Some(end)) = (Seq::new(1), Seq::new(u32::MAX)) else {
        return;
    };
    figures.push(Emitted {
        start,
        end,
        latency_ms: Some(u64::MAX),
        at: NOW,
    });
    figures.push_window(WindowDone {
        end,
        seconds: u32::MAX,
        took_ms: u64::MAX,
        at: NOW,
        with_text: true,
    });
    let _ = (figures.windows(), figures.utterance_count());
}

fn capture(document: &str) {
    let Ok(mut record) = serde_json::from_str::<CaptureRecord>(document) else {
        return;
    };
    if let Ok(patch) = CapturePatch::from_value(&json!({"recover_attempts": "3"})) {
        patch.apply(&mut record, NOW);
    }
    let shown = serde_json::to_string(&record.view()).expect("a view is written");
    assert!(serde_json::from_str::<Value>(&shown).is_ok());
}

fn session(document: &str) {
    let Ok(read) = SessionDocument::read(document) else {
        return;
    };
    let again = SessionDocument::read(&read.to_document());
    assert_eq!(again.as_ref(), Ok(&read));
}

fn utterances(document: &str) {
    let (last, next) = document.split_once('\n').unwrap_or((document, ""));
    let Ok(next) = serde_json::from_str::<Utterance>(next) else {
        return;
    };
    let last = serde_json::from_str::<MergedEntry>(last).ok();
    let _ = merge_next(last.as_ref(), &next);
    let _ = merge_all(&[next.clone(), next]);
}

fn live_lane(document: &str) {
    let (document, rest) = document.split_once('\n').unwrap_or((document, ""));
    let entries: Vec<Option<String>> = rest.split('\n').map(|line| Some(line.into())).collect();
    let session = SessionId::parse("g").expect("an id");
    let life = |utterances, events| LogLength {
        life: 1,
        utterances,
        events,
    };
    let stored = live::Stored {
        document: Some(document.into()),
        created: true,
        lengths: ByRole {
            mixed: life(0, 0),
            teacher: life(3, 2),
            students: life(u32::MAX, 1),
        },
    };
    let Ok(mut lane) = LiveLane::load(&session, NOW, stored) else {
        return;
    };
    for socket in lane.unprobed() {
        lane.probed(&socket, Some(512));
    }
    lane.take(live::Input::Joined {
        socket: "new".into(),
        ask: live::Ask::default(),
    });
    lane.take(live::Input::Subscribed {
        socket: "client".into(),
        kinds: vec![LiveKind::Partials],
        after: Some(u64::MAX),
    });
    lane.take(live::Input::Partial {
        role: StreamRole::Teacher,
        start_ms: 5,
        text: "heard".into(),
    });
    lane.take(live::Input::AsrState {
        role: StreamRole::Teacher,
        state: WsState::Running,
    });
    lane.probed("new", Some(512));
    lane.probed("client", Some(512));
    let wanted = lane.wanted();
    let documents = (0..wanted.len()).map(|at| entries.get(at).cloned().flatten());
    let before = lane.last();
    if let Some(append) = lane.number(documents.collect()) {
        assert_eq!(append.first, before + 1);
        assert_eq!(lane.last() - before, append.entries.len() as u64);
    }
    lane.committed();
    let unread = lane.unread();
    for (first, last) in unread {
        assert!(first <= last && last <= lane.last());
        for number in first..=last {
            let entry = entries.get((number % 7) as usize).cloned().flatten();
            lane.read(number, entry.as_deref());
        }
    }
    let documents = lane.unread_documents().len();
    lane.read_documents(vec![Some("{}".into()); documents]);
    for delivery in lane.deliveries() {
        let mut sent = 0;
        for parcel in delivery.parcels() {
            sent += parcel.frames.len();
            lane.delivered(&delivery.socket, &parcel);
        }
        assert_eq!(sent, delivery.frames.len());
        for (_, frame) in &delivery.frames {
            assert!(serde_json::from_str::<Value>(frame).is_ok());
        }
    }
    let _ = (lane.finish(), lane.unsure(), lane.delete());
    let again = live::Stored {
        document: Some(lane.document()),
        ..live::Stored::default()
    };
    assert!(
        LiveLane::load(&session, NOW, again).is_ok(),
        "what is written is read"
    );
}
