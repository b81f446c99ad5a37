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
fn environment_names(variable: &str) -> [String; 2] {
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
