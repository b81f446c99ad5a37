//! The paths of the contract and the methods they take. It knows no handlers, and leaves ids and roles as they
//! are written: what is wrong with them is an answer of its own.

/// A known path. Ids and roles are not decoded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/health`
    Health,
    /// `/openapi.json`: the HTTP API, described.
    OpenApi,
    /// `/asyncapi.json`: the WebSocket frames, described.
    AsyncApi,
    /// `/v1/sessions`
    Sessions,
    /// `/v1/sessions/:session_id`
    WholeSession {
        /// `:session_id`
        session: &'a str,
    },
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
    /// `GET result`
    Result,
    /// `GET live`, a WebSocket for viewers
    Live,
    /// `POST tokens`
    Tokens,
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
            ("openapi.json", []) => Some(Self::OpenApi),
            ("asyncapi.json", []) => Some(Self::AsyncApi),
            ("v1", ["audio", "ws", session]) => Some(Self::Audio {
                session,
                role: None,
            }),
            ("v1", ["audio", "ws", session, role]) => Some(Self::Audio {
                session,
                role: Some(role),
            }),
            ("v1", ["sessions"]) => Some(Self::Sessions),
            ("v1", ["sessions", session]) => Some(Self::WholeSession { session }),
            ("v1", ["sessions", session, action]) => {
                let action = SessionAction::parse(action)?;
                Some(Self::Session { session, action })
            }
            _ => None,
        }
    }
}

impl Route<'_> {
    /// The methods that the path takes, as the header `allow` lists them. What takes GET takes HEAD
    /// too.
    pub const fn allowed(&self) -> &'static str {
        match self {
            Self::Health | Self::OpenApi | Self::AsyncApi | Self::Sessions | Self::Audio { .. } => {
                "GET, HEAD"
            }
            Self::WholeSession { .. } => "DELETE",
            Self::Session { action, .. } => match action {
                SessionAction::Events
                | SessionAction::State
                | SessionAction::Utterances
                | SessionAction::Result
                | SessionAction::Live => "GET, HEAD",
                SessionAction::Config
                | SessionAction::Resolve
                | SessionAction::AsrRun
                | SessionAction::AsrReset
                | SessionAction::Finalize
                | SessionAction::Tokens => "POST",
            },
        }
    }

    /// Whether `method`, as it came, is one of [`Route::allowed`].
    pub fn takes(&self, method: &str) -> bool {
        self.allowed().split(", ").any(|allowed| allowed == method)
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
            "result" => Self::Result,
            "live" => Self::Live,
            "tokens" => Self::Tokens,
            _ => return None,
        })
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
        assert_eq!(Route::parse("/v1/sessions/"), Some(Route::Sessions));
        assert_eq!(
            Route::parse("/v1/sessions/x"),
            Some(Route::WholeSession { session: "x" })
        );
        assert_eq!(Route::parse("/openapi.json"), Some(Route::OpenApi));
    }

    #[test]
    fn methods() {
        let takes = |path, method| Route::parse(path).map(|route| route.takes(method));
        for (path, method, expected) in [
            ("/health", "GET", true),
            ("/health", "HEAD", true),
            ("/health", "POST", false),
            ("/health", "GET, HEAD", false),
            ("/v1/sessions/x", "DELETE", true),
            ("/v1/sessions/x", "GET", false),
            ("/v1/sessions/x/resolve", "POST", true),
            ("/v1/sessions/x/resolve", "post", false),
            ("/v1/sessions/x/live", "GET", true),
            ("/v1/sessions/x/tokens", "POST", true),
            ("/v1/sessions/x/tokens", "GET", false),
        ] {
            assert_eq!(takes(path, method), Some(expected), "{method} {path}");
        }
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
            "/v1/sessions//state",
            "/v1/sessions/..",
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
