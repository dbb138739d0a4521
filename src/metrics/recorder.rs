//! The recorder of the `metrics` facade. A name that is one kind already counts nothing as another.

use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};

use crate::Metrics;
use crate::group::Counters;
use crate::registry::Family;
use crate::series::{Series, Shape};

impl Recorder for Metrics {
    fn describe_counter(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), &description);
    }

    fn describe_gauge(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), &description);
    }

    fn describe_histogram(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let family = self.0.family(key.name(), || Shape::Counters(1));
        match family.table.shape() {
            Shape::Counters(1) => {
                let series = series(&family, key);
                let _ = series.counter(0);
                Counter::from_arc(series)
            }
            Shape::Counters(_) => Counters::of(series(&family, key)).counter(family.column),
            Shape::Gauge | Shape::Histogram(_) => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let family = self.0.family(key.name(), || Shape::Gauge);
        match family.table.shape() {
            Shape::Gauge => Gauge::from_arc(series(&family, key)),
            Shape::Counters(_) | Shape::Histogram(_) => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let family = self.0.family(key.name(), || Shape::Histogram(self.0.bounds(key.name()).into()));
        match family.table.shape() {
            Shape::Histogram(_) => Histogram::from_arc(series(&family, key)),
            Shape::Counters(_) | Shape::Gauge => Histogram::noop(),
        }
    }
}

fn series(family: &Family, key: &Key) -> Arc<Series> {
    family.table.series(key.labels().map(pair), Instant::now)
}

fn pair(label: &Label) -> (&str, &str) {
    (label.key(), label.value())
}
