//! Whatever the key-value store gives back for the ASR bridge's two records: a state is read or refused,
//! and one that is read can be gone on with, whatever comes next.
//!
//! The input is lines: `b` and a realtime state; or `w` and a windows' state, and a realtime one.
#![no_main]

use funasr::windows::{self, WindowSettings};
use funasr::{Action, Input, Missing, Settings, State};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Now, epoch ms.
const NOW: u64 = 1_760_000_000_000;

fuzz_target!(|input: &str| {
    match input.split_at_checked(1) {
        Some(("b", document)) => bridge(document),
        Some(("w", document)) => windows_of(document),
        _ => {}
    }
});

fn settings() -> Settings {
    Settings {
        enabled: true,
        url: "ws://asr.test/".into(),
        api_key: "k".into(),
        model: "m".into(),
        start_timeout_ms: 5_000,
        catch_up_speed: 4.0,
        task_prefix: "t-".into(),
        vocabulary_id: None,
        language_hint: None,
        max_sentence_silence_ms: None,
        semantic_punctuation: None,
        wants_partials: true,
        notes_events: false,
    }
}

fn text_at<'a>(state: &'a Value, paths: [&str; 3]) -> &'a str {
    let found = paths.iter().find_map(|path| state.pointer(path)?.as_str());
    found.unwrap_or_default()
}

/// What may come next for a stream with this state.
fn frames(task: &str) -> [String; 4] {
    [
        json!({"header": {"event": "task-started", "task_id": task}}),
        json!({"header": {"event": "result-generated", "task_id": task}, "payload": {"output":
            {"sentence": {"begin_time": 1, "end_time": 900, "text": "a", "sentence_end": true}}}}),
        json!({"header": {"event": "result-generated", "task_id": task}, "payload": {"output":
            {"sentence": {"begin_time": 950, "end_time": null, "text": "b"}}}}),
        json!({"header": {"event": "task-finished", "task_id": task}, "payload": {}}),
    ]
    .map(|frame| frame.to_string())
}

fn bridge(document: &str) {
    let Ok(stored) = serde_json::from_str::<State>(document) else {
        return;
    };
    let value = serde_json::to_value(&stored).expect("a state is written");
    let paths = ["/phase/task", "/phase/running/task", "/phase/none"];
    let task = text_at(&value, paths).to_owned();
    let status = stored.status();
    let seq = status.stored.saturating_add(1);
    let mut inputs = vec![
        Vec::new(),
        vec![Input::Timer],
        vec![Input::Stored { seq, arrived: NOW }],
        vec![Input::Opened {
            task: task.clone(),
            socket: "s".into(),
        }],
        vec![Input::Closed {
            task: task.clone(),
            code: 1006,
            reason: String::new(),
        }],
        vec![Input::SendFailed("no".into())],
        vec![Input::Gone],
        vec![Input::Flush("f".into())],
        vec![Input::Ended],
        vec![Input::Covered(seq)],
        vec![Input::Reset],
    ];
    for text in frames(&task) {
        let task = task.clone();
        inputs.push(vec![Input::Text { task, text }]);
    }
    for inputs in inputs {
        let (state, missing) = (stored.clone(), Missing::new(MISSING));
        let (after, actions) =
            funasr::step(state, missing, &settings(), NOW, 7, 64, inputs.clone());
        let again = after.status();
        assert!(again.final_ms >= status.final_ms, "{inputs:?}");
        for action in actions {
            match action {
                Action::SendSeconds {
                    first,
                    last,
                    mute_ms,
                    ..
                } => assert!(first >= 1 && first <= last && mute_ms <= 1000, "{inputs:?}"),
                Action::Sentence(said) => assert!(said.start_ms < said.end_ms, "{inputs:?}"),
                Action::SetTimer(delay_ms) => assert!(delay_ms > 0),
                _ => {}
            }
        }
        let _ = funasr::windows::uncovered(&after, &windows::State::default(), missing);
    }
}

/// Seconds that are not stored, a few and many in a row.
const MISSING: &[(u32, u32)] = &[(3, 4), (10, 3_000)];

fn windows_of(document: &str) {
    let (document, bridge) = document.split_once('\n').unwrap_or((document, "{}"));
    let Ok(stored) = serde_json::from_str::<windows::State>(document) else {
        return;
    };
    let Ok(bridge) = serde_json::from_str::<State>(bridge) else {
        return;
    };
    let value = serde_json::to_value(&stored).expect("a state is written");
    let task = text_at(&value, ["/phase/task/id", "/phase/none", "/phase/none"]).to_owned();
    let settings = WindowSettings {
        service: settings(),
        timeout_ms: 45_000,
        window_seconds: 10,
        hop_seconds: 3,
        piece_bytes: 12_800,
        pacing_ms: 0,
        automatic: true,
    };
    let mut inputs = vec![
        None,
        Some(windows::Input::Timer),
        Some(windows::Input::Opened {
            task: task.clone(),
            socket: "s".into(),
        }),
        Some(windows::Input::Closed {
            task: task.clone(),
            code: 1006,
            reason: String::new(),
        }),
        Some(windows::Input::Run {
            id: "r".into(),
            flush: true,
        }),
        Some(windows::Input::Flush("f".into())),
        Some(windows::Input::Reset),
    ];
    for text in frames(&task) {
        let task = task.clone();
        inputs.push(Some(windows::Input::Text { task, text }));
    }
    for input in inputs {
        for realtime in [false, true] {
            let (after, actions) = windows::step(
                stored.clone(),
                &bridge,
                realtime,
                Missing::new(MISSING),
                &settings,
                NOW,
                7,
                64,
                input.clone(),
            );
            let missing = Missing::new(MISSING);
            let _ = (after.status(), windows::uncovered(&bridge, &after, missing));
            for action in actions {
                if let windows::Action::Window { range, .. } = action {
                    assert!(range.first >= 1 && range.first <= range.last, "{input:?}");
                }
            }
        }
    }
}
