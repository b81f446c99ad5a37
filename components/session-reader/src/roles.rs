//! Roles across WIT.

use interview_session::role::{ByRole, StreamRole};

use crate::bindings::interview::gateway::session_state::{SessionView, StreamView};
use crate::bindings::interview::gateway::types;

/// As the leaves have it.
pub const fn wit(role: StreamRole) -> types::StreamRole {
    match role {
        StreamRole::Mixed => types::StreamRole::Mixed,
        StreamRole::Teacher => types::StreamRole::Teacher,
        StreamRole::Students => types::StreamRole::Students,
    }
}

/// The streams of a session's view.
pub const fn streams(view: &SessionView) -> ByRole<&StreamView> {
    ByRole {
        mixed: &view.mixed,
        teacher: &view.teacher,
        students: &view.students,
    }
}
