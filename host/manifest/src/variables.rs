//! The application's variables and where their values come from.

use std::collections::BTreeMap;
use std::fmt;

use crate::{App, Component, Template};

/// What a name in the environment starts with, to set a variable as Spin does.
const SPIN_PREFIX: &str = "SPIN_VARIABLE_";

/// The application's variables with their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, Eq)]
struct Value {
    text: String,
    secret: bool,
}

/// A variable has no value, or there is no such variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// Required variables are not set.
    #[error("{}", describe_missing(names))]
    Missing {
        /// Their names in the manifest.
        names: Vec<String>,
    },
    /// The manifest has no variable of this name.
    #[error("there is no variable \"{name}\"; {}", list_of_known(known))]
    Unknown {
        /// The name that was used.
        name: String,
        /// The names that the manifest declares.
        known: Vec<String>,
    },
}

fn describe_missing(names: &[String]) -> String {
    let sentences: Vec<String> = names
        .iter()
        .map(|name| {
            let [spin, plain] = environment_names(name);
            format!("the variable \"{name}\" is required: set {spin} or {plain} in the environment")
        })
        .collect();
    sentences.join("; ")
}

fn list_of_known(known: &[String]) -> String {
    if known.is_empty() {
        "the manifest declares none: add it to [variables]".to_owned()
    } else {
        format!("the manifest's [variables] are {}", known.join(", "))
    }
}

/// The names in the environment that set a variable; the first wins.
pub(crate) fn environment_names(variable: &str) -> [String; 2] {
    let plain = variable.to_ascii_uppercase();
    [format!("{SPIN_PREFIX}{plain}"), plain]
}

