//! What the app counts itself. Names and labels are the app's, so everything here is bounded (see
//! `limits`) and nothing fails: what cannot be kept is dropped and counted.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::buckets;
use crate::limits::{MAX_LANE_BYTES, MAX_LEVELS, MAX_NAMES, MAX_SERIES};
use crate::names;

/// What the names of all figures of the app begin with.
const PREFIX: &str = "gateway_";

/// Beside every figure; what it means is the app's to say.
const HELP: &str = "Counted by the app";

type Labels = Vec<(String, String)>;
type Series<T> = BTreeMap<Labels, T>;

/// What the app counts itself.
#[derive(Debug)]
pub struct AppFigures {
    kept: Mutex<Kept>,
    dropped: Family<[(&'static str, &'static str); 1], Counter>,
}

#[derive(Debug, Default)]
struct Kept {
    figures: BTreeMap<String, Figure>,
    /// Contributions to levels, in all figures.
    levels: usize,
}

#[derive(Debug)]
enum Figure {
    Counter(Series<Counter>),
    Histogram(Series<Histogram>),
    /// By lane.
    Level(Series<HashMap<String, f64>>),
}

/// Why something was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// A name, label, lane or value that is none, or a name that is a figure of another kind.
    Invalid,
    TooManyNames,
    TooManySeries,
    TooManyLevels,
}

impl Dropped {
    fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooManyNames => "names",
            Self::TooManySeries => "series",
            Self::TooManyLevels => "levels",
        }
    }
}

impl AppFigures {
    pub(crate) fn register(registry: &mut Registry) -> Arc<Self> {
        let app = Arc::new(Self {
            kept: Mutex::default(),
            dropped: Family::default(),
        });
        registry.register(
            "host_app_figures_dropped",
            "What the app counted and the host did not keep: over a limit, or no figure at all",
            app.dropped.clone(),
        );
        registry.register_collector(Box::new(Arc::clone(&app)));
        app
    }

    /// Adds to a counter.
    pub fn add(&self, name: &str, labels: Labels, by: u64) {
        self.note(|kept| {
            let labels = checked(name, labels)?;
            match kept.figure(name, || Figure::Counter(Series::new()))? {
                Figure::Counter(series) => {
                    of(series, labels, Counter::default)?.inc_by(by);
                    Ok(())
                }
                _ => Err(Dropped::Invalid),
            }
        });
    }

    /// Adds a value to a histogram.
    pub fn observe(&self, name: &str, labels: Labels, value: f64) {
        self.note(|kept| {
            let labels = checked(name, labels)?;
            if !value.is_finite() {
                return Err(Dropped::Invalid);
            }
            match kept.figure(name, || Figure::Histogram(Series::new()))? {
                Figure::Histogram(series) => {
                    let new = || Histogram::new(buckets::of_app(name).iter().copied());
                    of(series, labels, new)?.observe(value);
                    Ok(())
                }
                _ => Err(Dropped::Invalid),
            }
        });
    }

    /// What a lane contributes to a level from now on; 0 is nothing.
    pub fn level(&self, lane: &str, name: &str, labels: Labels, value: f64) {
        self.note(|kept| {
            let labels = checked(name, labels)?;
            if !value.is_finite() || lane.len() > MAX_LANE_BYTES {
                return Err(Dropped::Invalid);
            }
            let levels = kept.levels;
            let Figure::Level(series) = kept.figure(name, || Figure::Level(Series::new()))? else {
                return Err(Dropped::Invalid);
            };
            let lanes = of(series, labels, HashMap::new)?;
            kept.levels = if value == 0.0 {
                levels - usize::from(lanes.remove(lane).is_some())
            } else if let Some(level) = lanes.get_mut(lane) {
                *level = value;
                levels
            } else if levels < MAX_LEVELS {
                lanes.insert(lane.to_owned(), value);
                levels + 1
            } else {
                return Err(Dropped::TooManyLevels);
            };
            Ok(())
        });
    }

