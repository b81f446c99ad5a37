//! What a credential allows, and what is asked of it: for each route a scope, of a token also that the
//! route is about its session and its roles.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::query::Query;
use interview_session::role::StreamRole;
use interview_session::route::{Route, SessionAction};
use interview_session::time::EpochMs;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::credential::Credential;
use crate::keys::{Key, Keys};
use crate::scope::Scope;
use crate::token;

/// `cache-control` of every answer of a gateway that has keys: what is answered to one who shows a key is not
/// for whoever asks after them by way of the same cache.
pub const NO_STORE: &str = "no-store";

/// Why a door stays closed. The text is the same whatever is wrong with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denied {
    /// Nothing was shown, or nothing that is right: 401.
    #[error("a valid API key is required")]
    Unauthorized,
    /// It is right, but not for this: 403.
    #[error("this API key does not allow that")]
    Forbidden,
    /// A web page of somewhere else asks: 403.
    #[error("this origin is not allowed")]
    Origin,
}

impl Denied {
    /// As a value of the label `reason`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Origin => "origin",
        }
    }

    /// The answer; to 401 belongs `www-authenticate: Bearer`.
    #[must_use]
    pub fn to_error(self) -> ApiError {
        let status = match self {
            Self::Unauthorized => 401,
            Self::Forbidden | Self::Origin => 403,
        };
        ApiError::new(status, self.to_string())
    }
}

/// Roles of a session; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<StreamRole>")]
pub struct Roles(Vec<StreamRole>);

impl Roles {
    /// All there are.
    #[must_use]
    pub fn all() -> Self {
        Self(StreamRole::ALL.into())
    }

    /// These, each once, in the order in which answers list them; none of no role.
    #[must_use]
    pub fn of(roles: &[StreamRole]) -> Option<Self> {
        let named = StreamRole::ALL.into_iter();
        let named: Vec<StreamRole> = named.filter(|role| roles.contains(role)).collect();
        (!named.is_empty()).then_some(Self(named))
    }

    /// Whether this role is one of them.
    #[must_use]
    pub fn has(&self, role: StreamRole) -> bool {
        self.0.contains(&role)
    }

    /// Whether they are all there are.
    #[must_use]
    pub fn are_all(&self) -> bool {
        StreamRole::ALL.into_iter().all(|role| self.has(role))
    }
}

impl TryFrom<Vec<StreamRole>> for Roles {
    type Error = &'static str;

    fn try_from(roles: Vec<StreamRole>) -> Result<Self, Self::Error> {
        Self::of(&roles).ok_or("no role")
    }
}

/// How far a token reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) session: SessionId,
    pub(crate) roles: Roles,
    pub(crate) scope: Scope,
}

/// What a credential allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant<'k> {
    /// The key that was shown, or that the token was made with.
    pub(crate) key: &'k Key,
    /// Of a token.
    reach: Option<Reach>,
}

impl<'k> Grant<'k> {
    /// Looks at what is shown.
    ///
    /// # Errors
    /// [`Denied::Unauthorized`]: it is no key, and no token that is still good.
    pub fn of(
        keys: &'k Keys,
        shown: Option<&Credential<'_>>,
        now: EpochMs,
    ) -> Result<Self, Denied> {
        let text = shown
            .and_then(Credential::text)
            .ok_or(Denied::Unauthorized)?;
        if let Some(key) = keys.find(text) {
            return Ok(Self { key, reach: None });
        }
        let (key, reach) = token::open(keys, text, now).ok_or(Denied::Unauthorized)?;
        Ok(Self {
            key,
            reach: Some(reach),
        })
    }

