//! Holds what differs against the table of what may differ, and the table against what was needed.

use std::collections::BTreeSet;

use end_to_end::blobs;
use end_to_end::store::Kind;
use serde_json::Value;

use super::compare::Difference;
use super::deviations::Ours::{Absent, BlobStore, Is, Plus, SessionStore, Varies};
use super::deviations::{DEVIATIONS, Deviation};

/// The deviations of one theme, and which of them were needed.
pub struct Allowances {
    theme: &'static str,
    /// The index of the entry, and one of its cases or places.
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
        for (index, deviation) in self.entries() {
            if let Some((named, at)) = deviation.allows(&case, &difference) {
                self.needed.extend([(index, named), (index, at)]);
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
        for (index, deviation) in self.entries() {
            for name in deviation.cases.iter().chain(deviation.at) {
                if !self.needed.contains(&(index, name)) {
                    unneeded.push(format!("{name}: {:?} ({})", deviation.ours, deviation.why));
                }
            }
        }
        let unexplained = self.unexplained;
        assert!(
            unexplained.is_empty() && unneeded.is_empty(),
            "differences that no entry of DEVIATIONS allows: {unexplained:#?}\n\
             cases or places in DEVIATIONS that are not needed: {unneeded:#?}"
        );
    }

    fn entries(&self) -> impl Iterator<Item = (usize, &'static Deviation)> + use<> {
        let theme = self.theme;
        DEVIATIONS
            .iter()
            .enumerate()
            .filter(move |(_, deviation)| deviation.theme == theme)
    }
}

impl Deviation {
    /// The case and the place by which it allows a difference.
    fn allows(&self, case: &str, found: &Difference) -> Option<(&'static str, &'static str)> {
        let named = self
            .cases
            .iter()
            .find(|named| **named == "*" || **named == case)?;
        let at = self.at.iter().find(|at| is_at_or_below(&found.at, at))?;
        let allowed = match self.ours {
            SessionStore => found.ours == Some(Kind::of_this_run().name().into()),
            Is(json) => found.ours == serde_json::from_str(json).ok(),
            BlobStore => {
                let kind = if blobs::are_on_s3() {
                    "s3"
                } else {
                    "directory"
                };
                found.ours == Some(kind.into())
            }
            Absent => found.ours.is_none(),
            Plus(more) => {
                let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_i64);
                number(&found.recorded).map(|recorded| recorded + more) == number(&found.ours)
            }
            Varies => true,
        };
        allowed.then_some((named, at))
    }
}

fn is_at_or_below(place: &str, at: &str) -> bool {
    place
        .strip_prefix(at)
        .is_some_and(|below| below.is_empty() || below.starts_with('/'))
}
