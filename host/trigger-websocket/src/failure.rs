//! What is said of an error that ends the start.

/// The error with its causes, each once: many errors say themselves what the system said, and have it as
/// their cause besides.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let said = cause.to_string();
        if text.contains(&said) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&said);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::path::Path;

    use anyhow::Context;
    use app_manifest::RuntimeConfig;

    use super::*;

    #[test]
    fn what_the_system_said_is_said_once() {
        let missing = RuntimeConfig::load(Some(Path::new("no/such.toml"))).unwrap_err();
        let said = told(&anyhow::Error::from(missing).context("it cannot start"));
        assert_eq!(said.matches("os error 2").count(), 1, "{said}");
        assert!(
            said.starts_with("it cannot start: no/such.toml: "),
            "{said}"
        );
    }

    #[test]
    fn a_cause_that_says_something_else_is_said() {
        let error = std::fs::read("no/such")
            .context("cannot start")
            .unwrap_err();
        let said = told(&error);
        assert!(said.starts_with("cannot start: No such file"), "{said}");
    }
}
