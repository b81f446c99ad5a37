//! Roles across WIT.

use interview_session::role::StreamRole;

use crate::bindings::interview::gateway::types;

pub fn wit(role: StreamRole) -> types::StreamRole {
    match role {
        StreamRole::Mixed => types::StreamRole::Mixed,
        StreamRole::Teacher => types::StreamRole::Teacher,
        StreamRole::Students => types::StreamRole::Students,
    }
}

pub fn domain(role: types::StreamRole) -> StreamRole {
    match role {
        types::StreamRole::Mixed => StreamRole::Mixed,
        types::StreamRole::Teacher => StreamRole::Teacher,
        types::StreamRole::Students => StreamRole::Students,
    }
}
