//! HTTP requests, upgrades to WebSocket among them: how many, with which class of status, how long.

use std::time::Instant;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::buckets;

/// The classes of HTTP status codes, 1xx first.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The figures of all components.
#[derive(Debug)]
pub(crate) struct Families {
    seconds: Seconds,
}

type Seconds = Family<[(&'static str, String); 2], Histogram, fn() -> Histogram>;

/// The figures of what one component answers.
#[derive(Clone, Debug)]
pub struct RequestFigures([Histogram; CLASSES.len()]);

impl Families {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            seconds: Family::new_with_constructor(|| Histogram::new(buckets::WORK_SECONDS)),
        };
        registry.register(
            "host_http_request_seconds",
            "HTTP requests until the head of the answer, by the answer's class; 1xx are upgrades to WebSocket",
            families.seconds.clone(),
        );
        families
    }

    pub(crate) fn of(&self, component: &str) -> RequestFigures {
        RequestFigures(CLASSES.map(|class| {
            let labels = [
                ("component", component.to_owned()),
                ("status", class.to_owned()),
            ];
            self.seconds.get_or_create_owned(&labels)
        }))
    }
}

impl RequestFigures {
    /// A request was answered with this status.
    pub fn answered(&self, status: u16, since: Instant) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(seconds) = self.0.get(class) {
            seconds.observe(since.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::Metrics;

    #[test]
    fn requests_are_counted_by_class() {
        let metrics = Metrics::new("1");
        let figures = metrics.requests("api");
        for status in [101, 200, 204, 404, 599, 999] {
            figures.answered(status, Instant::now());
        }
        let text = metrics.text();
        for (class, count) in [("1xx", 1), ("2xx", 2), ("3xx", 0), ("4xx", 1), ("5xx", 1)] {
            let line = format!(
                "host_http_request_seconds_count{{component=\"api\",status=\"{class}\"}} {count}\n"
            );
            assert!(text.contains(&line), "{line}: {text}");
        }
    }
}