    fn note(&self, work: impl FnOnce(&mut Kept) -> Result<(), Dropped>) {
        if let Err(dropped) = work(&mut self.kept()) {
            self.dropped
                .get_or_create(&[("reason", dropped.reason())])
                .inc();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn figure(&mut self, name: &str, new: impl FnOnce() -> Figure) -> Result<&mut Figure, Dropped> {
        if !self.figures.contains_key(name) {
            if self.figures.len() >= MAX_NAMES {
                return Err(Dropped::TooManyNames);
            }
            self.figures.insert(name.to_owned(), new());
        }
        self.figures.get_mut(name).ok_or(Dropped::TooManyNames)
    }
}

/// The labels in their one order, if they and the name can be taken.
fn checked(name: &str, mut labels: Labels) -> Result<Labels, Dropped> {
    labels.sort_unstable();
    if names::is_name(name) && names::are_labels(&labels) {
        Ok(labels)
    } else {
        Err(Dropped::Invalid)
    }
}

/// The series with these labels, made if there is room for it.
fn of<T>(
    series: &mut Series<T>,
    labels: Labels,
    new: impl FnOnce() -> T,
) -> Result<&mut T, Dropped> {
    if series.len() >= MAX_SERIES && !series.contains_key(&labels) {
        return Err(Dropped::TooManySeries);
    }
    Ok(series.entry(labels).or_insert_with(new))
}

impl Collector for AppFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, figure) in &self.kept().figures {
            let name = format!("{PREFIX}{name}");
            match figure {
                Figure::Counter(series) => counters(&mut encoder, &name, series)?,
                Figure::Histogram(series) => histograms(&mut encoder, &name, series)?,
                Figure::Level(series) => {
                    level(&mut encoder, &name, series, |lanes| {
                        // Not `sum`: that of nothing is -0.
                        lanes.fold(0.0, |sum, level| sum + level)
                    })?;
                    level(&mut encoder, &format!("{name}_max"), series, |lanes| {
                        lanes.reduce(f64::max).unwrap_or(0.0)
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    series: &Series<Counter>,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(name, HELP, None, MetricType::Counter)?;
    for (labels, counter) in series {
        let value = counter.get();
        let no_exemplar = None::<&Exemplar<Labels, u64>>;
        if labels.is_empty() {
            encoder.encode_counter(&value, no_exemplar)?;
        } else {
            encoder
                .encode_family(labels)?
                .encode_counter(&value, no_exemplar)?;
        }
    }
    Ok(())
}

fn histograms(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    series: &Series<Histogram>,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(name, HELP, None, MetricType::Histogram)?;
    for (labels, histogram) in series {
        histogram.encode(encoder.encode_family(labels)?)?;
    }
    Ok(())
}

/// The lanes' contributions as one number.
fn level(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    series: &Series<HashMap<String, f64>>,
    of_lanes: impl Fn(&mut dyn Iterator<Item = f64>) -> f64,
) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(name, HELP, None, MetricType::Gauge)?;
    for (labels, lanes) in series {
        let value = of_lanes(&mut lanes.values().copied());
        if labels.is_empty() {
            encoder.encode_gauge(&value)?;
        } else {
            encoder.encode_family(labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::Metrics;

    fn labels(of: &[(&str, &str)]) -> Labels {
        of.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn role(role: &str) -> Labels {
        labels(&[("role", role)])
    }

    /// Letters only, since names have no digits.
    fn letters(mut number: usize) -> String {
        let mut text = String::from("n");
        while number > 0 {
            text.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
        }
        text
    }

    #[track_caller]
    fn has(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.text();
        for line in lines {
            assert!(text.lines().any(|other| other == *line), "{line}: {text}");
        }
    }

    #[track_caller]
    fn dropped(metrics: &Metrics, reason: &str, count: u64) {
        let line = format!("host_app_figures_dropped_total{{reason=\"{reason}\"}} {count}");
        has(metrics, &[&line]);
    }

    #[test]
    fn counters_add_up_whatever_the_order_of_their_labels() {
        let metrics = Metrics::new("1");
        let app = metrics.app();
        app.add(
            "chunks",
            labels(&[("role", "teacher"), ("status", "stored")]),
            2,
        );
        app.add(
            "chunks",
            labels(&[("status", "stored"), ("role", "teacher")]),
            3,
        );
        app.add("chunks", role("students"), 0);
        app.add("plain", Vec::new(), 7);
        has(
            &metrics,
            &[
                "# TYPE gateway_chunks counter",
                "gateway_chunks_total{role=\"teacher\",status=\"stored\"} 5",
                "gateway_chunks_total{role=\"students\"} 0",
                "gateway_plain_total 7",
            ],
        );
    }

    #[test]
    fn a_histogram_has_the_buckets_of_its_unit() {
        let metrics = Metrics::new("1");
        metrics
            .app()
            .observe("latency_seconds", role("teacher"), 1.5);
        has(
            &metrics,
            &[
                "# TYPE gateway_latency_seconds histogram",
                "gateway_latency_seconds_sum{role=\"teacher\"} 1.5",
                "gateway_latency_seconds_bucket{le=\"1.0\",role=\"teacher\"} 0",
                "gateway_latency_seconds_bucket{le=\"2.0\",role=\"teacher\"} 1",
                "gateway_latency_seconds_bucket{le=\"+Inf\",role=\"teacher\"} 1",
            ],
        );
    }

    #[test]
    fn a_level_is_the_sum_and_the_greatest_of_its_lanes() {
        let metrics = Metrics::new("1");
        let app = metrics.app();
        let level = |lane, value| app.level(lane, "backlog", role("teacher"), value);
        level("a", 3.0);
        level("b", 4.0);
        level("a", 10.0);
        has(
            &metrics,
            &[
                "gateway_backlog{role=\"teacher\"} 14.0",
                "gateway_backlog_max{role=\"teacher\"} 10.0",
            ],
        );
        level("a", 0.0);
        level("a", 0.0);
        has(&metrics, &["gateway_backlog{role=\"teacher\"} 4.0"]);
        level("b", 0.0);
        has(
            &metrics,
            &[
                "gateway_backlog{role=\"teacher\"} 0.0",
                "gateway_backlog_max{role=\"teacher\"} 0.0",
            ],
        );
        assert_eq!(app.kept().levels, 0);
    }

    #[test]
    fn no_lane_is_named() {
        let metrics = Metrics::new("1");
        metrics
            .app()
            .level("a-session/teacher", "backlog", Vec::new(), 1.0);
        assert!(!metrics.text().contains("a-session"));
    }

    #[test]
    fn what_is_no_figure_is_dropped_and_counted() {
        let metrics = Metrics::new("1");
        let app = metrics.app();
        app.add("Chunks", Vec::new(), 1);
        app.add("chunks_total", Vec::new(), 1);
        app.add("chunks", labels(&[("le", "1")]), 1);
        app.observe("latency_seconds", Vec::new(), f64::NAN);
        app.level("lane", "backlog", Vec::new(), f64::INFINITY);
        app.level(&"x".repeat(MAX_LANE_BYTES + 1), "backlog", Vec::new(), 1.0);
        dropped(&metrics, "invalid", 6);
        assert!(!metrics.text().contains("gateway_"));
    }

    #[test]
    fn a_name_keeps_its_kind() {
        let metrics = Metrics::new("1");
        let app = metrics.app();
        app.add("chunks", Vec::new(), 1);
        app.observe("chunks", Vec::new(), 1.0);
        app.level("lane", "chunks", Vec::new(), 1.0);
        dropped(&metrics, "invalid", 2);
        has(&metrics, &["gateway_chunks_total 1"]);
    }

    #[test]
    fn names_are_limited() {
        let metrics = Metrics::new("1");
        let app = metrics.app();
        for number in 0..MAX_NAMES + 3 {
            app.add(&letters(number), Vec::new(), 1);
        }
        dropped(&metrics, "names", 3);
        app.add(&letters(0), Vec::new(), 1);
        has(&metrics, &["gateway_n_total 2"]);
    }

    #[test]
    fn series_of_a_name_are_limited() {
        let metrics = Metrics::new("1");
        let app = metrics.app();
        for number in 0..MAX_SERIES + 3 {
            app.add("chunks", role(&letters(number)), 1);
            app.observe("latency", role(&letters(number)), 1.0);
            app.level("lane", "backlog", role(&letters(number)), 1.0);
        }
        dropped(&metrics, "series", 9);
        app.add("chunks", role(&letters(1)), 1);
        has(&metrics, &["gateway_chunks_total{role=\"nb\"} 2"]);
    }

    #[test]
    fn lanes_with_levels_are_limited_and_make_room_again() {
        let metrics = Metrics::new("1");
        let app = metrics.app();
        for number in 0..MAX_LEVELS {
            app.level(&number.to_string(), "backlog", Vec::new(), 1.0);
        }
        app.level("one more", "backlog", Vec::new(), 1.0);
        dropped(&metrics, "levels", 1);
        // Those that are known go on.
        app.level("7", "backlog", Vec::new(), 5.0);
        has(&metrics, &["gateway_backlog_max 5.0"]);
        app.level("7", "backlog", Vec::new(), 0.0);
        app.level("one more", "backlog", Vec::new(), 9.0);
        has(&metrics, &["gateway_backlog_max 9.0"]);
    }
}
