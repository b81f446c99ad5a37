//! What a browser is told before it sends a page's request to another origin.

use interview_session::route::Route;

/// Headers that a page may send.
pub const ALLOWED_HEADERS: &str = "authorization, content-type, x-api-key, x-idempotency-key";

/// Headers of an answer that a page may read besides those that every page may.
pub const EXPOSED_HEADERS: &str = "allow, retry-after, www-authenticate, x-idempotent-replay";

/// How long a browser need not ask again, in seconds.
pub const MAX_AGE_SECONDS: &str = "600";

/// Methods that a page may use; at a path that is none, all there are, so that it gets to read the 404.
#[must_use]
pub fn allowed_methods(route: Option<&Route<'_>>) -> &'static str {
    route.map_or("GET, HEAD, POST, DELETE", Route::allowed)
}
