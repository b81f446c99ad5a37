//! A strict reader of the OpenMetrics text format, as far as the gateway uses it. What a lenient reader
//! would let pass is a failure here.

use std::collections::{BTreeMap, BTreeSet};

type Labels = Vec<(String, String)>;

/// One scrape: the value of each series, its labels sorted by name.
#[derive(Debug, Default)]
pub struct Scrape {
    series: BTreeMap<(String, Labels), f64>,
    /// Families and their types.
    families: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads a whole text.
    ///
    /// # Panics
    /// It is not well formed.
    pub fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the end is marked");
        assert!(!body.contains("# EOF"), "the end is marked twice");
        let mut scrape = Self::default();
        let (mut family, mut helped) = (String::new(), String::new());
        for line in body.lines() {
            assert!(!line.is_empty(), "an empty line");
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (word, name, rest) = (words.next(), words.next(), words.next());
                let (name, rest) = (name.expect(line), rest.expect(line));
                assert!(is_name(name), "{line}");
                match word {
                    Some("HELP") => helped = name.to_owned(),
                    Some("TYPE") => {
                        assert_eq!(name, helped, "help and type go together");
                        let kinds = ["counter", "gauge", "histogram", "info"];
                        assert!(kinds.contains(&rest), "{line}");
                        let before = scrape.families.insert(name.to_owned(), rest.to_owned());
                        assert_eq!(before, None, "a family twice: {line}");
                        family = name.to_owned();
                    }
                    _ => panic!("not a comment of this format: {line}"),
                }
            } else {
                let (name, labels, value) = sample(line);
                let kind = &scrape.families[&family];
                let suffix = name.strip_prefix(&family).expect(line);
                let allowed: &[&str] = match kind.as_str() {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "info" => &["_info"],
                    _ => &[""],
                };
                assert!(allowed.contains(&suffix), "{line}: of a {kind}");
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                let before = scrape.series.insert((name, labels), value);
                assert_eq!(before, None, "a series twice: {line}");
            }
        }
        scrape.check_histograms();
        scrape
    }

    /// The value of a series; 0 if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        labels.sort();
        let series = self.series.get(&(name.to_owned(), labels));
        series.copied().unwrap_or(0.0)
    }

    /// The sum of all series of this name.
    pub fn total(&self, name: &str) -> f64 {
        let of_name = self.series.iter().filter(|((other, _), _)| other == name);
        of_name.map(|(_, value)| value).sum()
    }

    /// The names of all families.
    pub fn families(&self) -> BTreeSet<&str> {
        self.families.keys().map(String::as_str).collect()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Buckets grow, and the last one has everything.
    fn check_histograms(&self) {
        let histograms = self
            .families
            .iter()
            .filter(|(_, kind)| *kind == "histogram");
        for (family, _) in histograms {
            let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((name, labels), value) in &self.series {
                if name.strip_prefix(family.as_str()) == Some("_bucket") {
                    let mut labels = labels.clone();
                    let le = labels.iter().position(|(name, _)| name == "le");
                    let (_, bound) = labels.remove(le.expect("a bound"));
                    buckets
                        .entry(labels)
                        .or_default()
                        .push((number(&bound), *value));
                }
            }
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(
                    buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1),
                    "{family} {labels:?}: {buckets:?}"
                );
                let count = self
                    .series
                    .get(&(format!("{family}_count"), labels.clone()));
                assert_eq!(buckets.last().map(|last| last.0), Some(f64::INFINITY));
                assert_eq!(buckets.last().map(|last| &last.1), count, "{family}");
                assert!(self.series.contains_key(&(format!("{family}_sum"), labels)));
            }
        }
    }
}

/// `name{label="value",...} value`.
fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(after).expect(line);
            labels.push((label.to_owned(), value));
            rest = match after.strip_prefix(',') {
                Some(next) if !next.starts_with('}') => next,
                _ => after,
            };
        }
        rest = &rest[1..];
    }
    labels.sort();
    let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), labels.len(), "a label twice: {line}");
    let value = rest.strip_prefix(' ').expect(line);
    (name.to_owned(), labels, number(value))
}

/// The text up to the quotation mark that ends it, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        _ => {
            let digits = |c: char| c.is_ascii_digit() || "+-.e".contains(c);
            assert!(text.chars().all(digits), "not a number: {text:?}");
            text.parse().expect(text)
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

mod tests {
    use super::Scrape;

    const GOOD: &str = "# HELP a A thing.\n# TYPE a counter\na_total{x=\"1 \\\"} \\\\ 2\",y=\"\"} 3\n\
                        # HELP b B\n# TYPE b histogram\nb_sum 1.5\nb_count 1\n\
                        b_bucket{le=\"1.0\"} 0\nb_bucket{le=\"+Inf\"} 1\n# EOF\n";

    #[test]
    fn a_good_text_is_read() {
        let scrape = Scrape::read(GOOD);
        assert_eq!(
            scrape.value("a_total", &[("y", ""), ("x", "1 \"} \\ 2")]),
            3.0
        );
        assert_eq!(scrape.value("b_count", &[]), 1.0);
        assert_eq!(scrape.len(), 5);
    }

    #[test]
    fn a_bad_text_is_not() {
        for (good, bad) in [
            ("# EOF\n", ""),
            ("# EOF\n", "# EOF\n\n"),
            ("a_total{", "a{"),
            ("\"\"} 3", "\"\"} x"),
            ("\"\"} 3", "\"\"} -3"),
            ("\"\"} 3", "\"\"}  3"),
            ("y=\"\"", "x=\"\""),
            ("y=\"\"", "y=\""),
            ("TYPE b", "TYPE a"),
            ("# TYPE a counter\n", ""),
            ("1.0\"} 0", "1.0\"} 2"),
            ("b_count 1", "b_count 2"),
            ("b_sum 1.5\n", ""),
            ("b_sum 1.5\n", "b_sum 1.5\nb_sum 1.5\n"),
        ] {
            let text = GOOD.replacen(good, bad, 1);
            assert_ne!(text, GOOD, "{good}");
            let read = std::panic::catch_unwind(|| Scrape::read(&text));
            assert!(read.is_err(), "{bad}: {read:?}");
        }
    }
}
