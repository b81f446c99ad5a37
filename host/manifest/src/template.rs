//! Text with `{{ variable }}` in it.

use std::fmt;

/// Text in which `{{ name }}` stands for the value of a variable of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// Braces without a partner or without a name between them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\": {why}; write a variable as {{{{ name }}}}")]
pub struct TemplateError {
    text: String,
    why: &'static str,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A `{{` is not closed, or what it encloses is no name of a variable.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let fail = |why| TemplateError {
            text: text.to_owned(),
            why,
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let (before, after) = (&rest[..open], &rest[open + 2..]);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let close = after
                .find("}}")
                .ok_or_else(|| fail("a {{ is not closed by }}"))?;
            let name = after[..close].trim();
            if !is_variable_name(name) {
                return Err(fail("between {{ and }} there is no name of a variable"));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = &after[close + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The names of the variables in it, in order, with repetitions.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text without the variables' braces, with what `value` gives for each; the name of the
    /// first variable that it gives nothing for is the error.
    pub(crate) fn expand<'v>(
        &self,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<String, &str> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable(name) => text.push_str(value(name).ok_or(name.as_str())?),
            }
        }
        Ok(text)
    }

    /// It is one variable and nothing else (but white space around it).
    pub(crate) fn is_one_variable(&self) -> bool {
        let mut count = 0;
        for part in &self.parts {
            match part {
                Part::Variable(_) => count += 1,
                Part::Text(text) if text.trim().is_empty() => {}
                Part::Text(_) => return false,
            }
        }
        count == 1
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(name) => write!(f, "{{{{ {name} }}}}"),
        })
    }
}

/// Whether `name` can name a variable: lower-case letters, digits and single underscores between
/// them, a letter first. Names map one to one to environment variables, hence the strictness.
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('_')
        && !name.contains("__")
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn variables_are_found_and_replaced() {
        let template = Template::parse("https://{{ host }}:{{port}}/x").unwrap();
        assert_eq!(template.variables().collect::<Vec<_>>(), ["host", "port"]);
        let value = |name: &str| Some(if name == "host" { "h" } else { "1" });
        assert_eq!(template.expand(value).unwrap(), "https://h:1/x");
        assert_eq!(template.expand(|_| None).unwrap_err(), "host");
        assert!(!template.is_one_variable());
        assert!(Template::parse(" {{ a }} ").unwrap().is_one_variable());
        assert!(!Template::parse("{{ a }}{{ b }}").unwrap().is_one_variable());
        assert!(!Template::parse("").unwrap().is_one_variable());
    }

    #[test]
    fn values_are_not_templates() {
        let template = Template::parse("{{ a }}").unwrap();
        assert_eq!(template.expand(|_| Some("{{ b }}")).unwrap(), "{{ b }}");
    }

    #[test]
    fn wrong_braces_are_refused() {
        for wrong in ["{{ a", "{{ }}", "{{ A }}", "{{ a-b }}", "{{ a }} {{"] {
            assert!(
                Template::parse(wrong)
                    .unwrap_err()
                    .to_string()
                    .contains("{{ name }}")
            );
        }
        assert_eq!(Template::parse("} }} {").unwrap().to_string(), "} }} {");
    }

    proptest! {
        #[test]
        fn reading_what_is_shown_gives_the_same(text in "[a-z_{} ]{0,24}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
            }
        }
    }
}
