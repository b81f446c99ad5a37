//! The paths of the contract. It knows no methods and no handlers, and leaves ids and roles as they
//! are written: what is wrong with them is an answer of its own.

/// A known path. Ids and roles are not decoded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/health`
    Health,
    /// `/v1/audio/ws/:session_id` and `/v1/audio/ws/:session_id/:stream_role`
    Audio {
        /// `:session_id`
        session: &'a str,
        /// `:stream_role`, which the short path has not.
        role: Option<&'a str>,
    },
    /// `/v1/sessions/:session_id/<action>`
    Session {
        /// `:session_id`
        session: &'a str,
        /// The last segment.
        action: SessionAction,
    },
}

/// What is asked of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAction {
    /// `POST config`
    Config,
    /// `GET events`
    Events,
    /// `GET state`
    State,
    /// `GET utterances`
    Utterances,
    /// `POST resolve`
    Resolve,
    /// `POST asr-run`
    AsrRun,
    /// `POST asr-reset`
    AsrReset,
    /// `POST finalize`
    Finalize,
}

impl<'a> Route<'a> {
    /// The route of a path without its query; none is 404. Slashes at the end are ignored, an empty
    /// segment within is not. A segment that means "here" or "one up" to an URL, written out or
    /// escaped, is no id: URL libraries resolve it before they send it.
    pub fn parse(path: &'a str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.trim_end_matches('/').split('/');
        let first = segments.next()?;
        let rest: Vec<&str> = segments.collect();
        if rest
            .iter()
            .any(|segment| segment.is_empty() || is_dot_segment(segment))
        {
            return None;
        }
        match (first, rest.as_slice()) {
            ("health", []) => Some(Self::Health),
            ("v1", ["audio", "ws", session]) => Some(Self::Audio {
                session,
                role: None,
            }),
            ("v1", ["audio", "ws", session, role]) => Some(Self::Audio {
                session,
                role: Some(role),
            }),
            ("v1", ["sessions", session, action]) => {
                let action = SessionAction::parse(action)?;
                Some(Self::Session { session, action })
            }
            _ => None,
        }
    }
}

impl SessionAction {
    fn parse(segment: &str) -> Option<Self> {
        Some(match segment {
            "config" => Self::Config,
            "events" => Self::Events,
            "state" => Self::State,
            "utterances" => Self::Utterances,
            "resolve" => Self::Resolve,
            "asr-run" => Self::AsrRun,
            "asr-reset" => Self::AsrReset,
            "finalize" => Self::Finalize,
            _ => return None,
        })
    }

    /// The method it takes; what takes GET takes HEAD too.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Events | Self::State | Self::Utterances => "GET",
            Self::Config | Self::Resolve | Self::AsrRun | Self::AsrReset | Self::Finalize => "POST",
        }
    }
}

fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_paths() {
        assert_eq!(Route::parse("/health//"), Some(Route::Health));
        let audio = |role| {
            Some(Route::Audio {
                session: "a%2Fb",
                role,
            })
        };
        assert_eq!(Route::parse("/v1/audio/ws/a%2Fb"), audio(None));
        assert_eq!(
            Route::parse("/v1/audio/ws/a%2Fb/TEACHER/"),
            audio(Some("TEACHER"))
        );
        let state = Route::Session {
            session: "x",
            action: SessionAction::State,
        };
        assert_eq!(Route::parse("/v1/sessions/x/state/"), Some(state));
    }

    #[test]
    fn unknown_paths() {
        for path in [
            "",
            "/",
            "health",
            "/Health",
            "/health/x",
            "/v1",
            "/v1/sessions/x",
            "/v1/sessions//state",
            "/v1/sessions/x/nothing",
            "/V1/sessions/x/state",
            "/v1/audio/ws/",
            "/v1/audio/ws/a/b/c",
            "/v1/sessions/../events",
            "/v1/sessions/%2E%2e/events",
            "/v1/sessions/./events",
            "//v1/sessions/x/state",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
