//! Leaf component: the FunASR state machines behind WIT. It only translates: what is decided is
//! decided in the crate `funasr`, and nothing here waits, stores or opens anything.

use bindings::exports::interview::gateway::asr_bridge as wit;
use bindings::interview::gateway::types::Seconds;
use funasr::{Action, Connection, Failure, Input, Missing, Sentence, Settings, State};
use serde::de::DeserializeOwned;

mod windows;

#[allow(missing_docs, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "interview:gateway/asr-bridge-component",
    });
    use super::Bridge;
    export!(Bridge);
}

struct Bridge;

impl wit::Guest for Bridge {
    fn step(
        state: Option<String>,
        missing: Vec<Seconds>,
        settings: wit::Settings,
        now: u64,
        random: u64,
        room: u32,
        inputs: Vec<wit::Input>,
    ) -> Result<wit::Outcome, String> {
        let state: State = parse(state.as_deref())?;
        let inputs = inputs.into_iter().map(input);
        let (ranges, settings) = (ranges(missing), self::settings(settings));
        let missing = Missing::new(&ranges);
        let (state, actions) = funasr::step(state, missing, &settings, now, random, room, inputs);
        Ok(wit::Outcome {
            state: document(&state)?,
            actions: actions.into_iter().map(action).collect(),
        })
    }

    fn inspect(state: Option<String>) -> Result<wit::Status, String> {
        let state: State = parse(state.as_deref())?;
        let status = state.status();
        Ok(wit::Status {
            connection: connection(status.connection),
            socket: status.socket,
            sent: status.sent,
            from_ms: status.from_ms,
            final_ms: status.final_ms,
            stored: status.stored,
            late: status.late,
            consecutive_failures: status.consecutive_failures,
            retry_at: status.retry_at,
            last_error: status.last_error,
            finished_tasks: status.finished_tasks,
        })
    }

    fn step_windows(
        state: Option<String>,
        bridge: Option<String>,
        realtime: bool,
        missing: Vec<Seconds>,
        settings: wit::WindowSettings,
        now: u64,
        random: u64,
        room: u32,
        inputs: Vec<wit::WindowInput>,
    ) -> Result<wit::WindowOutcome, String> {
        let (state, actions) = funasr::windows::step(
            parse(state.as_deref())?,
            &parse(bridge.as_deref())?,
            realtime,
            Missing::new(&ranges(missing)),
            &windows::settings(settings),
            now,
            random,
            room,
            inputs.into_iter().map(windows::input),
        );
        Ok(wit::WindowOutcome {
            state: document(&state)?,
            actions: actions.into_iter().map(windows::action).collect(),
        })
    }

    fn inspect_windows(state: Option<String>) -> Result<wit::WindowStatus, String> {
        let state: funasr::windows::State = parse(state.as_deref())?;
        Ok(windows::status(state.status()))
    }

    fn uncovered(
        bridge: Option<String>,
        windows: Option<String>,
        missing: Vec<Seconds>,
    ) -> Result<Vec<Seconds>, String> {
        let bridge: State = parse(bridge.as_deref())?;
        let windows: funasr::windows::State = parse(windows.as_deref())?;
        let ranges = {
            let missing = ranges(missing);
            funasr::windows::uncovered(&bridge, &windows, Missing::new(&missing))
        };
        Ok(ranges.into_iter().map(windows::seconds).collect())
    }
}

fn ranges(seconds: Vec<Seconds>) -> Vec<(u32, u32)> {
    let range = |Seconds { first, last }| (first, last);
    seconds.into_iter().map(range).collect()
}

fn parse<State: DeserializeOwned + Default>(state: Option<&str>) -> Result<State, String> {
    state.map_or_else(
        || Ok(State::default()),
        |text| {
            serde_json::from_str(text)
                .map_err(|error| format!("this is no state of the ASR bridge: {error}"))
        },
    )
}

fn document(state: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string(state).map_err(|error| error.to_string())
}

fn connection(connection: Connection) -> wit::Connection {
    match connection {
        Connection::Disconnected => wit::Connection::Disconnected,
        Connection::Connecting => wit::Connection::Connecting,
        Connection::Running => wit::Connection::Running,
        Connection::Error => wit::Connection::Error,
    }
}

