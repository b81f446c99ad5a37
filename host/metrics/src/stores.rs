//! What is asked of stores: how long it took, and why it failed.

use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::buckets;

/// The figures of all stores.
#[derive(Debug)]
pub(crate) struct Families {
    seconds: Seconds,
    errors: Errors,
}

type Seconds = Family<[(&'static str, String); 2], Histogram, fn() -> Histogram>;
type Errors = Family<[(&'static str, String); 3], Counter>;

/// The figures of one store.
#[derive(Debug)]
pub struct StoreFigures {
    store: String,
    seconds: Seconds,
    errors: Errors,
}

/// The figures of one operation of a store.
#[derive(Debug)]
pub struct Operation {
    store: String,
    name: &'static str,
    seconds: Histogram,
    errors: Errors,
}

impl Families {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            seconds: Family::new_with_constructor(|| Histogram::new(buckets::WORK_SECONDS)),
            errors: Family::default(),
        };
        registry.register(
            "host_store_seconds",
            "What components ask of stores, by operation; what failed included",
            families.seconds.clone(),
        );
        registry.register(
            "host_store_errors",
            "What stores did not do, by the kind of error",
            families.errors.clone(),
        );
        families
    }

    pub(crate) fn of(&self, store: &str) -> StoreFigures {
        StoreFigures {
            store: store.to_owned(),
            seconds: self.seconds.clone(),
            errors: self.errors.clone(),
        }
    }
}

impl StoreFigures {
    /// For one operation; it is shown from now on.
    #[must_use]
    pub fn operation(&self, name: &'static str) -> Operation {
        let labels = [
            ("store", self.store.clone()),
            ("operation", name.to_owned()),
        ];
        Operation {
            store: self.store.clone(),
            name,
            seconds: self.seconds.get_or_create_owned(&labels),
            errors: self.errors.clone(),
        }
    }
}

impl Operation {
    /// It was done, or failed with an error of this kind: one of few words, never a message.
    pub fn done(&self, since: Instant, error: Option<&'static str>) {
        self.seconds.observe(since.elapsed().as_secs_f64());
        if let Some(kind) = error {
            let labels = [
                ("store", self.store.clone()),
                ("operation", self.name.to_owned()),
                ("kind", kind.to_owned()),
            ];
            self.errors.get_or_create(&labels).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::Metrics;

    #[test]
    fn what_fails_is_timed_too_and_counted_by_kind() {
        let metrics = Metrics::new("1");
        let put = metrics.store("blobs").operation("put");
        put.done(Instant::now(), None);
        put.done(Instant::now(), Some("unavailable"));
        let text = metrics.text();
        for line in [
            "host_store_seconds_count{store=\"blobs\",operation=\"put\"} 2\n",
            "host_store_errors_total{store=\"blobs\",operation=\"put\",kind=\"unavailable\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
