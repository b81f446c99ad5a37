//! Reads setting by setting and remembers what is wrong, so that the operator hears it all at once.

use std::fmt::Display;

use crate::error::{BadSetting, BadSettings};
use crate::rule::Rule;
use crate::table::Setting;

/// Reads variables with a function of the caller's.
pub struct Reader<G> {
    get: G,
    bad: Vec<BadSetting>,
}

impl<G, E> Reader<G>
where
    G: Fn(&str) -> Result<Option<String>, E>,
    E: Display,
{
    pub fn new(get: G) -> Self {
        Self {
            get,
            bad: Vec::new(),
        }
    }

    /// The setting's value, its default when it is not set or set to nothing. None: it is wrong.
    pub fn read<R: Rule>(&mut self, setting: &Setting<R>) -> Option<R::Value> {
        let given = match (self.get)(setting.name) {
            Ok(given) => given.unwrap_or_default(),
            Err(reason) => {
                let bad = BadSetting::unreadable(setting.name, reason.to_string());
                self.bad.push(bad);
                return None;
            }
        };
        let text = match given.trim() {
            "" => setting.default,
            text => text,
        };
        let value = setting.rule.parse(text);
        if value.is_none() {
            let words = setting.rule.words();
            let bad = BadSetting::not_allowed(setting.name, setting.secret, text, words);
            self.bad.push(bad.because(setting.rule.why(text)));
        }
        value
    }

    /// As [`Reader::read`]. What stands in for a wrong value is never seen: [`Reader::finish`] fails.
    pub fn take<R: Rule<Value: Default>>(&mut self, setting: &Setting<R>) -> R::Value {
        self.read(setting).unwrap_or_default()
    }

    /// Refuses a value for a reason that lies in another setting.
    pub fn refuse<R: Rule>(&mut self, setting: &Setting<R>, value: &str, allowed: String) {
        let bad = BadSetting::not_allowed(setting.name, setting.secret, value, allowed);
        self.bad.push(bad);
    }

    /// `value`, if all was right.
    pub fn finish<T>(self, value: T) -> Result<T, BadSettings> {
        if self.bad.is_empty() {
            Ok(value)
        } else {
            Err(BadSettings(self.bad))
        }
    }
}