fn settings(settings: wit::Settings) -> Settings {
    Settings {
        enabled: settings.enabled,
        url: settings.url,
        api_key: settings.api_key,
        model: settings.model,
        start_timeout_ms: u64::from(settings.start_timeout_ms),
        catch_up_speed: f64::from(settings.catch_up_speed),
        task_prefix: settings.task_prefix,
        vocabulary_id: settings.vocabulary_id,
        language_hint: settings.language_hint,
        max_sentence_silence_ms: settings.max_sentence_silence_ms,
        semantic_punctuation: settings.semantic_punctuation,
        wants_partials: settings.wants_partials,
        notes_events: settings.notes_events,
    }
}

fn input(input: wit::Input) -> Input {
    match input {
        wit::Input::Stored(wit::Stored { seq, arrived }) => Input::Stored { seq, arrived },
        wit::Input::Opened(wit::Opened { task, socket }) => Input::Opened { task, socket },
        wit::Input::OpenFailed(wit::OpenFailed {
            task,
            status,
            reason,
        }) => Input::OpenFailed {
            task,
            status,
            reason,
        },
        wit::Input::Text(wit::Text { task, text }) => Input::Text { task, text },
        wit::Input::Closed(wit::Closed { task, code, reason }) => {
            Input::Closed { task, code, reason }
        }
        wit::Input::Timer => Input::Timer,
        wit::Input::SendFailed(reason) => Input::SendFailed(reason),
        wit::Input::Gone => Input::Gone,
        wit::Input::Flush(id) => Input::Flush(id),
        wit::Input::Ended => Input::Ended,
        wit::Input::Reset => Input::Reset,
        wit::Input::Covered(seq) => Input::Covered(seq),
        wit::Input::Recovered(Seconds { first, last }) => Input::Recovered { first, last },
    }
}

fn action(action: Action) -> wit::Action {
    match action {
        Action::Open {
            task,
            url,
            headers,
            timeout_ms,
        } => wit::Action::Open(wit::Open {
            task,
            url,
            headers,
            timeout_ms: u32::try_from(timeout_ms).unwrap_or(u32::MAX),
        }),
        Action::SendText { socket, text } => wit::Action::SendText(wit::SendText { socket, text }),
        Action::SendSeconds {
            socket,
            first,
            last,
            mute_ms,
        } => wit::Action::SendSeconds(wit::SendSeconds {
            socket,
            range: Seconds { first, last },
            mute_ms,
        }),
        Action::Close { socket } => wit::Action::Close(wit::Close { socket }),
        Action::SetTimer(delay_ms) => wit::Action::SetTimer(delay_ms),
        Action::Sentence(Sentence {
            start_ms,
            end_ms,
            text,
            arrived,
        }) => wit::Action::Sentence(wit::Sentence {
            start_ms,
            end_ms,
            text,
            arrived,
        }),
        Action::Partial { start_ms, text } => wit::Action::Partial(wit::Partial { start_ms, text }),
        Action::Flushed { id, untranscribed } => {
            wit::Action::Flushed(wit::Flushed { id, untranscribed })
        }
        Action::Failed { failure, why } => wit::Action::Failed(failed(failure, why)),
        Action::Note(text) => wit::Action::Note(text),
    }
}

fn failed(failure: Failure, why: String) -> wit::Failed {
    let failure = match failure {
        Failure::Unauthorized => wit::Failure::Unauthorized,
        Failure::Refused => wit::Failure::Refused,
        Failure::Unreachable => wit::Failure::Unreachable,
        Failure::StartTimeout => wit::Failure::StartTimeout,
        Failure::FinishTimeout => wit::Failure::FinishTimeout,
        Failure::Failed => wit::Failure::Failed,
        Failure::Rejected => wit::Failure::Rejected,
        Failure::Closed => wit::Failure::Closed,
        Failure::SendRefused => wit::Failure::SendRefused,
        Failure::Unasked => wit::Failure::Unasked,
    };
    wit::Failed { failure, why }
}
