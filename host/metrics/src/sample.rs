//! Figures that somebody else keeps and that are looked up at a scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// Takes figures down at a scrape. Names are written as they are to appear, but for the `_total` of
/// counters.
#[derive(Debug)]
pub struct Sample<'a> {
    encoder: DescriptorEncoder<'a>,
    outcome: fmt::Result,
}

impl Sample<'_> {
    /// What there is now, one value for each value of a label; a label without a name is none.
    pub fn gauge(&mut self, name: &str, help: &str, series: &[(&str, &str, u64)]) {
        self.write(|encoder| {
            let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (label, value, number) in series {
                let number = i64::try_from(*number).unwrap_or(i64::MAX);
                if label.is_empty() {
                    gauge.encode_gauge(&number)?;
                } else {
                    gauge
                        .encode_family(&[(*label, *value)])?
                        .encode_gauge(&number)?;
                }
            }
            Ok(())
        });
    }

    /// What there is now, in some unit.
    pub(crate) fn value(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) {
        self.write(|encoder| {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)
        });
    }

    /// How often something happened since the start.
    pub fn counter(&mut self, name: &str, help: &str, count: u64) {
        self.write(|encoder| {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
        });
    }

    /// As [`Self::counter`], one count for each value of a label.
    pub fn counters(&mut self, name: &str, help: &str, label: &str, series: &[(&str, u64)]) {
        self.write(|encoder| {
            let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, count) in series {
                counter
                    .encode_family(&[(label, *value)])?
                    .encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
            Ok(())
        });
    }

    /// As [`Self::counter`], in seconds.
    pub(crate) fn seconds(&mut self, name: &str, help: &str, seconds: f64) {
        self.write(|encoder| {
            let counter = ConstCounter::new(seconds);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
        });
    }

    fn write(&mut self, work: impl FnOnce(&mut DescriptorEncoder<'_>) -> fmt::Result) {
        if self.outcome.is_ok() {
            self.outcome = work(&mut self.encoder);
        }
    }
}

/// Whoever looks them up.
pub(crate) struct Collected<F>(F);

impl<F: Fn(&mut Sample<'_>) + Send + Sync + 'static> Collected<F> {
    pub(crate) fn new(look: F) -> Self {
        Self(look)
    }
}

impl<F> fmt::Debug for Collected<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

impl<F: Fn(&mut Sample<'_>) + Send + Sync + 'static> Collector for Collected<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sample = Sample {
            encoder,
            outcome: Ok(()),
        };
        (self.0)(&mut sample);
        sample.outcome
    }
}

/// As [`Collected`], without a closure.
pub(crate) fn take(
    encoder: DescriptorEncoder<'_>,
    look: impl FnOnce(&mut Sample<'_>),
) -> fmt::Result {
    let mut sample = Sample {
        encoder,
        outcome: Ok(()),
    };
    look(&mut sample);
    sample.outcome
}
