//! Routes in Spin's syntax, and which of several serves a path.

use std::cmp::Ordering;
use std::fmt;

/// Paths that a trigger serves: `/exact/path`, `/with/:name/segments`, `/all/below/...`.
///
/// Slashes at the end do not count, in a route as in a path, and `/below/...` matches `/below` too.
/// Paths are compared as they are sent, without percent-decoding.
#[derive(Clone, Debug)]
pub struct Route {
    text: String,
    segments: Vec<Segment>,
    /// It ends in `/...`.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Named,
}

/// The text is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no route ({why}); write \"/exact/path\", \"/segment/:name\" or \"/prefix/...\""
)]
pub struct RouteError {
    text: String,
    why: &'static str,
}

impl Route {
    /// Reads a route. A missing slash at the start is added, as Spin does; `/*` at the end is `/...`.
    ///
    /// # Errors
    /// `...` or `*` is somewhere else than at the end, a `:` has no name, a segment is empty, or it
    /// has a query.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let fail = |why| RouteError {
            text: text.to_owned(),
            why,
        };
        let path = text.strip_prefix('/').unwrap_or(text);
        let path = path.strip_suffix('/').unwrap_or(path);
        let (path, open) = match path {
            "..." | "*" => ("", true),
            _ => match path
                .strip_suffix("/...")
                .or_else(|| path.strip_suffix("/*"))
            {
                Some(prefix) => (prefix, true),
                None => (path, false),
            },
        };
        let mut segments = Vec::new();
        if !path.is_empty() {
            for segment in path.split('/') {
                segments.push(match segment {
                    "" => return Err(fail("a segment is empty")),
                    ":" => return Err(fail("a : has no name")),
                    "..." => return Err(fail("... is allowed only at the end, after a slash")),
                    _ if segment.contains('*') => {
                        return Err(fail("* is allowed only at the end, after a slash"));
                    }
                    _ if segment.contains(['?', '#']) => {
                        return Err(fail("a route is a path, without query or fragment"));
                    }
                    _ if segment.starts_with(':') => Segment::Named,
                    _ => Segment::Literal(segment.to_owned()),
                });
            }
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
            open,
        })
    }

    /// Whether the route serves this path (without the query).
    pub fn matches(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/').trim_end_matches('/');
        let mut rest = (!path.is_empty()).then_some(path);
        for segment in &self.segments {
            let Some(remaining) = rest else { return false };
            let (head, tail) = match remaining.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (remaining, None),
            };
            let fits = match segment {
                Segment::Literal(literal) => literal == head,
                Segment::Named => !head.is_empty(),
            };
            if !fits {
                return false;
            }
            rest = tail;
        }
        self.open || rest.is_none()
    }

    /// Whether both serve the same paths.
    pub fn same_paths(&self, other: &Self) -> bool {
        self.segments == other.segments && self.open == other.open
    }

    /// Which of two routes that serve a path is the more specific: less for the one that goes first.
    /// At the first segment that differs a literal goes before a name, a name before `...`, and the
    /// route that ends exactly there before the one that goes on with `...`.
    fn by_specificity(&self, other: &Self) -> Ordering {
        for (a, b) in self.segments.iter().zip(&other.segments) {
            let order = match (a, b) {
                (Segment::Literal(_), Segment::Named) => Ordering::Less,
                (Segment::Named, Segment::Literal(_)) => Ordering::Greater,
                _ => Ordering::Equal,
            };
            if order.is_ne() {
                return order;
            }
        }
        (other.segments.len().cmp(&self.segments.len())).then(self.open.cmp(&other.open))
    }
}

/// As in the manifest.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Equal texts; see [`Route::same_paths`] for equal meaning.
impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Route {}

/// Finds what serves a path.
#[derive(Clone, Debug)]
pub struct Router<T> {
    /// The most specific first.
    routes: Vec<(Route, T)>,
}

impl<T> Router<T> {
    /// A router over these routes; of two equally specific ones the earlier is preferred.
    pub fn new(mut routes: Vec<(Route, T)>) -> Self {
        routes.sort_by(|(a, _), (b, _)| a.by_specificity(b));
        Self { routes }
    }