    /// Whose sockets are counted together: the key's name, or its place among the keys.
    #[must_use]
    pub fn account(&self) -> &'k str {
        &self.key.account
    }

    /// Whether it is for some roles of a session only: then it does not allow what shows or changes the
    /// whole session.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.reach
            .as_ref()
            .is_some_and(|reach| !reach.roles.are_all())
    }

    /// Whether a stream may be recorded with it.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn allows_stream(&self, session: &SessionId, role: StreamRole) -> Result<(), Denied> {
        self.allows_about(Scope::Write, session, About::One(role))
    }

    /// Whether a session may be watched with it: this role of it, or all.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn allows_live(&self, session: &SessionId, role: Option<StreamRole>) -> Result<(), Denied> {
        let about = role.map_or(About::Whole, About::One);
        self.allows_about(Scope::Read, session, about)
    }

    fn allows_about(&self, needed: Scope, session: &SessionId, about: About) -> Result<(), Denied> {
        let is_near = |reach: &Reach| reach.session == *session && reach.roles.cover(about);
        match self.scope() >= needed && self.reach.as_ref().is_none_or(is_near) {
            true => Ok(()),
            false => Err(Denied::Forbidden),
        }
    }

    /// Whether it is an admin's, and no token.
    pub(crate) fn is_admin_key(&self) -> bool {
        self.reach.is_none() && self.key.scope == Scope::Admin
    }

    fn scope(&self) -> Scope {
        self.reach
            .as_ref()
            .map_or(self.key.scope, |reach| reach.scope)
    }

    /// Whether it allows a request. An unknown path needs any credential that is right, whatever a route
    /// of this name would need.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn allows(&self, route: Option<&Route<'_>>, query: &Query<'_>) -> Result<(), Denied> {
        let Some(route) = route else {
            return Ok(());
        };
        let is_enough = needed_scope(route).is_none_or(|needed| self.scope() >= needed);
        let is_near = self
            .reach
            .as_ref()
            .is_none_or(|reach| reach.covers(route, query));
        match is_enough && is_near {
            true => Ok(()),
            false => Err(Denied::Forbidden),
        }
    }
}

/// What a route needs, whatever the method; none: not even a key.
#[must_use]
pub const fn needed_scope(route: &Route<'_>) -> Option<Scope> {
    Some(match route {
        Route::Health => return None,
        Route::OpenApi | Route::AsyncApi | Route::Sessions => Scope::Read,
        Route::WholeSession { .. } => Scope::Admin,
        Route::Audio { .. } => Scope::Write,
        Route::Session { action, .. } => match action {
            SessionAction::Events
            | SessionAction::State
            | SessionAction::Utterances
            | SessionAction::Result
            | SessionAction::Live => Scope::Read,
            SessionAction::Config
            | SessionAction::Resolve
            | SessionAction::AsrRun
            | SessionAction::AsrReset
            | SessionAction::Finalize => Scope::Write,
            SessionAction::Tokens => Scope::Admin,
        },
    })
}

/// Which roles a route is about.
#[derive(Clone, Copy)]
enum About {
    One(StreamRole),
    Whole,
    /// There is no such role: the answer says so to whoever may ask.
    Nothing,
}

impl Reach {
    fn covers(&self, route: &Route<'_>, query: &Query<'_>) -> bool {
        let (session, about) = match route {
            Route::Health => return true,
            Route::OpenApi | Route::AsyncApi | Route::Sessions => return false,
            Route::WholeSession { session } => (session, About::Whole),
            Route::Audio { session, role } => (session, one(StreamRole::parse(*role).ok())),
            Route::Session { session, action } => (session, about(*action, query)),
        };
        // What is no id is not this session's.
        let is_own = SessionId::from_path_segment(session).is_ok_and(|id| id == self.session);
        is_own && self.roles.cover(about)
    }
}

impl Roles {
    fn cover(&self, about: About) -> bool {
        match about {
            About::One(role) => self.has(role),
            About::Whole => self.are_all(),
            About::Nothing => false,
        }
    }
}

fn about(action: SessionAction, query: &Query<'_>) -> About {
    match action {
        SessionAction::Utterances | SessionAction::AsrRun | SessionAction::AsrReset => {
            one(query.stream_role().ok())
        }
        SessionAction::Events | SessionAction::Live => match query.stream_role_filter() {
            Ok(Some(role)) => About::One(role),
            Ok(None) => About::Whole,
            Err(_) => About::Nothing,
        },
        // A question is about one stream, but its answer brings the whole session's state, and what it
        // says of speakers becomes the session's.
        SessionAction::Resolve
        | SessionAction::State
        | SessionAction::Config
        | SessionAction::Finalize
        | SessionAction::Result
        | SessionAction::Tokens => About::Whole,
    }
}

fn one(role: Option<StreamRole>) -> About {
    role.map_or(About::Nothing, About::One)
}
