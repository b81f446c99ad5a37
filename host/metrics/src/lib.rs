//! What the host counts: of itself (calls, requests, stores, whatever is sampled) and for its app
//! ([`AppFigures`]), as one text in the OpenMetrics format that Prometheus reads.
//!
//! Counting is an atomic or a short lock on something that was looked up before; nothing is written
//! before somebody asks for [`Metrics::text`]. The crate must know nothing of WebAssembly and of what
//! the app is for, and no figure may tell one session, lane or socket from another: that would be a
//! series each, for ever. No I/O but `/proc/self`, when it is asked.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod app;
mod buckets;
mod calls;
mod limits;
mod names;
mod process;
mod requests;
mod sample;
mod stores;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use app::AppFigures;
pub use calls::{CallFigures, InUse};
pub use limits::{
    MAX_LABEL_BYTES, MAX_LABELS, MAX_LANE_BYTES, MAX_LEVELS, MAX_NAME_BYTES, MAX_NAMES, MAX_SERIES,
};
pub use requests::RequestFigures;
pub use sample::Sample;
pub use stores::{Operation, StoreFigures};

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures of a process. Clones are the same figures.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Mutex<Registry>,
    calls: calls::Families,
    requests: requests::Families,
    stores: stores::Families,
    lane_wait: Histogram,
    app: Arc<AppFigures>,
}

/// How long events wait in their lanes.
#[derive(Clone, Debug)]
pub struct LaneWait(Histogram);

impl LaneWait {
    /// A batch was handed over; its oldest event had waited for so long.
    pub fn waited(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

impl Metrics {
    /// The figures of a process that starts now, of this version of the host.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let mut registry = Registry::default();
        let build = Info::new(vec![("version", version.to_owned())]);
        registry.register("host_build", "Which host this is", build);
        let process = process::Process::started(SystemTime::now());
        registry.register_collector(Box::new(process));
        let lane_wait = Histogram::new(buckets::WORK_SECONDS);
        registry.register(
            "host_lane_wait_seconds",
            "From an event's arrival in its lane until it is handed to the app, for the oldest event of a batch",
            lane_wait.clone(),
        );
        let calls = calls::Families::register(&mut registry);
        let requests = requests::Families::register(&mut registry);
        let stores = stores::Families::register(&mut registry);
        let app = AppFigures::register(&mut registry);
        Self(Arc::new(Inner {
            registry: Mutex::new(registry),
            calls,
            requests,
            stores,
            lane_wait,
            app,
        }))
    }

    /// For the calls of one component's exports; `exports` are all that will be counted.
    #[must_use]
    pub fn calls(&self, component: &str, exports: &[&'static str]) -> CallFigures {
        self.0.calls.of(component, exports)
    }

    /// For the HTTP requests that one component answers.
    #[must_use]
    pub fn requests(&self, component: &str) -> RequestFigures {
        self.0.requests.of(component)
    }

    /// For what is asked of one store.
    #[must_use]
    pub fn store(&self, store: &str) -> StoreFigures {
        self.0.stores.of(store)
    }

    /// For how long lanes let events wait.
    #[must_use]
    pub fn lane_wait(&self) -> LaneWait {
        LaneWait(self.0.lane_wait.clone())
    }

    /// What the app counts itself.
    #[must_use]
    pub fn app(&self) -> Arc<AppFigures> {
        Arc::clone(&self.0.app)
    }

    /// Adds figures that are looked up when somebody asks. `look` must not ask for [`Self::text`].
    pub fn sample(&self, look: impl Fn(&mut Sample<'_>) + Send + Sync + 'static) {
        let collector = sample::Collected::new(look);
        self.registry().register_collector(Box::new(collector));
    }

    /// All figures as they are now, in the format of [`CONTENT_TYPE`].
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail. Should an encoder, the text is cut: without the mark
        // at its end, which tells the reader.
        let _ = encode(&mut text, &self.registry());
        text
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn one_text_has_all_figures_and_its_end() {
        let metrics = Metrics::new("1.2.3");
        metrics.lane_wait().waited(Duration::from_millis(3));
        let text = metrics.text();
        assert!(
            text.contains("host_build_info{version=\"1.2.3\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("host_lane_wait_seconds_count 1\n"), "{text}");
        assert!(
            text.contains("host_lane_wait_seconds_bucket{le=\"0.005\"} 1\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn a_sample_is_taken_when_it_is_asked_for() {
        let metrics = Metrics::new("1");
        metrics.sample(|sample| {
            sample.gauge(
                "host_things",
                "Things",
                &[("side", "in", 3), ("side", "out", 4)],
            );
            sample.gauge("host_all", "All", &[("", "", 7)]);
            sample.counter("host_done", "Done", 9);
            sample.counters("host_left", "Left", "why", &[("late", 1), ("lost", 2)]);
        });
        let text = metrics.text();
        for line in [
            "# TYPE host_things gauge\n",
            "host_things{side=\"in\"} 3\n",
            "host_things{side=\"out\"} 4\n",
            "host_all 7\n",
            "# TYPE host_done counter\n",
            "host_done_total 9\n",
            "# TYPE host_left counter\n",
            "host_left_total{why=\"late\"} 1\n",
            "host_left_total{why=\"lost\"} 2\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
