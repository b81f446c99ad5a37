//! What must hold of every application that is read, from a manifest or from a locked app.

use std::collections::{BTreeMap, BTreeSet};

use app_manifest::{AllowedHosts, App, DependencyName, Route, Router, Template, Variables};
use url::Url;

/// What no message may show.
const SECRET: &str = "s3cr3tv4lue";

/// URLs that a component may ask for.
const URLS: [&str; 6] = [
    "https://example.com/a",
    "http://127.0.0.1:8000/",
    "ws://[::1]:80/",
    "wss://a.b.example.com:443/x",
    "ws://self/",
    "http://app.spin.internal/",
];

/// Asks everything that the host asks of an application. `value` is what the variables are set to,
/// `path` what is requested.
pub fn ask(app: &App, value: &str, path: &str) {
    let mut ids = BTreeSet::new();
    for trigger in &app.triggers {
        assert!(
            app.components.contains_key(&trigger.component),
            "a trigger without its component"
        );
        assert!(ids.insert(&trigger.id), "two triggers are {:?}", trigger.id);
        same_route(&trigger.route, path);
    }
    serve(app, path);
    for (id, component) in &app.components {
        assert_eq!(*id, component.id);
        for template in (component.variables.values()).chain(&component.allowed_outbound_hosts) {
            same_template(template, app);
        }
        for dependency in &component.dependencies {
            let text = dependency.name.to_string();
            assert_eq!(
                DependencyName::parse(&text).ok().as_ref(),
                Some(&dependency.name)
            );
        }
        for (index, one) in component.dependencies.iter().enumerate() {
            for other in component.dependencies.iter().skip(index + 1) {
                assert!(!one.name.overlaps(&other.name), "two for one import");
            }
        }
    }
    for declared in app.variables.values() {
        let is_empty = declared.default.as_deref().is_none_or(str::is_empty);
        if declared.secret && !is_empty {
            let shown = format!("{declared:?}");
            assert!(shown.contains("default: Some(\"<secret>\")"), "{shown}");
        }
    }
    resolve(app, value, false);
    resolve(app, SECRET, true);
}

fn resolve(app: &App, value: &str, only_secrets: bool) {
    let secret_ones: BTreeMap<String, String> = (app.variables.iter())
        .filter(|(_, declared)| declared.secret || !only_secrets)
        .map(|(name, _)| (name.clone(), value.to_owned()))
        .collect();
    let variables = match Variables::resolve(app, |_| Some("x".to_owned()), &secret_ones) {
        Ok(variables) => variables,
        Err(error) => panic!("all variables are set: {error}"),
    };
    let mut shown = format!("{variables:?}");
    for component in app.components.values() {
        let own = variables
            .for_component(component)
            .expect("they are declared");
        assert_eq!(own.len(), component.variables.len());
        match AllowedHosts::resolve(component, &variables) {
            Ok(hosts) => {
                for url in URLS {
                    let url = Url::parse(url).expect("an URL");
                    let allowed = hosts.allows(&url);
                    let none = component.allowed_outbound_hosts.is_empty();
                    assert!(!(none && allowed), "allowed without an entry");
                }
                let _ = hosts.to_string();
            }
            Err(error) => shown.push_str(&error.to_string()),
        }
    }
    if only_secrets {
        assert!(!shown.contains(SECRET), "a secret is shown: {shown}");
    }
}

fn same_template(template: &Template, app: &App) {
    let again = Template::parse(&template.to_string()).expect("a template reads back");
    assert_eq!(again.to_string(), template.to_string());
    for name in template.variables() {
        assert!(app.variables.contains_key(name), "no variable {name}");
    }
}

fn same_route(route: &Route, path: &str) {
    let again = Route::parse(&route.to_string()).expect("a route reads back");
    assert!(again.same_paths(route));
    assert_eq!(again.matches(path), route.matches(path));
    // Slashes at the end do not count.
    assert_eq!(route.matches(&format!("{path}/")), route.matches(path));
}

fn serve(app: &App, path: &str) {
    let of = |index: usize| app.triggers.get(index).map(|trigger| trigger.route.clone());
    let routes: Vec<(Route, usize)> = (0..app.triggers.len())
        .filter_map(|index| Some((of(index)?, index)))
        .collect();
    let reversed = routes.iter().rev().cloned().collect();
    let serves = |router: Router<usize>| router.matches(path).copied().collect::<Vec<_>>();
    let found = serves(Router::new(routes.clone()));
    for (route, index) in &routes {
        assert_eq!(
            route.matches(path),
            found.contains(index),
            "{route} of {path}"
        );
    }
    // Who serves a path must not depend on the manifest's order: no two routes are the same.
    assert_eq!(found, serves(Router::new(reversed)), "{path}");
}
