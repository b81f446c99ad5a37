//! What a component may connect to.
//!
//! An entry of `allowed_outbound_hosts` is `<scheme>://<host>[:<port>]`, in Spin's format:
//! - scheme: letters, or `*` for any;
//! - host: a name, an address, `*.example.com` for everything below it (not itself), a range such as
//!   `10.0.0.0/8`, or `*` for any;
//! - port: a number, `8000..9000` (without the last), `*` for any, or nothing for the scheme's own
//!   (`http` and `ws` 80, `https` and `wss` 443, and those of some databases).
//!
//! Two things are ours, so that a service's URL can be a variable. An entry that is one variable and
//! nothing else, as in `"{{ asr_ws_url }}"`, may be an URL with a path: it grants that URL's scheme,
//! host and port, whatever its path looks like (so a range of addresses cannot come from such an
//! entry). And an entry whose variables leave it empty grants nothing, as in Spin.

mod pattern;

use std::fmt;

use url::Url;

use crate::{Component, Template, VariableError, Variables};
use pattern::Pattern;

/// What an entry whose variables are empty may be left with; all grant nothing.
const EMPTY: [&str; 5] = ["", "http://", "https://", "ws://", "wss://"];

/// The origins that one component may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    patterns: Vec<Pattern>,
}

/// An entry of `allowed_outbound_hosts` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedHostsError {
    /// The entry, with its variables' values, is none of the known forms.
    #[error("component.{component}.allowed_outbound_hosts: {entry}: {message}")]
    Invalid {
        /// The component's id.
        component: String,
        /// The entry as in the manifest and, where that is no secret, as it was read.
        entry: String,
        /// What is wrong and what to write.
        message: String,
    },
    /// The entry names a variable that does not exist.
    #[error("component.{component}.allowed_outbound_hosts: {source}")]
    Variable {
        /// The component's id.
        component: String,
        /// Which.
        source: VariableError,
    },
}

impl AllowedHosts {
    /// The component's `allowed_outbound_hosts` with the variables' values.
    ///
    /// # Errors
    /// An entry is none of the known forms, or is one that this host cannot serve: `self` and
    /// `*.spin.internal` mean other components of the application in Spin.
    pub fn resolve(
        component: &Component,
        variables: &Variables,
    ) -> Result<Self, AllowedHostsError> {
        let mut patterns = Vec::new();
        for template in &component.allowed_outbound_hosts {
            let text =
                variables
                    .expand(template)
                    .map_err(|source| AllowedHostsError::Variable {
                        component: component.id.clone(),
                        source,
                    })?;
            let pattern =
                read_entry(template, &text).map_err(|message| AllowedHostsError::Invalid {
                    component: component.id.clone(),
                    entry: shown(template, &text, variables),
                    message,
                })?;
            patterns.extend(pattern);
        }
        Ok(Self { patterns })
    }

    /// Whether the component may connect to this URL's scheme, host and port.
    pub fn allows(&self, url: &Url) -> bool {
        self.patterns.iter().any(|pattern| pattern.allows(url))
    }
}

/// The entries with everything but the variables' own text written out.
impl fmt::Display for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.patterns.iter().enumerate() {
            write!(f, "{}{pattern}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn read_entry(template: &Template, text: &str) -> Result<Option<Pattern>, String> {
    let text = text.trim();
    let has_variables = template.variables().next().is_some();
    if has_variables && EMPTY.contains(&text) {
        return Ok(None);
    }
    if template.is_one_variable()
        && let Some(origin) = Pattern::origin_of(text)
    {
        return Ok(Some(origin));
    }
    Pattern::parse(text).map(Some)
}

fn shown(template: &Template, text: &str, variables: &Variables) -> String {
    let template_text = template.to_string();
    if template_text == text || variables.shows_a_secret(template) {
        format!("\"{template_text}\"")
    } else {
        format!("\"{template_text}\" is \"{text}\"")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    /// The hosts of a component with these entries, when the variables are `url` and `key` (a
    /// secret).
    fn resolve(entries: &str, url: &str, key: &str) -> Result<AllowedHosts, AllowedHostsError> {
        let manifest = format!(
            "spin_manifest_version = 2\n\
             [application]\nname = \"talk\"\n\
             [variables]\nurl = {{ required = true }}\n\
             key = {{ required = true, secret = true }}\n\
             [component.web]\nsource = \"web.wasm\"\nallowed_outbound_hosts = {entries}\n"
        );
        let app = crate::spin_toml::parse(&manifest, "spin.toml", Path::new("/app")).unwrap();
        let values = BTreeMap::from([("url".into(), url.into()), ("key".into(), key.into())]);
        let variables = Variables::resolve(&app, |_| None, &values).unwrap();
        AllowedHosts::resolve(&app.components["web"], &variables)
    }

    fn allowed(entries: &str, url: &str) -> String {
        resolve(entries, url, "").unwrap().to_string()
    }

    #[test]
    fn a_variable_may_be_an_url_with_a_path() {
        let entries = "[\"{{ url }}\"]";
        assert_eq!(
            allowed(entries, "wss://h.example/api/v1/"),
            "wss://h.example:443"
        );
        assert_eq!(allowed(entries, " http://h:8000/x "), "http://h:8000");
        assert_eq!(
            allowed(entries, "http://*.h.example"),
            "http://*.h.example:80"
        );
        assert_eq!(allowed(entries, "*://*:*"), "*://*:*");
        assert_eq!(allowed(entries, ""), "");
        assert_eq!(
            allowed("[\"https://{{ url }}\", \"http://a\"]", ""),
            "http://a:80"
        );
        assert_eq!(allowed("[\"https://{{ url }}:1\"]", "h"), "https://h:1");
        assert_eq!(allowed("[]", "http://h"), "");
        resolve("[\"{{ url }}{{ url }}/x\"]", "http://h", "").unwrap_err();
        resolve("[\"https://{{ url }}/x\"]", "h", "").unwrap_err();
        resolve("[\"\"]", "", "").unwrap_err();
    }

    #[test]
    fn nothing_is_allowed_without_an_entry() {
        assert!(!AllowedHosts::default().allows(&Url::parse("http://localhost").unwrap()));
    }

    #[test]
    fn errors_name_the_entry_but_no_secret() {
        let error = resolve("[\"{{ url }}\"]", "nonsense", "")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("component.web.allowed_outbound_hosts"),
            "{error}"
        );
        assert!(
            error.contains("{{ url }}") && error.contains("nonsense"),
            "{error}"
        );
        let error = resolve("[\"{{ key }}\"]", "", "s-1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("{{ key }}") && !error.contains("s-1"),
            "{error}"
        );
    }
}
