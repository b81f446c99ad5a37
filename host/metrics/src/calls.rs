//! Calls of components: how many, how long, how they failed, in how many instances.

use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::buckets;

type Labels = Vec<(&'static str, String)>;

/// The figures of all components.
#[derive(Debug)]
pub(crate) struct Families {
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    waits: Family<Labels, Histogram, fn() -> Histogram>,
    failures: Family<Labels, Counter>,
    in_use: Family<Labels, Gauge>,
    made: Family<Labels, Counter>,
}

/// The figures of one component.
#[derive(Clone, Debug)]
pub struct CallFigures {
    seconds: Vec<(&'static str, Histogram)>,
    wait: Histogram,
    trapped: Counter,
    timed_out: Counter,
    out_of_memory: Counter,
    in_use: Gauge,
    made: Counter,
}

/// An instance is in use until this is dropped.
#[derive(Debug)]
pub struct InUse(Gauge);

impl Families {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            seconds: Family::new_with_constructor(|| Histogram::new(buckets::WORK_SECONDS)),
            waits: Family::new_with_constructor(|| Histogram::new(buckets::WORK_SECONDS)),
            failures: Family::default(),
            in_use: Family::default(),
            made: Family::default(),
        };
        registry.register(
            "host_component_call_seconds",
            "Calls of a component's export, those that failed included, the wait for an instance not",
            families.seconds.clone(),
        );
        registry.register(
            "host_instance_wait_seconds",
            "How long a call waited until it could have an instance",
            families.waits.clone(),
        );
        registry.register(
            "host_component_failures",
            "Calls that ended in a trap, took too long or asked for too much memory; the instance is thrown away",
            families.failures.clone(),
        );
        registry.register(
            "host_instances_in_use",
            "Instances of a component that have a call now",
            families.in_use.clone(),
        );
        registry.register(
            "host_instances_made",
            "Instances of a component that were made because none was free",
            families.made.clone(),
        );
        families
    }

    pub(crate) fn of(&self, component: &str, exports: &[&'static str]) -> CallFigures {
        let labels = |more: Option<(&'static str, &str)>| -> Labels {
            let more = more.map(|(name, value)| (name, value.to_owned()));
            std::iter::once(("component", component.to_owned()))
                .chain(more)
                .collect()
        };
        let failures = |kind| {
            self.failures
                .get_or_create_owned(&labels(Some(("kind", kind))))
        };
        CallFigures {
            seconds: exports
                .iter()
                .map(|export| {
                    let labels = labels(Some(("export", export)));
                    (*export, self.seconds.get_or_create_owned(&labels))
                })
                .collect(),
            wait: self.waits.get_or_create_owned(&labels(None)),
            trapped: failures("trap"),
            timed_out: failures("timeout"),
            out_of_memory: failures("memory"),
            in_use: self.in_use.get_or_create_owned(&labels(None)),
            made: self.made.get_or_create_owned(&labels(None)),
        }
    }
}

impl CallFigures {
    /// A call of this export has ended, well or not.
    pub fn called(&self, export: &str, since: Instant) {
        if let Some((_, seconds)) = self.seconds.iter().find(|(name, _)| *name == export) {
            seconds.observe(since.elapsed().as_secs_f64());
        }
    }

    /// A call may have an instance; it has waited for one.
    pub fn waited(&self, since: Instant) {
        self.wait.observe(since.elapsed().as_secs_f64());
    }

    /// A call ended in a trap.
    pub fn trapped(&self) {
        self.trapped.inc();
    }

    /// A call took too long.
    pub fn timed_out(&self) {
        self.timed_out.inc();
    }

    /// A call ended because it asked for more memory than it may have.
    pub fn out_of_memory(&self) {
        self.out_of_memory.inc();
    }

    /// An instance was made.
    pub fn made(&self) {
        self.made.inc();
    }

    /// An instance is in use from now on.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        self.in_use.inc();
        InUse(self.in_use.clone())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::Metrics;

    #[test]
    fn calls_are_counted_by_component_and_export() {
        let metrics = Metrics::new("1");
        let figures = metrics.calls("stream", &["handle", "admit"]);
        figures.called("handle", Instant::now());
        figures.called("handle", Instant::now());
        figures.called("unknown", Instant::now());
        figures.waited(Instant::now());
        figures.trapped();
        figures.made();
        let in_use = figures.in_use();
        let _second = figures.in_use();
        drop(in_use);
        let text = metrics.text();
        for line in [
            "host_component_call_seconds_count{component=\"stream\",export=\"handle\"} 2\n",
            "host_component_call_seconds_count{component=\"stream\",export=\"admit\"} 0\n",
            "host_component_failures_total{component=\"stream\",kind=\"trap\"} 1\n",
            "host_component_failures_total{component=\"stream\",kind=\"timeout\"} 0\n",
            "host_component_failures_total{component=\"stream\",kind=\"memory\"} 0\n",
            "host_instance_wait_seconds_count{component=\"stream\"} 1\n",
            "host_instances_in_use{component=\"stream\"} 1\n",
            "host_instances_made_total{component=\"stream\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("unknown"), "{text}");
    }
}
