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