impl Variables {
    /// Finds the value of every variable that `app` declares: in `overrides`, else in the
    /// environment as `SPIN_VARIABLE_<NAME>`, else there as plain `<NAME>`, else its default. What is
    /// set to nothing is set.
    ///
    /// `lookup` reads the environment.
    ///
    /// # Errors
    /// Required variables are not set ([`VariableError::Missing`] names them all), or `overrides` has
    /// a name that the manifest does not declare.
    pub fn resolve(
        app: &App,
        lookup: impl Fn(&str) -> Option<String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, VariableError> {
        if let Some(name) = overrides
            .keys()
            .find(|name| !app.variables.contains_key(*name))
        {
            return Err(VariableError::Unknown {
                name: name.clone(),
                known: app.variables.keys().cloned().collect(),
            });
        }
        let mut values = BTreeMap::new();
        let mut missing = Vec::new();
        for (name, declared) in &app.variables {
            let found = overrides
                .get(name)
                .cloned()
                .or_else(|| environment_names(name).iter().find_map(|name| lookup(name)))
                .or_else(|| declared.default.clone());
            match found {
                Some(text) => {
                    values.insert(
                        name.clone(),
                        Value {
                            text,
                            secret: declared.secret,
                        },
                    );
                }
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() {
            Ok(Self { values })
        } else {
            Err(VariableError::Missing { names: missing })
        }
    }

    /// The value of an application's variable; none if the manifest does not declare it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.text.as_str())
    }

    /// Whether the manifest declares the variable as secret; its value must not be shown then.
    pub fn is_secret(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.secret)
    }

    /// The component's variables with their values: what `variables.get` and `wasi:config` give it.
    ///
    /// # Errors
    /// A template names a variable that these do not have ([`App`]'s own components never do).
    pub fn for_component(
        &self,
        component: &Component,
    ) -> Result<BTreeMap<String, String>, VariableError> {
        component
            .variables
            .iter()
            .map(|(name, template)| Ok((name.clone(), self.expand(template)?)))
            .collect()
    }

    /// The template's text with the values of its variables.
    ///
    /// # Errors
    /// It names a variable that these do not have.
    pub fn expand(&self, template: &Template) -> Result<String, VariableError> {
        template
            .expand(|name| self.get(name))
            .map_err(|name| VariableError::Unknown {
                name: name.to_owned(),
                known: self.values.keys().cloned().collect(),
            })
    }

    /// Whether the template's text would show a secret.
    pub(crate) fn shows_a_secret(&self, template: &Template) -> bool {
        template.variables().any(|name| self.is_secret(name))
    }
}

/// Shows names and values, but of secrets only whether they are empty.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.values.iter().map(|(name, value)| {
                let shown = match (value.secret, value.text.is_empty()) {
                    (true, false) => "<secret>",
                    _ => value.text.as_str(),
                };
                (name, shown)
            }))
            .finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::VariableDecl;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "talk"
        [variables]
        asr_model = { default = "basic" }
        api_key = { default = "", secret = true }
        url = { required = true }
        other = { required = true }
        [component.web]
        source = "web.wasm"
        [component.web.variables]
        model = "{{ asr_model }}"
        header = "Bearer {{ api_key }}"
    "#;

    fn app() -> App {
        crate::spin_toml::parse(MANIFEST, "spin.toml", Path::new("/app")).unwrap()
    }

    fn table(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn resolve(
        environment: &[(&str, &str)],
        overrides: &[(&str, &str)],
    ) -> Result<Variables, VariableError> {
        let environment = table(environment);
        Variables::resolve(
            &app(),
            |name| environment.get(name).cloned(),
            &table(overrides),
        )
    }

    #[test]
    fn the_nearest_setting_wins() {
        let all = [
            ("URL", "u"),
            ("OTHER", "o"),
            ("ASR_MODEL", "plain"),
            ("SPIN_VARIABLE_ASR_MODEL", "spin"),
        ];
        let model = |environment: &[(&str, &str)], overrides: &[(&str, &str)]| {
            resolve(environment, overrides)
                .unwrap()
                .get("asr_model")
                .unwrap()
                .to_owned()
        };
        assert_eq!(model(&all, &[("asr_model", "own")]), "own");
        assert_eq!(model(&all, &[]), "spin");
        assert_eq!(model(&all[..3], &[]), "plain");
        assert_eq!(model(&all[..2], &[]), "basic");
        let empty = [("URL", "u"), ("OTHER", "o"), ("ASR_MODEL", "")];
        assert_eq!(model(&empty, &[]), "", "what is set to nothing is set");
        assert_eq!(resolve(&all, &[]).unwrap().get("no_such"), None);
    }

    #[test]
    fn missing_ones_are_all_named_with_both_ways_to_set_them() {
        let error = resolve(&[], &[]).unwrap_err();
        assert_eq!(
            error,
            VariableError::Missing {
                names: vec!["other".to_owned(), "url".to_owned()]
            }
        );
        let text = error.to_string();
        assert!(text.contains("SPIN_VARIABLE_URL or URL"), "{text}");
        assert!(text.contains("SPIN_VARIABLE_OTHER or OTHER"), "{text}");
    }

    #[test]
    fn a_mistyped_override_is_refused() {
        let error = resolve(&[("URL", "u"), ("OTHER", "o")], &[("asr_modl", "x")]).unwrap_err();
        assert!(error.to_string().contains("asr_modl"), "{error}");
        assert!(error.to_string().contains("asr_model"), "{error}");
    }

    #[test]
    fn components_see_their_own_variables() {
        let variables = resolve(&[("URL", "u"), ("OTHER", "o"), ("API_KEY", "k-1")], &[]).unwrap();
        assert_eq!(
            variables.for_component(&app().components["web"]).unwrap(),
            table(&[("model", "basic"), ("header", "Bearer k-1")])
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let variables = resolve(&[("URL", "u"), ("OTHER", "o"), ("API_KEY", "k-1")], &[]).unwrap();
        let shown = format!("{variables:?}");
        assert!(
            !shown.contains("k-1") && shown.contains("api_key"),
            "{shown}"
        );
        assert!(shown.contains("basic"), "{shown}");
        let declared = VariableDecl {
            default: Some("k-2".into()),
            required: false,
            secret: true,
        };
        assert!(!format!("{declared:?}").contains("k-2"));
        assert!(variables.is_secret("api_key") && !variables.is_secret("url"));
    }
}
