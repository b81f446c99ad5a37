//! The windows' machine: its words in WIT's.

use funasr::windows::{Action, Input, Ran, Range, Status, WindowSettings};

use super::bindings::interview::gateway::types::Seconds;
use super::wit;

pub fn settings(settings: wit::WindowSettings) -> WindowSettings {
    WindowSettings {
        service: super::settings(settings.service),
        timeout_ms: u64::from(settings.timeout_ms),
        window_seconds: settings.window_seconds,
        hop_seconds: settings.hop_seconds,
        piece_bytes: settings.piece_bytes,
        pacing_ms: u64::from(settings.pacing_ms),
        automatic: settings.automatic,
    }
}

pub fn input(input: wit::WindowInput) -> Input {
    match input {
        wit::WindowInput::Opened(wit::Opened { task, socket }) => Input::Opened { task, socket },
        wit::WindowInput::OpenFailed(wit::OpenFailed {
            task,
            status,
            reason,
        }) => Input::OpenFailed {
            task,
            status,
            reason,
        },
        wit::WindowInput::Text(wit::Text { task, text }) => Input::Text { task, text },
        wit::WindowInput::Closed(wit::Closed { task, code, reason }) => {
            Input::Closed { task, code, reason }
        }
        wit::WindowInput::Timer => Input::Timer,
        wit::WindowInput::SendFailed(reason) => Input::SendFailed(reason),
        wit::WindowInput::Gone => Input::Gone,
        wit::WindowInput::Run(wit::Run { id, flush }) => Input::Run { id, flush },
        wit::WindowInput::Flush(id) => Input::Flush(id),
        wit::WindowInput::Late(seq) => Input::Late(seq),
        wit::WindowInput::Reset => Input::Reset,
    }
}

pub fn action(action: Action) -> wit::WindowAction {
    match action {
        Action::Open {
            task,
            url,
            headers,
            timeout_ms,
        } => wit::WindowAction::Open(wit::Open {
            task,
            url,
            headers,
            timeout_ms: u32::try_from(timeout_ms).unwrap_or(u32::MAX),
        }),
        Action::SendText { socket, text } => {
            wit::WindowAction::SendText(wit::SendText { socket, text })
        }
        Action::SendPiece {
            socket,
            range,
            first_byte,
            bytes,
        } => wit::WindowAction::SendPiece(wit::SendPiece {
            socket,
            range: seconds(range),
            first_byte,
            bytes,
        }),
        Action::Close { socket } => wit::WindowAction::Close(wit::Close { socket }),
        Action::SetTimer(delay_ms) => wit::WindowAction::SetTimer(delay_ms),
        Action::Window {
            range,
            number,
            text,
            took_ms,
        } => wit::WindowAction::Window(wit::Window {
            range: seconds(range),
            number,
            text,
            took_ms,
        }),
        Action::Ran(Ran {
            id,
            windows,
            generated,
            at_end,
            failed,
        }) => wit::WindowAction::Ran(wit::Ran {
            id,
            windows,
            generated,
            at_end,
            failed,
        }),
        Action::Failed { failure, why } => wit::WindowAction::Failed(super::failed(failure, why)),
        Action::Note(text) => wit::WindowAction::Note(text),
    }
}

pub fn status(status: Status) -> wit::WindowStatus {
    wit::WindowStatus {
        connection: super::connection(status.connection),
        socket: status.socket,
        last_end: status.last_end,
        late: status.late,
        consecutive_failures: status.consecutive_failures,
        retry_at: status.retry_at,
        last_error: status.last_error,
    }
}

pub fn seconds(range: Range) -> Seconds {
    Seconds {
        first: range.first,
        last: range.last,
    }
}