    /// What serves `path` (without the query), the most specific route first.
    pub fn matches(&self, path: &str) -> impl Iterator<Item = &T> {
        self.routes
            .iter()
            .filter(move |(route, _)| route.matches(path))
            .map(|(_, target)| target)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(text: &str) -> Route {
        Route::parse(text).unwrap()
    }

    fn found<'a>(routes: &[&'a str], path: &str) -> Vec<&'a str> {
        let router = Router::new(routes.iter().map(|text| (route(text), *text)).collect());
        router.matches(path).copied().collect()
    }

    #[test]
    fn exact_routes_match_their_path() {
        assert!(route("/health").matches("/health"));
        assert!(
            route("/health").matches("/health/"),
            "a slash at the end does not count"
        );
        assert!(route("health/").matches("/health"));
        assert!(!route("/health").matches("/health/x"));
        assert!(!route("/health").matches("/healthy"));
        assert!(!route("/health").matches("/Health"));
        assert!(route("/").matches("/") && route("/").matches(""));
        assert!(!route("/").matches("/x"));
    }

    #[test]
    fn open_routes_match_their_prefix_and_below() {
        for text in ["/a/...", "/a/*"] {
            assert!(
                route(text).matches("/a") && route(text).matches("/a/"),
                "{text}"
            );
            assert!(route(text).matches("/a/b/c"));
            assert!(!route(text).matches("/ab") && !route(text).matches("/"));
        }
        assert!(route("/...").matches("/") && route("/...").matches("/any/thing"));
    }

    #[test]
    fn names_match_one_segment() {
        let sessions = route("/v1/:session/state");
        assert!(sessions.matches("/v1/s-1/state"));
        assert!(!sessions.matches("/v1/s/1/state"));
        assert!(!sessions.matches("/v1//state"));
        assert!(route("/v1/:session/...").matches("/v1/s-1/any/thing"));
        assert!(!route("/v1/:session/...").matches("/v1/"));
    }

    #[test]
    fn the_most_specific_route_comes_first() {
        let routes = [
            "/...",
            "/v1/...",
            "/v1/:any",
            "/v1/:any/state",
            "/v1/audio/ws/...",
            "/v1/audio",
            "/v1/audio/...",
        ];
        assert_eq!(found(&routes, "/"), ["/..."]);
        assert_eq!(
            found(&routes, "/v1/audio"),
            ["/v1/audio", "/v1/audio/...", "/v1/:any", "/v1/...", "/..."]
        );
        assert_eq!(
            found(&routes, "/v1/audio/ws/x"),
            ["/v1/audio/ws/...", "/v1/audio/...", "/v1/...", "/..."]
        );
        assert_eq!(
            found(&routes, "/v1/audio/state"),
            ["/v1/audio/...", "/v1/:any/state", "/v1/...", "/..."]
        );
    }

    #[test]
    fn equally_specific_routes_keep_their_order() {
        assert_eq!(found(&["/:b", "/:a"], "/x"), ["/:b", "/:a"]);
    }

    #[test]
    fn what_is_no_route_is_refused_with_an_example() {
        for wrong in ["/a//b", "/a/:", "/.../b", "/a*", "/*/b", "/a?b", "/a#b"] {
            let error = Route::parse(wrong).unwrap_err().to_string();
            assert!(
                error.contains(wrong) && error.contains("/prefix/..."),
                "{error}"
            );
        }
    }

    #[test]
    fn routes_that_differ_in_names_only_are_the_same() {
        assert!(route("/a/:b").same_paths(&route("a/:c/")));
        assert!(!route("/a/:b").same_paths(&route("/a/b")));
        assert!(!route("/a").same_paths(&route("/a/...")));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_a_literal_route_matches_itself(text in ".{0,20}", path in ".{0,20}") {
            if let Ok(route) = Route::parse(&text) {
                let _ = route.matches(&path);
                if !text.contains([':', '*']) && !text.contains("...") {
                    prop_assert!(route.matches(&text));
                }
            }
        }

        #[test]
        fn the_order_does_not_depend_on_how_routes_are_listed(
            routes in prop::collection::hash_set("(/(a|b|:n)){1,3}(/\\.\\.\\.)?", 1..6),
            path in "(/(a|b|c)){1,4}",
        ) {
            let mut distinct: Vec<&str> = Vec::new();
            for text in &routes {
                if !distinct.iter().any(|other| route(other).same_paths(&route(text))) {
                    distinct.push(text);
                }
            }
            let forwards = found(&distinct, &path);
            distinct.reverse();
            prop_assert_eq!(forwards, found(&distinct, &path));
        }
    }
}
