//! Fault sets by the clock: what a script file says. Parsing only.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::faults::{FaultError, Faults};

/// The most steps of a script.
pub const MAX_STEPS: usize = 10_000;
/// The longest script, in bytes.
pub const MAX_SCRIPT_BYTES: usize = 1 << 20;

/// Fault sets and when each of them replaces the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script(Vec<Step>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// After the start of the script.
    pub after: Duration,
    /// What is in force from then on.
    pub faults: Faults,
}

/// A script that cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Longer than [`MAX_SCRIPT_BYTES`] or [`MAX_STEPS`].
    #[error("a script has at most {MAX_STEPS} steps and {MAX_SCRIPT_BYTES} bytes")]
    Long,
    /// A step is not what a step is; counted from 1.
    #[error("step {0}: {1}; a step is {{\"after_ms\": 3000, \"faults\": {{...}}}}")]
    Step(usize, String),
    /// It begins like a list and is none.
    #[error("not a JSON list: {0}")]
    List(String),
    /// A fault set cannot be; counted from 1.
    #[error("step {0}: {1}")]
    Faults(usize, FaultError),
    /// A step is before the one above it; counted from 1.
    #[error("step {0}: after_ms counts from the start of the script and must not decrease")]
    Order(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    after_ms: u64,
    faults: Map<String, Value>,
}

impl Script {
    /// Reads a JSON list of steps, or a step in each line.
    ///
    /// # Errors
    /// It is too long, or a step is not one.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        if text.len() > MAX_SCRIPT_BYTES {
            return Err(ScriptError::Long);
        }
        let mut script = Self::default();
        if text.trim_start().starts_with('[') {
            let steps: Vec<Map<String, Value>> =
                serde_json::from_str(text).map_err(|error| ScriptError::List(error.to_string()))?;
            for step in steps {
                script.add(Ok(step))?;
            }
        } else {
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                script.add(serde_json::from_str(line))?;
            }
        }
        Ok(script)
    }

    /// In the order they are played.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn add(&mut self, step: serde_json::Result<Map<String, Value>>) -> Result<(), ScriptError> {
        let number = self.0.len() + 1;
        if number > MAX_STEPS {
            return Err(ScriptError::Long);
        }
        // An object first: serde would take a list of the fields' values, too.
        let step = step.and_then(|step| Written::deserialize(Value::Object(step)));
        let step = step.map_err(|error| ScriptError::Step(number, error.to_string()))?;
        let after = Duration::from_millis(step.after_ms);
        if self.0.last().is_some_and(|last| last.after > after) {
            return Err(ScriptError::Order(number));
        }
        let faults =
            Faults::from_object(step.faults).map_err(|error| ScriptError::Faults(number, error))?;
        self.0.push(Step { after, faults });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_script_is_lines_or_a_list() {
        let first = r#"{"after_ms": 0, "faults": {"refuse": 503}}"#;
        let second = r#"{"after_ms": 3000, "faults": {}}"#;
        let lines = Script::parse(&format!("{first}\n\n{second}\n")).unwrap();
        let list = Script::parse(&format!(" [{first},\n{second}]")).unwrap();
        assert_eq!(lines, list);
        assert_eq!(lines.steps()[1].after, Duration::from_secs(3));
        assert!(lines.steps()[0].faults.refuse.is_some());
        assert!(Script::parse(" \n").unwrap().steps().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_step() {
        let good = r#"{"after_ms": 5, "faults": {}}"#;
        for (text, part) in [
            ("{".to_owned(), "step 1"),
            ("[1]".to_owned(), "not a JSON list"),
            (format!("{good}\n[5, {{}}]"), "step 2"),
            (format!("{good}\n{{\"after_ms\": 6}}"), "faults"),
            (
                format!("{good}\n{{\"after_ms\": 4, \"faults\": {{}}}}"),
                "must not decrease",
            ),
            (
                format!("[{good}, {{\"after_ms\": 5, \"faults\": {{\"tasks\": 0}}}}]"),
                "step 2: tasks must be",
            ),
            (format!("{good}\n").repeat(MAX_STEPS + 1), "at most"),
            (" ".repeat(MAX_SCRIPT_BYTES + 1), "at most"),
        ] {
            let error = Script::parse(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
