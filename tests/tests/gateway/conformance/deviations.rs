//! In what this gateway differs from the original, and why it may.

use std::collections::BTreeSet;

use serde_json::Value;

use super::compare::Difference;

/// What this gateway answers instead.
#[derive(Debug, Clone, Copy)]
enum Ours {
    /// This JSON.
    Is(&'static str),
    /// Nothing is there.
    Absent,
    /// The recorded number and this.
    Plus(i64),
    /// Something that depends on the moment or on the ASR service.
    Varies,
}
use Ours::{Absent, Is, Plus, Varies};

/// One difference that may be, in every one of the cases.
struct Deviation {
    theme: &'static str,
    /// As in the records, `<variant>/<case>` where there is a variant. `*`: in any case.
    cases: &'static [&'static str],
    /// Where; what is below it is meant, too.
    at: &'static str,
    ours: Ours,
    why: &'static str,
}

const DEVIATIONS: &[Deviation] = &[];

/// The deviations of one theme, and which of them were needed.
pub struct Allowances {
    theme: &'static str,
    needed: BTreeSet<(usize, &'static str)>,
    unexplained: Vec<String>,
}

impl Allowances {
    pub fn of(theme: &'static str) -> Self {
        Self {
            theme,
            needed: BTreeSet::new(),
            unexplained: Vec::new(),
        }
    }

    /// Looks whether a difference may be.
    pub fn judge(&mut self, record: &Value, difference: Difference) {
        let case = record["case"].as_str().unwrap();
        let case = match record["variant"].as_str() {
            Some(variant) => format!("{variant}/{case}"),
            None => case.to_owned(),
        };
        for (index, deviation) in DEVIATIONS.iter().enumerate() {
            if deviation.theme != self.theme || !deviation.allows(&difference) {
                continue;
            }
            let named = deviation
                .cases
                .iter()
                .find(|named| ["*", case.as_str()].contains(*named));
            if let Some(named) = named {
                self.needed.insert((index, named));
                return;
            }
        }
        let kind = record["kind"].as_str().unwrap();
        self.unexplained
            .push(format!("{case} ({kind}): {difference:?}"));
    }

    /// All differences are allowed, and all deviations occurred.
    ///
    /// # Panics
    /// That is not so.
    pub fn conclude(self) {
        let mut unneeded = Vec::new();
        for (index, deviation) in DEVIATIONS.iter().enumerate() {
            for case in deviation
                .cases
                .iter()
                .filter(|_| deviation.theme == self.theme)
            {
                if !self.needed.contains(&(index, case)) {
                    unneeded.push(format!("{case}: {} ({})", deviation.at, deviation.why));
                }
            }
        }
        let unexplained = self.unexplained;
        assert!(
            unexplained.is_empty() && unneeded.is_empty(),
            "differences that no entry of DEVIATIONS allows: {unexplained:#?}\n\
             entries of DEVIATIONS that are not needed: {unneeded:#?}"
        );
    }
}

impl Deviation {
    fn allows(&self, difference: &Difference) -> bool {
        let Some(below) = difference.at.strip_prefix(self.at) else {
            return false;
        };
        if !(below.is_empty() || self.at.is_empty() || below.starts_with('/')) {
            return false;
        }
        match self.ours {
            Is(json) => difference.ours == serde_json::from_str(json).ok(),
            Absent => difference.ours.is_none(),
            Plus(more) => {
                let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_i64);
                number(&difference.recorded).map(|recorded| recorded + more)
                    == number(&difference.ours)
            }
            Varies => true,
        }
    }
}
